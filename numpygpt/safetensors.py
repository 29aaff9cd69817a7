"""The safetensors file format: named arrays in one file, checked before they are used.

A file has three parts, one after the other, with nothing between them and nothing behind:

1. 8 bytes: the length of the header in bytes, an unsigned little-endian integer.
2. The header: a JSON object in UTF-8. It begins with ``{`` and may be padded with spaces at its end.
   For each tensor it holds ``"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}``.
   The offsets count bytes from the end of the header, and ``end`` is one past the last byte. The one
   name with another meaning is ``"__metadata__"``: an object of strings for whatever the writer
   wants to say, usually ``{"format": "pt"}``.
3. The data: each tensor's elements, little-endian, in C order (the last axis runs fastest).

The names of the element types are F64, F32, F16 and BF16 for floats, I8 to I64 and U8 to U64 for
integers, and BOOL (a byte, 0 or 1). BF16 is the upper half of an F32.

Names must not repeat, and the tensors must cover the data exactly: ranges that overlap, leave a hole,
leave bytes over at the end, or do not have the length that shape and type ask for make the file invalid.
So does a header of more than 100 MB. A reader that checks this runs no code from the file, as unpickling
would, and no number in the file makes it allocate more than the file's own length justifies.

Source: the "Format" section of https://github.com/huggingface/safetensors, and the checks in its reader
(``safetensors/src/tensor.rs``). A whole file by hand, and read back:

>>> import pathlib, struct, tempfile
>>> header = b'{"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}'
>>> with tempfile.TemporaryDirectory() as folder:
...     path = pathlib.Path(folder, "x.safetensors")
...     _ = path.write_bytes(struct.pack("<Q", len(header)) + header + struct.pack("<2f", 1.0, -0.5))
...     load_file(path)["x"].tolist()
[1.0, -0.5]
"""

from __future__ import annotations

import json
import math
import os
import reprlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from numpygpt.files import atomic_write

MAX_HEADER_BYTES = 100_000_000
MAX_TENSOR_BYTES = 2**63 - 1
MAX_AXES = 32  # what every supported NumPy can hold
ALIGNMENT = 64  # bytes: a cache line, and the widest SIMD register
WRITE_BYTES = 2**25  # tensors are cast and written in slices of this size

_ITEM_BYTES = {"F": (8, 4, 2), "I": (8, 4, 2, 1), "U": (8, 4, 2, 1)}
DTYPES: dict[str, np.dtype[Any]] = {
    f"{kind}{8 * size}": np.dtype(f"<{kind.lower()}{size}") for kind, sizes in _ITEM_BYTES.items() for size in sizes
}
DTYPES["BOOL"] = np.dtype("?")
DTYPE_NAMES = {dtype.str: name for name, dtype in DTYPES.items()}
STORED_DTYPES = {**DTYPES, "BF16": np.dtype("<u2")}  # NumPy has no bfloat16: its bits are read as integers

Entry = dict[str, Any]  # what the header says of a tensor: {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}


class SafetensorsError(ValueError):
    """A file that breaks the format's rules: the message names the file, the tensor and the rule."""


class SafetensorsFile(Mapping[str, NDArray[Any]]):
    """A safetensors file as a read-only mapping from names to arrays, in the order of the data.

    Opening reads and checks the header alone. Each `file[name]` maps that one tensor's part of the file into memory
    and holds on to nothing: a loop over a file of any size needs one tensor's memory at a time, and
    `file[name][10:20]` loads those rows only. Tensors are read instead, whole, where the drive cannot map or the data
    does not start at a multiple of 8 bytes, as arithmetic would be slow then. BF16 becomes float32, exactly.

    `metadata` is the header's `__metadata__`; `shapes` and `dtypes` (the format's names, such as "F32") tell
    what is in the file without touching the data.

    Raises FileNotFoundError or IsADirectoryError for a path that is no file, and `SafetensorsError` for a file
    that breaks the format's rules, holds a type that NumPy does not have, or has changed since it was opened.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        with self.path.open("rb") as file:
            self._identity = _identity(file)
            try:
                header = _read_header(file)
                self._data_start = file.tell()
                self._data_size = os.fstat(file.fileno()).st_size - self._data_start
                self.metadata, self._entries = _parse_header(header, self._data_size)
            except SafetensorsError as error:
                raise SafetensorsError(f"{self.path}: {error}") from error.__cause__
        self.shapes = {name: tuple(entry["shape"]) for name, entry in self._entries.items()}
        self.dtypes = {name: entry["dtype"] for name, entry in self._entries.items()}

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._decode(name, self._bytes(*self._entries[name]["data_offsets"]))

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def _bytes(self, begin: int, end: int) -> NDArray[np.uint8]:
        """The bytes `begin` to `end` of the data, [end - begin], mapped if possible."""
        with self.path.open("rb") as file:
            if _identity(file) != self._identity:
                raise SafetensorsError(f"{self.path}: the file has changed since it was opened; open it again")
            start, size = self._data_start + begin, end - begin
            if size and self._data_start % 8 == 0:  # the operating system maps no empty ranges
                with suppress(OSError):  # some file systems map none, and say ENODEV
                    return np.memmap(file, np.uint8, "r", offset=start, shape=(size,)).view(np.ndarray)
            file.seek(start)
            return np.frombuffer(file.read(size), np.uint8)

    def _decode(self, name: str, data: NDArray[np.uint8]) -> NDArray[Any]:
        """The tensor that the bytes `data` hold, a copy only where they are BF16 or not aligned."""
        dtype = self.dtypes[name]
        tensor: NDArray[Any] = np.require(data.view(STORED_DTYPES[dtype]).reshape(self.shapes[name]), requirements="A")
        if dtype == "BOOL" and data.max(initial=0) > 1:  # NumPy computes nonsense with such a truth value
            raise SafetensorsError(f"{self.path}: tensor {_show(name)}: a BOOL byte is neither 0 nor 1")
        if dtype == "BF16":
            tensor = np.left_shift(tensor, 16, dtype="<u4").view("<f4")
        tensor.flags.writeable = False
        return tensor


def load_file(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Load all tensors of the safetensors file at `path`: read-only arrays, in the order of the data.

    The file is mapped into memory, not read: a page comes from disk when it is first used, and programs that load
    the same file share it. `SafetensorsFile` documents the errors and what is copied, and is the one to use to go
    through a file that is larger than memory.
    """
    file = SafetensorsFile(path)
    data = file._bytes(0, file._data_size)  # one map for all: every map costs a file descriptor
    return {name: file._decode(name, data[slice(*entry["data_offsets"])]) for name, entry in file._entries.items()}


