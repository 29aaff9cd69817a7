"""The four stages of a check: form, the hand-sized example, random inputs against the book, and the real model."""

from __future__ import annotations

import inspect
import io
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from numpygpt.course import examples, real, result
from numpygpt.course.compare import difference, form_difference, widened
from numpygpt.course.describe import RESULTS, inputs
from numpygpt.course.exercises import Exercise
from numpygpt.course.inputs import PROBES, cases
from numpygpt.course.inputs_learning import Case
from numpygpt.course.learner import own_lines
from numpygpt.course.outcomes import Outcome, alike, outcome, outcomes_of
from numpygpt.course.properties import explain
from numpygpt.course.result import Result
from numpygpt.course.say import listed, say


class Wrong(Exception):  # noqa: N818 - a verdict, not an error
    """A stage that failed: its number, what to say, and the cause."""

    def __init__(self, stage: int, message: str, cause: str = result.NUMBERS) -> None:
        super().__init__(message)
        self.stage, self.message, self.cause = stage, message, cause


def check(exercise: Exercise, implementation: Any, folder: Path, own: Sequence[str] = ()) -> Result:
    """Check one implementation: the four stages, then, where one failed, the known mistakes.

    own: the names of the learner's other functions that it calls
    """
    start, checked = time.perf_counter(), Result(exercise.name)
    try:
        _stages(exercise, implementation, folder, checked)
        _show(exercise, implementation, folder, checked, own)
    except Wrong as wrong:
        checked.status, checked.stage, checked.message = result.FAILED, wrong.stage, wrong.message
        checked.cause, checked.remarks = wrong.cause, []
        if wrong.cause not in (result.RETURNS_NOTHING, result.UNFINISHED):
            recognize(exercise, implementation, checked)
    checked.seconds = round(time.perf_counter() - start, 3)
    return checked


@cache
def _example_of_the_book(exercise: Exercise) -> list[tuple[str, Any]]:
    return examples.outcomes(exercise, exercise.book())


def _stages(exercise: Exercise, implementation: Any, folder: Path, checked: Result) -> None:
    """Go through the first three stages."""
    name, tried, expected = exercise.name, cases(exercise.name), outcomes_of(exercise, exercise.book())
    got: list[Outcome] = []
    for i, (one, right) in enumerate(zip(tried, expected, strict=True)):
        got.append(outcome(name, implementation, one))
        if i < 2:
            _first_look(exercise, one, right, got[i], folder)
    _example(exercise, implementation, folder)
    for one, right, mine in zip(tried, expected, got, strict=True):
        _raise_error(exercise, mine.error, 3, one, folder)
        _raise_change(mine)
        if wrong := difference(right.value, mine.value, names=RESULTS.get(name, ())):
            why = explain(name, one, mine.value, implementation)
            raise Wrong(3, "\n".join([*why, wrong, _with(exercise, one)]))
    if any(widened(right.value, mine.value) for right, mine in zip(expected[:2], got[:2], strict=True)):
        text = "the result is wider than the input (float64 of float32): right, and slower in the model"
        checked.remarks.append(say(text))


def _first_look(exercise: Exercise, one: Case, right: Outcome, mine: Outcome, folder: Path) -> None:
    """Look at what comes back: anything at all, the right kinds and shapes, and the input as it was."""
    _raise_error(exercise, mine.error, 1, one, folder)
    if mine.value is None and right.value is not None:
        book = exercise.book()
        yields = inspect.isgeneratorfunction(vars(book)[exercise.method] if exercise.method else book)
        text = "it yields nothing: is a `yield` missing?" if yields else "it returns nothing: is a `return` missing?"
        raise Wrong(1, say(text), result.RETURNS_NOTHING)
    if wrong := form_difference(right.value, mine.value, RESULTS.get(exercise.name, ())):
        raise Wrong(1, f"{wrong}\n{_with(exercise, one)}", result.SHAPE)
    _raise_change(mine)


def _show(exercise: Exercise, implementation: Any, folder: Path, checked: Result, own: Sequence[str]) -> None:
    """Let the real model work with an implementation; what that prints, again and again, nobody wants to read."""
    try:
        with redirect_stdout(io.StringIO()):
            checked.shown = real.show(exercise, implementation, checked.remarks)
    except real.DiffersError as error:
        raise Wrong(4, str(error)) from None
    except Exception as error:
        raise Wrong(4, own_lines(error, folder), result.STOPS) from None
    if checked.shown:
        text = "with your {names} (the rest is the book's), {shown}"
        checked.message = say(text, names=listed([exercise.name, *own]), shown=checked.shown)
    else:
        text = "right; but the model that is shown here never calls {name}"
        checked.message = say(text, name=exercise.attribute)


def _example(exercise: Exercise, implementation: Any, folder: Path) -> None:
    with np.errstate(all="ignore"):
        expected = _example_of_the_book(exercise)
        try:
            got = examples.outcomes(exercise, implementation)
        except Exception as error:
            text = say("the docstring's example:") + "\n" + own_lines(error, folder)
            raise Wrong(2, text, result.STOPS) from None
    for (source, right), (_, mine) in zip(expected, got, strict=False):
        wrong = difference(right, mine, 2e-3, RESULTS.get(exercise.name, ()))
        if right is not None and wrong:  # what returns nothing may return something
            raise Wrong(2, f"{source}\n{wrong}")
    if len(expected) != len(got):
        text = "the docstring's example makes {expected} results, here {got}"
        raise Wrong(2, say(text, expected=len(expected), got=len(got)))


def _raise_error(exercise: Exercise, error: Exception | None, stage: int, one: Case, folder: Path) -> None:
    if isinstance(error, NotImplementedError):
        text = "it still raises NotImplementedError: write what is missing"
        raise Wrong(stage, f"{say(text)}\n{own_lines(error, folder)}", result.UNFINISHED)
    if error is not None:
        raise Wrong(stage, own_lines(error, folder) + f"\n{_with(exercise, one)}", result.STOPS)


def _raise_change(mine: Outcome) -> None:
    if mine.changed:
        text = "it changes its argument {name} in place: whoever called it loses what they had; make a new array"
        raise Wrong(1, say(text, name=mine.changed), result.IN_PLACE)


def _with(exercise: Exercise, one: Case) -> str:
    return say("with {inputs}", inputs=inputs(exercise, *one, PROBES.get(exercise.name)))


def recognize(exercise: Exercise, implementation: Any, checked: Result) -> None:
    """Find the known mistake that makes the same of every input, and take its hints."""
    from numpygpt.course.mistakes import mistakes_of

    with redirect_stdout(io.StringIO()):  # what it prints was printed
        mine = [outcome(exercise.name, implementation, one) for one in cases(exercise.name)]
    if all(own.error is not None for own in mine):
        return  # it says itself what is wrong
    for mistake in mistakes_of(exercise.name):
        theirs = (outcome(exercise.name, mistake.function, one) for one in cases(exercise.name))
        if all(map(alike, theirs, mine)):
            checked.mistake, checked.hints = mistake.name, [say(hint) for hint in mistake.hints]
            return
