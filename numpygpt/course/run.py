"""Checking in a process of its own, with a time limit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from numpygpt.course.result import ENDLESS, FAILED, STOPS, Result
from numpygpt.course.say import say
from numpygpt.languages import spoken

TIME_LIMIT = 40.0  # seconds for one exercise: a right but slow loop is waited for, an endless one is stopped
PAUSE = 0.01  # seconds between two looks for a result


def check_in_process(folder: Path, name: str, limit: float = TIME_LIMIT, *, quiet: bool = False) -> Result:
    """Check one exercise of a folder in a process of its own; what it prints is passed on.

    With `quiet`, it goes to standard error: standard output is for what the caller prints.
    """
    [result] = check_many(folder, [name], limit, quiet=quiet)
    return result


def check_many(
    folder: Path, names: Sequence[str], limit: float = TIME_LIMIT, *, quiet: bool = False
) -> Iterator[Result]:
    """Check exercises one after the other as `check_in_process` does, in one process for as long as it lives."""
    left = list(names)
    while left:
        with tempfile.TemporaryDirectory() as temporary, _worker(folder, Path(temporary), quiet=quiet) as worker:
            while left and worker.poll() is None:
                name = left.pop(0)
                yield _result(worker, name, Path(temporary, f"{name}.json"), limit)


@contextmanager
def _worker(folder: Path, answers: Path, *, quiet: bool) -> Iterator[subprocess.Popen[str]]:
    """Start a process that checks the exercises whose names it is sent; it ends with the block."""
    paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.setdefault("OPENBLAS_NUM_THREADS", "1")
    command = [sys.executable, "-m", "numpygpt.course.worker", str(folder), str(answers), spoken()]
    stdout = sys.__stderr__ if quiet else None
    worker = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=stdout, text=True)
    try:
        yield worker
    finally:
        worker.kill()
        worker.communicate()


def _result(worker: subprocess.Popen[str], name: str, answer: Path, limit: float) -> Result:
    """Send a name, and wait for the answer, for the end of the process, or for the end of the time."""
    assert worker.stdin is not None
    with suppress(BrokenPipeError):  # it has just ended, as is said below
        worker.stdin.write(name + "\n")
        worker.stdin.flush()
    start = time.monotonic()
    while not answer.exists():
        if worker.poll() is not None and not answer.exists():
            message = "your code ended the program (exit status {status})"
            return Result(name, FAILED, 1, say(message, status=worker.returncode), cause=STOPS)
        if time.monotonic() - start > limit:
            worker.kill()
            worker.wait()
            message = "stopped after {limit:.0f} seconds: does a loop never end? (--time-limit waits longer)"
            return Result(name, FAILED, 1, say(message, limit=limit), seconds=limit, cause=ENDLESS)
        time.sleep(PAUSE)
    return Result(**json.loads(answer.read_text(encoding="utf-8")))
