"""Whether two results are the same, judged by their arrays, and what to say where they are not."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from numpygpt.course.say import say

FAR_BELOW = -1e4  # scores from here down are all "hidden", whatever number hides them: exp of it is 0
LONGEST = 500  # items taken from a generator: more than any right one has, and an endless one stops here


def settled(value: Any) -> Any:
    """Return what a function returned, its generators run to their end."""
    if isinstance(value, Iterator):
        return list(islice(value, LONGEST))
    return value


def short(value: Any) -> str:
    """Print a result, cut to what a person can read."""
    if isinstance(value, np.ndarray):
        with np.printoptions(precision=4, suppress=True, threshold=24, edgeitems=3, linewidth=100):
            text = (
                f"{value}"
                if value.size <= 60
                else say("{start}... of shape {shape}", start=value.ravel()[:8], shape=value.shape)
            )
    else:
        with np.printoptions(precision=4, suppress=True, threshold=24, edgeitems=3):
            text = repr(value)
    return text if len(text) <= 400 else text[:400] + "..."


def form_difference(expected: Any, got: Any, where: str = "") -> str | None:
    """Say what is wrong with the form alone, kinds and shapes, or return None."""
    place = say(" ({where})", where=where) if where else ""
    if isinstance(expected, dict):
        if not isinstance(got, dict) or expected.keys() != got.keys():
            keys = list(got) if isinstance(got, dict) else type(got).__name__
            text = "expected a dict with the keys {keys}{place}, got {got}"
            return say(text, keys=list(expected), place=place, got=keys)
        return _first(form_difference(expected[key], got[key], f"{where}{_label(key)}") for key in expected)
    if isinstance(expected, (list, tuple)) and not _is_numbers(expected):
        is_row = (
            isinstance(got, np.ndarray) and got.ndim and (isinstance(expected, tuple) or not (expected or len(got)))
        )
        if not isinstance(got, (list, tuple)) and not is_row:  # an array of results unpacks as a tuple does
            kind = type(expected).__name__
            many = say("a {type} of {n} items", type=kind, n=len(expected))
            return _expected_kind(many, place, _kind(got))
        if isinstance(expected, tuple) and len(expected) != len(got):
            return _expected_kind(say("{n} results", n=len(expected)), place, len(got))
        pairs = zip(expected, got, strict=False)
        return _first(
            form_difference(e, g, where + say("result {number}", number=i + 1)) for i, (e, g) in enumerate(pairs)
        )
    if isinstance(expected, (str, bytes, type(None), bool)):
        return None if isinstance(got, type(expected)) else _expected_kind(_kind(expected), place, _kind(got))
    return _array_form(expected, got, place)


def _array_form(expected: Any, got: Any, place: str) -> str | None:
    is_array = isinstance(got, (np.ndarray, np.generic))
    if isinstance(expected, np.ndarray) and not is_array and (expected.ndim or not isinstance(got, (int, float))):
        advice = say(": np.array makes one of it") if isinstance(got, (list, tuple)) else ""
        return _expected_kind(_kind(expected), place, _kind(got)) + advice
    try:
        e, g = np.asarray(expected), np.asarray(got)
    except ValueError:
        return _expected_kind(_kind(expected), place, say("rows of different lengths"))
    if isinstance(expected, (list, tuple)):
        return (
            None
            if g.dtype.kind in "iuf" and g.ndim == 1
            else _expected_kind(say("a list of numbers"), place, _kind(got))
        )
    if g.dtype.kind not in "biufc":
        return _expected_kind(say("numbers"), place, _kind(got))
    if e.shape != g.shape:
        return say("expected the shape {expected}{place}, got {got}", expected=e.shape, place=place, got=g.shape)
    floats = _expected_kind(say("floats"), place, g.dtype)
    if e.dtype.kind == "f" and g.dtype.kind in "iu":  # whole numbers will do where the right ones are whole
        return None if close(e, g, 1e-4) else floats + say(": numbers are cut off")
    if e.dtype.kind == "f" and g.dtype.kind != "f":
        return floats
    if e.dtype.kind in "iu" and g.dtype.kind not in "iu":
        return _expected_kind(say("integers"), place, g.dtype)
    return None


def difference(expected: Any, got: Any, tolerance: float = 1e-4) -> str | None:
    """Say how two results differ, or return None where they are equal up to rounding."""
    if wrong := form_difference(expected, got):
        return wrong
    if isinstance(expected, dict):
        return _first(_named(key, difference(expected[key], got[key], tolerance)) for key in expected)
    if isinstance(expected, (list, tuple)) and not _is_numbers(expected):
        if len(expected) != len(got) or isinstance(expected[0] if expected else 0, (bytes, str)):
            same = len(expected) == len(got) and list(expected) == list(got)
            return None if same else _expected(expected, got)
        return _first(difference(e, g, tolerance) for e, g in zip(expected, got, strict=True))
    if isinstance(expected, (str, bytes, type(None), bool)):
        return None if expected == got else _expected(expected, got)
    if isinstance(expected, (list, tuple)):
        return None if list(expected) == list(got) else _expected(expected, got)
    e, g = np.asarray(expected), np.asarray(got)
    if close(e, g, tolerance):
        return None
    return _expected(e, g) + _where_differs(e, g, tolerance)


def close(expected: Any, got: Any, tolerance: float) -> bool:
    """Tell whether two arrays are equal up to rounding; far below zero, all numbers are alike."""
    if expected.dtype.kind not in "f":
        return bool(np.array_equal(expected, got))
    hidden = expected <= FAR_BELOW
    if not np.array_equal(hidden, got <= FAR_BELOW):
        return False
    e, g = np.where(hidden, 0, expected).astype(np.float64), np.where(hidden, 0, got).astype(np.float64)
    with np.errstate(invalid="ignore"):
        size = np.abs(e[np.isfinite(e)]).max(initial=0)
    return np.allclose(g, e, rtol=tolerance, atol=tolerance * min(max(size, 1e-6), 1), equal_nan=True)


def _where_differs(e: Any, g: Any, tolerance: float) -> str:
    if not e.ndim or np.isnan(g).any():
        return "\n" + say("there is NaN in it: a number divided by 0, or inf - inf") if np.isnan(g).any() else ""
    wrong = np.argwhere(~np.isclose(g, e, rtol=tolerance, atol=tolerance))
    if not len(wrong) or e.size <= 24:
        return ""
    at = tuple(int(i) for i in wrong[0])
    text = "first at {at}: expected {expected:.6g}, got {got:.6g}; {n} of {all} numbers differ"
    return "\n" + say(text, at=list(at), expected=e[at], got=g[at], n=len(wrong), all=e.size)


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
    return say("a {type}", type=type(value).__name__)


def _label(key: Any) -> str:
    return repr(say(key) if isinstance(key, str) else key)


def _expected_kind(kind: str, place: str, got: Any) -> str:
    return say("expected {kind}{place}, got {got}", kind=kind, place=place, got=got)


def _expected(expected: Any, got: Any) -> str:
    return say("expected {expected}\ngot      {got}", expected=short(expected), got=short(got))


def _named(key: Any, text: str | None) -> str | None:
    return text and f"{_label(key)}: {text}"


def _first(found: Iterator[str | None]) -> str | None:
    return next((text for text in found if text), None)
