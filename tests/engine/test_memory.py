"""Weights in memory of our own: the same numbers, in one piece, in the order in which they are read."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from model_folders import CONFIG, random_params

from numpygpt import GPT2
from numpygpt.arrays import Array, flatten
from numpygpt.config import GPT2Config, parameter_shapes
from numpygpt.engine import memory
from numpygpt.models import checkpoint

LARGE = GPT2Config(vocab_size=3000, n_ctx=64, n_embd=512, n_layer=2, n_head=2)  # matrices for all cores


class Made(Mapping[str, Array]):
    """Tensors that are made when they are looked up."""

    def __init__(self, shapes: dict[str, tuple[int, ...]]) -> None:
        self.shapes = shapes

    def __getitem__(self, name: str) -> Array:
        return np.full(self.shapes[name], len(name), np.float32)

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)


def piece(array: Array) -> Array:
    """The memory that an array is a view of."""
    return array if not isinstance(array.base, np.ndarray) else piece(array.base)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("config", [CONFIG, LARGE], ids=["small", "large"])
def test_every_number_is_in_its_place(config: GPT2Config, dtype: type, tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "model", config, random_params(config), None, dtype=dtype)
    model, mapped = (GPT2.from_pretrained(tmp_path / "model", memory_map=map_it) for map_it in (False, True))
    tensors, others = flatten(model.params), flatten(mapped.params)
    assert tensors.keys() == others.keys()
    assert len({id(piece(tensor)) for tensor in tensors.values()}) == 1
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(tensor, others[name], name)
        assert tensor.dtype == np.float32
        assert tensor.ctypes.data % 64 == next(iter(tensors.values())).ctypes.data % 64
        is_matrix = name.startswith("h.") and tensor.ndim == 2
        assert tensor.flags.f_contiguous if is_matrix else tensor.flags.c_contiguous
    ids = np.arange(16).reshape(2, 8)
    np.testing.assert_allclose(model.logits(ids), mapped.logits(ids), rtol=0, atol=1e-4)


def test_memory_for_the_result_and_one_tensor_more() -> None:
    shapes = parameter_shapes(LARGE)
    sizes = [4 * int(np.prod(shape)) for shape in shapes.values()]
    tracemalloc.start()
    try:
        loaded = memory.load(Made(shapes), shapes, np.float32)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < sum(sizes) + max(sizes) + 100_000
    assert all((tensor == len(name)).all() for name, tensor in loaded.items())


FAULTS = """
import resource
import numpy as np
from numpygpt.engine import memory

kept = memory.keep_freed_memory()
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    array = np.ones(100 << 17)  # 100 MiB
    assert array.sum() == array.size
    del array
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(kept, faults)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="for glibc's malloc")
@pytest.mark.parametrize(("variables", "is_kept"), [({}, True), ({"MALLOC_TOP_PAD_": "0"}, False)])
def test_freed_memory_serves_the_next_array(variables: dict[str, str], is_kept: bool) -> None:
    """No page of it comes from the system twice; and options of the environment are left alone."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    output = subprocess.check_output([sys.executable, "-c", FAULTS], env=outside | variables, text=True)
    kept, faults = output.split()
    assert kept == str(is_kept)
    assert (int(faults) < 20) == is_kept  # 50 pages of 2 MiB or 25,600 of 4 KiB, where the system gives them anew