def _identity(file: BinaryIO) -> tuple[int, ...]:
    """What changes when a file is replaced or written to."""
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _read_header(file: BinaryIO) -> bytes:
    """Read the header of `file`, which is left where the data starts."""
    length, limit = int.from_bytes(file.read(8), "little"), min(os.fstat(file.fileno()).st_size - 8, MAX_HEADER_BYTES)
    if length > limit:
        raise SafetensorsError(f"a header of {length} bytes, where {max(limit, 0)} are possible; is it truncated?")
    return file.read(length)


def _parse_header(header: bytes, data_size: int) -> tuple[dict[str, str], dict[str, Entry]]:
    """Check everything that the header says, and return the metadata and the tensors in the order of the data."""
    if not header.startswith(b"{"):
        raise SafetensorsError("the header does not begin with '{'; this is not a safetensors file")
    try:
        entries = json.loads(header.decode("utf-8"), object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise SafetensorsError(f"the header is not valid JSON in UTF-8: {error}") from error
    metadata = entries.pop("__metadata__", {})
    if not (isinstance(metadata, dict) and all(isinstance(text, str) for text in metadata.values())):
        raise SafetensorsError(f"__metadata__ must be an object of strings, not {_show(metadata)}")
    for name, entry in entries.items():
        _check_entry(entry, data_size, f"tensor {_show(name)}")
    entries = dict(sorted(entries.items(), key=lambda item: item[1]["data_offsets"]))
    covered = 0
    for name, entry in entries.items():
        begin, end = entry["data_offsets"]
        if begin != covered:
            fault = "overlaps the one" if begin < covered else "leaves a hole after the one"
            raise SafetensorsError(f"tensor {_show(name)} begins at {begin} and {fault} that ends at {covered}")
        covered = end
    if covered < data_size:
        raise SafetensorsError(f"{data_size - covered} bytes after the last tensor belong to no tensor")
    return metadata, entries


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, checked for keys that repeat and for text with half a character in it (an escape like D800)."""
    content: dict[str, Any] = {}
    for key, value in pairs:
        f"{key}{value if isinstance(value, str) else ''}".encode()
        if key in content:
            raise ValueError(f"the key {_show(key)} is there more than once")
        content[key] = value
    return content


def _check_entry(entry: Any, data_size: int, where: str) -> None:
    """Check what the header says of one tensor, by itself."""
    if not (isinstance(entry, dict) and entry.keys() == {"dtype", "shape", "data_offsets"}):
        raise SafetensorsError(f"{where} must have dtype, shape and data_offsets alone, not {_show(entry)}")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not (isinstance(dtype, str) and dtype in STORED_DTYPES):
        raise SafetensorsError(f"{where}: dtype {_show(dtype)} is none of {', '.join(STORED_DTYPES)}")
    if not (_are_sizes(shape) and len(shape) <= MAX_AXES):
        raise SafetensorsError(f"{where}: shape must be a list of at most {MAX_AXES} sizes, not {_show(shape)}")
    if not (_are_sizes(offsets) and len(offsets) == 2 and offsets[0] <= offsets[1]):
        raise SafetensorsError(f"{where}: data_offsets must be [begin, end] with begin <= end, not {_show(offsets)}")
    if offsets[1] > data_size:
        raise SafetensorsError(f"{where}: data_offsets beyond the {data_size} bytes of data; is the file truncated?")
    itemsize = STORED_DTYPES[dtype].itemsize
    if math.prod(max(n, 1) for n in shape) * itemsize > MAX_TENSOR_BYTES:  # NumPy wants this of empty arrays too
        raise SafetensorsError(f"{where}: shape {_show(shape)} overflows")
    if (size := math.prod(shape) * itemsize) != offsets[1] - offsets[0]:
        raise SafetensorsError(f"{where}: {dtype} {shape} takes {size} bytes, but data_offsets are {offsets}")


def _are_sizes(value: object) -> bool:
    return isinstance(value, list) and all(type(n) is int and n >= 0 for n in value)  # True is an int to isinstance


_repr = reprlib.Repr()
_repr.maxstring = 200
_show = _repr.repr  # a short one: what stands in a broken file may be megabytes long, or nested too deep to print


def save_file(
    tensors: Mapping[str, ArrayLike],
    path: str | os.PathLike[str],
    metadata: dict[str, str] | None = None,
    *,
    dtype: DTypeLike | None = None,
) -> None:
    """Save named arrays as a safetensors file, cast to `dtype` where one is given.

    The data starts at a multiple of 64 bytes. As the format forbids gaps, tensors whose size is a multiple of 64
    bytes come first, each then starting at one too, and the others follow, large items before small ones, so that all
    are aligned to their item size and `load_file` copies none of them.

    Each tensor is looked up twice, for its shape and type and for its data, and written in slices; from a lazy
    mapping such as `SafetensorsFile` no more than one tensor is in memory at a time. The file appears under its name
    when it is complete: until then an older file stays as it was, and it may be the file that `tensors` comes from.

    Raises TypeError for names that are not strings and arrays whose type the format lacks, ValueError for a name that
    the format forbids, and OSError where the file cannot be written.
    """
    entries = _layout({name: _describe(name, tensors[name], dtype) for name in tensors})
    header = _header(entries, metadata or {})
    with atomic_write(path) as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for name, entry in entries.items():
            array = np.asarray(tensors[name])
            if array.shape != entry["shape"]:
                raise ValueError(f"tensor {name!r} had shape {entry['shape']} at first and now has {array.shape}")
            items = array.reshape(-1)
            step = max(1, WRITE_BYTES // array.itemsize)
            for start in range(0, array.size, step):
                file.write(np.ascontiguousarray(items[start : start + step], DTYPES[entry["dtype"]]).data)


def _describe(name: str, value: ArrayLike, dtype: DTypeLike | None) -> Entry:
    """Check a tensor, and return its entry in a file that holds no other."""
    if not isinstance(name, str):
        raise TypeError(f"tensor {name!r}: the name must be a string")
    if name == "__metadata__":
        raise ValueError("tensor '__metadata__': the format reserves this name")
    array = np.asarray(value)
    stored = array.dtype if dtype is None else np.dtype(dtype)
    for kind in (array.dtype, stored):
        if kind.newbyteorder("<").str not in DTYPE_NAMES:
            raise TypeError(f"tensor {name!r}: a safetensors file cannot hold NumPy's {kind}")
    if array.ndim > MAX_AXES:
        raise ValueError(f"tensor {name!r} has {array.ndim} axes; at most {MAX_AXES} can be read back")
    dtype_name = DTYPE_NAMES[stored.newbyteorder("<").str]
    return {"dtype": dtype_name, "shape": array.shape, "data_offsets": (0, array.size * stored.itemsize)}


def _layout(entries: dict[str, Entry]) -> dict[str, Entry]:
    """Give each tensor its place in the data; see `save_file` for the order."""
    end = 0
    sizes = {name: (entry["data_offsets"][1], -DTYPES[entry["dtype"]].itemsize) for name, entry in entries.items()}
    ordered = {
        name: entries[name] for name in sorted(entries, key=lambda n: (sizes[n][0] % ALIGNMENT > 0, sizes[n][1]))
    }
    for entry in ordered.values():
        begin, end = end, end + entry["data_offsets"][1]
        entry["data_offsets"] = begin, end
    return ordered


def _header(entries: dict[str, Entry], metadata: dict[str, str]) -> bytes:
    """The JSON header, padded so that the data starts at a multiple of 64 bytes."""
    for key, text in metadata.items():
        if not (isinstance(key, str) and isinstance(text, str)):
            raise TypeError(f"metadata must map strings to strings, not {key!r} to {text!r}")
    content = ({"__metadata__": metadata} if metadata else {}) | entries
    try:
        header = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"a name or metadata is not valid Unicode text: {error.object[:200]!a}") from error
    if len(header) > MAX_HEADER_BYTES - ALIGNMENT:
        raise ValueError(f"names, shapes and metadata take {len(header)} bytes; the format allows {MAX_HEADER_BYTES}")
    return header + b" " * (-(8 + len(header)) % ALIGNMENT)
