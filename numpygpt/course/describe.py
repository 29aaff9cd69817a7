"""What a learner reads of values: inputs by their names, and two results one above the other, cut to what differs."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from numpygpt.course.exercises import Exercise
from numpygpt.course.say import say

RESULTS: dict[str, Any] = {  # by the exercise: what its several results are called, or those of a list
    "backward.layer_norm": ("dx", "gradients"),
    "backward.linear": ("dx", "gradients"),
    "backward.attention": ("dq", "dk", "dv"),
    "backward.cross_entropy": ("loss", "dlogits"),
    "update": "step {i}, tensors",
    "cached_attention": ("y", ("keys", "values")),
}
WHOLE = 36  # numbers that are shown as they are; of a larger array, one row
COLUMNS = 8  # numbers in a row
LONG = 90  # characters of a line
AROUND = 3  # items or numbers shown before the first that differs
HUGE = 1e6  # numbers from here on are written with an exponent
DIGITS = (4, 7, 9)  # as few as let the first different numbers look different


def beside(expected: Any, got: Any, wrong: Any = None) -> str:
    """Print two results below each other, and say where they begin to differ.

    wrong: for two arrays of a shape, where they differ, [the same shape] of bool
    """
    if isinstance(wrong, np.ndarray) and wrong.any():
        return _arrays(expected, got, wrong)
    if isinstance(expected, (list, tuple, str, bytes)) and isinstance(got, type(expected)):
        return _sequences(expected, got)
    return _pair("", short(expected), short(got))


def short(value: Any) -> str:
    """Print a value, cut to what a person can read."""
    if isinstance(value, np.ndarray) and value.size > WHOLE:
        return say("an array of shape {shape}", shape=value.shape)
    if isinstance(value, (np.ndarray, float, np.floating)):
        return _grid(*_cells(DIGITS[0], value))
    text = repr(value)
    return text if len(text) <= 4 * LONG else text[: 4 * LONG] + "..."


def _arrays(expected: Any, got: Any, wrong: Any) -> str:
    at = tuple(int(i) for i in np.argwhere(wrong)[0])
    shown, inside = tuple[Any, ...](), at  # what of the arrays, and where in that the difference is
    if at and (expected.size > WHOLE or expected.shape[-1] > COLUMNS):
        shown, inside = at[:-1], at[-1:]
        if expected.shape[-1] > COLUMNS:
            start = max(0, min(at[-1] - AROUND, expected.shape[-1] - COLUMNS))
            shown, inside = (*shown, slice(start, start + COLUMNS)), (at[-1] - start,)
    for digits in DIGITS:
        e, g = _cells(digits, expected[shown], got[shown])
        if e[inside] != g[inside]:
            break
    width = max(map(len, [*e.ravel(), *g.ravel()]))
    text = _pair(_index(shown), _grid(e, width), _grid(g, width))
    if wrong.size == 1:
        return text
    where = "the first difference is at {at}; {n} of {all} numbers differ"
    return text + "\n" + say(where, at=list(at), n=int(wrong.sum()), all=wrong.size)


def _cells(digits: int, *arrays: Any) -> list[Any]:
    """Write every number of some arrays as text, floats with the same decimals in all of them."""
    decimals = _decimals(digits, *arrays)
    made = []
    for array in map(np.asarray, arrays):
        made.append(np.empty(array.shape, object))
        for at in np.ndindex(array.shape):
            made[-1][at] = _number(array[at], digits, decimals)
    return made


def _decimals(digits: int, *arrays: Any) -> int | None:
    """Return how many decimals show so many digits of the largest number: no more than there are; None for 1e-05."""
    numbers = np.concatenate([np.ravel(array).astype(np.float64) for array in arrays])
    numbers = numbers[np.abs(numbers) < HUGE]
    size = float(np.abs(numbers).max(initial=0))
    if 0 < size < 1e-3:
        return None
    decimals = max(0, digits - len(str(int(size)).lstrip("0")))
    while decimals and np.array_equal(numbers.round(decimals - 1), numbers.round(decimals)):
        decimals -= 1
    return decimals


def _number(value: Any, digits: int, decimals: int | None) -> str:
    if value.dtype.kind not in "fc":
        return str(value)
    if decimals is None or not abs(value) < HUGE:
        return f"{value:.{digits}g}"
    text = f"{value:.{decimals}f}"
    return text if float(text) else text.lstrip("-")


def _grid(cells: Any, width: int = 0) -> str:
    if not cells.ndim:
        return str(cells[()])
    width = width or max(map(len, cells.ravel()), default=0)
    if cells.ndim == 1:
        return "[" + " ".join(cell.rjust(width) for cell in cells) + "]"
    return "[" + "\n ".join(_grid(row, width).replace("\n", "\n ") for row in cells) + "]"


def _index(shown: tuple[Any, ...]) -> str:
    parts = [f"{i.start}:{i.stop}" if isinstance(i, slice) else str(i) for i in shown]
    return f"[{', '.join(parts)}]" if parts else ""


def _sequences(expected: Any, got: Any) -> str:
    same = [a == b for a, b in zip(expected, got, strict=False)]
    at = same.index(False) if False in same else len(same)
    if max(len(repr(expected)), len(repr(got))) <= LONG:
        text = _pair("", repr(expected), repr(got))
    else:
        size = LONG // 2 if isinstance(expected, (str, bytes)) else COLUMNS
        shown = slice(max(0, at - AROUND), max(0, at - AROUND) + size)
        text = _pair(_index((shown,)), _cut(expected[shown]), _cut(got[shown]))
    if len(expected) <= 1 or isinstance(expected, (str, bytes)):
        return text
    if len(expected) == len(got):
        return text + "\n" + say("the first difference is at [{at}]", at=at)
    lengths = say("the first difference is at [{at}]; expected {n} items, got {m}", at=at, n=len(expected), m=len(got))
    return text + "\n" + lengths


def _cut(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 2 * LONG else text[: 2 * LONG] + "..."


def _pair(index: str, expected: str, got: str) -> str:
    """Put two texts under each other, their lines flush."""
    labels = [say("expected") + index, say("yours") + index]
    widest = max(map(_width, labels))
    texts = []
    for label, text in zip(labels, (expected, got), strict=True):
        first = label + " " * (widest - _width(label) + 1)
        texts.append(first + text.replace("\n", "\n" + " " * (widest + 1)))
    return "\n".join(texts)


def _width(text: str) -> int:
    return sum(2 if ord(letter) > 0x2E80 else 1 for letter in text)  # a Chinese character is two columns wide


def inputs(exercise: Exercise, args: Sequence[Any], kwargs: dict[str, Any], probe: Callable[..., Any] | None) -> str:
    """Say what an exercise was called with: every argument by its name, arrays by their shapes."""
    names = parameters(exercise, probe)
    named = dict(zip(names, args, strict=False)) | kwargs
    text = ", ".join(_argument(name, value) for name, value in named.items())
    return textwrap.shorten(text, 3 * LONG, placeholder=" ...") if len(text) > 3 * LONG else text


def parameters(exercise: Exercise, probe: Callable[..., Any] | None) -> list[str]:
    """Return the names of the arguments that an exercise is tried with: the probe's, or the function's own."""
    book: Any = exercise.book()
    if probe is not None:
        parameters = list(inspect.signature(probe).parameters.values())[1:]
        if all(p.kind is not p.VAR_POSITIONAL for p in parameters):
            return [p.name for p in parameters]
    if exercise.method:
        return list(inspect.signature(vars(book)[exercise.method]).parameters)[1:]
    return list(inspect.signature(book).parameters)


def _argument(name: str, value: Any) -> str:
    if isinstance(value, np.ndarray) and value.size > COLUMNS:
        return say("{name} of shape {shape}", name=name, shape=value.shape)
    if isinstance(value, np.ndarray):
        return f"{name}={short(value)}".replace("\n", "")
    if isinstance(value, dict):
        return f"{name}={{{', '.join(f'{key!r}: ...' for key in value)}}}"
    if hasattr(value, "_fields"):
        return f"{name}={type(value).__name__}({', '.join(f'{field}=...' for field in value._fields)})"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return f"{name}=[{', '.join(['{...}'] * len(value))}]"
    text = str(value.__name__).strip("_") if callable(value) else repr(value)
    return f"{name}=" + (text if len(text) < LONG else text[: LONG - 3] + "...")
