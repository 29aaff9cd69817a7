"""Weights in memory of our own, laid out as decoding reads them fastest.

A token is decoded in the time that its weights take to come from memory, and two things decide how fast they come:

- *Pages.* Large pieces of memory come from NumPy in pages of 2 MiB where Linux gives such, a mapped file in pages of
  4 KiB; the processor looks up where a page is 500 times as often.
- *Layout.* `x @ weight` is the inner product of x with every column of [n_in, n_out]. Stored column by column (Fortran
  order), each of them is one run of memory.

The results of a layer need memory for a moment. glibc, the C library of most Linux systems, gives large arrays back to
the system when they are freed, and asks for memory anew with the next layer; the system clears every page before it
hands it out. So `load` asks the library to keep some.
"""

from __future__ import annotations

import ctypes
import math
import os
from collections.abc import Mapping
from functools import cache

import numpy as np
from numpy.typing import DTypeLike

from numpygpt.arrays import Array
from numpygpt.engine import threads

MATRICES = (".c_attn.weight", ".c_proj.weight", ".c_fc.weight")  # of x @ weight; the embedding is used transposed
ALIGNMENT = 64  # bytes: a cache line
BLOCK_ROWS = 16  # turned at once: as many rows as make a cache line of a column

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # names of `mallopt`, from glibc's malloc.h
KEPT = 2**29  # bytes of freed memory at most; the logits of 1000 tokens of gpt2 and their keys and values take half
LARGEST_KEPT, LARGEST_ALLOWED = 2**28, 2**25  # bytes of one array; the second where glibc allows no more


def load(tensors: Mapping[str, Array], shapes: Mapping[str, tuple[int, ...]], dtype: DTypeLike) -> dict[str, Array]:
    """Copy tensors, each looked up once, into one piece of memory: the same names, shapes and numbers, as `dtype`.

    At any time there is memory for all of the result and one of the originals. Afterwards, the process keeps some of
    the memory that it frees (`keep_freed_memory`).
    """
    step = ALIGNMENT // np.dtype(dtype).itemsize
    sizes = {name: math.ceil(math.prod(shape) / step) * step for name, shape in shapes.items()}
    memory = np.empty(sum(sizes.values()), dtype)
    loaded: dict[str, Array] = {}
    begin = 0
    for name, shape in shapes.items():
        is_turned = name.endswith(MATRICES)
        piece = memory[begin : begin + math.prod(shape)].reshape(shape[::-1] if is_turned else shape)
        loaded[name] = piece.T if is_turned else piece
        begin += sizes[name]
    for name, target in loaded.items():
        _copy(tensors[name], target, name.endswith(MATRICES))
    keep_freed_memory()
    return loaded


@cache
def keep_freed_memory() -> bool:
    """Let this process keep about half a gigabyte of what it frees, for the next arrays, and say whether it does.

    It does where the C library is glibc, unless the environment has options for its `malloc` (any `MALLOC_…`, or
    `GLIBC_TUNABLES`). The memory of large arrays that exist already, such as weights, is still given back.

    Source: mallopt(3), the manual page.
    """
    if any(name == "GLIBC_TUNABLES" or name.startswith("MALLOC_") for name in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another system, or another library
        return False
    is_set = mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT) or mallopt(M_MMAP_THRESHOLD, LARGEST_ALLOWED)
    return bool(is_set and mallopt(M_TRIM_THRESHOLD, KEPT))


def _copy(source: Array, target: Array, is_turned: bool) -> None:
    """Copy an array on all cores, a few rows at a time."""
    if source.size < threads.WORTHWHILE:
        target[...] = source
        return
    n_rows = BLOCK_ROWS if is_turned else max(1, threads.WORTHWHILE // source.shape[-1])

    def copy(share: int) -> None:
        first, end = (len(source) * i // threads.n_threads() for i in (share, share + 1))
        for start in range(first, end, n_rows):
            rows = slice(start, min(start + n_rows, end))
            target[rows] = source[rows]

    threads.parallel_map(copy, range(threads.n_threads()))
