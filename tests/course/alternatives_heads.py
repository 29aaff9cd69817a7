"""Other right implementations of attention with heads, and of the cache."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from alternatives import other

from numpygpt.layers import attention, causal_mask, linear, merge_heads, multi_head_attention, softmax, split_heads


@other("multi_head_attention")
def heads_in_a_loop(x: Any, c_attn: Any, c_proj: Any, n_head: int, mask: Any = 0.0) -> Any:
    qkv = linear(x, **c_attn)
    n_embd = x.shape[-1]
    n = n_embd // n_head
    parts = []
    for h in range(n_head):
        q, k, v = (qkv[..., which * n_embd + h * n : which * n_embd + (h + 1) * n] for which in range(3))
        parts.append(attention(q, k, v, mask))
    return linear(np.concatenate(parts, axis=-1), **c_proj)


@other("multi_head_attention")
def heads_by_einsum(x: Any, c_attn: Any, c_proj: Any, n_head: int, mask: Any = 0.0) -> Any:
    e = x.shape[-1]
    w, b = c_attn["weight"].reshape(e, 3, n_head, e // n_head), c_attn["bias"].reshape(3, n_head, 1, e // n_head)
    q, k, v = (np.einsum("...te,ehd->...htd", x, w[:, i], optimize=True) + b[i] for i in range(3))
    p = softmax(np.einsum("...qd,...kd->...qk", q, k) / math.sqrt(e / n_head) + mask)
    y = np.einsum("...hqk,...hkd->...qhd", p, v).reshape(x.shape)
    return y @ c_proj["weight"] + c_proj["bias"]


@other("multi_head_attention")
def heads_each_projected(x: Any, c_attn: Any, c_proj: Any, n_head: int, mask: Any = 0.0) -> Any:
    """Every head writes into the output by its own rows of c_proj: a sum instead of a concatenation."""
    q, k, v = (split_heads(part, n_head) for part in np.array_split(linear(x, **c_attn), 3, axis=-1))
    heads, rows = attention(q, k, v, mask), np.split(c_proj["weight"], n_head)
    return sum(heads[..., h, :, :] @ rows[h] for h in range(n_head)) + c_proj["bias"]


@other("multi_head_attention")
def heads_of_three_matrices(x: Any, c_attn: Any, c_proj: Any, n_head: int, mask: Any = None) -> Any:
    n = x.shape[-1]
    q, k, v = (x @ c_attn["weight"][:, i : i + n] + c_attn["bias"][i : i + n] for i in (0, n, 2 * n))
    added = 0.0 if mask is None else mask
    q, k, v = (split_heads(part, n_head) for part in (q, k, v))
    return linear(merge_heads(attention(q, k, v, added)), c_proj["weight"], c_proj["bias"])


@other("multi_head_attention")
def heads_one_sequence_at_a_time(x: Any, c_attn: Any, c_proj: Any, n_head: int, mask: Any = 0.0) -> Any:
    if x.ndim > 2:
        return np.stack([heads_one_sequence_at_a_time(one, c_attn, c_proj, n_head, mask) for one in x])
    qkv = linear(x, **c_attn).reshape(len(x), 3, n_head, -1).transpose(1, 2, 0, 3)
    scores = qkv[0] @ qkv[1].transpose(0, 2, 1) / np.sqrt(qkv.shape[-1])
    out = softmax(scores + mask) @ qkv[2]
    return linear(out.swapaxes(0, 1).reshape(x.shape), **c_proj)


def _three(x: Any, c_attn: Any, n_head: int) -> Any:
    return [split_heads(part, n_head) for part in np.split(linear(x, **c_attn), 3, axis=-1)]


@other("cached_attention")
def cache_with_a_corner_of_the_mask(x: Any, c_attn: Any, c_proj: Any, n_head: int, past: Any = None) -> Any:
    q, k, v = _three(x, c_attn, n_head)
    if past:
        k, v = np.concatenate((past[0], k), -2), np.concatenate((past[1], v), -2)
    n_all = k.shape[-2]
    mask = causal_mask(n_all)[n_all - q.shape[-2] :]
    return linear(merge_heads(attention(q, k, v, mask)), **c_proj), (k, v)


@other("cached_attention")
def cache_token_by_token(x: Any, c_attn: Any, c_proj: Any, n_head: int, past: Any = None) -> Any:
    """No mask: each new token attends to what is there so far."""
    q, k, v = _three(x, c_attn, n_head)
    keys, values = (k[..., :0, :], v[..., :0, :]) if past is None else past
    rows = []
    for t in range(x.shape[-2]):
        keys = np.concatenate([keys, k[..., t : t + 1, :]], axis=-2)
        values = np.concatenate([values, v[..., t : t + 1, :]], axis=-2)
        rows.append(merge_heads(attention(q[..., t : t + 1, :], keys, values)))
    return linear(np.concatenate(rows, axis=-2), **c_proj), [keys, values]


@other("cached_attention")
def cache_in_one_array(x: Any, c_attn: Any, c_proj: Any, n_head: int, past: Any = None) -> Any:
    q, k, v = _three(x, c_attn, n_head)
    both = np.stack([k, v]) if past is None else np.concatenate([np.stack(past), np.stack([k, v])], axis=-2)
    n_new, n_all = q.shape[-2], both.shape[-2]
    hidden = np.arange(n_all) > np.arange(n_all - n_new, n_all)[:, None]
    y = attention(q, both[0], both[1], np.where(hidden, -1e9, 0))
    return linear(merge_heads(y), **c_proj), both


@other("cached_attention")
def cache_filled_in(x: Any, c_attn: Any, c_proj: Any, n_head: int, past: Any = None) -> Any:
    q, k, v = _three(x, c_attn, n_head)
    n_past = 0 if past is None else past[0].shape[-2]
    kept = []
    for i, new in enumerate((k, v)):
        room = np.empty((*new.shape[:-2], n_past + new.shape[-2], new.shape[-1]), new.dtype)
        if past is not None:
            room[..., :n_past, :] = past[i]
        room[..., n_past:, :] = new
        kept.append(room)
    mask = np.tri(q.shape[-2], kept[0].shape[-2], n_past)
    p = softmax(np.where(mask == 1, q @ kept[0].swapaxes(-1, -2) / math.sqrt(q.shape[-1]), -np.inf))
    return linear(merge_heads(p @ kept[1]), **c_proj), tuple(kept)


@other("cached_attention")
def cache_unless_there_is_no_past(x: Any, c_attn: Any, c_proj: Any, n_head: int, past: Any = None) -> Any:
    """The first call is multi_head_attention; later ones put zeros before the block of the new."""
    q, k, v = _three(x, c_attn, n_head)
    n = x.shape[-2]
    if past is None:
        return multi_head_attention(x, c_attn, c_proj, n_head, causal_mask(n)), (k, v)
    keys, values = np.append(past[0], k, axis=-2), np.append(past[1], v, axis=-2)
    mask = np.hstack([np.zeros((n, past[0].shape[-2])), causal_mask(n)])
    return linear(merge_heads(attention(q, keys, values, mask)), **c_proj), (keys, values)
