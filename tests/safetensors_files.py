"""Files in the safetensors format, right and wrong, and tensors to put into them."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

Tensors = dict[str, NDArray[Any]]

TEXTS = st.text(max_size=20)
NAMES = TEXTS.filter(lambda name: name != "__metadata__")
ARRAYS = hnp.arrays(
    dtype=st.one_of(
        hnp.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
        hnp.integer_dtypes(endianness="?"),
        hnp.unsigned_integer_dtypes(endianness="?"),
        hnp.boolean_dtypes(),
    ),
    shape=hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
)
TENSORS = st.dictionaries(NAMES, ARRAYS, max_size=6)
METADATA = st.dictionaries(TEXTS, TEXTS, max_size=3)


def file_bytes(header: bytes | str | dict[str, Any], data: bytes = b"") -> bytes:
    """A file by the specification, from a header that need not be valid."""
    if isinstance(header, dict):
        header = json.dumps(header)
    if isinstance(header, str):
        header = header.encode()
    return struct.pack("<Q", len(header)) + header + data


def assert_same(loaded: Tensors, saved: Tensors) -> None:
    assert loaded.keys() == saved.keys()
    for name, array in saved.items():
        assert loaded[name].shape == array.shape, name
        assert loaded[name].dtype == array.dtype.newbyteorder("="), name
        np.testing.assert_array_equal(loaded[name], array, err_msg=name)
