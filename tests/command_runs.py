"""Runs of the command: in this process, in processes of their own, and on terminals."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import pytest
from random_models import REFERENCE

Call = Callable[..., tuple[int, str, str]]
COMMAND = [sys.executable, "-m", "numpygpt"]
TINY = ["--model", str(REFERENCE / "tiny"), "-n", "40"]
PROMPT = "Once upon a time"  # which the reference model continues with 25 tokens
# The surroundings without what would change how Python reads and writes, for which these tests look
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
if "PYTHONPATH" in os.environ:
    ENVIRONMENT["PYTHONPATH"] = os.environ["PYTHONPATH"]
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals, pipes and terminals")
PATIENCE = 120  # seconds, on a machine that has much else to do


def run(*arguments: str | bytes, stdin: bytes = b"", **environment: str) -> tuple[int, str, str]:
    """The command in a process of its own: exit status, and what it printed."""
    result = subprocess.run(
        [*COMMAND, *arguments], input=stdin, capture_output=True, timeout=PATIENCE, env=ENVIRONMENT | environment
    )
    return result.returncode, result.stdout.decode(), result.stderr.decode()


@contextmanager
def started(command: list[str], **streams: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process that hears Ctrl-C even where a background job runs the tests, and is ended at the end."""
    heard = {} if sys.platform == "win32" else {"preexec_fn": partial(signal.signal, signal.SIGINT, signal.SIG_DFL)}
    with subprocess.Popen(command, **{"env": ENVIRONMENT, "bufsize": 0, **heard, **streams}) as process:
        try:
            yield process
        finally:
            process.kill()


def running(arguments: list[str], **streams: Any) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """The command in a process that is ended at the end."""
    return started([*COMMAND, *arguments], **streams)


def one_line(status: int, out: str, err: str) -> str:
    """The line that a mistake is answered with."""
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert re.fullmatch("python -m numpygpt: .+\n", err)
    return err


class Terminal:
    """A pseudo-terminal with the command running on it."""

    def __init__(self, *arguments: str, **settings: str) -> None:
        self.descriptor, side = pytest.importorskip("pty").openpty()
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), side)
        self.process = subprocess.Popen([*COMMAND, *arguments], env=ENVIRONMENT | settings, **streams)
        os.close(side)
        self.unread = b""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.descriptor)

    def type(self, line: str) -> None:
        os.write(self.descriptor, line.encode())

    def read(self, until: str) -> str:
        """What the process writes before something expected."""
        end = until.replace("\n", "\r\n").encode()
        while end not in self.unread:
            piece = self._piece()
            assert piece, f"{until!r} does not come after {self.unread!r}"
            self.unread += piece
        text, _, self.unread = self.unread.partition(end)
        return text.decode().replace("\r\n", "\n")

    def rest(self) -> tuple[int, str]:
        """The exit status, and what the process writes until it ends."""
        while piece := self._piece():
            self.unread += piece
        return self.process.wait(PATIENCE), self.unread.decode().replace("\r\n", "\n")

    def _piece(self) -> bytes:
        assert select.select([self.descriptor], [], [], PATIENCE)[0], f"nothing comes after {self.unread!r}"
        try:
            return os.read(self.descriptor, 4096)
        except OSError:  # Linux's end of a pseudo-terminal
            return b""
