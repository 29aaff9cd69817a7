"""The parts of GPT-2, as plain functions of arrays, from the simple to the composed.

Leading axes are free everywhere: `x` may be one sequence `[n_seq, n_embd]` or a batch
`[batch, n_seq, n_embd]`. A parameter is called what the published
checkpoint (`model.safetensors` on the Hugging Face hub) calls its tensor: the tensors
`h.0.mlp.c_fc.weight` and `h.0.mlp.c_fc.bias` arrive here as `mlp(x, c_fc={"weight": ..., "bias": ...}, ...)`.

Sources: Vaswani et al. 2017, "Attention Is All You Need" (arXiv:1706.03762); Radford et al. 2019,
"Language Models are Unsupervised Multitask Learners" (the GPT-2 paper); and the released code,
https://github.com/openai/gpt-2/blob/master/src/model.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numpygpt import threads

if TYPE_CHECKING:
    from numpygpt.model import LayerCache

Array = NDArray[Any]  # of floats: float32 everywhere in use, float64 where the arithmetic is checked
Tensors = dict[str, Array]  # the tensors of one layer, by name: {"weight": ..., "bias": ...}

QUERY_BLOCK = 128  # queries attended at once; bounds the scores to [n_head, QUERY_BLOCK, n_key]
MASKED = -1e30  # a score that softmax turns into 0; finite, so that a row of nothing else gives no NaN


def token_embedding(ids: ArrayLike, weight: Array) -> Array:
    """Look up one row of the embedding table for every token.

    ids: [..., n_seq] integers, weight (`wte`): [n_vocab, n_embd] -> [..., n_seq, n_embd]

    Raises TypeError if ids are not integers and ValueError if one is not in the vocabulary.

    >>> token_embedding([2, 0], np.array([[0.0, 0.1], [1.0, 1.1], [2.0, 2.1]]))
    array([[2. , 2.1],
           [0. , 0.1]])
    """
    ids = np.asarray(ids)
    if not np.issubdtype(ids.dtype, np.integer):
        raise TypeError(f"token ids must be integers, not {ids.dtype}; a tokenizer's encode makes them from text")
    outside = ids[(ids < 0) | (ids >= len(weight))]
    if outside.size:
        raise ValueError(
            f"token id {outside[0]} is outside the vocabulary of {len(weight)} tokens (0 to {len(weight) - 1}); "
            "encode the text with the tokenizer of this model"
        )
    embedded: Array = weight[ids]
    return embedded


def positional_embedding(positions: ArrayLike, weight: Array) -> Array:
    """Look up one learned vector for every position, as GPT-2 does.

    positions: [..., n_seq] integers, weight (`wpe`): [n_ctx, n_embd] -> [..., n_seq, n_embd]

    Raises ValueError if a position lies outside the context window.
    """
    positions = np.asarray(positions)
    if positions.size and not 0 <= positions.min() <= positions.max() < len(weight):
        raise ValueError(
            f"{positions.max() + 1} tokens do not fit the context window of {len(weight)}; shorten the text"
        )
    embedded: Array = weight[positions]
    return embedded


def sinusoidal_encoding(n_seq: int, n_embd: int) -> Array:
    """Return the fixed encoding of positions of the original Transformer, beside which GPT-2 learns its own.

    -> [n_seq, n_embd]

    Columns come in pairs of one wavelength, from 2π to 10000·2π (Vaswani et al. 2017, section 3.5):

        encoding[pos, 2i]     = sin(pos / 10000^(2i / n_embd))
        encoding[pos, 2i + 1] = cos(pos / 10000^(2i / n_embd))

    >>> sinusoidal_encoding(3, 4).round(3)
    array([[ 0.   ,  1.   ,  0.   ,  1.   ],
           [ 0.841,  0.54 ,  0.01 ,  1.   ],
           [ 0.909, -0.416,  0.02 ,  1.   ]])
    """
    angles = np.arange(n_seq)[:, None] / 10000 ** (np.arange(0, n_embd, 2) / n_embd)  # [n_seq, ceil(n_embd / 2)]
    encoding = np.empty((n_seq, n_embd))
    encoding[:, 0::2] = np.sin(angles)
    encoding[:, 1::2] = np.cos(angles[:, : n_embd // 2])
    return encoding


def layer_norm(x: Array, weight: Array, bias: Array, eps: float = 1e-5) -> Array:
    """Give every vector mean 0 and variance 1, then a learned scale and shift.

        layer_norm(x) = (x - mean(x)) / sqrt(variance(x) + eps) * weight + bias

    x: [..., n_embd], weight: [n_embd], bias: [n_embd] -> [..., n_embd]

    Source: Ba et al. 2016, "Layer Normalization" (arXiv:1607.06450), section 3.

    >>> layer_norm(np.array([1.0, 2.0, 3.0]), weight=np.ones(3), bias=np.zeros(3)).round(3)
    array([-1.225,  0.   ,  1.225])
    """
    n_embd = x.shape[-1]
    centred: Array = x - x.sum(axis=-1, keepdims=True) / n_embd
    variance = np.square(centred).sum(axis=-1, keepdims=True) / n_embd
    centred /= np.sqrt(variance + eps)
    centred *= weight
    centred += bias
    return centred


def gelu(x: Array) -> Array:
    """Gaussian error linear unit in the tanh form that GPT-2 was trained with.

        gelu(x) = x / 2 · (1 + tanh(sqrt(2 / π) · (x + 0.044715 · x³)))

    x: [...] -> [...]

    Source: Hendrycks & Gimpel 2016 (arXiv:1606.08415), section 2.

    >>> gelu(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.1588,  0.    ,  0.8412])
    """
    y = x * (math.sqrt(2 / math.pi) * 0.044715)  # then in place: with new arrays each step would wait for memory
    y *= x
    y += math.sqrt(2 / math.pi)
    y *= x  # sqrt(2 / π) · (x + 0.044715 · x³)
    np.tanh(y, out=y)
    y += 1
    y *= x
    y *= 0.5
    return y


def gelu_exact(x: Array) -> Array:
    """Gaussian error linear unit in its exact form, which some fine-tuned GPT-2s name as their activation.

        gelu_exact(x) = x · Φ(x) = x / 2 · (1 + erf(x / sqrt(2)))

    x: [...] -> [...]

    NumPy has no erf, so this calls Python's for every number, at about a hundredth of the speed of `gelu`.

    Source: Hendrycks & Gimpel 2016 (arXiv:1606.08415), section 2.

    >>> gelu_exact(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.1587,  0.    ,  0.8413])
    """
    erf = np.vectorize(math.erf, otypes=[x.dtype])
    y: Array = x / 2 * (1 + erf(x / math.sqrt(2)))
    return y


def softmax(x: Array, out: Array | None = None) -> Array:
    """Turn scores into probabilities along the last axis.

        softmax(x)_i = exp(x_i) / Σ_j exp(x_j)

    x: [..., n] -> [..., n], each row positive with sum 1; written to `out` where given, which may be x itself

    Subtracting the largest score first changes nothing in the formula and keeps exp from overflowing.

    >>> softmax(np.array([0.0, math.log(3.0)]))
    array([0.25, 0.75])
    """
    y: Array = np.exp(np.subtract(x, x.max(axis=-1, keepdims=True), out=out), out=out)
    y /= y.sum(axis=-1, keepdims=True)
    return y


def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """Multiply by a matrix and add a vector, if there is one: `x @ weight + bias`.

    x: [..., n_in], weight: [n_in, n_out], bias: [n_out] -> [..., n_out]

    GPT-2 stores its matrices as [n_in, n_out], the transpose of torch.nn.Linear's.

    >>> linear(np.array([1.0, 2.0]), weight=np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]), bias=np.ones(3))
    array([2., 3., 4.])
    """
    rows = x.reshape(-1, x.shape[-1])  # one product of all rows: BLAS would run [batch, 1, n_in] as `batch` products
    y = threads.product(rows, weight)  # rows @ weight
    if bias is not None:
        y += bias
    return y.reshape(*x.shape[:-1], weight.shape[-1])


def causal_mask(n_seq: int) -> Array:
    """Return what is added to the scores so that no position sees a later one: 0 up to the diagonal, MASKED above.

    -> [n_seq, n_seq], a row for every query, a column for every key
    """
    return np.triu(np.full((n_seq, n_seq), MASKED, np.float32), k=1)


def attention(q: Array, k: Array, v: Array, *, mask: Array | None = None, scale: float | None = None) -> Array:
    """Scaled dot-product attention with a causal mask.

        attention(q, k, v) = softmax(q · kᵀ / sqrt(n_dim) + mask) · v

    q: [..., n_query, n_dim], k: [..., n_key, n_dim], v: [..., n_key, n_dim] -> [..., n_query, n_dim]

    The queries belong to the last n_query of the n_key positions, and each sees its own position and those
    before it. `mask`, broadcast to [..., n_query, n_key], is added as well: 0 keeps a key, MASKED hides it.
    `scale` replaces 1 / sqrt(n_dim).

    Source: Vaswani et al. 2017, section 3.2.1.

    >>> x = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> attention(x, x, x).round(2)  # the first position sees itself alone
    array([[1.  , 0.  ],
           [0.33, 0.67]])
    """
    n_query, n_key = q.shape[-2], k.shape[-2]
    if n_query > QUERY_BLOCK:  # by halves: to the earlier queries, the later ones' keys are hidden and left out
        half = n_query // 2
        n_seen = n_key - (n_query - half)
        early_mask, late_mask = None, None
        if mask is not None:
            mask = np.broadcast_to(mask, (*mask.shape[:-2], n_query, n_key))
            early_mask, late_mask = mask[..., :half, :n_seen], mask[..., half:, :]
        early = attention(q[..., :half, :], k[..., :n_seen, :], v[..., :n_seen, :], mask=early_mask, scale=scale)
        late = attention(q[..., half:, :], k, v, mask=late_mask, scale=scale)
        return np.concatenate([early, late], axis=-2)
    if scale is None:
        scale = 1 / math.sqrt(q.shape[-1])
    scores = (q * scale) @ k.swapaxes(-1, -2)  # [..., n_query, n_key]
    if n_query > 1:
        scores[..., -n_query:] += causal_mask(n_query)  # every query may see all keys left of this square
    if mask is not None:
        scores += mask
    scores -= scores.max(axis=-1, keepdims=True)  # from here on softmax(scores) @ v, its division left for the end:
    np.exp(scores, out=scores)
    mixed: Array = scores @ v
    mixed /= scores.sum(axis=-1, keepdims=True)  # n_dim numbers a query instead of n_key, 5% of a prompt of 1000
    return mixed


def split_heads(x: Array, n_head: int) -> Array:
    """Cut every vector into n_head parts and bring the heads in front of the positions, as a view.

    x: [..., n_seq, n_embd] -> [..., n_head, n_seq, n_embd / n_head]
    """
    return x.reshape(*x.shape[:-1], n_head, x.shape[-1] // n_head).swapaxes(-2, -3)


def multi_head_attention(
    x: Array,
    c_attn: Tensors,
    c_proj: Tensors,
    n_head: int,
    *,
    cache: LayerCache | None = None,
    mask: Array | None = None,
    scale: float | None = None,
) -> Array:
    """Causal self-attention in n_head subspaces at once.

    x: [..., n_seq, n_embd], c_attn: n_embd -> 3 · n_embd (query, key and value side by side),
    c_proj: n_embd -> n_embd; result [..., n_seq, n_embd]

    With a `cache`, x holds only the positions that come after those in the cache, sees them too, and is
    remembered there. `mask`: [..., 1, 1, n_key], `scale`: as in `attention`.

    Source: Vaswani et al. 2017, section 3.2.2.
    """
    qkv = split_heads(linear(x, **c_attn), 3 * n_head)  # [..., 3 · n_head, n_seq, n_dim]
    q, k, v = (qkv[..., first : first + n_head, :, :] for first in (0, n_head, 2 * n_head))
    if cache is not None:
        k, v = cache.append(k, v)
    heads = attention(q, k, v, mask=mask, scale=scale)  # [..., n_head, n_seq, n_dim]
    merged = heads.swapaxes(-2, -3).reshape(x.shape)  # [..., n_seq, n_embd]: the heads' results side by side
    return linear(merged, **c_proj)


def mlp(x: Array, c_fc: Tensors, c_proj: Tensors, activation: Callable[[Array], Array] = gelu) -> Array:
    """Widen every vector, bend it, and narrow it again, position by position.

    x: [..., n_embd], c_fc: n_embd -> n_inner (4 · n_embd in GPT-2), c_proj: n_inner -> n_embd; result [..., n_embd]

    Source: Vaswani et al. 2017, section 3.3.
    """
    return linear(activation(linear(x, **c_fc)), **c_proj)
