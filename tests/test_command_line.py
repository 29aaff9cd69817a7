"""What the commands share: numbers from the command line, and how a program ends."""

from __future__ import annotations

import argparse
import errno
import io
import math
import os
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpygpt.command_line import FAILURE, INTERRUPTED, MISTAKE, Parser, friendly_exit, number


@given(st.text() | st.integers().map(str) | st.floats().map(str))
def test_a_whole_number_is_read_exactly_and_all_else_is_an_error_that_says_what_is(text: str) -> None:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value >= 1:
        assert number(int, 1)(text) == value
    else:
        with pytest.raises(argparse.ArgumentTypeError, match="^" + re.escape(f"{text!r} is not a whole number of at")):
            number(int, 1)(text)


@given(st.floats(min_value=0, allow_infinity=False))
def test_numbers_are_read_exactly(value: float) -> None:
    assert number(float, 0)(repr(value)) == value


@pytest.mark.parametrize("text", ["", "nan", "inf", "-inf", "1e999", "-1", "-0.1", "one", "1,5", "0x10", "1 2"])
def test_a_number_is_finite_and_not_below_the_minimum(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not a number of at least 0"):
        number(float, 0)(text)


def test_the_minimum_itself_is_no_number_above_it() -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="'0' is not a number above 0"):
        number(float, 0, above=True)("0")
    assert number(float, 0, above=True)("5e-324") == math.ulp(0)


def test_a_whole_number_of_many_digits_is_an_error_and_no_traceback() -> None:
    assert number(int, 0)("9" * 400) == 10**400 - 1
    with pytest.raises(argparse.ArgumentTypeError):
        number(int, 0)("9" * 5000)


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (ValueError("top_p is 2"), MISTAKE, "top_p is 2"),
        (ValueError("first line\n  second line\n"), MISTAKE, "first line second line"),
        (FileNotFoundError("there is no such folder"), MISTAKE, "there is no such folder"),
        (PermissionError(errno.EACCES, "Permission denied", "a.txt"), MISTAKE, "a.txt: Permission denied"),
        (ImportError("a chat template needs jinja2"), MISTAKE, "a chat template needs jinja2"),
        (OSError(errno.ENOSPC, "No space left on device"), FAILURE, f"[Errno {errno.ENOSPC}] No space left on device"),
        (ConnectionError("cannot reach the hub"), FAILURE, "cannot reach the hub"),
        (MemoryError("Unable to allocate 9 TiB"), FAILURE, "not enough memory: Unable to allocate 9 TiB"),
        (MemoryError(), FAILURE, "not enough memory"),
        (KeyboardInterrupt(), INTERRUPTED, None),
        (SystemExit(3), 3, None),
    ],
)
def test_an_error_after_some_output_is_one_line_and_a_status(
    error: BaseException, status: int, message: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    @friendly_exit("command")
    def command() -> None:
        print("some text")
        raise error

    with pytest.raises(SystemExit) as exit_:
        command()
    assert exit_.value.code == status
    assert capsys.readouterr() == ("some text\n", f"command: {message}\n" if message else "")


def test_a_mistake_in_the_program_keeps_its_traceback() -> None:
    for bug in (TypeError("bug"), KeyError("bug"), IndexError("bug")):
        with pytest.raises(type(bug)), friendly_exit("command"):
            raise bug


class Full(io.StringIO):
    """A stream whose buffer can be filled but not written out."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self.descriptor = descriptor

    def fileno(self) -> int:
        return self.descriptor

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_output_that_cannot_be_written_at_the_end_is_noticed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with open(tmp_path / "output", "w") as file:
        monkeypatch.setattr(sys, "stdout", Full(file.fileno()))
        with pytest.raises(SystemExit) as exit_, friendly_exit("command"):
            print("some text")
        os.write(file.fileno(), b"more")  # as Python's own flush at exit would: into os.devnull by now
    assert exit_.value.code == FAILURE
    assert "No space left on device" in capsys.readouterr().err
    assert (tmp_path / "output").read_text() == ""


def test_a_closed_standard_output_is_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with friendly_exit("command"):
        print("into the void")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "0"], "argument --size: '0' is not a whole number of at least 1"),
        (["--siz", "1"], "unrecognized arguments: --siz 1"),  # no abbreviations: they break when options are added
        (["a\nb"], "unrecognized arguments: a b"),
    ],
)
def test_an_error_of_the_parser_is_one_line_and_status_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = Parser("command", "What it does.")
    parser.add_argument("--size", type=number(int, 1))
    with pytest.raises(SystemExit) as exit_:
        parser.parse_args(arguments)
    assert exit_.value.code == MISTAKE
    assert capsys.readouterr() == ("", f"command: {message} (--help shows the options)\n")


def test_help_keeps_the_lines_of_its_texts() -> None:
    parser = Parser("command", "First line.\nSecond line.", "examples:\n  command one\n  command two")
    page = parser.format_help()
    assert "First line.\nSecond line.\n" in page
    assert page.endswith("examples:\n  command one\n  command two\n")
