"""The four stages of a check: form, the hand-sized example, random inputs against the book, and the real model."""

from __future__ import annotations

import copy
import time
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from numpygpt.course import examples, real
from numpygpt.course.compare import difference, form_difference, settled, short, widened
from numpygpt.course.exercises import Exercise
from numpygpt.course.inputs import cases, probe
from numpygpt.course.inputs_learning import Case
from numpygpt.course.learner import own_lines
from numpygpt.course.properties import explain
from numpygpt.course.say import say

STAGES = ("not written", "shape", "example", "against the book", "in the real model")
MAY_OVERWRITE = {"backward.cross_entropy"}  # as its docstring says
NOT_WRITTEN, FAILED, PASSED = "not written", "failed", "passed"


@dataclass
class Result:
    """What came of checking one exercise."""

    name: str
    status: str = PASSED
    stage: int = 4  # the one that failed; 4 where all passed
    message: str = ""  # what was wrong, or what the model wrote
    hints: list[str] = field(default_factory=list)  # where the mistake is a known one: a question, then more
    mistake: str = ""  # the known mistake's name
    remarks: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether all four stages did."""
        return self.status == PASSED

    def text(self) -> str:
        """Return what the learner reads."""
        lines = [*self.message.splitlines(), *(say("remark: {text}", text=remark) for remark in self.remarks)]
        if self.hints:
            lines.append(say("hint: {text}", text=self.hints[0]))
        head = say("{name}: passed", name=self.name)
        if not self.passed:
            stage = say(STAGES[self.stage])
            head = say("{name}: stage {number}, {stage}", name=self.name, number=self.stage, stage=stage)
        return "\n".join([head, *(f"    {line}" for line in lines)])

    def as_dict(self) -> dict[str, Any]:
        """Return the result for JSON."""
        return asdict(self)


class Wrong(Exception):  # noqa: N818 - a verdict, not an error
    """A stage that failed: its number and what to say."""

    def __init__(self, stage: int, message: str) -> None:
        super().__init__(message)
        self.stage, self.message = stage, message


@dataclass
class Outcome:
    """What a function made of one input: a value or an exception, and whether it changed the input."""

    value: Any = None
    error: Exception | None = None
    changed: bool = False


def outcome(name: str, implementation: Any, one: Case) -> Outcome:
    """Call an implementation with a copy of an input."""
    args, kwargs = copy.deepcopy(one)
    try:
        with np.errstate(all="ignore"):
            value = copy.deepcopy(settled(probe(name, implementation, args, kwargs)))
    except Exception as error:
        return Outcome(error=error)
    changed = name not in MAY_OVERWRITE and not _same(one, (args, kwargs))
    return Outcome(value=value, changed=changed)


def _same(before: Any, after: Any) -> bool:
    if isinstance(before, dict):
        return before.keys() == after.keys() and all(_same(before[key], after[key]) for key in before)
    if isinstance(before, (list, tuple)):
        return len(before) == len(after) and all(map(_same, before, after))
    if isinstance(before, np.ndarray):
        return bool(before.shape == after.shape and np.array_equal(before, after, equal_nan=before.dtype.kind == "f"))
    return bool(before is after or before == after or callable(before))


def check(exercise: Exercise, implementation: Any, folder: Path) -> Result:
    """Check one implementation: the four stages, then, where one failed, the known mistakes."""
    start, result = time.perf_counter(), Result(exercise.name)
    try:
        result.message = _stages(exercise, implementation, folder, result)
    except Wrong as wrong:
        result.status, result.stage, result.message, result.remarks = FAILED, wrong.stage, wrong.message, []
        recognize(exercise, implementation, result)
    result.seconds = round(time.perf_counter() - start, 3)
    return result


@cache
def _outcomes(exercise: Exercise, implementation: Any) -> list[Outcome]:
    """Call the book's function, or a mistake, with every input; the learner's may not be the same twice."""
    return [outcome(exercise.name, implementation, one) for one in cases(exercise.name)]


@cache
def _example_of_the_book(exercise: Exercise) -> list[tuple[str, Any]]:
    return examples.outcomes(exercise, exercise.book())


def _stages(exercise: Exercise, implementation: Any, folder: Path, result: Result) -> str:
    name, inputs, expected = exercise.name, cases(exercise.name), _outcomes(exercise, exercise.book())
    got: list[Outcome] = []
    for i, (one, right) in enumerate(zip(inputs, expected, strict=True)):
        got.append(outcome(name, implementation, one))
        if i < 2:
            _raise_error(got[i].error, 1, one, folder)
            if wrong := form_difference(right.value, got[i].value):
                raise Wrong(1, f"{wrong}\n{_with(one)}")
            if got[i].changed:
                text = "it changes its input in place: whoever called it loses what they had; make a new array"
                raise Wrong(1, say(text))
    _example(exercise, implementation, folder)
    for one, right, mine in zip(inputs, expected, got, strict=True):
        _raise_error(mine.error, 3, one, folder)
        if mine.changed:
            raise Wrong(1, say("it changes its input in place; make a new array") + f"\n{_with(one)}")
        if wrong := difference(right.value, mine.value):
            why = explain(name, one, mine.value, implementation)
            raise Wrong(3, "\n".join([*why, wrong, _with(one)]))
    if any(widened(right.value, mine.value) for right, mine in zip(expected[:2], got[:2], strict=True)):
        text = "the result is wider than the input (float64 of float32): right, and slower in the model"
        result.remarks.append(say(text))
    try:
        return real.show(exercise, implementation, result.remarks)
    except real.DiffersError as error:
        raise Wrong(4, str(error)) from None
    except Exception as error:
        raise Wrong(4, own_lines(error, folder)) from None


def _example(exercise: Exercise, implementation: Any, folder: Path) -> None:
    with np.errstate(all="ignore"):
        expected = _example_of_the_book(exercise)
        try:
            got = examples.outcomes(exercise, implementation)
        except Exception as error:
            raise Wrong(2, say("the docstring's example:") + "\n" + own_lines(error, folder)) from None
    for (source, right), (_, mine) in zip(expected, got, strict=False):
        if right is not None and (wrong := difference(right, mine, 2e-3)):  # what returns nothing may return something
            raise Wrong(2, f"{source}\n{wrong}")
    if len(expected) != len(got):
        text = "the docstring's example makes {expected} results, here {got}"
        raise Wrong(2, say(text, expected=len(expected), got=len(got)))


def _raise_error(error: Exception | None, stage: int, one: Case, folder: Path) -> None:
    if isinstance(error, NotImplementedError):
        text = "it still raises NotImplementedError: write what is missing"
        raise Wrong(stage, f"{say(text)}\n{own_lines(error, folder)}")
    if error is not None:
        raise Wrong(stage, own_lines(error, folder) + f"\n{_with(one)}")


def _with(one: Case) -> str:
    return say("with {inputs}", inputs=describe(one))


def describe(one: Case) -> str:
    """Say what an input was, shortly."""
    args, kwargs = one
    parts = [_part(arg) for arg in args] + [f"{name}={_part(value)}" for name, value in kwargs.items()]
    return ", ".join(parts)


def _part(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return (
            short(value).replace("\n", " ") if value.size <= 6 else say("an array of shape {shape}", shape=value.shape)
        )
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: ..." for key in value) + "}"
    if callable(value):
        return str(value.__name__).strip("_")
    text = repr(value)
    return text if len(text) < 80 else text[:77] + "..."


def recognize(exercise: Exercise, implementation: Any, result: Result) -> None:
    """Find the known mistake that makes the same of every input, and take its hints."""
    from numpygpt.course.mistakes import mistakes_of

    mine = [outcome(exercise.name, implementation, one) for one in cases(exercise.name)]
    if all(own.error is not None for own in mine):
        return  # it says itself what is wrong
    for mistake in mistakes_of(exercise.name):
        if all(map(alike, _outcomes(exercise, mistake.function), mine)):
            result.mistake, result.hints = mistake.name, [say(hint) for hint in mistake.hints]
            return


def alike(a: Outcome, b: Outcome) -> bool:
    """Tell whether two outcomes are the same: an exception of one kind, or equal values, inputs changed or not."""
    if a.error is not None or b.error is not None:
        return type(a.error) is type(b.error)
    return a.changed == b.changed and difference(a.value, b.value) is None
