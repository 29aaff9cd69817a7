"""The command line in processes of its own: encodings, statistics, terminals, pipes and Ctrl-C."""

from __future__ import annotations

import io
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from command_runs import COMMAND, ENVIRONMENT, PROMPT, STATISTICS, TINY, posix, run, said

from numpygpt import GPT2
from numpygpt import __main__ as command


@contextmanager
def running(
    arguments: list[str], settings: dict[str, str] | None = None, **streams: Any
) -> Iterator[subprocess.Popen[bytes]]:
    environment = ENVIRONMENT | (settings or {})
    with subprocess.Popen([*COMMAND, *arguments], env=environment, **streams) as process:
        try:
            yield process
        finally:
            process.kill()


# Encodings


def test_an_encoding_that_lacks_a_character_prints_a_question_mark() -> None:
    assert said(*TINY, "-n", "0", "é🙂.", PYTHONIOENCODING="ascii") == "??.\n"


def test_standard_input_is_utf8_whatever_the_locale() -> None:
    assert said(*TINY, "-n", "0", stdin="é🙂.".encode(), PYTHONIOENCODING="utf-8", LC_ALL="C") == "é🙂.\n"


# Statistics


def test_statistics_come_when_asked_for_and_on_standard_error(tiny: GPT2) -> None:
    result = run(*TINY, "-n", "5", "--stats", PROMPT)
    assert result.returncode == 0
    assert result.stdout.decode() == f"{PROMPT}{tiny.generate(PROMPT, 5)}\n"
    assert STATISTICS.fullmatch(result.stderr.decode().removesuffix("\n"))
    assert result.stderr.startswith(b"[5 tokens in ")
    assert result.stderr.endswith(b"ended by: max_new_tokens]\n")


def read_terminal(terminal: int) -> str:
    """Everything a process wrote to a pseudo-terminal, once it has ended."""
    data = b""
    while select.select([terminal], [], [], 60)[0]:
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # Linux's end of a pseudo-terminal
            piece = b""
        if not piece:
            return data.decode().replace("\r\n", "\n")
        data += piece
    pytest.fail(f"the command neither goes on nor ends after {data!r}")


def on_terminal(*arguments: str, **settings: str) -> tuple[int, str]:
    """Exit status and what stands on the screen, of a run with all streams on a terminal."""
    pty = pytest.importorskip("pty")
    terminal, side = pty.openpty()
    with running(list(arguments), settings, stdin=side, stdout=side, stderr=side) as process:
        os.close(side)
        screen = read_terminal(terminal)
        status = process.wait(60)
    os.close(terminal)
    return status, screen


@posix
def test_a_terminal_shows_the_text_and_then_the_statistics(tiny: GPT2) -> None:
    status, screen = on_terminal(*TINY, "-n", "4", PROMPT)
    text, statistics = screen.removesuffix("\n").rsplit("\n", 1)
    assert status == 0
    assert text == f"{PROMPT}{tiny.generate(PROMPT, 4)}"
    assert STATISTICS.fullmatch(statistics)


@posix
def test_no_prompt_on_a_terminal_is_a_mistake_and_does_not_wait() -> None:
    status, screen = on_terminal(*TINY)
    assert (status, screen.count("\n")) == (2, 1)
    assert "give a prompt" in screen


# Ending early


@posix
def test_pieces_are_printed_as_they_come_and_ctrl_c_ends_quietly(endless: list[str]) -> None:
    with running([*endless, PROMPT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as process:
        assert process.stdout
        assert process.stderr
        seen = b""
        while len(seen) < 50:
            seen += process.stdout.read(1000)
        assert seen.startswith(PROMPT.encode())
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr.read() == b""


@posix
def test_a_reader_that_goes_away_ends_it_quietly(endless: list[str]) -> None:
    with running([*endless, PROMPT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.read(2) == PROMPT.encode()[:2]
        process.stdout.close()
        assert process.wait(60) == 0
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
    with running(arguments, stdout=writer, stderr=subprocess.PIPE) as process:
        os.close(writer)
        assert process.communicate(timeout=60)[1] == b""
        assert process.returncode == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's /dev/full")
def test_a_full_disk_is_one_line() -> None:
    with open("/dev/full", "wb") as full, running([*TINY, PROMPT], stdout=full, stderr=subprocess.PIPE) as process:
        message = b"python -m numpygpt: [Errno 28] No space left on device\n"
        assert process.communicate(timeout=60)[1] == message
        assert process.returncode == 1


@posix
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_closed_streams_give_no_traceback(closed: str) -> None:
    shell = ["sh", "-c", f'"$@" {closed}', "sh", *COMMAND, *TINY, "-n", "2", *([] if closed == "<&-" else [PROMPT])]
    result = subprocess.run(shell, capture_output=True, timeout=60, env=ENVIRONMENT, check=False)
    assert b"Traceback" not in result.stderr
    assert result.returncode == (2 if closed == "<&-" else 0)
