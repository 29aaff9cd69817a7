"""The known mistakes as mutants: each in the place of the book's function, against the tests of its module alone.

`python tests/course/mutants.py MODULE` prints, as JSON, the test that found each mistake, or null where none did. One
process imports the package once and forks for every mutant: the mistake is swapped in before the tests are imported.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import Phase, settings

from numpygpt.course.exercises import EXERCISES, SOURCES, Exercise
from numpygpt.course.mistakes import mistakes_of

TESTS = Path(__file__).parents[1]
FILES = {  # the tests of each module of the book
    **{name: f"test_{name}.py" for name in SOURCES},
    "backward.layers": "backward/test_backward_layers.py",
    "backward.loss": "backward/test_backward_loss.py",
    "cache": "course/test_course_cache.py",
    "main": "course/test_course_main.py",
}
WITHOUT = ("torch", "transformers", "tiktoken", "tokenizers")
MISTAKES = "numpygpt.course.mistakes"


class FirstFailure:
    """Remembers which test failed."""

    name: str | None = None

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and self.name is None:
            self.name = report.nodeid.split("::", 1)[-1]

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed and self.name is None:
            self.name = f"while {report.nodeid} is imported"


def run_tests(module: str) -> str | None:
    """Return the first test of a module's file that fails, or None."""
    plugin = FirstFailure()
    options = ["-x", "-q", "--tb=no", "--no-header", "-p", "no:cacheprovider", "-o", "addopts="]
    pytest.main([*options, "-m", "not slow", str(TESTS / FILES[module])], plugins=[plugin])
    return plugin.name


def keep_the_mistakes_whole() -> None:
    """Let the mistakes go on calling the book by its modules, which the swap is about to change."""
    for path, module in list(sys.modules.items()):
        if path.startswith(MISTAKES):
            for name, value in list(vars(module).items()):
                if type(value) is type(sys) and value.__name__.split(".")[0] == "numpygpt":
                    setattr(module, name, SimpleNamespace(**vars(value)))


def swap(exercise: Exercise, mutant: Any) -> None:
    original = exercise.book()
    for path, module in list(sys.modules.items()):
        if path.split(".")[0] == "numpygpt" and not path.startswith(MISTAKES):
            for name, value in list(vars(module).items()):
                if value is original:
                    setattr(module, name, mutant)


def in_a_fork(module: str, exercise: Exercise | None = None, mutant: Any = None) -> str | None:
    """Run the tests of a module with a mutant, or as they are, in a process of their own."""
    readable, writable = os.pipe()
    if child := os.fork():
        os.close(writable)
        with os.fdopen(readable, encoding="utf-8") as answer:
            found = answer.read()
        os.waitpid(child, 0)
        return None if found == "\n" else found.strip() or "the process ended"
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    if exercise is not None:
        swap(exercise, mutant)
    os.write(writable, f"{run_tests(module) or ''}\n".encode())
    os._exit(0)


def results(module: str) -> dict[str, str | None]:
    """Return what found each mistake of a module, under "exercise: mistake"; under "book", what fails without any."""
    for name in WITHOUT:
        sys.modules[name] = None  # type: ignore[assignment]
    sys.path[:0] = [str(TESTS), str((TESTS / FILES[module]).parent)]
    settings.register_profile("mutants", phases=[Phase.explicit, Phase.generate], database=None, derandomize=True)
    settings.load_profile("mutants")
    importlib.import_module("conftest")
    exercises = [exercise for exercise in EXERCISES.values() if exercise.module == module]
    known = [(exercise, mistake) for exercise in exercises for mistake in mistakes_of(exercise.name)]
    keep_the_mistakes_whole()
    found = {"book": in_a_fork(module)}
    for exercise, mistake in known:
        found[f"{exercise.name}: {mistake.name}"] = in_a_fork(module, exercise, mistake.function)
    return found


if __name__ == "__main__":
    print(json.dumps(results(sys.argv[1]), indent=1))
