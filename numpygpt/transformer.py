"""The original Transformer, an encoder and a decoder: from a sentence in one language to one in another.

The *encoder* reads the source, every position of which sees all others. The *decoder* writes the target as GPT-2
does, each position seeing those before it, and looks at what the encoder made of the source by *cross-attention*.
Parameters are called as in the checkpoints of Marian, a program for translation that has this very architecture:
`model.decoder.layers.0.encoder_attn.q_proj.weight` is cross-attention's matrix of queries.

Source: Vaswani et al. 2017, "Attention Is All You Need" (arXiv:1706.03762).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from numpygpt.arrays import Array, Params, Tensors
from numpygpt.layers import (
    MASKED,
    attention,
    causal_mask,
    layer_norm,
    linear,
    merge_heads,
    relu,
    split_heads,
    token_embedding,
)


def sinusoidal_encoding(n_seq: int, n_embd: int) -> Array:
    """Return the fixed encoding of positions of the original Transformer, where GPT-2 learns its own.

    -> [n_seq, n_embd]

    Columns come in pairs of one wavelength, from 2π to 10000·2π (section 3.5):

        encoding[pos, 2i]     = sin(pos / 10000^(2i / n_embd))
        encoding[pos, 2i + 1] = cos(pos / 10000^(2i / n_embd))

    >>> sinusoidal_encoding(3, 4).round(3)
    array([[ 0.   ,  1.   ,  0.   ,  1.   ],
           [ 0.841,  0.54 ,  0.01 ,  1.   ],
           [ 0.909, -0.416,  0.02 ,  1.   ]])
    """
    column = np.arange(n_embd)
    angles = np.arange(n_seq)[:, None] / 10000 ** (column // 2 * 2 / n_embd)  # [n_seq, n_embd]
    return np.where(column % 2 == 0, np.sin(angles), np.cos(angles))


def sines_first(n_seq: int, n_embd: int) -> Array:
    """Return the sinusoidal encoding with all sines before all cosines, as the checkpoints have it.

    -> [n_seq, n_embd]

    The paper's own program laid it like this. To a model that learns, one order of columns is as good as another.
    """
    encoding = sinusoidal_encoding(n_seq, n_embd)
    return np.concatenate([encoding[:, 0::2], encoding[:, 1::2]], axis=-1)


def padding_mask(ids: ArrayLike, pad_token_id: int) -> Array:
    """Return what is added to the scores so that nobody sees the padding of a batch: MASKED there, 0 elsewhere.

    ids: [..., n_seq] -> [..., 1, 1, n_seq], for every head and every query

    >>> (padding_mask([[7, 8, 9], [7, 0, 0]], pad_token_id=0) == 0).reshape(2, 3)
    array([[ True,  True,  True],
           [ True, False, False]])
    """
    return np.where(np.asarray(ids) == pad_token_id, np.float32(MASKED), np.float32(0))[..., None, None, :]


def embed(ids: ArrayLike, weight: Array) -> Array:
    """Look up every token, scale by sqrt(n_embd), and add the encoding of its position.

    ids: [..., n_seq], weight: [n_vocab, n_embd] -> [..., n_seq, n_embd]

    The scale lifts embeddings, about 1 long when training begins, to the size of the encoding (section 3.4).
    """
    n_seq, n_embd = np.shape(ids)[-1], weight.shape[-1]
    return token_embedding(ids, weight) * math.sqrt(n_embd) + sines_first(n_seq, n_embd).astype(weight.dtype)


def multi_head_attention(
    x: Array,
    memory: Array,
    q_proj: Tensors,
    k_proj: Tensors,
    v_proj: Tensors,
    out_proj: Tensors,
    n_head: int,
    mask: Array | float = 0.0,
) -> Array:
    """Ask with `x`, and find in `memory`: self-attention where both are the same, cross-attention where they are not.

    x: [..., n_query, n_embd], memory: [..., n_key, n_embd] -> [..., n_query, n_embd]. The four projections are
    linear layers from n_embd to n_embd, dicts {"weight": ..., "bias": ...} that `linear` takes.
    """
    q, k, v = linear(x, **q_proj), linear(memory, **k_proj), linear(memory, **v_proj)
    heads = attention(split_heads(q, n_head), split_heads(k, n_head), split_heads(v, n_head), mask)
    return linear(merge_heads(heads), **out_proj)


def feed_forward(x: Array, fc1: Tensors, fc2: Tensors) -> Array:
    """Widen every vector, let the positive numbers through, and narrow it again: x [..., n_embd] -> [..., n_embd]."""
    return linear(relu(linear(x, **fc1)), **fc2)


def encoder_layer(
    x: Array,
    self_attn: Params,
    self_attn_layer_norm: Params,
    fc1: Tensors,
    fc2: Tensors,
    final_layer_norm: Params,
    *,
    n_head: int,
    mask: Array | float,
) -> Array:
    """Look at the whole source, then think about each position: x [..., n_source, n_embd] -> the same.

    Layer norm comes after each sum; GPT-2 moved it into the branch. `self_attn` is a dict that `multi_head_attention`
    takes, each layer norm one for `layer_norm`, `fc1` and `fc2` are those of `feed_forward`.
    """
    x = layer_norm(x + multi_head_attention(x, x, **self_attn, n_head=n_head, mask=mask), **self_attn_layer_norm)
    return layer_norm(x + feed_forward(x, fc1, fc2), **final_layer_norm)


def decoder_layer(
    x: Array,
    memory: Array,
    self_attn: Params,
    self_attn_layer_norm: Params,
    encoder_attn: Params,
    encoder_attn_layer_norm: Params,
    fc1: Tensors,
    fc2: Tensors,
    final_layer_norm: Params,
    *,
    n_head: int,
    memory_mask: Array | float,
) -> Array:
    """Look at the target so far, then at the source, then think: x [..., n_target, n_embd] -> the same.

    memory: [..., n_source, n_embd], what the encoder made of the source; the parameters are as in `encoder_layer`
    """
    mask = causal_mask(x.shape[-2])
    x = layer_norm(x + multi_head_attention(x, x, **self_attn, n_head=n_head, mask=mask), **self_attn_layer_norm)
    found = multi_head_attention(x, memory, **encoder_attn, n_head=n_head, mask=memory_mask)
    x = layer_norm(x + found, **encoder_attn_layer_norm)
    return layer_norm(x + feed_forward(x, fc1, fc2), **final_layer_norm)


def transformer(
    source_ids: ArrayLike,
    target_ids: ArrayLike,
    model: Params,
    final_logits_bias: Array,
    *,
    n_head: int,
    pad_token_id: int,
) -> Array:
    """The original Transformer: the logits of the next target token after every position of the target.

    source_ids: [..., n_source], target_ids: [..., n_target] -> [..., n_target, n_vocab]

    `model` is the tree {"shared": {"weight": [n_vocab, n_embd]}, "encoder": {"layers": [...]}, "decoder": {"layers":
    [...]}}, whose layers are dicts that `encoder_layer` and `decoder_layer` take; final_logits_bias: [1, n_vocab].

    One table embeds source and target and gives the logits (section 3.4). In a batch, shorter rows are filled up with
    `pad_token_id` at their ends: nobody looks at a source's padding, and a target's comes after all that counts.

    >>> from numpygpt.transformer_config import TransformerConfig, initialize
    >>> params = initialize(TransformerConfig(vocab_size=9, d_model=8), seed=0)
    >>> transformer([5, 3, 6], [8, 1], **params, n_head=4, pad_token_id=7).shape
    (2, 9)
    """
    shared, mask = model["shared"]["weight"], padding_mask(source_ids, pad_token_id)
    memory = embed(source_ids, shared)
    for layer in model["encoder"]["layers"]:
        memory = encoder_layer(memory, **layer, n_head=n_head, mask=mask)
    x = embed(target_ids, shared)
    for layer in model["decoder"]["layers"]:
        x = decoder_layer(x, memory, **layer, n_head=n_head, memory_mask=mask)
    return x @ shared.T + final_logits_bias[0]
