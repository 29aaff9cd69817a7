"""Other right implementations of softmax, the causal mask, attention, and cutting into heads."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from alternatives import other

from numpygpt.layers import softmax


@other("softmax")
def softmax_by_rows(x: Any) -> Any:
    flat = x.reshape(-1, x.shape[-1])
    rows = []
    for row in flat:
        largest = max(row)
        powers = [math.exp(value - largest) for value in row]
        rows.append([power / sum(powers) for power in powers])
    return np.array(rows).reshape(x.shape)


@other("softmax")
def softmax_by_log(x: Any) -> Any:
    x = x.astype(np.float64)
    top = x.max(axis=-1, keepdims=True)
    return np.exp(x - top - np.log(np.exp(x - top).sum(axis=-1, keepdims=True)))


@other("softmax")
def softmax_by_logaddexp(x: Any) -> Any:
    return np.exp(x - np.logaddexp.reduce(x, axis=-1, keepdims=True))


@other("softmax")
def softmax_transposed(x: Any) -> Any:
    """With the last axis first, nothing needs keepdims."""
    x = np.moveaxis(x, -1, 0)
    e = np.exp(x - np.max(x, axis=0))
    return np.moveaxis(e / np.sum(e, axis=0), 0, -1)


@other("softmax")
def softmax_by_recursion(x: Any) -> Any:
    if x.ndim > 1:
        return np.array([softmax_by_recursion(part) for part in x])
    e = np.exp(x - np.amax(x))
    return np.divide(e, np.sum(e))


@other("causal_mask")
def mask_by_where(n_seq: int) -> Any:
    i = np.arange(n_seq)
    return np.where(i[None, :] > i[:, None], -np.inf, 0.0)


@other("causal_mask")
def mask_large(n_seq: int) -> Any:
    return (1 - np.tril(np.ones((n_seq, n_seq), np.float32))) * -1e10


@other("causal_mask")
def mask_by_loops(n_seq: int) -> Any:
    mask = np.zeros((n_seq, n_seq))
    for query in range(n_seq):
        for key in range(query + 1, n_seq):
            mask[query][key] = -1e9
    return mask


@other("causal_mask")
def mask_by_indices(n_seq: int) -> Any:
    mask = np.zeros((n_seq, n_seq), dtype=np.float32)
    mask[np.triu_indices(n_seq, 1)] = float("-inf")
    return mask


@other("causal_mask")
def mask_of_whole_numbers(n_seq: int) -> Any:
    return np.array([[0 if j <= i else -(10**9) for j in range(n_seq)] for i in range(n_seq)])


@other("causal_mask")
def mask_of_minus_ten_thousand(n_seq: int) -> Any:
    """The number that the first PyTorch version of GPT-2 had: exp(-10000) is 0 as well."""
    return np.triu(np.full((n_seq, n_seq), -1e4, np.float32), 1)


@other("attention")
def attention_by_einsum(q: Any, k: Any, v: Any, mask: Any = 0.0) -> Any:
    scores = np.einsum("...id,...jd->...ij", q, k) * q.shape[-1] ** -0.5
    return np.einsum("...ij,...jd->...id", softmax(scores + mask), v)


@other("attention")
def attention_scaled_first(q: Any, k: Any, v: Any, mask: Any = 0.0) -> Any:
    return softmax((q / np.sqrt(q.shape[-1])) @ np.swapaxes(k, -1, -2) + mask) @ v


@other("attention")
def attention_query_by_query(q: Any, k: Any, v: Any, mask: Any = None) -> Any:
    n_query, n_dim = q.shape[-2:]
    mask = np.broadcast_to(0.0 if mask is None else mask, (*q.shape[:-1], k.shape[-2]))
    out = np.zeros((*q.shape[:-1], v.shape[-1]))
    for t in range(n_query):
        scores = (k * q[..., t : t + 1, :]).sum(-1) / math.sqrt(n_dim) + mask[..., t, :]
        out[..., t, :] = (softmax(scores)[..., None] * v).sum(-2)
    return out


@other("attention")
def attention_divided_last(q: Any, k: Any, v: Any, mask: Any = 0.0) -> Any:
    """Mix the values by unnormalized weights, then divide."""
    scores = np.matmul(q, np.moveaxis(k, -1, -2)) * (1 / math.sqrt(k.shape[-1])) + mask
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return (e @ v) / e.sum(axis=-1)[..., None]


@other("attention")
def attention_where_masked(q: Any, k: Any, v: Any, mask: Any = 0.0) -> Any:
    scores = (q @ np.swapaxes(k, -1, -2)).astype(np.float64) / np.sqrt(q.shape[-1])
    scores = np.where(np.asarray(mask) < -1, -np.inf, scores)
    return softmax(scores) @ v


@other("attention")
def attention_key_by_key(q: Any, k: Any, v: Any, mask: Any = 0.0) -> Any:
    """One key after the other with a running maximum, as flash attention does."""
    top = np.full((*q.shape[:-1], 1), -np.inf)
    total, mixed = np.zeros(top.shape), np.zeros((*q.shape[:-1], v.shape[-1]))
    every = np.broadcast_to(mask, (*q.shape[:-1], k.shape[-2]))
    for j in range(k.shape[-2]):
        score = (q * k[..., j : j + 1, :]).sum(-1, keepdims=True) / math.sqrt(q.shape[-1]) + every[..., j : j + 1]
        new = np.maximum(top, score)
        fade, weight = np.exp(top - new), np.exp(score - new)
        total, mixed, top = total * fade + weight, mixed * fade + weight * v[..., j : j + 1, :], new
    return mixed / total


@other("split_heads")
def split_by_list(x: Any, n_head: int) -> Any:
    return np.stack(np.split(x, n_head, axis=-1), axis=-3)


@other("split_heads")
def split_by_slices(x: Any, n_head: int) -> Any:
    n = x.shape[-1] // n_head
    heads = np.zeros((*x.shape[:-2], n_head, x.shape[-2], n), x.dtype)
    for h in range(n_head):
        heads[..., h, :, :] = x[..., h * n : (h + 1) * n]
    return heads


@other("split_heads")
def split_by_moveaxis(x: Any, n_head: int) -> Any:
    return np.moveaxis(x.reshape((*x.shape[:-1], n_head, -1)), -2, -3)


@other("split_heads")
def split_by_einsum(x: Any, n_head: int) -> Any:
    *lead, n_seq, n_embd = x.shape
    return np.einsum("...shd->...hsd", np.reshape(x, [*lead, n_seq, n_head, n_embd // n_head]))


@other("split_heads")
def split_by_index(x: Any, n_head: int) -> Any:
    columns = np.arange(x.shape[-1]).reshape(n_head, 1, -1)
    return x[..., np.arange(x.shape[-2])[:, None], columns]


@other("split_heads")
def split_by_transpose(x: Any, n_head: int) -> Any:
    if x.ndim > 2:
        return np.array([split_by_transpose(one, n_head) for one in x])
    return x.T.reshape(n_head, x.shape[1] // n_head, x.shape[0]).transpose(0, 2, 1)


@other("merge_heads")
def merge_by_concatenation(x: Any) -> Any:
    return np.concatenate([x[..., i, :, :] for i in range(x.shape[-3])], axis=-1)


@other("merge_heads")
def merge_by_moveaxis(x: Any) -> Any:
    x = np.moveaxis(x, -3, -2)
    return x.reshape((*x.shape[:-2], -1))


@other("merge_heads")
def merge_by_slices(x: Any) -> Any:
    *lead, n_head, n_seq, n_dim = x.shape
    merged = np.empty((*lead, n_seq, n_head * n_dim), dtype=x.dtype)
    for h in range(n_head):
        merged[..., h * n_dim : (h + 1) * n_dim] = x[..., h, :, :]
    return merged


@other("merge_heads")
def merge_by_transpose(x: Any) -> Any:
    axes = list(range(x.ndim))
    axes[-3], axes[-2] = axes[-2], axes[-3]
    return np.transpose(x, axes).reshape(*x.shape[:-3], x.shape[-2], x.shape[-3] * x.shape[-1])


@other("merge_heads")
def merge_position_by_position(x: Any) -> Any:
    if x.ndim > 3:
        return np.stack([merge_position_by_position(one) for one in x])
    return np.array([x[:, t].ravel() for t in range(x.shape[1])])
