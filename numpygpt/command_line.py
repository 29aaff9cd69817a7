"""What the package's commands share: a user's mistake is answered in one line, with exit status 2."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn, TextIO

FAILURE = 1  # the exit status where disk, network or memory will not do
MISTAKE = 2  # the exit status of a command that was asked for something it cannot do
MISTAKEN = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)  # a wrong path
INTERRUPTED = 130  # as shells report a program that Ctrl-C ended: 128 + SIGINT


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line, and whose help keeps the line breaks of its texts."""

    def __init__(self, prog: str, description: str, epilog: str | None = None) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=34, width=100),
            allow_abbrev=False,
        )

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        with friendly_exit(self.prog):
            print(end="", flush=True)  # what --help printed, whose reader may be gone
        super().exit(status, message)

    def error(self, message: str) -> NoReturn:
        self.exit(MISTAKE, f"{self.prog}: {' '.join(message.split())} (--help shows the options)\n")


def number(kind: type[int] | type[float], minimum: float, *, above: bool = False) -> Callable[[str], float]:
    """Return a reader of a number for argparse: at least `minimum`, or above it.

    >>> number(int, 1)("40")
    40
    >>> number(float, 0, above=True)("0")
    Traceback (most recent call last):
    argparse.ArgumentTypeError: '0' is not a number above 0
    """
    name = ("a whole number" if kind is int else "a number") + (" above " if above else " of at least ") + str(minimum)

    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = float("nan")
        if not (minimum < value if above else minimum <= value) or value == float("inf"):
            raise argparse.ArgumentTypeError(f"{text!r} is not {name}")
        return value

    return read


def shows_color(stream: TextIO) -> bool:
    """Tell whether to color what goes to a stream: a terminal, unless the user has set NO_COLOR (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


@contextmanager
def friendly_exit(prog: str) -> Iterator[None]:
    """End the program without a traceback where the cause is not in the program.

    A mistake in what was asked for (ValueError, or a path that is wrong) is one line on standard error and status 2; a
    disk or network that will not do (OSError) and too little memory are one line and status 1. Ctrl-C and a reader that
    closed the pipe end it quietly.
    """
    try:
        yield
        print(end="", flush=True)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        _drop_unwritable_output()
        sys.exit(0)
    except MemoryError as error:
        _say(prog, f"not enough memory: {error}".removesuffix(": "))
        sys.exit(FAILURE)
    except (ValueError, ImportError) as error:
        _say(prog, str(error))
        sys.exit(MISTAKE)
    except OSError as error:
        _drop_unwritable_output()
        _say(prog, f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error))
        sys.exit(MISTAKE if isinstance(error, MISTAKEN) else FAILURE)


def _drop_unwritable_output() -> None:
    """Forget output that a closed pipe or a full disk refused: Python would try again at its exit, and complain."""
    try:
        print(end="", flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(prog: str, message: str) -> None:
    print(f"{prog}: {' '.join(message.split())}", file=sys.stderr)
