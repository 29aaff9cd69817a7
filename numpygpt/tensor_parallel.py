"""One token through the model in several processes at once, each with its share of every matrix: tensor parallelism.

A decoded token takes as long as the weights take to cross memory, and one core does not get all that memory gives.
NumPy's products use several cores, but what lies between two products runs on one, and threads of our own would come
too late: a product is over in 0.3 ms, and in Python a thread waits for another asleep. A process has an interpreter of
its own. It can watch, without a pause, memory that it shares with others; they exchange results in microseconds.

All processes hold all parameters, mapped from the same file, and do what `model.gpt2` does. But of a product, each
computes what belongs to its own rows of the matrix and its own part of the input; then they add up their results. Of
the attention heads, each has its own.

It takes Linux on x86-64, where what a process writes first, the others see first. Other processors would have to be
told, and Python cannot.

Source: Shoeybi et al. 2019, "Megatron-LM: Training Multi-Billion Parameter Language Models Using Model Parallelism"
(arXiv:1909.08053), section 3. There, every other matrix is cut by columns, and results are added up half as often; here
memory is near, and rows lie in one piece.
"""

from __future__ import annotations

import contextlib
import math
import os
import platform
import subprocess
import sys
import time
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from mmap import mmap
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numpygpt import checkpoint, prefill
from numpygpt.layers import Array, Tensors, attention, layer_norm
from numpygpt.model import ACTIVATIONS, GPT2Config, KVCache, LayerCache, Params

POSSIBLE = sys.platform == "linux" and platform.machine() == "x86_64"
WATCH = 0.02  # seconds that a helper looks out for the next token before it sleeps
LOOKS = 5_000  # at the shared memory between two at anything else: 0.5 ms
LINE = 8  # integers of 8 bytes in a line of the cache; no two processes write to the same


class SharedMemory:
    """What the processes see of each other: all that they write while they decode.

    order: [0] the number of the last token that was ordered, [1] its id, [2] its position
    arrived: [rank · LINE] how many barriers each process has come to
    keys and values: [n_layer, 2, n_head, n_ctx, n_dim]
    parts: [2, world_size, widest] what is to be added up, by turns in the first half and the second
    logits: [n_vocab]
    """

    def __init__(self, file_descriptor: int, config: GPT2Config, world_size: int) -> None:
        n_dim = config.n_embd // config.n_head
        widest = max(3 * config.n_embd, config.n_inner or 4 * config.n_embd)
        shapes = [
            (config.n_layer, 2, config.n_head, config.n_ctx, n_dim),
            (2, world_size, widest),
            (config.vocab_size,),
        ]
        n_counters = LINE * (1 + world_size)
        n_bytes = 8 * n_counters + 4 * sum(map(math.prod, shapes))
        os.truncate(file_descriptor, n_bytes)  # to the size that it may have already
        memory = mmap(file_descriptor, n_bytes)
        counters = memoryview(memory)[: 8 * n_counters].cast("q")
        self.order, self.arrived = counters[:LINE], counters[LINE:]
        ends = np.cumsum([math.prod(shape) for shape in shapes])
        arrays = np.split(np.frombuffer(memory, np.float32, offset=8 * n_counters), ends[:-1])
        self.keys_and_values, self.parts, self.logits = (
            array.reshape(shape) for array, shape in zip(arrays, shapes, strict=True)
        )


