"""Every known mistake, in the place of the book's function, is found by the tests of its own module, without torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from numpygpt.course.exercises import EXERCISES, SOURCES
from numpygpt.course.mistakes import mistakes_of

HERE = Path(__file__).parent
EQUIVALENT: dict[str, str] = {}  # "exercise: mistake", and why no promise of the module is broken; none is left


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process for each mutant is a fork")
@pytest.mark.parametrize("module", SOURCES)
def test_every_mistake_is_found_by_the_tests_of_its_module(module: str) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (HERE.parents[1], HERE.parent, HERE)))}
    command = [sys.executable, str(HERE / "mutants.py"), module]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found = json.loads(ended.stdout)
    assert found.pop("book") is None, "the book itself fails"
    known = {f"{e.name}: {m.name}" for e in EXERCISES.values() if e.module == module for m in mistakes_of(e.name)}
    assert found.keys() == known
    assert {mistake for mistake, test in found.items() if test is None} == known & EQUIVALENT.keys()
