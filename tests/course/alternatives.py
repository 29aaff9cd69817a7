"""Right implementations that are not the book's: loops, einsum, other orders, wider numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from numpygpt import layers


def softmax_by_rows(x: Any) -> Any:
    flat = x.reshape(-1, x.shape[-1])
    rows = []
    for row in flat:
        largest = max(row)
        powers = [math.exp(value - largest) for value in row]
        rows.append([power / sum(powers) for power in powers])
    return np.array(rows).reshape(x.shape)


def softmax_by_log(x: Any) -> Any:
    x = x.astype(np.float64)
    top = x.max(axis=-1, keepdims=True)
    return np.exp(x - top - np.log(np.exp(x - top).sum(axis=-1, keepdims=True)))


def mask_by_where(n_seq: int) -> Any:
    i = np.arange(n_seq)
    return np.where(i[None, :] > i[:, None], -np.inf, 0.0)


def mask_large(n_seq: int) -> Any:
    return (1 - np.tril(np.ones((n_seq, n_seq), np.float32))) * -1e10


def attention_by_einsum(q: Any, k: Any, v: Any, mask: Any = 0.0) -> Any:
    scores = np.einsum("...id,...jd->...ij", q, k) * q.shape[-1] ** -0.5
    return np.einsum("...ij,...jd->...id", layers.softmax(scores + mask), v)


def attention_scaled_first(q: Any, k: Any, v: Any, mask: Any = 0.0) -> Any:
    return layers.softmax((q / np.sqrt(q.shape[-1])) @ np.swapaxes(k, -1, -2) + mask) @ v


def linear_by_einsum(x: Any, weight: Any, bias: Any = 0.0) -> Any:
    return np.einsum("...i,ij->...j", x, weight) + bias


def linear_by_loops(x: Any, weight: Any, bias: Any = 0.0) -> Any:
    rows = x.reshape(-1, x.shape[-1])
    y = np.zeros((len(rows), weight.shape[1]))
    for t in range(len(rows)):
        for j in range(weight.shape[1]):
            y[t, j] = sum(rows[t] * weight[:, j])
    return y.reshape(*x.shape[:-1], -1) + bias


def norm_in_float64(x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    x = x.astype(np.float64)
    centered = x - np.mean(x, -1, keepdims=True)
    return weight * centered * (np.mean(centered**2, -1, keepdims=True) + eps) ** -0.5 + bias


def gelu_numpy_scalars(x: Any) -> Any:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def split_by_list(x: Any, n_head: int) -> Any:
    return np.stack(np.split(x, n_head, axis=-1), axis=-3)


def merge_by_concatenation(x: Any) -> Any:
    return np.concatenate([x[..., i, :, :] for i in range(x.shape[-3])], axis=-1)


def cross_entropy_by_loop(logits: Any, targets: Any) -> Any:
    flat, wanted = logits.reshape(-1, logits.shape[-1]).astype(float), np.ravel(targets)
    losses = []
    for row, target in zip(flat, wanted, strict=True):
        top = row.max()
        losses.append(top + math.log(sum(math.exp(value - top) for value in row)) - row[target])
    return np.array(losses).reshape(np.shape(targets))


def top_k_by_sort(logits: Any, top_k: int) -> Any:
    k = min(top_k, logits.shape[-1])
    return np.where(logits >= np.sort(logits, axis=-1)[..., [-k]], logits, -np.inf)


def top_p_by_loop(logits: Any, top_p: float) -> Any:
    result = np.full(logits.shape, -np.inf)
    for row, out in zip(logits.reshape(-1, logits.shape[-1]), result.reshape(-1, logits.shape[-1]), strict=True):
        total = 0.0
        for i in sorted(range(len(row)), key=lambda i: -row[i]):
            out[i] = row[i]
            total += layers.softmax(row)[i]
            if total >= top_p:
                break
    return result


def join_by_index(parts: Any, pair: Any) -> Any:
    parts, joined, i = list(parts), [], 0
    while i < len(parts):
        if i + 1 < len(parts) and parts[i] == pair[0] and parts[i + 1] == pair[1]:
            joined.append(parts[i] + parts[i + 1])
            i += 2
        else:
            joined.append(parts[i])
            i += 1
    return joined


ALTERNATIVES = [
    ("softmax", softmax_by_rows),
    ("softmax", softmax_by_log),
    ("causal_mask", mask_by_where),
    ("causal_mask", mask_large),
    ("attention", attention_by_einsum),
    ("attention", attention_scaled_first),
    ("linear", linear_by_einsum),
    ("linear", linear_by_loops),
    ("layer_norm", norm_in_float64),
    ("gelu", gelu_numpy_scalars),
    ("split_heads", split_by_list),
    ("merge_heads", merge_by_concatenation),
    ("cross_entropy", cross_entropy_by_loop),
    ("apply_top_k", top_k_by_sort),
    ("apply_top_p", top_p_by_loop),
    ("join", join_by_index),
]