def share_of(n: int, rank: int, world_size: int) -> slice:
    """Return what falls to one of world_size processes of n things in a row.

    >>> [share_of(25, rank, 2) for rank in range(2)]
    [slice(0, 12, None), slice(12, 25, None)]
    """
    return slice(n * rank // world_size, n * (rank + 1) // world_size)


class Worker:
    """One process' part in the decoding of one sequence: number `rank` of `world_size`, as PyTorch calls them.

    `waiting` is called from time to time while it waits for the others.
    """

    def __init__(
        self,
        params: Params,
        config: GPT2Config,
        memory: SharedMemory,
        rank: int,
        world_size: int,
        waiting: Callable[[], None],
    ) -> None:
        self.params, self.config, self.memory = params, config, memory
        self.rank, self.world_size, self.waiting = rank, world_size, waiting
        self.heads = self.mine(config.n_head)
        self.caches = [LayerCache(keys[self.heads], values[self.heads]) for keys, values in memory.keys_and_values]
        self.n_barriers = 0

    def mine(self, n: int) -> slice:
        """Return this process' share of n things."""
        return share_of(n, self.rank, self.world_size)

    def arrive(self) -> None:
        """Say to the others that this process is here."""
        self.n_barriers += 1
        self.memory.arrived[self.rank * LINE] = self.n_barriers

    def barrier(self) -> None:
        """Wait until all processes are here."""
        self.arrive()
        arrived, looks = self.memory.arrived, 0
        for other in range(0, self.world_size * LINE, LINE):
            while arrived[other] < self.n_barriers:
                looks += 1
                if looks % LOOKS == 0:
                    self.waiting()

    def linear(self, x: Array, rows: slice, weight: Array, bias: Array) -> Array:
        """`layers.linear`, of this process' part of the input: x [n_rows] -> [n_out], the same in all processes.

        einsum reads the matrix in one stream, row after row, where BLAS reads four rows side by side: when two
        processes read at once, a matrix of 768 columns comes 1.4 times as fast so. Adding up what all have, for all, is
        an all-reduce.
        """
        half = self.n_barriers % 2  # the others may be reading the other half yet
        parts = self.memory.parts[half, :, : len(bias)]  # [world_size, n_out]
        np.einsum("i,io->o", x, weight[rows], out=parts[self.rank])
        self.barrier()
        y: Array = parts.sum(axis=0)
        y += bias
        return y

    def multi_head_attention(self, x: Array, c_attn: Tensors, c_proj: Tensors, layer: int) -> Array:
        """`layers.multi_head_attention` of one position: x [n_embd] -> [n_embd]."""
        mine = self.mine(len(x))
        qkv = self.linear(x[mine], mine, **c_attn)  # [3 · n_embd]
        q, k, v = qkv.reshape(3, self.config.n_head, 1, -1)[:, self.heads]  # each [n_heads of this process, 1, n_dim]
        k, v = self.caches[layer].append(k, v)
        heads = attention(q, k, v, scale=self.config.attention_scale(layer))
        n_dim = heads.shape[-1]
        rows = slice(self.heads.start * n_dim, self.heads.stop * n_dim)
        return self.linear(heads.reshape(-1), rows, **c_proj)

    def mlp(self, x: Array, c_fc: Tensors, c_proj: Tensors) -> Array:
        """`layers.mlp` of one position: x [n_embd] -> [n_embd]."""
        mine = self.mine(len(x))
        inner = self.linear(x[mine], mine, **c_fc)  # [n_inner]
        mine = self.mine(len(inner))
        return self.linear(ACTIVATIONS[self.config.activation_function](inner[mine]), mine, **c_proj)

    def decode(self, token_id: int, position: int) -> None:
        """Put the logits of what follows one token into the shared memory: `model.gpt2`, together with the others."""
        eps = self.config.layer_norm_epsilon
        x: Array = self.params["wte"]["weight"][token_id] + self.params["wpe"]["weight"][position]  # [n_embd]
        for layer, block in enumerate(self.params["h"]):
            self.caches[layer].n_seq = position
            x = x + self.multi_head_attention(layer_norm(x, **block["ln_1"], eps=eps), **block["attn"], layer=layer)
            x = x + self.mlp(layer_norm(x, **block["ln_2"], eps=eps), **block["mlp"])
        x = layer_norm(x, **self.params["ln_f"], eps=eps)
        output_weight = (self.params.get("lm_head") or self.params["wte"])["weight"]  # [n_vocab, n_embd]
        mine = self.mine(len(output_weight))
        np.einsum("oi,i->o", output_weight[mine], x, out=self.memory.logits[mine])  # [n_vocab] of all
        self.barrier()


class HelperError(Exception):
    """A helper is no longer there."""


class LentCache(KVCache):
    """A cache for one sequence whose memory all processes see, until `select` moves it elsewhere."""

    def __init__(self, memory: SharedMemory, batch_shape: Sequence[int]) -> None:
        self.batch_shape = tuple(batch_shape)
        both = memory.keys_and_values
        self.n_ctx = both.shape[-2]
        both = both.reshape(*both.shape[:2], *batch_shape, *both.shape[2:])
        self.layers = [LayerCache(keys, values) for keys, values in both]
        self.is_shared = True

    def select(self, rows: ArrayLike) -> None:
        """Make a batch of the sequences `rows`, in memory of its own."""
        super().select(rows)
        self.is_shared = False


class Team:
    """This process and its helpers, which load the same folder.

    `cache` and `gpt2` stand for `KVCache` and `prefill.gpt2` in a decode loop, and are what they are where several
    processes are of no use: for more than one token or sequence at a time.
    """

    def __init__(self, folder: str | os.PathLike[str], params: Params, config: GPT2Config, n_processes: int) -> None:
        """Start the helpers: n_processes in all, this one among them.

        Raises ValueError for more processes than cores or heads, and OSError where the platform is none that can.
        """
        if not POSSIBLE:
            raise OSError(
                f"several processes need Linux on x86-64, not {sys.platform} on {platform.machine()}; use one"
            )
        n_cores = len(os.sched_getaffinity(0))
        if not 2 <= n_processes <= min(n_cores, config.n_head):
            raise ValueError(
                f"{n_processes} processes cannot share this model out; it has {config.n_head} heads and this program "
                f"may use {n_cores} cores, and there must be one for each process"
            )
        self.params, self.config = params, config
        self.helpers: list[subprocess.Popen[bytes]] = []
        self._pid = os.getpid()
        weakref.finalize(self, _end, self.helpers, self._pid)
        file_descriptor = os.memfd_create("numpygpt")
        try:
            self._memory = SharedMemory(file_descriptor, config, n_processes)
            for rank in range(1, n_processes):
                arguments = (os.path.abspath(folder), file_descriptor, rank, n_processes, self._pid)
                self.helpers.append(_start_helper(arguments))
        finally:
            os.close(file_descriptor)
        self._worker = Worker(params, config, self._memory, 0, n_processes, waiting=partial(_wake, self.helpers))
        self._borrower: Callable[[], LentCache | None] = lambda: None
        self._lock = Lock()

    def cache(self, batch_shape: Sequence[int] = (), n_ctx: int | None = None) -> KVCache:
        """Return a cache for `gpt2`: for one sequence the one that is shared, if nobody else has it."""
        with self._lock:
            is_free = self._is_able() and self._borrower() is None
            if not is_free or math.prod(batch_shape) != 1 or (n_ctx or 0) > self.config.n_ctx:
                return KVCache(self.config, batch_shape, n_ctx)
            cache = LentCache(self._memory, batch_shape)
            self._borrower = weakref.ref(cache)
            return cache

    def gpt2(self, ids: ArrayLike, *, cache: KVCache, n_pad: ArrayLike | None = None, logits_to_keep: int = 0) -> Array:
        """Do what `prefill.gpt2` does with the model's parameters; one token with all processes."""
        ids = np.asarray(ids)
        is_shared = isinstance(cache, LentCache) and cache.is_shared and cache is self._borrower() and n_pad is None
        if is_shared and self._is_a_token(ids) and cache.n_seq < cache.n_ctx and self._decode(ids.item(), cache):
            return self._memory.logits.copy().reshape(*ids.shape, -1)
        return prefill.gpt2(
            ids, **self.params, config=self.config, cache=cache, n_pad=n_pad, logits_to_keep=logits_to_keep
        )

    def _is_a_token(self, ids: NDArray[Any]) -> bool:
        return ids.size == 1 and ids.dtype.kind in "iu" and 0 <= ids.item() < self.config.vocab_size

    def _is_able(self) -> bool:
        return bool(self.helpers) and os.getpid() == self._pid  # not in a fork: its parent gives the orders

    def _decode(self, token_id: int, cache: KVCache) -> bool:
        """Put the next logits into the shared memory; return False if a helper is not there."""
        if not self._is_able():
            return False
        order = self._memory.order
        try:
            if self._worker.n_barriers == 0:
                self._worker.barrier()  # when they have loaded the weights
            order[1], order[2] = token_id, cache.n_seq
            order[0] += 1
            self._worker.decode(token_id, cache.n_seq)
        except HelperError as error:
            self.close()
            warnings.warn(f"{error}; going on with one process", RuntimeWarning, stacklevel=2)
            return False
        except BaseException:  # above all Ctrl-C: the processes no longer wait for each other at the same place
            self.close()
            raise
        for layer in cache.layers:
            layer.n_seq += 1
        return True

    def close(self) -> None:
        """End the helpers. What is left is one process, as without them."""
        _end(self.helpers, self._pid)


def _start_helper(arguments: tuple[str, int, int, int, int]) -> subprocess.Popen[bytes]:
    path = list(map(str, sys.path))
    code = f"import sys; sys.path[:] = {path}; from numpygpt.tensor_parallel import help_out; help_out{arguments}"
    helper = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[arguments[1]],
        start_new_session=True,  # Ctrl-C is not for them
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
    )
    assert helper.stdin
    os.set_blocking(helper.stdin.fileno(), False)
    return helper


