"""Whether two results are the same, judged by their arrays, and what to say where they are not."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from numpygpt.course.describe import beside
from numpygpt.course.say import say

FAR_BELOW = -1e4  # scores from here down are all "hidden", whatever number hides them: exp of it is 0
LONGEST = 500  # items taken from a generator: more than any right one has, and an endless one stops here


def settled(value: Any) -> Any:
    """Return what a function returned, its generators run to their end."""
    if isinstance(value, Iterator):
        return list(islice(value, LONGEST))
    return value


def form_difference(expected: Any, got: Any, names: Any = (), where: str = "") -> str | None:
    """Say what is wrong with the form alone, kinds and shapes, or return None.

    names: what the results are called, as in describe.RESULTS; where: which of them these are
    """
    if isinstance(expected, dict):
        if not isinstance(got, dict) or expected.keys() != got.keys():
            keys = list(got) if isinstance(got, dict) else _kind(got)
            return _at(where, say("expected a dict with the keys {keys}, got {got}", keys=list(expected), got=keys))
        return _first(form_difference(expected[key], got[key], (), _item(where, key)) for key in expected)
    if isinstance(expected, (list, tuple)) and not _is_numbers(expected):
        is_row = (
            isinstance(got, np.ndarray) and got.ndim and (isinstance(expected, tuple) or not (expected or len(got)))
        )
        several = say("{n} results", n=len(expected))
        if names:
            several = say("{n} results ({names})", n=len(expected), names=", ".join(map(_title, names)))
        if not isinstance(got, (list, tuple)) and not is_row:  # an array of results unpacks as a tuple does
            many = say("a {type} of {n} items", type=type(expected).__name__, n=len(expected))
            return _expected_kind(several if isinstance(expected, tuple) and names else many, where, _kind(got))
        if isinstance(expected, tuple) and len(expected) != len(got):
            return _expected_kind(several, where, _kind(got) if is_row else len(got))
        parts = enumerate(zip(expected, got, strict=False))
        return _first(form_difference(e, g, *_part(names, where, expected, i)) for i, (e, g) in parts)
    if isinstance(expected, (str, bytes, type(None), bool)):
        return None if isinstance(got, type(expected)) else _expected_kind(_kind(expected), where, _kind(got))
    return _array_form(expected, got, where)


def _array_form(expected: Any, got: Any, where: str) -> str | None:
    is_array = isinstance(got, (np.ndarray, np.generic))
    if isinstance(expected, np.ndarray) and not is_array and (expected.ndim or not isinstance(got, (int, float))):
        advice = say(": np.array makes one of it") if isinstance(got, (list, tuple)) else ""
        return _expected_kind(_kind(expected), where, _kind(got)) + advice
    try:
        e, g = np.asarray(expected), np.asarray(got)
    except ValueError:
        return _expected_kind(_kind(expected), where, say("rows of different lengths"))
    if isinstance(expected, (list, tuple)):
        return (
            None
            if g.dtype.kind in "iuf" and g.ndim == 1
            else _expected_kind(say("a list of numbers"), where, _kind(got))
        )
    if g.dtype.kind not in "biufc":
        return _expected_kind(say("numbers"), where, _kind(got))
    if e.shape != g.shape:
        return _at(where, say("expected the shape {expected}, got {got}", expected=e.shape, got=g.shape))
    floats = _expected_kind(say("floats"), where, g.dtype)
    if e.dtype.kind == "f" and g.dtype.kind in "iu":  # whole numbers will do where the right ones are whole
        return None if close(e, g, 1e-4) else floats + say(": numbers are cut off")
    if e.dtype.kind == "f" and g.dtype.kind != "f":
        return floats
    if e.dtype.kind in "iu" and g.dtype.kind not in "iu":
        return _expected_kind(say("integers"), where, g.dtype)
    return None


def difference(expected: Any, got: Any, tolerance: float = 1e-4, names: Any = (), where: str = "") -> str | None:
    """Say how two results differ, or return None where they are equal up to rounding."""
    if wrong := form_difference(expected, got, names, where):
        return wrong
    if isinstance(expected, dict):
        return _first(difference(expected[key], got[key], tolerance, (), _item(where, key)) for key in expected)
    if isinstance(expected, (list, tuple)) and not _is_numbers(expected):
        if len(expected) != len(got) or isinstance(expected[0] if expected else 0, (bytes, str)):
            same = len(expected) == len(got) and list(expected) == list(got)
            return None if same else _heading(where) + beside(expected, got)
        parts = enumerate(zip(expected, got, strict=True))
        return _first(difference(e, g, tolerance, *_part(names, where, expected, i)) for i, (e, g) in parts)
    if isinstance(expected, (str, bytes, type(None), bool)):
        return None if expected == got else _heading(where) + beside(expected, got)
    if isinstance(expected, (list, tuple)):
        same = list(expected) == list(got)
        return None if same else _heading(where) + beside(list(expected), np.asarray(got).tolist())
    e, g = np.asarray(expected), np.asarray(got)
    if close(e, g, tolerance):
        return None
    with np.errstate(invalid="ignore"):
        nan = say("there is NaN in it: a number divided by 0, or inf - inf") + "\n" if np.isnan(g).any() else ""
    return _heading(where) + nan + beside(e, g, differing(e, g, tolerance))


def close(expected: Any, got: Any, tolerance: float) -> bool:
    """Tell whether two arrays are equal up to rounding; far below zero, all numbers are alike."""
    return not differing(expected, got, tolerance).any()


def differing(expected: Any, got: Any, tolerance: float) -> Any:
    """Tell for each number of two arrays of a shape whether it differs by more than rounding."""
    if expected.dtype.kind not in "f":
        return np.not_equal(expected, got)
    hidden, also = expected <= FAR_BELOW, got <= FAR_BELOW
    e, g = np.where(hidden, 0, expected).astype(np.float64), np.where(also, 0, got).astype(np.float64)
    with np.errstate(invalid="ignore"):
        size = np.abs(e[np.isfinite(e)]).max(initial=0)
        equal = np.isclose(g, e, rtol=tolerance, atol=tolerance * min(max(size, 1e-6), 1), equal_nan=True)
    return np.asarray((hidden != also) | ~equal)


def widened(expected: Any, got: Any) -> bool:
    """Tell whether an array came back wider than the book's."""
    if isinstance(expected, dict) and isinstance(got, dict):
        return any(widened(expected[key], got[key]) for key in expected)
    if isinstance(expected, (list, tuple)) and isinstance(got, (list, tuple)):
        return any(widened(e, g) for e, g in zip(expected, got, strict=False))
    return isinstance(expected, np.ndarray) and hasattr(got, "dtype") and got.dtype.itemsize > expected.dtype.itemsize


