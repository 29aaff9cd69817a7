"""The layers of GPT-2 as formulas, the simple ones first; `relu` is here for the original Transformer.

Leading axes are free everywhere: `x` may be one sequence `[n_seq, n_embd]` or a batch `[batch, n_seq, n_embd]`.
Parameters have the names of the checkpoint's tensors: `h.0.mlp.c_fc.weight` and `h.0.mlp.c_fc.bias` arrive here as
`mlp(x, c_fc={"weight": ..., "bias": ...}, ...)`. The same functions, made fast, are in `engine/kernels.py`.

Sources: Vaswani et al. 2017, "Attention Is All You Need" (arXiv:1706.03762); Radford et al. 2019, "Language Models
are Unsupervised Multitask Learners"; and the released code, https://github.com/openai/gpt-2/blob/master/src/model.py.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from numpygpt.arrays import Array, Tensors

MASKED = -1e30  # added to a score, makes its probability 0; finite, because a row of -inf alone would give NaN


def token_embedding(ids: ArrayLike, weight: Array) -> Array:
    """Look up one row of the embedding table for every token.

    ids: [..., n_seq] integers, weight (`wte`): [n_vocab, n_embd] -> [..., n_seq, n_embd]

    >>> token_embedding([2, 0], np.array([[0.0, 0.1], [1.0, 1.1], [2.0, 2.1]]))
    array([[2. , 2.1],
           [0. , 0.1]])
    """
    return weight[np.asarray(ids)]


def positional_embedding(positions: ArrayLike, weight: Array) -> Array:
    """Look up one learned vector for every position, as GPT-2 does.

    positions: [..., n_seq] integers, weight (`wpe`): [n_ctx, n_embd] -> [..., n_seq, n_embd]
    """
    return weight[np.asarray(positions)]


def layer_norm(x: Array, weight: Array, bias: Array, eps: float = 1e-5) -> Array:
    """Give every vector mean 0 and variance 1, then a learned scale and shift.

    x: [..., n_embd], weight: [n_embd], bias: [n_embd] -> [..., n_embd]; `eps` avoids a division by 0

    Source: Ba et al. 2016, "Layer Normalization" (arXiv:1607.06450), section 3.

    >>> layer_norm(np.array([1.0, 2.0, 3.0]), weight=np.ones(3), bias=np.zeros(3)).round(3)
    array([-1.225,  0.   ,  1.225])
    """
    mean, variance = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + eps) * weight + bias


def linear(x: Array, weight: Array, bias: Array | float = 0.0) -> Array:
    """Multiply by a matrix and add a vector.

    x: [..., n_in], weight: [n_in, n_out], bias: [n_out] -> [..., n_out]

    GPT-2 stores its matrices as [n_in, n_out], the transpose of torch.nn.Linear's.

    >>> linear(np.array([1.0, 2.0]), weight=np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]), bias=np.ones(3))
    array([2., 3., 4.])
    """
    return x @ weight + bias


def relu(x: Array) -> Array:
    """Rectified linear unit, the activation of the original Transformer: x [...] -> [...].

    >>> relu(np.array([-1.0, 0.0, 1.0]))
    array([0., 0., 1.])
    """
    return np.maximum(x, 0)


def gelu(x: Array) -> Array:
    """Gaussian error linear unit, in the tanh form that GPT-2 was trained with: x [...] -> [...].

    Source: Hendrycks & Gimpel 2016 (arXiv:1606.08415), section 2.

    >>> gelu(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.1588,  0.    ,  0.8412])
    """
    return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * (x * x * x))))


def softmax(x: Array) -> Array:
    """Turn scores into probabilities along the last axis: exp(x_i) / Σ_j exp(x_j).

    x: [..., n] -> [..., n], no entry below 0, each row with sum 1

    Subtracting the largest score first does not change the result, and keeps exp from overflowing.

    >>> softmax(np.array([0.0, math.log(3.0)]))
    array([0.25, 0.75])
    """
    exp = np.exp(x - x.max(axis=-1, keepdims=True))
    return exp / exp.sum(axis=-1, keepdims=True)


def causal_mask(n_seq: int) -> Array:
    """Return what is added to the scores so that no position sees a later one: MASKED above the diagonal, else 0.

    -> [n_seq, n_seq], a row for every query, a column for every key
    """
    return np.triu(np.full((n_seq, n_seq), MASKED, np.float32), k=1)


def attention(q: Array, k: Array, v: Array, mask: Array | float = 0.0) -> Array:
    """Scaled dot-product attention: for every query a mean of the values, weighted by how well their keys match.

    q: [..., n_query, n_dim], k: [..., n_key, n_dim], v: [..., n_key, n_dim] -> [..., n_query, n_dim]

    `mask`, added to the scores [..., n_query, n_key], keeps a key where it is 0 and hides it where it is MASKED.

    Source: Vaswani et al. 2017, section 3.2.1.

    >>> x = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> attention(x, x, x, causal_mask(2)).round(2)  # the first position sees only itself
    array([[1.  , 0.  ],
           [0.33, 0.67]])
    """
    scores = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])  # [..., n_query, n_key]
    return softmax(scores + mask) @ v


def split_heads(x: Array, n_head: int) -> Array:
    """Cut every vector into n_head parts, and move the head axis before the positions (a view, no copy).

    x: [..., n_seq, n_embd] -> [..., n_head, n_seq, n_dim], where n_dim = n_embd / n_head
    """
    return x.reshape(*x.shape[:-1], n_head, x.shape[-1] // n_head).swapaxes(-2, -3)


def merge_heads(x: Array) -> Array:
    """Put the heads' vectors side by side again, the inverse of `split_heads`.

    x: [..., n_head, n_seq, n_dim] -> [..., n_seq, n_head · n_dim]
    """
    x = x.swapaxes(-2, -3)  # [..., n_seq, n_head, n_dim]
    return x.reshape(*x.shape[:-2], x.shape[-2] * x.shape[-1])


def multi_head_attention(x: Array, c_attn: Tensors, c_proj: Tensors, n_head: int, mask: Array | float = 0.0) -> Array:
    """Self-attention in n_head subspaces at once.

    x: [..., n_seq, n_embd] -> [..., n_seq, n_embd]. `c_attn` is a linear layer from n_embd to 3 · n_embd (queries, keys
    and values side by side), `c_proj` one from n_embd to n_embd, each a dict {"weight": ..., "bias": ...} that `linear`
    takes; `mask` as in `attention`.

    Source: Vaswani et al. 2017, section 3.2.2.
    """
    q, k, v = np.split(linear(x, **c_attn), 3, axis=-1)  # [..., n_seq, n_embd] each
    heads = attention(split_heads(q, n_head), split_heads(k, n_head), split_heads(v, n_head), mask)
    return linear(merge_heads(heads), **c_proj)


def mlp(x: Array, c_fc: Tensors, c_proj: Tensors) -> Array:
    """Widen every vector, apply GELU to each number, and narrow it again, position by position.

    x: [..., n_embd] -> [..., n_embd]. `c_fc` is a linear layer from n_embd to n_inner (4 · n_embd in GPT-2), `c_proj`
    one from n_inner to n_embd, each a dict {"weight": ..., "bias": ...} that `linear` takes.

    Source: Vaswani et al. 2017, section 3.3.
    """
    return linear(gelu(linear(x, **c_fc)), **c_proj)
