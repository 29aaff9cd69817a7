"""Folders of the course as a learner has them: with stubs, and with the book's code in the place of all stubs."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from numpygpt.course import commands
from numpygpt.course.exercises import SOURCES, find
from numpygpt.course.result import Result
from numpygpt.course.stubs import course_files
from numpygpt.course.worker import check_folder
from numpygpt.languages import spoken


@cache
def files_in(language: str) -> dict[str, str]:
    return course_files()


def write_stubs(folder: Path) -> Path:
    for name, text in files_in(spoken()).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def write_solutions(folder: Path) -> Path:
    """Write the book's own modules, which import one another from the folder."""
    write_stubs(folder)
    for module, source in SOURCES.items():
        text = inspect.getsource(importlib.import_module(source))
        for theirs, ours in SOURCES.items():
            text = text.replace(f"from {ours} import", f"from {theirs} import")
        text = re.sub(r"^from numpygpt import layers$", "import layers", text, flags=re.MULTILINE)
        (folder / f"{module.replace('.', '/')}.py").write_text(text, encoding="utf-8")
    return folder


def replace_stub(folder: Path, file: str, name: str, code: str) -> None:
    """Append a function to a file of the folder: a later definition counts."""
    path = folder / file
    path.write_text(path.read_text(encoding="utf-8") + "\n\n" + code + "\n", encoding="utf-8")


def check_here(folder: Path, name: str, limit: float = 0, *, quiet: bool = False) -> Result:
    """Check as `check_in_process` does, but in this process: no program to start, and no time limit."""
    return check_folder(folder, find(name))


def check_all_here(folder: Path, names: list[str], limit: float = 0, *, quiet: bool = False) -> Iterator[Result]:
    return (check_here(folder, name) for name in names)


def check_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands check in this process: starting one takes most of the time."""
    monkeypatch.setattr(commands, "check_in_process", check_here)
    monkeypatch.setattr(commands, "check_many", check_all_here)
