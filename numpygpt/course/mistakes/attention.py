"""Mistakes in the parts of `layers.py` that make attention: mask, scores, heads."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from numpygpt.course.mistakes.registry import mistake
from numpygpt.layers import MASKED, attention, linear, merge_heads, softmax, split_heads


@mistake("causal_mask", "Which triangle is hidden?", "Row = query, column = key: hide what is *above* the diagonal.")
def lower_triangle(n_seq: int) -> Any:
    return np.tril(np.full((n_seq, n_seq), MASKED, np.float32), k=-1)


@mistake("causal_mask", "May a token see itself?", "The diagonal stays 0: np.triu(..., k=1).")
def diagonal_hidden(n_seq: int) -> Any:
    return np.triu(np.full((n_seq, n_seq), MASKED, np.float32), k=0)


@mistake(
    "causal_mask", "Is the mask added or multiplied?", "It is added: 0 keeps a key and MASKED hides it, not 1 and 0."
)
def ones_and_zeros(n_seq: int) -> Any:
    return np.tril(np.ones((n_seq, n_seq), np.float32))


@mistake("causal_mask", "How far does the next token come?", "Hide from the diagonal's right neighbor on: k=1, not 2.")
def one_too_far(n_seq: int) -> Any:
    return np.triu(np.full((n_seq, n_seq), MASKED, np.float32), k=2)


@mistake("causal_mask", "Does exp(score - 1) vanish?", "Hide with MASKED: exp of a number so low is 0.")
def minus_one(n_seq: int) -> Any:
    return np.triu(np.full((n_seq, n_seq), -1, np.float32), k=1)


@mistake("causal_mask", "Plus or minus?", "MASKED is negative: a score so high would be all that is seen.")
def positive(n_seq: int) -> Any:
    return np.triu(np.full((n_seq, n_seq), -MASKED, np.float32), k=1)


@mistake("causal_mask", "What is 0 · inf?", "NaN: choose with np.where or np.triu instead of multiplying.")
def zero_times_infinity(n_seq: int) -> Any:
    with np.errstate(invalid="ignore"):
        return np.triu(np.ones((n_seq, n_seq), np.float32), k=1) * np.float32(-np.inf)


@mistake("attention", "How large do scores grow with n_dim?", "Divide the scores by the square root of n_dim.")
def no_scale(q: Any, k: Any, v: Any, mask: Any = 0.0) -> Any:
    return softmax(q @ k.swapaxes(-1, -2) + mask) @ v


@mistake("attention", "By what are the scores divided?", "By the *square root* of n_dim, not by n_dim.")
def no_root(q: Any, k: Any, v: Any, mask: Any = 0.0) -> Any:
    return softmax(q @ k.swapaxes(-1, -2) / q.shape[-1] + mask) @ v


@mistake("attention", "When does the mask come?", "Add it to the scores, before softmax; afterwards it is too late.")
def mask_after(q: Any, k: Any, v: Any, mask: Any = 0.0) -> Any:
    return (softmax(q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])) + mask) @ v


@mistake("attention", "Who may not see whom?", "The mask has a row for each query: it is transposed here.")
def mask_transposed(q: Any, k: Any, v: Any, mask: Any = 0.0) -> Any:
    mask = np.asarray(mask)
    return attention(q, k, v, mask.swapaxes(-1, -2) if mask.ndim > 1 else mask)


@mistake(
    "attention",
    "What is compared, and what is handed over?",
    "Scores compare q and k; v is mixed: k and v are swapped.",
)
def k_and_v_swapped(q: Any, k: Any, v: Any, mask: Any = 0.0) -> Any:
    return attention(q, v, k, mask)


@mistake("attention", "Who asks?", "A row of scores belongs to a query: q @ kᵀ, not k @ qᵀ.")
def q_and_k_swapped(q: Any, k: Any, v: Any, mask: Any = 0.0) -> Any:
    return attention(k, q, v, mask)


@mistake("attention", "Does the mask arrive anywhere?", "Add the mask to the scores.")
def mask_forgotten(q: Any, k: Any, v: Any, mask: Any = 0.0) -> Any:
    return attention(q, k, v)


@mistake("attention", "Along which axis should the weights sum to 1?", "For each query over all keys: the last axis.")
def softmax_over_queries(q: Any, k: Any, v: Any, mask: Any = 0.0) -> Any:
    scores = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1]) + mask
    return softmax(scores.swapaxes(-1, -2)).swapaxes(-1, -2) @ v


@mistake("attention", "What is exp(1000)?", "Call `softmax`: it subtracts the row's largest score before exp.")
def overflows(q: Any, k: Any, v: Any, mask: Any = 0.0) -> Any:
    exp = np.exp(q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1]) + mask)
    return exp / exp.sum(axis=-1, keepdims=True) @ v


@mistake("attention", "Do the weights of a query sum to 1?", "Hide the scores before softmax, not its shares after it.")
def shares_hidden(q: Any, k: Any, v: Any, mask: Any = 0.0) -> Any:
    shares = softmax(q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1]))
    return np.where(np.asarray(mask) < 0, 0, shares) @ v


@mistake("attention", "Of which axis is the length?", "Of the vectors, n_dim, not of the sequence.")
def scaled_by_n_key(q: Any, k: Any, v: Any, mask: Any = 0.0) -> Any:
    return softmax(q @ k.swapaxes(-1, -2) / math.sqrt(k.shape[-2]) + mask) @ v


@mistake("attention", "Is every attention causal?", "Only where the mask says so: it comes as an argument.")
def always_causal(q: Any, k: Any, v: Any, mask: Any = 0.0) -> Any:
    return attention(q, k, v, np.triu(np.full((q.shape[-2], k.shape[-2]), MASKED, np.float32), k=1))


@mistake("attention", "When are the scores divided?", "Before softmax: afterwards it only makes the result smaller.")
def scaled_after(q: Any, k: Any, v: Any, mask: Any = 0.0) -> Any:
    return no_scale(q, k, v, mask) / np.sqrt(q.shape[-1], dtype=q.dtype)


@mistake("attention", "Plus or minus?", "The mask is added; it is negative already.")
def mask_subtracted(q: Any, k: Any, v: Any, mask: Any = 0.0) -> Any:
    return attention(q, k, v, np.negative(mask))


@mistake(
    "split_heads", "Do a token's numbers stay together?", "Reshape to [.., n_seq, n_head, n_dim] first, then swap axes."
)
def cut_the_wrong_way(x: Any, n_head: int) -> Any:
    *lead, n_seq, n_embd = x.shape
    return x.reshape(*lead, n_head, n_seq, n_embd // n_head)


@mistake(
    "split_heads", "Which axis comes first, heads or positions?", "Swap the axes of positions and heads at the end."
)
def not_swapped(x: Any, n_head: int) -> Any:
    return x.reshape(*x.shape[:-1], n_head, x.shape[-1] // n_head)


@mistake("split_heads", "Which numbers are head 0?", "The first n_dim of them side by side, not every n_head-th.")
def interleaved(x: Any, n_head: int) -> Any:
    return np.moveaxis(x.reshape(*x.shape[:-1], x.shape[-1] // n_head, n_head), -1, -3)


@mistake(
    "merge_heads", "Do a token's numbers come together?", "Swap the axes of heads and positions before the reshape."
)
def reshaped_alone(x: Any) -> Any:
    *lead, n_head, n_seq, n_dim = x.shape
    return x.reshape(*lead, n_seq, n_head * n_dim)


@mistake("merge_heads", "Which axis holds the positions afterwards?", "[.., n_seq, n_head, n_dim] before the reshape.")
def positions_merged(x: Any) -> Any:
    return x.reshape(*x.shape[:-3], x.shape[-3], x.shape[-2] * x.shape[-1])


@mistake(
    "merge_heads", "In which order do the numbers lie?", "Head after head, not all first numbers, then all second ones."
)
def interleaved_heads(x: Any) -> Any:
    x = np.moveaxis(x, -3, -1)
    return x.reshape(*x.shape[:-2], x.shape[-2] * x.shape[-1])


def _heads(x: Any, c_attn: Any, n_head: int, mask: Any, order: str = "qkv") -> Any:
    parts = dict(zip(order, np.split(linear(x, **c_attn), 3, axis=-1), strict=True))
    q, k, v = (split_heads(parts[letter], n_head) for letter in "qkv")
    return merge_heads(attention(q, k, v, mask))


@mistake(
    "multi_head_attention", "In which order do q, k and v lie in c_attn?", "Queries, keys, values: k and v are swapped."
)
def keys_and_values_swapped(x: Any, c_attn: Any, c_proj: Any, n_head: int, mask: Any = 0.0) -> Any:
    return linear(_heads(x, c_attn, n_head, mask, "qvk"), **c_proj)


@mistake(
    "multi_head_attention", "In which order do q, k and v lie in c_attn?", "Queries, keys, values: q and k are swapped."
)
def queries_and_keys_swapped(x: Any, c_attn: Any, c_proj: Any, n_head: int, mask: Any = 0.0) -> Any:
    return linear(_heads(x, c_attn, n_head, mask, "kqv"), **c_proj)


@mistake("multi_head_attention", "What happens after the heads are merged?", "One more linear layer: c_proj.")
def no_projection(x: Any, c_attn: Any, c_proj: Any, n_head: int, mask: Any = 0.0) -> Any:
    return _heads(x, c_attn, n_head, mask)


@mistake("multi_head_attention", "Do the heads look by themselves?", "Split q, k and v into heads before attention.")
def one_head(x: Any, c_attn: Any, c_proj: Any, n_head: int, mask: Any = 0.0) -> Any:
    return linear(_heads(x, c_attn, 1, mask), **c_proj)


@mistake("multi_head_attention", "Does the mask arrive anywhere?", "Hand the mask on to attention.")
def mask_not_passed(x: Any, c_attn: Any, c_proj: Any, n_head: int, mask: Any = 0.0) -> Any:
    return linear(_heads(x, c_attn, n_head, 0.0), **c_proj)


@mistake("multi_head_attention", "How long are a head's vectors?", "n_embd / n_head: `attention` divides by its root.")
def scaled_by_n_embd(x: Any, c_attn: Any, c_proj: Any, n_head: int, mask: Any = 0.0) -> Any:
    q, k, v = (split_heads(part, n_head) for part in np.split(linear(x, **c_attn), 3, axis=-1))
    return linear(merge_heads(attention(q / np.sqrt(n_head, dtype=q.dtype), k, v, mask)), **c_proj)


@mistake("multi_head_attention", "How do the heads come together?", "By merge_heads: reshape alone mixes positions.")
def reshaped(x: Any, c_attn: Any, c_proj: Any, n_head: int, mask: Any = 0.0) -> Any:
    q, k, v = (split_heads(part, n_head) for part in np.split(linear(x, **c_attn), 3, axis=-1))
    return linear(attention(q, k, v, mask).reshape(x.shape), **c_proj)


@mistake("multi_head_attention", "What is cut first?", "q, k and v are side by side: cut in 3, then in heads.")
def heads_before_parts(x: Any, c_attn: Any, c_proj: Any, n_head: int, mask: Any = 0.0) -> Any:
    q, k, v = np.split(split_heads(linear(x, **c_attn), n_head), 3, axis=-1)
    return linear(merge_heads(attention(q, k, v, mask)), **c_proj)


@mistake("multi_head_attention", "Has the last layer a bias?", "It has: linear(..., **c_proj) adds it.")
def no_last_bias(x: Any, c_attn: Any, c_proj: Any, n_head: int, mask: Any = 0.0) -> Any:
    return _heads(x, c_attn, n_head, mask) @ c_proj["weight"]


@mistake("multi_head_attention", "Where does the residual belong?", "In transformer_block: return the branch alone.")
def adds_x(x: Any, c_attn: Any, c_proj: Any, n_head: int, mask: Any = 0.0) -> Any:
    return x + linear(_heads(x, c_attn, n_head, mask), **c_proj)


@mistake(
    "multi_head_attention",
    "Is self-attention always causal?",
    "Only where the mask says so: hand on the one that comes.",
)
def its_own_mask(x: Any, c_attn: Any, c_proj: Any, n_head: int, mask: Any = 0.0) -> Any:
    causal = np.triu(np.full((x.shape[-2], x.shape[-2]), MASKED, np.float32), k=1)
    return linear(_heads(x, c_attn, n_head, causal), **c_proj)
