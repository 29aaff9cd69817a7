"""Mistakes in the first parts of `layers.py`: embeddings, linear, softmax."""

from __future__ import annotations

from typing import Any

import numpy as np

from numpygpt.course.mistakes.registry import mistake


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


@mistake("token_embedding", "Is an embedding scaled here?", "Not in GPT-2: the row as it is; `embed` scales it.")
def scaled(ids: Any, weight: Any) -> Any:
    return weight[np.asarray(ids)] * weight.shape[-1] ** 0.5


@mistake("softmax", "The largest of which scores?", "Of each row by itself: a row far below would be 0 / 0.")
def largest_of_all(x: Any) -> Any:
    exp = np.exp(x - x.max())
    return exp / exp.sum(axis=-1, keepdims=True)


@mistake(
    "softmax", "What is subtracted so that exp cannot overflow?", "The largest score; the mean may be far below it."
)
def mean_subtracted(x: Any) -> Any:
    exp = np.exp(x - x.mean(axis=-1, keepdims=True))
    return exp / exp.sum(axis=-1, keepdims=True)
