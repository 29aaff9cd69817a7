"""Runs of the command in processes of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable

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
STATISTICS = re.compile(r"\[\d+ tokens? in [\d.]+ s, [\d.]+ tokens/s; ended by: [a-z_, ]+\]")
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals, pipes and terminals")


def run(*arguments: str | bytes, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*COMMAND, *arguments], input=stdin, capture_output=True, timeout=60, env=ENVIRONMENT | environment, check=False
    )


def said(*arguments: str | bytes, stdin: bytes = b"", **environment: str) -> str:
    """What a run that goes well prints on standard output, and nothing on standard error."""
    result = run(*arguments, stdin=stdin, **environment)
    assert (result.returncode, result.stderr) == (0, b"")
    return result.stdout.decode()


def one_line(status: int, out: str, err: str) -> str:
    """The line that a mistake is answered with."""
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert re.fullmatch("python -m numpygpt: .+\n", err)
    return err