def _is_numbers(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, (int, float)) for item in value)


def _kind(value: Any) -> str:
    if value is None:
        return say("None (is a return missing?)")
    if isinstance(value, np.ndarray):
        return say("an array of shape {shape}", shape=value.shape)
    return type(value).__name__


def _item(where: str, key: Any) -> str:
    """Name what stands under a key of a dict."""
    if isinstance(key, str) and (translated := say(key)) and " " in key:  # a key that is a sentence
        return translated
    return f"{where}[{key!r}]"


def _part(names: Any, where: str, whole: Any, i: int) -> tuple[Any, str]:
    """Return what the parts of a result are called, and what the result itself is: of a list, item i; of a tuple, i."""
    if isinstance(names, str):
        return (), say(names, i=i)
    if i < len(names):
        name = names[i]
        return ((), name) if isinstance(name, str) else (name, where)
    return (), f"{where}[{i}]" if where or isinstance(whole, list) else say("result {number}", number=i + 1)


def _title(name: Any) -> str:
    return name if isinstance(name, str) else f"({', '.join(name)})"


def _at(where: str, text: str) -> str:
    return say("{where}: {text}", where=where, text=text) if where else text


def _heading(where: str) -> str:
    return say("{where}:", where=where) + "\n" if where else ""


def _expected_kind(kind: str, where: str, got: Any) -> str:
    return _at(where, say("expected {kind}, got {got}", kind=kind, got=got))


def _first(found: Iterator[str | None]) -> str | None:
    return next((text for text in found if text), None)
