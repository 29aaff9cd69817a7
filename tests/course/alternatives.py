"""Right implementations that are not the book's, as other people write them: at least five of every exercise.

They stand in `alternatives_*.py`, by the book's modules. What an implementation calls is the book's.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple


class Other(NamedTuple):
    exercise: str
    function: Any
    slow: bool  # loops that take seconds in the real model


OTHERS: list[Other] = []


def other(exercise: str, *, slow: bool = False) -> Callable[[Any], Any]:
    """Write down the function below as a right implementation of an exercise."""

    def register(function: Any) -> Any:
        OTHERS.append(Other(exercise, function, slow))
        return function

    return register


def all_others() -> list[Other]:
    """Return those of all files."""
    for path in sorted(Path(__file__).parent.glob("alternatives_*.py")):
        importlib.import_module(path.stem)
    return OTHERS
