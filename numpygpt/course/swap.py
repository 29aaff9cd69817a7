"""The book's functions, and another in the place of one of them, for as long as a check lasts.

A check runs in a process of its own, or puts everything back: nothing else ever sees the swap. The package itself
joins none of its parts like this; only the learner's process does, for the model to run what the learner wrote.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from numpygpt.arrays import Params, flatten
from numpygpt.course.exercises import Exercise


class DiffersError(Exception):
    """The real model, with a function swapped in, computes something else."""


def book(module: str) -> ModuleType:
    """Return a module of the book, even where the package has a function of its name."""
    return importlib.import_module(f"numpygpt.{module}")


def write_protect(params: Params) -> None:
    """Refuse changes of parameters that one check leaves to the next."""
    for tensor in flatten(params).values():
        tensor.flags.writeable = False


def watched(exercise: Exercise, implementation: Any) -> tuple[Any, list[str]]:
    """Return an implementation that does the same, and a list that grows by a name with each of its calls."""
    calls: list[str] = []

    def counting(function: Any) -> Any:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            calls.append(exercise.name)
            return function(*args, **kwargs)

        return call

    if not exercise.method:
        return counting(implementation), calls
    method: Any = inspect.getattr_static(implementation, exercise.method)
    if isinstance(method, property):
        own: Any = property(counting(method.fget))
    elif isinstance(method, (classmethod, staticmethod)):
        own = type(method)(counting(method.__func__))
    else:
        own = counting(method)
    return type(implementation.__name__, (implementation,), {exercise.method: own}), calls


@contextmanager
def swapped(exercise: Exercise, implementation: Any) -> Iterator[None]:
    """Put an implementation in the place of the book's, in every module of the package that uses it."""
    original = exercise.book()
    places: list[tuple[dict[str, Any], str, Any]] = []  # a module's names or a table of it, a key, and what was there
    for path, module in list(sys.modules.items()):
        if path.split(".")[0] != "numpygpt" or path.startswith("numpygpt.course"):
            continue
        for name, value in list(vars(module).items()):
            if value is original:
                places.append((vars(module), name, value))
            elif isinstance(value, dict) and not name.startswith("__"):
                places += [(value, key, row) for key, row in value.items() if _holds(row, original)]
    try:
        for table, name, was in places:
            table[name] = (
                implementation if was is original else was._replace(**_exchanged(was, original, implementation))
            )
        yield
    finally:
        for table, name, was in places:
            table[name] = was


def _holds(row: Any, original: Any) -> bool:
    """Tell whether a named tuple, such as an activation with its gradient, holds a function."""
    return isinstance(row, tuple) and hasattr(row, "_replace") and any(item is original for item in row)


def _exchanged(row: Any, original: Any, implementation: Any) -> dict[str, Any]:
    return {name: implementation for name, item in row._asdict().items() if item is original}
