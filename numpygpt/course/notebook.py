"""`check(softmax)`, right after the cell that defines it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from numpygpt.course.exercises import EXERCISES, Exercise, find
from numpygpt.course.learner import class_with, with_book_methods
from numpygpt.course.stages import check as check_stages
from numpygpt.languages import speaking


def check(function: Callable[..., Any] | type, name: str | None = None, *, lang: str = "en") -> bool:
    """Check a function as an exercise, print what came of it, and return whether it passed.

    `name` is the exercise's where the function's own name is not: `check(softmax, "backward.softmax")`; `lang` is the
    language that it is said in: "zh" for Chinese.

    >>> from numpygpt import relu
    >>> check(relu)  # doctest: +ELLIPSIS
    relu: passed
        with your relu (the rest is the book's), ...
    True

    Raises ValueError for a name that is no exercise's, and for a language that there is not.
    """
    with speaking(lang):
        return _check(function, name)


def _check(function: Callable[..., Any] | type, name: str | None) -> bool:
    if isinstance(function, type) and name is None:
        methods = [
            e for e in EXERCISES.values() if e.method and e.owner == function.__name__ and e.method in vars(function)
        ]
        if not methods:
            find(function.__name__)
        results = [_one(exercise, with_book_methods(function, exercise)) for exercise in methods]
        return all(results)
    exercise = find(name or function.__name__)
    implementation: Any = function
    if exercise.method:
        own = vars(function)[exercise.method] if isinstance(function, type) else function
        implementation = class_with(exercise, own)
    return _one(exercise, implementation)


def _one(exercise: Exercise, implementation: Any) -> bool:
    result = check_stages(exercise, implementation, Path.cwd())
    print(result.text())
    return result.passed
