"""Arrays as text that a page can hold: little-endian numbers in base64, with their type and shape."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import numpy as np

from numpygpt.arrays import Array

Packed = dict[str, Any]  # {"dtype": ..., "shape": ..., "data": base64}; shares have a "scale" to divide by
LEVELS = 255  # of a share in 8 bits
FLOAT16_MAX = 65504


def pack(array: Array, dtype: str) -> Packed:
    """Write an array as base64, in the given type; float16 becomes float32 where it has no number so large.

    >>> pack(np.array([1, 2]), "int32")
    {'dtype': 'int32', 'shape': [2], 'data': 'AQAAAAIAAAA='}
    """
    if dtype == "float16" and np.abs(array).max(initial=0) > FLOAT16_MAX:
        dtype = "float32"
    data = np.ascontiguousarray(array, np.dtype(dtype).newbyteorder("<"))
    return {"dtype": dtype, "shape": list(array.shape), "data": b64encode(data.tobytes()).decode("ascii")}


def pack_shares(array: Array) -> Packed:
    """Write numbers from 0 to 1 in 8 bits, each within 1/510 of what it was.

    >>> pack_shares(np.array([0.0, 1.0]))
    {'dtype': 'uint8', 'shape': [2], 'data': 'AP8=', 'scale': 255}
    """
    return pack(np.rint(array * LEVELS), "uint8") | {"scale": LEVELS}
