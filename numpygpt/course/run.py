"""Checking in a process of its own, with a time limit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from numpygpt.course.result import ENDLESS, FAILED, STOPS, Result
from numpygpt.course.say import say
from numpygpt.languages import spoken

TIME_LIMIT = 40.0  # seconds for one exercise: a right but slow loop is waited for, an endless one is stopped


def check_in_process(folder: Path, name: str, limit: float = TIME_LIMIT, *, quiet: bool = False) -> Result:
    """Check one exercise of a folder in a process of its own; what it prints is passed on.

    With `quiet`, it goes to standard error: standard output is for what the caller prints.
    """
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary, "result.json")
        paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}
        environment.setdefault("OPENBLAS_NUM_THREADS", "1")
        command = [sys.executable, "-m", "numpygpt.course.worker", str(folder), name, str(file), spoken()]
        try:
            streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": sys.__stderr__ if quiet else None}
            ended = subprocess.run(command, env=environment, timeout=limit, check=False, **streams)
        except subprocess.TimeoutExpired:
            message = "stopped after {limit:.0f} seconds: does a loop never end? (--time-limit waits longer)"
            return Result(name, FAILED, 1, say(message, limit=limit), seconds=limit, cause=ENDLESS)
        if not file.exists():
            message = "your code ended the program (exit status {status})"
            return Result(name, FAILED, 1, say(message, status=ended.returncode), cause=STOPS)
        return Result(**json.loads(file.read_text(encoding="utf-8")))
