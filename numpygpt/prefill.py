"""Reading a prompt on all cores: chunks of it pass through the blocks one behind the other, as on an assembly line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from numpygpt import model, threads
from numpygpt.layers import Array
from numpygpt.model import GPT2Config, KVCache, LayerCache, residual_stream, unembed

CHUNK = 256  # tokens in an average chunk at most, of all sequences together
SHORTEST = 96  # tokens of each sequence in an average chunk at least; of 2 · 64, two threads make no more than BLAS


class LayerTurn(LayerCache):
    """One layer's cache as one chunk sees it: the same memory, of which it has the positions from n_seq on.

    Its keys and values wait until those of the chunk before, if there is one, are `done`.
    """

    def __init__(self, layer: LayerCache, n_seq: int, before: Event | None) -> None:
        self.keys, self.values, self.n_seq = layer.keys, layer.values, n_seq
        self.before, self.done = before, Event()

    def append(self, k: Array, v: Array) -> tuple[Array, Array]:
        """Remember k and v when it is this chunk's turn, and return all keys and values up to its end."""
        if self.before:
            self.before.wait()
        seen = super().append(k, v)
        self.done.set()
        return seen


class Turn(KVCache):
    """The model's cache as the chunk sees it that starts at position n_seq."""

    def __init__(self, cache: KVCache, n_seq: int, before: Turn | None) -> None:
        self.batch_shape, self.n_ctx = cache.batch_shape, cache.n_ctx
        done_before: Sequence[Event | None] = before.done if before else [None] * len(cache.layers)
        turns = [LayerTurn(layer, n_seq, done) for layer, done in zip(cache.layers, done_before, strict=True)]
        self.layers: list[LayerCache] = [*turns]
        self.done: list[Event] = [turn.done for turn in turns]

    def end(self) -> None:
        """Let nobody wait for this chunk any longer."""
        for done in self.done:
            done.set()


def chunk_bounds(n_sequences: int, n_seq: int, n_threads: int, n_past: int, n_embd: int) -> list[int]:
    """Say where to cut the n_seq positions behind n_past others into chunks of equal work, as many for every thread.

    In every layer a token costs 12 · n_embd² multiplications with matrices, and 2 · n_embd for each position that it
    attends to, which run at about half the speed. So the later chunks are shorter.

    >>> chunk_bounds(n_sequences=1, n_seq=1000, n_threads=2, n_past=0, n_embd=768)
    [0, 287, 545, 781, 1000]
    >>> chunk_bounds(n_sequences=1, n_seq=100, n_threads=2, n_past=0, n_embd=768)  # too few to share out
    [0, 100]
    """
    n_chunks = n_threads * math.ceil(n_sequences * n_seq / (n_threads * CHUNK)) if n_threads > 1 else 1
    n_chunks = max(1, min(n_chunks, n_seq // SHORTEST))
    position = np.arange(n_past, n_past + n_seq + 1)
    work = position + position**2 / (6 * n_embd)  # of all tokens before this one
    bounds: list[int] = np.searchsorted(work, np.linspace(work[0], work[-1], n_chunks + 1)).tolist()
    return bounds


def gpt2(
    ids: ArrayLike,
    *,
    config: GPT2Config,
    cache: KVCache,
    n_pad: ArrayLike | None = None,
    logits_to_keep: int = 0,
    **params: Any,
) -> Array:
    """Do what `numpygpt.gpt2` does, with several chunks of a long prompt at a time, each in a thread.

    A chunk needs of those before it only their keys and values. So it may enter a layer as soon as the one before has
    left its own there, and follows it from layer to layer; meanwhile that one goes on to the next. A prompt of 1000
    tokens is read 1.2 times as fast so, on two cores.

    ids: [..., n_seq] -> [..., n_seq, n_vocab]. There must be a cache; all else, and what is raised, as there.

    Source: Li et al. 2021, "TeraPipe: Token-Level Pipeline Parallelism" (arXiv:2102.07988), section 3, for training.
    """
    ids = np.atleast_1d(ids)
    n_past, n_seq = cache.n_seq, ids.shape[-1]
    is_long = n_seq >= 2 * SHORTEST and params["h"][0]["mlp"]["c_fc"]["weight"].size >= threads.WORTHWHILE
    n_threads = threads.n_threads() if is_long else 1
    bounds = chunk_bounds(math.prod(ids.shape[:-1]), n_seq, n_threads, n_past, config.n_embd)
    if len(bounds) == 2 or n_past + n_seq > cache.n_ctx or logits_to_keep < 0:
        return model.gpt2(ids, **params, config=config, cache=cache, n_pad=n_pad, logits_to_keep=logits_to_keep)
    turns: list[Turn] = []
    for start in bounds[:-1]:
        turns.append(Turn(cache, n_past + start, turns[-1] if turns else None))

    def read(chunk: int) -> Array:
        trunk = {name: params[name] for name in ("wte", "wpe", "h")}
        some_ids = ids[..., bounds[chunk] : bounds[chunk + 1]]
        try:
            return residual_stream(some_ids, **trunk, config=config, cache=turns[chunk], n_pad=n_pad)
        finally:
            turns[chunk].end()  # after an error too, or the chunks behind would wait forever

    x = np.concatenate(threads.share_out(read, range(len(turns))), axis=-2)  # [..., n_seq, n_embd]
    for layer in cache.layers:
        layer.n_seq = n_past + n_seq
    head = {name: params[name] for name in ("wte", "ln_f", "lm_head") if name in params}
    return unembed(x[..., -logits_to_keep:, :], **head, config=config)
