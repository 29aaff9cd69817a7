"""GPT-2 from token ids to logits, fast: the book's `gpt2` with every option of `config.json`, a cache and padding."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numpygpt.arrays import Array, Ids, Params, Tensors
from numpygpt.config import GPT2Config
from numpygpt.engine import kernels, prefill
from numpygpt.engine.cache import KVCache, LayerCache
from numpygpt.engine.kernels import ACTIVATIONS, layer_norm
from numpygpt.layers import MASKED, positional_embedding, token_embedding


def gpt2(
    ids: ArrayLike,
    wte: Tensors,
    wpe: Tensors,
    h: Sequence[Params],
    ln_f: Tensors,
    lm_head: Tensors | None = None,
    *,
    config: GPT2Config,
    cache: KVCache | None = None,
    n_pad: ArrayLike | None = None,
    logits_to_keep: int | None = None,
) -> Array:
    """GPT-2: the logits of the next token after every position.

    ids: [..., n_seq] -> [..., n_seq, n_vocab]. Call it as `gpt2(ids, **params, config=config)`.

    With a `cache`, ids follow the positions that the cache holds. `n_pad` [...] says how many ids at the start of
    each sequence are padding, which nothing attends to and which take no position: sequences of different lengths
    make a batch when `pad_left` has aligned their ends. `logits_to_keep` asks for the last positions only.
    `lm_head` holds the output weights where they are not the token embedding.

    Raises TypeError for ids that are no integers, and ValueError for no ids, an id outside the vocabulary, more ids
    than the context window or the cache hold, and a cache that was made for another batch. A call that fails leaves
    the cache as it was.
    """
    if logits_to_keep is not None and logits_to_keep < 0:
        raise ValueError(f"logits_to_keep must be at least 0, not {logits_to_keep}")
    n_past = 0 if cache is None else cache.n_seq
    least_pad = 0 if n_pad is None else int(np.min(n_pad))  # padding takes no room in the context window
    ids = config.check_ids(ids, n_past - least_pad)
    if cache is not None:
        cache.check(ids.shape[:-1], ids.shape[-1])

    def read(ids: Ids, cache: KVCache | None) -> Array:
        return residual_stream(ids, wte, wpe, h, config=config, cache=cache, n_pad=n_pad)

    x = prefill.read_in_chunks(read, ids, cache, config, wte["weight"].dtype)  # [..., n_seq, n_embd]
    logits = unembed(x[..., -(logits_to_keep or 0) :, :], wte, ln_f, lm_head, config=config)
    if cache is not None:
        cache.n_seq = n_past + ids.shape[-1]  # at the end, when nothing can fail any more
    return logits


def residual_stream(
    ids: Ids,
    wte: Tensors,
    wpe: Tensors,
    h: Sequence[Params],
    *,
    config: GPT2Config,
    cache: KVCache | None = None,
    n_pad: ArrayLike | None = None,
) -> Array:
    """Embed tokens and their positions, and let every block add to the sum: what `gpt2` makes its logits of.

    ids: [..., n_seq] -> [..., n_seq, n_embd]. `cache` and `n_pad`: as in `gpt2`.
    """
    n_past = 0 if cache is None else cache.n_seq
    n_key = n_past + ids.shape[-1]
    positions: NDArray[np.intp] = np.arange(n_past, n_key)  # [n_seq]
    mask: Array | float = 0.0
    if n_pad is not None:
        n_pad = np.asarray(n_pad)[..., None]
        mask = np.where(np.arange(n_key) < n_pad, np.float32(MASKED), np.float32(0))[..., None, None, :]
        positions = np.maximum(positions - n_pad, 0)  # [..., n_seq]
    x = token_embedding(ids, **wte) + positional_embedding(positions, **wpe)  # [..., n_seq, n_embd]
    for layer, block in enumerate(h):
        x = transformer_block(
            x,
            **block,
            n_head=config.n_head,
            mask=mask,
            eps=config.layer_norm_epsilon,
            activation=ACTIVATIONS[config.activation_function],
            scale=config.attention_scale(layer),
            cache=None if cache is None else cache.layer(layer),
        )
    return x


def transformer_block(
    x: Array,
    ln_1: Tensors,
    attn: Params,
    ln_2: Tensors,
    mlp: Params,
    *,
    n_head: int,
    mask: Array | float = 0.0,
    eps: float = 1e-5,
    activation: Callable[[Array], Array] = kernels.gelu,
    scale: float | None = None,
    cache: LayerCache | None = None,
) -> Array:
    """Do what the book's `transformer_block` does; the further arguments are those of `multi_head_attention`.

    x: [..., n_seq, n_embd] -> [..., n_seq, n_embd]
    """
    normed = layer_norm(x, **ln_1, eps=eps)
    x = x + kernels.multi_head_attention(
        normed, **attn, n_head=n_head, mask=mask, causal=True, scale=scale, cache=cache
    )
    return x + kernels.mlp(layer_norm(x, **ln_2, eps=eps), **mlp, activation=activation)


def unembed(x: Array, wte: Tensors, ln_f: Tensors, lm_head: Tensors | None = None, *, config: GPT2Config) -> Array:
    """Turn the finished residual stream into logits, with the token embedding as output weights or `lm_head`'s.

    x: [..., n_seq, n_embd] -> [..., n_seq, n_vocab]
    """
    x = layer_norm(x, **ln_f, eps=config.layer_norm_epsilon)
    return kernels.linear(x, (lm_head or wte)["weight"].T)  # [n_vocab, n_embd], transposed


def pad_left(sequences: Sequence[Sequence[int]], pad_id: int = 0) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Align the ends of sequences of different lengths: the ids and n_pad of a batch for `gpt2`.

    -> ids [batch, n_seq], n_pad [batch]

    >>> ids, n_pad = pad_left([[5, 6, 7], [8]])
    >>> ids
    array([[5, 6, 7],
           [0, 0, 8]])
    >>> n_pad
    array([0, 2])
    """
    n_seq = max(map(len, sequences))
    ids = np.array([[pad_id] * (n_seq - len(sequence)) + list(sequence) for sequence in sequences])
    return ids, np.array([n_seq - len(sequence) for sequence in sequences])
