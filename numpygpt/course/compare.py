"""Whether two results are the same, judged by their arrays, and what to say where they are not."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

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
            text = f"{value}" if value.size <= 60 else f"{value.ravel()[:8]}... of shape {value.shape}"
    else:
        with np.printoptions(precision=4, suppress=True, threshold=24, edgeitems=3):
            text = repr(value)
    return text if len(text) <= 400 else text[:400] + "..."


def form_difference(expected: Any, got: Any, where: str = "") -> str | None:
    """Say what is wrong with the form alone, kinds and shapes, or return None."""
    place = f" ({where})" if where else ""
    if isinstance(expected, dict):
        if not isinstance(got, dict) or expected.keys() != got.keys():
            keys = list(got) if isinstance(got, dict) else type(got).__name__
            return f"expected a dict with the keys {list(expected)}{place}, got {keys}"
        return _first(form_difference(expected[key], got[key], f"{where}{key!r}") for key in expected)
    if isinstance(expected, (list, tuple)) and not _is_numbers(expected):
        is_row = (
            isinstance(got, np.ndarray) and got.ndim and (isinstance(expected, tuple) or not (expected or len(got)))
        )
        if not isinstance(got, (list, tuple)) and not is_row:  # an array of results unpacks as a tuple does
            kind = type(expected).__name__
            return f"expected a {kind} of {len(expected)} items{place}, got {_kind(got)}"
        if isinstance(expected, tuple) and len(expected) != len(got):
            return f"expected {len(expected)} results{place}, got {len(got)}"
        pairs = zip(expected, got, strict=False)
        return _first(form_difference(e, g, f"{where}result {i + 1}") for i, (e, g) in enumerate(pairs))
    if isinstance(expected, (str, bytes, type(None), bool)):
        return None if isinstance(got, type(expected)) else f"expected {_kind(expected)}{place}, got {_kind(got)}"
    return _array_form(expected, got, place)


def _array_form(expected: Any, got: Any, place: str) -> str | None:
    is_array = isinstance(got, (np.ndarray, np.generic))
    if isinstance(expected, np.ndarray) and not is_array and (expected.ndim or not isinstance(got, (int, float))):
        advice = ": np.array makes one of it" if isinstance(got, (list, tuple)) else ""
        return f"expected an array of shape {expected.shape}{place}, got {_kind(got)}{advice}"
    try:
        e, g = np.asarray(expected), np.asarray(got)
    except ValueError:
        return f"expected {_kind(expected)}{place}, got rows of different lengths"
    if isinstance(expected, (list, tuple)):
        return None if g.dtype.kind in "iuf" and g.ndim == 1 else f"expected a list of numbers{place}, got {_kind(got)}"
    if g.dtype.kind not in "biufc":
        return f"expected numbers{place}, got {_kind(got)}"
    if e.shape != g.shape:
        return f"expected the shape {e.shape}{place}, got {g.shape}"
    if e.dtype.kind == "f" and g.dtype.kind in "iu":  # whole numbers will do where the right ones are whole
        return None if close(e, g, 1e-4) else f"expected floats{place}, got {g.dtype}: numbers are cut off"
    if e.dtype.kind == "f" and g.dtype.kind != "f":
        return f"expected floats{place}, got {g.dtype}"
    if e.dtype.kind in "iu" and g.dtype.kind not in "iu":
        return f"expected integers{place}, got {g.dtype}"
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
            return None if same else f"expected {short(expected)}\ngot      {short(got)}"
        return _first(difference(e, g, tolerance) for e, g in zip(expected, got, strict=True))
    if isinstance(expected, (str, bytes, type(None), bool)):
        return None if expected == got else f"expected {short(expected)}\ngot      {short(got)}"
    if isinstance(expected, (list, tuple)):
        return None if list(expected) == list(got) else f"expected {short(expected)}\ngot      {short(got)}"
    e, g = np.asarray(expected), np.asarray(got)
    if close(e, g, tolerance):
        return None
    return f"expected {short(e)}\ngot      {short(g)}{_where_differs(e, g, tolerance)}"


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
        return "\nthere is NaN in it: a number divided by 0, or inf - inf" if np.isnan(g).any() else ""
    wrong = np.argwhere(~np.isclose(g, e, rtol=tolerance, atol=tolerance))
    if not len(wrong) or e.size <= 24:
        return ""
    at = tuple(int(i) for i in wrong[0])
    return f"\nfirst at {list(at)}: expected {e[at]:.6g}, got {g[at]:.6g}; {len(wrong)} of {e.size} numbers differ"


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
        return "None (is a return missing?)"
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    return f"a {type(value).__name__}"


def _named(key: Any, text: str | None) -> str | None:
    return text and f"{key!r}: {text}"


def _first(found: Iterator[str | None]) -> str | None:
    return next((text for text in found if text), None)
