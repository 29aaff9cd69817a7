"""Mistakes in `layers.py`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from numpygpt.course.mistakes.registry import mistake
from numpygpt.layers import MASKED, attention, linear, merge_heads, softmax, split_heads


@mistake("token_embedding", "Does an id count from 0 or from 1?", "Row 0 belongs to id 0: use the ids as they are.")
def ids_from_one(ids: Any, weight: Any) -> Any:
    return weight[np.asarray(ids) - 1]


@mistake("token_embedding", "A row for a token, or a column?", "The table is [n_vocab, n_embd]: index its first axis.")
def a_column(ids: Any, weight: Any) -> Any:
    return weight.T[np.asarray(ids)]


@mistake("token_embedding", "Does a batch come back with its axes?", "Do not flatten the ids: NumPy keeps their shape.")
def flattened_ids(ids: Any, weight: Any) -> Any:
    return weight[np.ravel(ids)]


@mistake("positional_embedding", "Which position comes first?", "Positions count from 0, as the table's rows do.")
def positions_from_one(positions: Any, weight: Any) -> Any:
    return weight[np.asarray(positions) - 1]


@mistake(
    "positional_embedding", "Are the positions always 0, 1, 2, ...?", "Look up those that are given, in their order."
)
def positions_ignored(positions: Any, weight: Any) -> Any:
    rows = weight[: np.shape(positions)[-1]]
    return np.broadcast_to(rows, (*np.shape(positions), weight.shape[-1])).copy()


@mistake("positional_embedding", "Does a batch come back with its axes?", "Do not flatten the positions.")
def flattened_positions(positions: Any, weight: Any) -> Any:
    return weight[np.ravel(positions)]


@mistake("linear", "What is added after the product?", "y = x @ weight + bias: the bias is forgotten.")
def bias_forgotten(x: Any, weight: Any, bias: Any = 0.0) -> Any:
    return x @ weight


@mistake("linear", "Which way does GPT-2 store its matrices?", "weight is [n_in, n_out] already: do not transpose it.")
def transposed(x: Any, weight: Any, bias: Any = 0.0) -> Any:
    return x @ weight.T + bias


@mistake("linear", "Is the bias multiplied by the matrix?", "Multiply x alone, then add the bias.")
def bias_before(x: Any, weight: Any, bias: Any = 0.0) -> Any:
    return (x + bias) @ weight


@mistake("linear", "Plus or minus?", "The bias is added.")
def bias_subtracted(x: Any, weight: Any, bias: Any = 0.0) -> Any:
    return x @ weight - bias


@mistake("softmax", "Along which axis should the sum be 1?", "Sum along the last axis: axis=-1, keepdims=True.")
def over_everything(x: Any) -> Any:
    exp = np.exp(x - x.max())
    return exp / exp.sum()


@mistake("softmax", "Along which axis should the sum be 1?", "That is the first axis; a row is the last: axis=-1.")
def first_axis(x: Any) -> Any:
    exp = np.exp(x - x.max(axis=0, keepdims=True))
    return exp / exp.sum(axis=0, keepdims=True)


@mistake(
    "softmax", "Along which axis should the sum be 1?", "The last but one sums columns; a row is the last: axis=-1."
)
def column_axis(x: Any) -> Any:
    axis = -2 if x.ndim > 1 else -1
    exp = np.exp(x - x.max(axis=axis, keepdims=True))
    return exp / exp.sum(axis=axis, keepdims=True)


@mistake("softmax", "What is exp(1000)?", "Subtract the row's largest score before exp: nothing else changes.")
def overflows(x: Any) -> Any:
    exp = np.exp(x)
    return exp / exp.sum(axis=-1, keepdims=True)


@mistake("softmax", "Do rows sum to 1?", "exp alone is not a share: divide by the sum of the row.")
def no_division(x: Any) -> Any:
    return np.exp(x - x.max(axis=-1, keepdims=True))


@mistake("softmax", "Where is exp?", "Scores may be negative: exp makes them positive before they are divided.")
def no_exp(x: Any) -> Any:
    return x / x.sum(axis=-1, keepdims=True)


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
