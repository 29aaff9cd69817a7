"""The command line in processes of its own: encodings, terminals, pipes, Ctrl-C, and what the README shows."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE
from typing import Any

import numpy as np
import pytest
from command_runs import COMMAND, ENVIRONMENT, PATIENCE, PROMPT, TINY, Terminal, one_line, posix, run, running

from numpygpt import GPT2
from numpygpt import __main__ as command

FRACTION = re.compile(r"\d+\.\d+|\d+(?=%)")
STATISTICS = r"\[%d tokens in [\d.]+ s, [\d.]+ tokens/s; ended by: max_new_tokens\]\n"
MEMORY = r"\[after the first token, \d+% of what (memory|the processor's cache) gives: .* as measured just now\]\n"


# ---- Encodings


@pytest.mark.parametrize(
    ("stdin", "arguments", "settings", "shown"),
    [
        (b"", ["é🙂."], {"PYTHONIOENCODING": "ascii"}, "??.\n"),
        ("é🙂.".encode(), [], {"PYTHONIOENCODING": "utf-8", "LC_ALL": "C"}, "é🙂.\n"),  # UTF-8 whatever the locale
    ],
)
def test_a_character_that_an_encoding_lacks_is_a_question_mark(
    stdin: bytes, arguments: list[str], settings: dict[str, str], shown: str
) -> None:
    assert run(*TINY, "-n", "0", *arguments, stdin=stdin, **settings) == (0, shown, "")


def test_a_locale_without_letters_prints_question_marks_and_goes_on() -> None:
    command = (*TINY, "--top", "2", PROMPT)
    status, out, err = run(*command, LC_ALL="C", LANG="C", PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    assert (status, "?" in out, err) == (0, True, "")


def test_a_prompt_of_other_bytes_is_a_mistake() -> None:
    assert "the prompt is not UTF-8 text; give text" in one_line(*run(*TINY, b"caf\xe9"))


# ---- Statistics, and terminals


def test_statistics_come_when_asked_for_and_on_standard_error(tiny: GPT2) -> None:
    status, out, err = run(*TINY, "-n", "5", "--stats", PROMPT)
    assert (status, out) == (0, f"{PROMPT}{tiny.generate(PROMPT, 5)}\n")
    assert re.fullmatch(STATISTICS % 5 + MEMORY, err)
    assert re.fullmatch(STATISTICS % 1, run(*TINY, "-n", "1", "--stats", PROMPT)[2])  # nothing comes after the first


@posix
def test_a_terminal_shows_the_text_and_then_the_statistics(tiny: GPT2) -> None:
    with Terminal(*TINY, "-n", "4", PROMPT) as terminal:
        status, screen = terminal.rest()
    text = f"{PROMPT}{tiny.generate(PROMPT, 4)}\n"
    assert (status, screen[: len(text)]) == (0, text)
    assert re.fullmatch(STATISTICS % 4, screen[len(text) :])


@posix
def test_no_prompt_on_a_terminal_is_a_mistake_and_does_not_wait() -> None:
    with Terminal(*TINY) as terminal:
        status, screen = terminal.rest()
    assert "give a prompt" in one_line(status, "", screen)


@posix
def test_a_terminal_shows_colors() -> None:
    with Terminal(*TINY, "--top", "2", PROMPT, TERM="xterm", NO_COLOR="") as terminal:
        assert "\x1b[36m" in terminal.rest()[1]


@posix
def test_ctrl_c_stops_a_text_and_the_terminal_asks_for_the_next_prompt(endless: list[str]) -> None:
    with Terminal(*endless, "--interactive") as terminal:
        terminal.read("> ")
        for prompt in ("Once", "The"):
            terminal.type(f"{prompt}\n")
            terminal.read(f"{prompt}\n{prompt}")  # what was typed, and the text
            terminal.process.send_signal(signal.SIGINT)
            terminal.read("\n> ")
        terminal.type("\x04")
        assert terminal.rest()[0] == 0


# ---- Ending early


@posix
@pytest.mark.parametrize("end", ["Ctrl-C", "a reader that goes away"])
def test_pieces_are_printed_as_they_come_and_the_end_is_quiet(end: str, endless: list[str]) -> None:
    with running([*endless, PROMPT], stdout=PIPE, stderr=PIPE) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.read(len(PROMPT)) == PROMPT.encode()
        assert process.stdout.read(1)  # of the continuation, which takes minutes
        if end == "Ctrl-C":
            process.send_signal(signal.SIGINT)
        else:
            process.stdout.close()
        assert process.wait(PATIENCE) == (130 if end == "Ctrl-C" else 0)
        assert process.stderr.read() == b""


class Writes(io.RawIOBase):
    """A stream that remembers what each write brought."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.pieces.append(bytes(data))
        return len(data)


def test_every_piece_is_written_out_when_it_comes(monkeypatch: pytest.MonkeyPatch, tiny: GPT2) -> None:
    writes = Writes()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(writes), "utf-8"))
    command.main([*TINY, PROMPT])
    assert writes.pieces == [PROMPT.encode(), *(piece.encode() for piece in tiny.stream(PROMPT)), b"\n"]


@posix
@pytest.mark.parametrize("arguments", [["--help"], ["--version"], [*TINY, PROMPT]])
def test_a_reader_that_never_was_is_no_trouble(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with running(arguments, stdout=writer, stderr=PIPE) as process:
        os.close(writer)
        assert (process.communicate(timeout=PATIENCE)[1], process.returncode) == (b"", 0)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's /dev/full")
def test_a_full_disk_is_one_line() -> None:
    message = b"python -m numpygpt: [Errno 28] No space left on device\n"
    with open("/dev/full", "wb") as full, running([*TINY, PROMPT], stdout=full, stderr=PIPE) as process:
        assert (process.communicate(timeout=PATIENCE)[1], process.returncode) == (message, 1)


@posix
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_closed_streams_give_no_traceback(closed: str) -> None:
    shell = ["sh", "-c", f'"$@" {closed}', "sh", *COMMAND, *TINY, "-n", "2", *([] if closed == "<&-" else [PROMPT])]
    result = subprocess.run(shell, capture_output=True, timeout=PATIENCE, env=ENVIRONMENT)
    assert b"Traceback" not in result.stderr
    assert result.returncode == (2 if closed == "<&-" else 0)


# ---- The README


@posix
@pytest.mark.parametrize("page", ["README.md", "docs/use.md"])
def test_the_transcripts_are_what_the_commands_print(page: str, tmp_path: Path) -> None:
    """Every line that begins with a dollar sign, and the lines below it."""
    text = (Path(__file__).parents[1] / page).read_text(encoding="utf-8")
    transcripts = dict(re.findall(r"^    \$ (.*)\n((?:    (?!\$).*\n|\n(?=    ))+)", text, re.MULTILINE))
    assert len(transcripts) >= 3
    for line, shown in transcripts.items():
        line = line.replace("python -m", f"{sys.executable} -m")
        result = subprocess.run(line, shell=True, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, check=True)
        printed, shown = result.stdout.decode().rstrip(), re.sub("^    ", "", shown, flags=re.MULTILINE).rstrip()
        assert FRACTION.sub("#", printed) == FRACTION.sub("#", shown)
        figures, expected = (np.array(FRACTION.findall(text), float) for text in (printed, shown))
        rounding = np.where(expected % 1 == 0, 1, 0.01 * expected)  # another processor rounds otherwise
        assert (abs(figures - expected) <= rounding).all(), (printed, shown)
