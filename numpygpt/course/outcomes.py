"""What a function makes of the inputs of an exercise."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from numpygpt.course.compare import difference, settled
from numpygpt.course.describe import parameters
from numpygpt.course.exercises import EXERCISES, Exercise
from numpygpt.course.inputs import PROBES, cases, probe
from numpygpt.course.inputs_learning import Case

MAY_OVERWRITE = {"backward.cross_entropy"}  # as its docstring says


@dataclass
class Outcome:
    """What a function made of one input: a value or an exception, and the argument that it changed, if any."""

    value: Any = None
    error: Exception | None = None
    changed: str = ""


def outcome(name: str, implementation: Any, one: Case) -> Outcome:
    """Call an implementation with a copy of an input."""
    args, kwargs = copy.deepcopy(one)
    try:
        with np.errstate(all="ignore"):
            value = copy.deepcopy(settled(probe(name, implementation, args, kwargs)))
    except Exception as error:
        return Outcome(error=error)
    return Outcome(value=value, changed="" if name in MAY_OVERWRITE else _changed(EXERCISES[name], one, (args, kwargs)))


def _changed(exercise: Exercise, before: Case, after: Case) -> str:
    """Name the first argument that is no longer what it was."""
    if _same(before, after):
        return ""
    names = [*parameters(exercise, PROBES.get(exercise.name))[: len(before[0])], *before[1]]
    pairs = zip([*before[0], *before[1].values()], [*after[0], *after[1].values()], strict=True)
    return next(name for name, (b, a) in zip(names, pairs, strict=False) if not _same(b, a))


def _same(before: Any, after: Any) -> bool:
    if isinstance(before, dict):
        return before.keys() == after.keys() and all(_same(before[key], after[key]) for key in before)
    if isinstance(before, (list, tuple)):
        return len(before) == len(after) and all(map(_same, before, after))
    if isinstance(before, np.ndarray):
        return bool(before.shape == after.shape and np.array_equal(before, after, equal_nan=before.dtype.kind == "f"))
    return bool(before is after or before == after or callable(before))


@cache
def outcomes_of(exercise: Exercise, implementation: Any) -> list[Outcome]:
    """Call the book's function, or a mistake, with every input; the learner's may not be the same twice."""
    return [outcome(exercise.name, implementation, one) for one in cases(exercise.name)]


def alike(a: Outcome, b: Outcome) -> bool:
    """Tell whether two outcomes are the same: an exception of one kind, or equal values, inputs changed or not."""
    if a.error is not None or b.error is not None:
        return type(a.error) is type(b.error)
    return bool(a.changed) == bool(b.changed) and difference(a.value, b.value) is None
