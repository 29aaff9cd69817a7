"""The keys and values that a model remembers, so that it reads no token twice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from numpygpt.arrays import Array
from numpygpt.config import GPT2Config


class LayerCache:
    """One layer's keys and values, [..., n_head, n_ctx, n_dim] each, as one pass of the model sees them.

    The first n_seq positions are remembered; the pass writes behind them.
    """

    def __init__(self, keys: Array, values: Array, n_seq: int) -> None:
        self.keys, self.values, self.n_seq = keys, values, n_seq

    def append(self, k: Array, v: Array) -> tuple[Array, Array]:
        """Write k and v [..., n_head, n_new, n_dim], and return all keys and values up to them, as views."""
        end = self.n_seq + k.shape[-2]
        self.keys[..., self.n_seq : end, :] = k
        self.values[..., self.n_seq : end, :] = v
        return self.keys[..., :end, :], self.values[..., :end, :]


class KVCache:
    """The keys and values of every layer, so that a position is computed once however many follow it.

    Pass the same cache with every next chunk of ids: `gpt2(ids[:5], ..., cache=cache)` and then
    `gpt2(ids[5:], ..., cache=cache)` give the logits of `gpt2(ids, ...)`. The memory for `n_ctx` positions
    (the model's context window, if None) of every sequence in `batch_shape` is set aside at the start. `dtype` is
    best that of the parameters. `n_seq` is the number of positions remembered; a call that fails leaves it as it was.
    """

    def __init__(
        self,
        config: GPT2Config,
        batch_shape: Sequence[int] = (),
        n_ctx: int | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.batch_shape = tuple(batch_shape)
        self.n_ctx = config.n_ctx if n_ctx is None else n_ctx
        self.n_seq = 0
        shape = (*self.batch_shape, config.n_head, self.n_ctx, config.n_embd // config.n_head)
        self.memory = np.empty((config.n_layer, 2, *shape), dtype)  # in one piece, so that NumPy asks for large pages

    def __repr__(self) -> str:
        return (
            f"<KVCache: {self.n_seq} of {self.n_ctx} positions, batch {self.batch_shape}, {self.memory.nbytes:,} bytes>"
        )

    def layer(self, number: int) -> LayerCache:
        """Return one layer's part, for one pass of the model."""
        keys, values = self.memory[number]
        return LayerCache(keys, values, self.n_seq)

    def check(self, batch_shape: Sequence[int], n_new: int) -> None:
        """Raise ValueError where ids [*batch_shape, n_new] cannot follow what is remembered."""
        if self.batch_shape != tuple(batch_shape):
            raise ValueError(f"the cache was made for a batch of shape {self.batch_shape}, not {tuple(batch_shape)}")
        if (n_seq := self.n_seq + n_new) > self.n_ctx:
            raise ValueError(f"{n_seq} tokens do not fit the cache, made for {self.n_ctx}; make it with a larger n_ctx")

    def truncate(self, n_seq: int) -> None:
        """Forget all positions but the first `n_seq`. Raises ValueError for a negative number."""
        if n_seq < 0:
            raise ValueError(f"a cache can be cut to 0 positions or more, not to {n_seq}")
        self.n_seq = min(self.n_seq, n_seq)

    def select(self, rows: ArrayLike) -> None:
        """Make a batch of the sequences `rows` of this one, [batch, ...]; some may be left out or repeated.

        Raises IndexError where there is no such row.
        """
        memory = self.memory[:, :, np.asarray(rows)]
        self.memory, self.batch_shape = memory, memory.shape[2:-3]
