"""Mistakes in `cache.py`."""

from __future__ import annotations

from typing import Any

import numpy as np

from numpygpt.course.mistakes.registry import mistake
from numpygpt.layers import MASKED, attention, linear, merge_heads, split_heads


def _cached(x: Any, c_attn: Any, c_proj: Any, n_head: int, past: Any, mask: Any, flipped: bool = False) -> Any:
    q, k, v = (split_heads(part, n_head) for part in np.split(linear(x, **c_attn), 3, axis=-1))
    if past is not None:
        keys, values = ([k, past[0]], [v, past[1]]) if flipped else ([past[0], k], [past[1], v])
        k, v = np.concatenate(keys, axis=-2), np.concatenate(values, axis=-2)
    return linear(merge_heads(attention(q, k, v, mask(q.shape[-2], k.shape[-2]))), **c_proj), (k, v)


def _hidden(n_new: int, n_all: int, k: int) -> Any:
    return np.triu(np.full((n_new, n_all), MASKED, np.float32), k=k)


@mistake(
    "cached_attention",
    "Which keys does the first new token see?",
    "All past ones: the diagonal lies n_past further right.",
)
def mask_not_shifted(x: Any, c_attn: Any, c_proj: Any, n_head: int, past: Any = None) -> Any:
    return _cached(x, c_attn, c_proj, n_head, past, lambda n_new, n_all: _hidden(n_new, n_all, 1))


@mistake("cached_attention", "May a new token see later ones?", "Several at once need a mask among themselves.")
def no_mask(x: Any, c_attn: Any, c_proj: Any, n_head: int, past: Any = None) -> Any:
    return _cached(x, c_attn, c_proj, n_head, past, lambda n_new, n_all: 0.0)


@mistake("cached_attention", "What comes first, past or new?", "The past: concatenate([past, new], axis=-2).")
def new_before_past(x: Any, c_attn: Any, c_proj: Any, n_head: int, past: Any = None) -> Any:
    mask = lambda n_new, n_all: _hidden(n_new, n_all, 1 + n_all - n_new)  # noqa: E731
    return _cached(x, c_attn, c_proj, n_head, past, mask, flipped=True)


@mistake("cached_attention", "Is the past used?", "Put its keys and values before the new ones.")
def past_forgotten(x: Any, c_attn: Any, c_proj: Any, n_head: int, past: Any = None) -> Any:
    return _cached(x, c_attn, c_proj, n_head, None, lambda n_new, n_all: _hidden(n_new, n_all, 1))


@mistake("cached_attention", "What is kept for the next call?", "All keys and values so far, not only the new ones.")
def only_new_kept(x: Any, c_attn: Any, c_proj: Any, n_head: int, past: Any = None) -> Any:
    mask = lambda n_new, n_all: _hidden(n_new, n_all, 1 + n_all - n_new)  # noqa: E731
    y, (k, v) = _cached(x, c_attn, c_proj, n_head, past, mask)
    n = x.shape[-2]
    return y, (k[..., -n:, :], v[..., -n:, :])


@mistake("cached_attention", "What is past[0]?", "The keys; past[1] are the values.")
def keys_and_values_swapped(x: Any, c_attn: Any, c_proj: Any, n_head: int, past: Any = None) -> Any:
    return _cached(x, c_attn, c_proj, n_head, past and past[::-1], lambda n, n_all: _hidden(n, n_all, 1 + n_all - n))


@mistake("cached_attention", "In which order are they returned?", "(keys, values), as they come in.")
def values_first(x: Any, c_attn: Any, c_proj: Any, n_head: int, past: Any = None) -> Any:
    y, (k, v) = _cached(x, c_attn, c_proj, n_head, past, lambda n, n_all: _hidden(n, n_all, 1 + n_all - n))
    return y, (v, k)


@mistake(
    "cached_attention", "May a new token see the one after it?", "No: the diagonal is n_past further right, not more."
)
def one_too_far(x: Any, c_attn: Any, c_proj: Any, n_head: int, past: Any = None) -> Any:
    return _cached(x, c_attn, c_proj, n_head, past, lambda n, n_all: _hidden(n, n_all, 2 + n_all - n))


@mistake(
    "cached_attention", "Is a mask needed after a past?", "For several new tokens it is: they come one after another."
)
def mask_without_past_alone(x: Any, c_attn: Any, c_proj: Any, n_head: int, past: Any = None) -> Any:
    shown = 0 if past is None else x.shape[-2]
    return _cached(x, c_attn, c_proj, n_head, past, lambda n, n_all: _hidden(n, n_all, 1 + n_all - n + shown))
