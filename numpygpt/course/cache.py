"""Attention that remembers the keys and values of earlier tokens: the cache of page 7, as a formula."""

from __future__ import annotations

import numpy as np

from numpygpt.arrays import Array, Tensors
from numpygpt.layers import MASKED, attention, linear, merge_heads, split_heads


def cached_attention(
    x: Array, c_attn: Tensors, c_proj: Tensors, n_head: int, past: tuple[Array, Array] | None = None
) -> tuple[Array, tuple[Array, Array]]:
    """Causal multi-head attention of new positions, which see the keys and values of those before them.

    x: [..., n_new, n_embd]; past: the keys and values [..., n_head, n_past, n_dim] of the tokens before, or None
    -> y [..., n_new, n_embd], and the keys and values of all tokens so far, [..., n_head, n_past + n_new, n_dim] each

    A new token at position n_past + i sees all that is past, and the new ones up to itself.

    >>> one = {"weight": np.eye(2), "bias": np.zeros(2)}
    >>> three = {"weight": np.tile(np.eye(2), 3), "bias": np.zeros(6)}
    >>> y, past = cached_attention(np.array([[1.0, 0.0]]), three, one, n_head=1)
    >>> y, (keys, values) = cached_attention(np.array([[0.0, 1.0]]), three, one, n_head=1, past=past)
    >>> y.round(2)
    array([[0.33, 0.67]])
    >>> keys.shape
    (1, 2, 2)
    """
    q, k, v = (split_heads(part, n_head) for part in np.split(linear(x, **c_attn), 3, axis=-1))
    if past is not None:
        k, v = np.concatenate([past[0], k], axis=-2), np.concatenate([past[1], v], axis=-2)
    n_new, n_all = q.shape[-2], k.shape[-2]
    mask = np.triu(np.full((n_new, n_all), MASKED, x.dtype), k=1 + n_all - n_new)
    return linear(merge_heads(attention(q, k, v, mask)), **c_proj), (k, v)
