"""Mistakes in `layers.py`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from numpygpt import layers
from numpygpt.course.mistakes.registry import mistake
from numpygpt.layers import MASKED, attention, gelu, linear, merge_heads, relu, softmax, split_heads


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
    return merge_heads(attention(*(split_heads(parts[letter], n_head) for letter in "qkv"), mask))


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


def _normed(x: Any, weight: Any, bias: Any, eps: float, **how: Any) -> Any:
    variance = x.var(axis=-1, keepdims=True, **how)
    return (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(variance + eps) * weight + bias


@mistake("layer_norm", "By how many numbers is the variance divided?", "By n, not by n - 1: no ddof=1.")
def ddof_one(x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    return _normed(x, weight, bias, eps, ddof=1)


@mistake("layer_norm", "Where does eps stand?", "Inside the root: sqrt(variance + eps).")
def eps_outside(x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    std = np.sqrt(x.var(axis=-1, keepdims=True))
    return (x - x.mean(axis=-1, keepdims=True)) / (std + eps) * weight + bias


@mistake("layer_norm", "By what do you divide?", "By the square root of the variance, not by the variance.")
def variance_without_root(x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    return (x - x.mean(axis=-1, keepdims=True)) / (x.var(axis=-1, keepdims=True) + eps) * weight + bias


@mistake("layer_norm", "Are scale and shift used?", "Multiply by weight and add bias at the end.")
def no_scale_and_shift(x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    return _normed(x, 1.0, 0.0, eps)


@mistake("layer_norm", "Is the bias added?", "Add bias at the end.")
def no_shift(x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    return _normed(x, weight, 0.0, eps)


@mistake("layer_norm", "Is eps used?", "Add eps to the variance: a vector of equal numbers divides by 0 without it.")
def no_eps(x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    return _normed(x, weight, bias, 0.0)


@mistake("layer_norm", "Over which numbers is the mean taken?", "Over each vector by itself: axis=-1, keepdims=True.")
def over_all_numbers(x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    return (x - x.mean()) / np.sqrt(x.var() + eps) * weight + bias


@mistake("relu", "What becomes of negative numbers?", "They become 0; abs makes them positive.")
def absolute(x: Any) -> Any:
    return np.abs(x)


@mistake("relu", "Which of the two is larger?", "max(x, 0), not min(x, 0).")
def smaller(x: Any) -> Any:
    return np.minimum(x, 0)


@mistake("relu", "Is it a step?", "Positive numbers keep their size.")
def a_step(x: Any) -> Any:
    return (x > 0).astype(x.dtype)


@mistake("relu", "What becomes of negative numbers?", "Exactly 0: no leak.")
def leaky(x: Any) -> Any:
    return np.where(x > 0, x, x * 0.01)


@mistake("gelu", "Is the root around 2 / π?", "sqrt(2 / π), not 2 / π.")
def no_square_root(x: Any) -> Any:
    return x / 2 * (1 + np.tanh(2 / math.pi * (x + 0.044715 * x**3)))


@mistake("gelu", "Which power?", "x is cubed: x³.")
def squared(x: Any) -> Any:
    return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**2)))


@mistake("gelu", "Is it halved?", "x / 2 · (1 + tanh ...).")
def not_halved(x: Any) -> Any:
    return 2 * gelu(x)


@mistake("gelu", "Which GELU is GPT-2's?", "That is the one by a sigmoid; GPT-2 has the tanh form.")
def by_a_sigmoid(x: Any) -> Any:
    return x / (1 + np.exp(-1.702 * x))


@mistake("gelu", "Which GELU is GPT-2's?", "That is the exact one by erf; GPT-2 was trained with the tanh form.")
def by_erf(x: Any) -> Any:
    return x / 2 * (1 + np.vectorize(math.erf, otypes=[float])(x / math.sqrt(2)))


@mistake("mlp", "What happens between the two linear layers?", "The activation, gelu: without it two are one.")
def no_activation(x: Any, c_fc: Any, c_proj: Any) -> Any:
    return linear(linear(x, **c_fc), **c_proj)


@mistake("mlp", "Which activation has GPT-2?", "gelu, not relu.")
def with_relu(x: Any, c_fc: Any, c_proj: Any) -> Any:
    return linear(relu(linear(x, **c_fc)), **c_proj)


@mistake("mlp", "Is the activation used once?", "Only between the layers, not after the second one.")
def activation_twice(x: Any, c_fc: Any, c_proj: Any) -> Any:
    return gelu(layers.mlp(x, c_fc, c_proj))


@mistake("mlp", "Where does the residual belong?", "In transformer_block: the MLP returns its branch alone.")
def adds_x(x: Any, c_fc: Any, c_proj: Any) -> Any:
    return x + layers.mlp(x, c_fc, c_proj)
