"""The book's functions, and another in the place of one of them, for as long as a check lasts.

A check runs in a process of its own, or puts everything back: nothing else ever sees the swap.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from numpygpt.course.exercises import Exercise


class DiffersError(Exception):
    """The real model, with a function swapped in, computes something else."""


def book(module: str) -> ModuleType:
    """Return a module of the book, even where the package has a function of its name."""
    return importlib.import_module(f"numpygpt.{module}")


@contextmanager
def swapped(exercise: Exercise, implementation: Any) -> Iterator[None]:
    """Put an implementation in the place of the book's, in every module of the package that uses it."""
    original = exercise.book()
    places = [
        (module, name)
        for path, module in list(sys.modules.items())
        if path.split(".")[0] == "numpygpt" and not path.startswith("numpygpt.course")
        for name, value in list(vars(module).items())
        if value is original
    ]
    try:
        for module, name in places:
            setattr(module, name, implementation)
        yield
    finally:
        for module, name in places:
            setattr(module, name, original)
