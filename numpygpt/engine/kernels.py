"""The layers of the book, fast: the same names and formulas, fewer passes over memory, more keywords."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from numpygpt import activations
from numpygpt.activations import ERF
from numpygpt.arrays import Array, Tensors
from numpygpt.engine.cache import LayerCache
from numpygpt.engine.threads import WORTHWHILE
from numpygpt.layers import causal_mask, merge_heads, split_heads

FEW_ROWS = 3  # are multiplied one by one
SEVERAL_ROWS = 32  # are multiplied by some columns of a large matrix at a time:
COLUMNS = 768
ROWS = 8  # of a product, which OpenBLAS computes at once
QUERY_BLOCK = 128  # queries attended at once; bounds the scores to [n_head, QUERY_BLOCK, n_key]


def layer_norm(x: Array, weight: Array, bias: Array, eps: float = 1e-5) -> Array:
    """Give every vector mean 0 and variance 1, then a learned scale and shift: x [..., n_embd] -> [..., n_embd]."""
    n_embd = x.shape[-1]
    y: Array = x - x.sum(axis=-1, keepdims=True) / n_embd
    variance = np.square(y).sum(axis=-1, keepdims=True) / n_embd
    y /= np.sqrt(variance + eps)
    y *= weight
    y += bias
    return y


def gelu(x: Array) -> Array:
    """Gaussian error linear unit in the tanh form, in place: with new arrays each step would wait for memory.

    x: [...] -> [...]
    """
    y = x * (math.sqrt(2 / math.pi) * 0.044715)
    y *= x
    y += math.sqrt(2 / math.pi)
    y *= x  # sqrt(2 / π) · (x + 0.044715 · x³)
    np.tanh(y, out=y)
    y += 1
    y *= x
    y *= 0.5
    return y


def gelu_exact(x: Array) -> Array:
    """Gaussian error linear unit as it is defined, in place as well: x [...] -> [...]."""
    if x.dtype != np.float32:
        return activations.gelu_exact(x)
    distance = np.abs(x)
    distance *= math.sqrt(0.5)
    np.minimum(distance, 4, out=distance)
    y = distance * -ERF[-1]
    for coefficient in ERF[-2::-1]:
        y -= coefficient
        y *= distance
    np.exp(y, out=y)
    np.subtract(1, y, out=y)
    np.copysign(y, x, out=y)  # erf(x / sqrt(2)), as in `activations`
    y += 1
    y *= x
    y *= 0.5
    return y


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    **activations.ACTIVATIONS,
    **dict.fromkeys(("gelu_new", "gelu_fast", "gelu_pytorch_tanh"), gelu),
    **dict.fromkeys(("gelu", "gelu_python"), gelu_exact),
}


def linear(x: Array, weight: Array, bias: Array | float = 0.0) -> Array:
    """Multiply by a matrix and add a vector: x [..., n_in], weight [n_in, n_out], bias [n_out] -> [..., n_out].

    Up to three rows are multiplied one after the other: the second finds the matrix in the cache, and BLAS need not
    rearrange it first. Up to 32 are multiplied by some columns of a large matrix at a time, which was 1.1 to 1.2 times
    as fast. All others make one product, filled up with zeros to a multiple of 8, for OpenBLAS takes up to 1.6 times
    as long for 6 rows as for 8.
    """
    rows = x.reshape(-1, x.shape[-1])
    n_rows = len(rows)
    if n_rows <= FEW_ROWS:
        y = (rows[:, None, :] @ weight)[:, 0]
    elif n_rows <= SEVERAL_ROWS and weight.size >= WORTHWHILE and weight.flags.f_contiguous:
        y = _by_blocks_of_columns(rows, weight)
    else:
        if n_rows % ROWS > 1:  # one left over is no slower
            filled = np.zeros((n_rows + -n_rows % ROWS, x.shape[-1]), x.dtype)
            filled[:n_rows] = rows
            rows = filled
        y = (rows @ weight)[:n_rows]
    if np.ndim(bias) or bias:
        y += bias
    return y.reshape(*x.shape[:-1], weight.shape[-1])


def _by_blocks_of_columns(rows: Array, weight: Array) -> Array:
    """Return rows @ weight as the transpose of weight.T @ rows.T: [n_rows, n_in], [n_in, n_out] -> [n_rows, n_out]."""
    n_in, n_out = weight.shape
    n_whole = n_out - n_out % COLUMNS
    y = np.empty((len(rows), n_out), np.result_type(rows, weight))
    blocks = weight.T[:n_whole].reshape(-1, COLUMNS, n_in)  # a view, as the columns lie one after the other
    y[:, :n_whole] = (blocks @ rows.T).reshape(n_whole, len(rows)).T  # from [n_block, COLUMNS, n_rows]
    y[:, n_whole:] = (weight.T[n_whole:] @ rows.T).T
    return y


def attention(
    q: Array,
    k: Array,
    v: Array,
    mask: Array | float = 0.0,
    *,
    causal: bool = False,
    scale: float | None = None,
) -> Array:
    """Scaled dot-product attention, a block of queries at a time.

    q: [..., n_query, n_dim], k: [..., n_key, n_dim], v: [..., n_key, n_dim] -> [..., n_query, n_dim]

    `mask`, broadcast to [..., n_query, n_key], is added to the scores. With `causal`, the queries belong to the last
    n_query of the n_key positions, and each sees its own position and those before it. `scale` replaces
    1 / sqrt(n_dim).
    """
    n_query, n_key = q.shape[-2], k.shape[-2]
    if n_query > QUERY_BLOCK:
        half = n_query // 2
        n_seen = n_key - (n_query - half) if causal else n_key  # to the earlier queries, later keys are hidden
        early_mask, late_mask = mask, mask
        if isinstance(mask, np.ndarray):
            mask = np.broadcast_to(mask, (*mask.shape[:-2], n_query, n_key))
            early_mask, late_mask = mask[..., :half, :n_seen], mask[..., half:, :]
        early = q[..., :half, :], k[..., :n_seen, :], v[..., :n_seen, :], early_mask
        late = q[..., half:, :], k, v, late_mask
        return np.concatenate([attention(*part, causal=causal, scale=scale) for part in (early, late)], axis=-2)
    if scale is None:
        scale = 1 / math.sqrt(q.shape[-1])
    scores = (q * scale) @ k.swapaxes(-1, -2)  # [..., n_query, n_key]
    if causal and n_query > 1:
        scores[..., -n_query:] += causal_mask(n_query)  # every query may see all keys left of this square
    if isinstance(mask, np.ndarray):
        scores += mask
    scores -= scores.max(axis=-1, keepdims=True)  # from here on softmax(scores) @ v, its division left for the end:
    np.exp(scores, out=scores)
    mixed: Array = scores @ v
    mixed /= scores.sum(axis=-1, keepdims=True)  # n_dim numbers a query instead of n_key, 5% of a prompt of 1000
    return mixed


def multi_head_attention(
    x: Array,
    c_attn: Tensors,
    c_proj: Tensors,
    n_head: int,
    mask: Array | float = 0.0,
    *,
    causal: bool = False,
    scale: float | None = None,
    cache: LayerCache | None = None,
) -> Array:
    """Self-attention in n_head subspaces at once: x [..., n_seq, n_embd] -> [..., n_seq, n_embd].

    With a `cache`, x holds only the positions that come after those in the cache, sees them too, and is
    remembered there. `mask`, `causal` and `scale`: as in `attention`.
    """
    qkv = split_heads(linear(x, **c_attn), 3 * n_head)  # [..., 3 · n_head, n_seq, n_dim]
    q, k, v = (qkv[..., first : first + n_head, :, :] for first in (0, n_head, 2 * n_head))
    if cache is not None:
        k, v = cache.append(k, v)
    heads = attention(q, k, v, mask, causal=causal, scale=scale)  # [..., n_head, n_seq, n_dim]
    return linear(merge_heads(heads), **c_proj)


def mlp(x: Array, c_fc: Tensors, c_proj: Tensors, activation: Callable[[Array], Array] = gelu) -> Array:
    """Widen every vector, apply the activation to each number, and narrow it again: x [..., n_embd] -> the same."""
    return linear(activation(linear(x, **c_fc)), **c_proj)