def _wake(helpers: list[subprocess.Popen[bytes]]) -> None:
    """Let helpers go on that may be asleep. Raises HelperError where there is one no more."""
    for helper in helpers:
        if helper.poll() is not None:
            raise HelperError(f"a helper process has ended with status {helper.returncode}")
        assert helper.stdin
        with contextlib.suppress(BrokenPipeError, BlockingIOError):  # it has ended this moment; it will wake anyway
            os.write(helper.stdin.fileno(), b".")


def _end(helpers: list[subprocess.Popen[bytes]], pid: int) -> None:
    if os.getpid() != pid:  # in a fork, whose parent may need them
        return
    for helper in helpers:
        helper.kill()  # it has nothing to lose
        helper.communicate()
    helpers.clear()


def help_out(folder: str, file_descriptor: int, rank: int, world_size: int, parent: int) -> None:
    """Be a helper: decode what is ordered, until the process that gives the orders ends."""
    config = checkpoint.load_config(folder)
    params = checkpoint.load_params(folder, config)
    memory = SharedMemory(file_descriptor, config, world_size)

    def waiting() -> None:
        if os.getppid() != parent:
            raise SystemExit

    worker = Worker(params, config, memory, rank, world_size, waiting)
    worker.arrive()
    for token_id, position in _orders(memory):
        worker.decode(token_id, position)


def _orders(memory: SharedMemory) -> Iterator[tuple[int, int]]:
    n_done = 0
    until = time.monotonic() + WATCH
    while True:
        for _ in range(LOOKS):
            if memory.order[0] != n_done:
                n_done += 1
                yield memory.order[1], memory.order[2]
                until = time.monotonic() + WATCH
        if time.monotonic() > until and not os.read(0, 4096):  # asleep until it is woken, or the others have ended
            return
