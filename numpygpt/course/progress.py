"""What a folder remembers: which exercises are done, when they were begun, and which hints were asked for."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from numpygpt.course.exercises import EXERCISES
from numpygpt.course.learner import is_written
from numpygpt.course.result import Result
from numpygpt.files import atomic_write
from numpygpt.languages import LANGUAGES

FILE = ".course.json"


class Progress:
    """The record of a folder, in a file of its own beside the learner's."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        try:
            self.content: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # none yet, or a damaged one: it holds nothing that cannot be made again
            self.content = {}

    @property
    def lang(self) -> str | None:
        """The language that the learner chose, if any."""
        return lang if (lang := self.content.get("lang")) in LANGUAGES else None

    def of(self, name: str) -> dict[str, Any]:
        """Return what is known of one exercise, to be changed."""
        found: dict[str, Any] = self.content.setdefault(name, {})
        return found

    def note(self, result: Result) -> None:
        """Remember the result of a check: the time since the first one is how long the exercise took."""
        entry, now = self.of(result.name), time.time()
        if result.status != "not written":
            entry.setdefault("begun", now)
            entry["tries"] = entry.get("tries", 0) + 1
        if result.passed:
            entry.setdefault("done", now)
        if result.mistake != entry.get("mistake", ""):
            entry["mistake"], entry["hints"] = result.mistake, 0
        entry["passed"], entry["stage"] = result.passed, result.stage

    def save(self) -> None:
        """Write the record."""
        with atomic_write(self.path) as file:
            file.write(json.dumps(self.content, indent=1).encode())


def table(folder: Path) -> list[dict[str, Any]]:
    """Return a row for every exercise: is it done, begun, or not, and how long it took."""
    progress, rows = Progress(folder), []
    for name, exercise in EXERCISES.items():
        entry = progress.of(name)
        written = is_written(folder, exercise)
        status = "done" if written and entry.get("passed") else "begun" if written else "open"
        took = None
        if status == "done":
            took = round((entry["done"] - entry["begun"]) / 60, 1)
        row = {
            "name": name,
            "page": exercise.page,
            "file": exercise.file,
            "status": status,
            "tries": entry.get("tries", 0),
        }
        rows.append(row | {"minutes": took, "minutes_planned": exercise.minutes})
    return rows
