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
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from numpygpt.files import written_whole

MAX_HEADER_BYTES = 100_000_000
MAX_TENSOR_BYTES = 2**63 - 1
MAX_AXES = 32  # what every supported NumPy can hold
ALIGNMENT = 64  # bytes: a cache line, and the widest SIMD register
WRITE_BYTES = 2**25  # tensors are cast and written in slices of this size

DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
DTYPE_NAMES = {dtype.str: name for name, dtype in DTYPES.items()}
STORED_DTYPES = {**DTYPES, "BF16": np.dtype("<u2")}  # NumPy has no bfloat16: its bits are read as integers


class SafetensorsError(ValueError):
    """A file that breaks the format's rules: the message names the file, the tensor and the rule."""


class TensorInfo(NamedTuple):
    """One tensor's entry in the header. `begin` and `end` are its `data_offsets`."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


# Reading


class SafetensorsFile(Mapping[str, NDArray[Any]]):
    """A safetensors file as a read-only mapping from names to arrays, in the order of the data.

    Opening reads and checks the header alone. Each `file[name]` maps that one tensor's part of the file
    into memory and holds on to nothing, so a loop over a file of any size needs one tensor's memory at a
    time, and `file[name][10:20]` reads those rows only. (BF16 and BOOL are read whole: NumPy lacks BF16,
    which becomes float32, exactly, and BOOL bytes are checked.) The arrays show the file as it lies on
    disk: where a tensor does not start at a multiple of its item size, `flags.aligned` is False and
    arithmetic is slow. `load_file` copies those, and is the one to use for keeping all tensors at once.

    `metadata` is the header's `__metadata__`; `shapes` and `dtypes` (the format's names, such as "F32")
    tell what is in the file without touching the data.

    Raises FileNotFoundError or IsADirectoryError for a path that is no file, and `SafetensorsError` for
    a file that breaks the format's rules or holds a type that NumPy does not have.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if self.path.is_dir():
            raise IsADirectoryError(f"{self.path} is a folder, not a safetensors file")
        if not self.path.is_file():
            raise FileNotFoundError(f"{self.path}: there is no such file")
        with self.path.open("rb") as file:
            self._identity = _identity(file)
            header = _read_header(file, str(self.path))
            self._data_start = file.tell()
            self._data_size = os.fstat(file.fileno()).st_size - self._data_start
        self.metadata, self._tensors = _parse_header(header, self._data_size, str(self.path))

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: info.shape for name, info in self._tensors.items()}

    @property
    def dtypes(self) -> dict[str, str]:
        return {name: info.dtype for name, info in self._tensors.items()}

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._tensors:
            raise KeyError(f"{self.path} has no tensor {name!r}")
        info = self._tensors[name]
        return self._decode(name, self._map(info.begin, info.end))

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def _map(self, begin: int, end: int) -> NDArray[np.uint8]:
        """Map the bytes `begin` to `end` of the data: [end - begin]."""
        with self.path.open("rb") as file:
            if _identity(file) != self._identity:
                raise SafetensorsError(f"{self.path}: the file has changed since it was opened; open it again")
            if begin == end:  # the operating system maps no empty ranges
                return np.frombuffer(b"", np.uint8)
            data = np.memmap(file, np.uint8, "r", offset=self._data_start + begin, shape=(end - begin,))
            return data.view(np.ndarray)

    def _decode(self, name: str, data: NDArray[np.uint8]) -> NDArray[Any]:
        """The tensor that the bytes `data` hold, without a copy except for BF16."""
        info = self._tensors[name]
        tensor: NDArray[Any] = data.view(STORED_DTYPES[info.dtype]).reshape(info.shape)
        if info.dtype == "BOOL" and data.max(initial=0) > 1:  # NumPy computes nonsense with such a truth value
            raise SafetensorsError(f"{self.path}: tensor {_show(name)}: a BOOL byte is neither 0 nor 1")
        if info.dtype == "BF16":
            bits = tensor.astype("<u4")
            bits <<= 16
            tensor = bits.view("<f4")
        tensor.flags.writeable = False
        return tensor


def load_file(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Load all tensors of the safetensors file at `path`: read-only arrays, in the order of the data.

    The file is mapped into memory, not read: a page comes from disk when it is first used, and programs
    that load the same file share it. Only tensors that do not start at a multiple of their item size are
    copied, because arithmetic with them would be slow, and BF16 is widened to float32. To go through a
    file that is larger than memory, use `SafetensorsFile`, which also documents the errors.
    """
    file = SafetensorsFile(path)
    data = file._map(0, file._data_size)  # one map for all: every map costs a file descriptor
    tensors = {}
    for name, info in file._tensors.items():
        tensor = file._decode(name, data[info.begin : info.end])
        if not tensor.flags.aligned:
            tensor = file[name].copy()  # from a map of its own, which goes when the copy is made
            tensor.flags.writeable = False
        tensors[name] = tensor
    return tensors


def _identity(file: BinaryIO) -> tuple[int, ...]:
    """What changes when a file is replaced or written to."""
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _read_header(file: BinaryIO, where: str) -> bytes:
    """Read the header of `file`, which is left where the data starts."""
    rest = os.fstat(file.fileno()).st_size - 8
    if rest < 0:
        raise SafetensorsError(f"{where}: the file is {rest + 8} bytes long, too short for a header")
    length = int.from_bytes(file.read(8), "little")
    if length > MAX_HEADER_BYTES:
        raise SafetensorsError(f"{where}: a header of {length} bytes; no more than {MAX_HEADER_BYTES} are allowed")
    if length > rest:
        raise SafetensorsError(f"{where}: a header of {length} bytes, but only {rest} follow; is the file truncated?")
    return file.read(length)


def _parse_header(header: bytes, data_size: int, where: str) -> tuple[dict[str, str], dict[str, TensorInfo]]:
    """Check everything that the header says, and return the metadata and the tensors in the order of the data."""
    if not header.startswith(b"{"):
        raise SafetensorsError(f"{where}: the header does not begin with '{{'; this is not a safetensors file")
    try:
        parsed = json.loads(header.decode("utf-8"), object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        raise SafetensorsError(f"{where}: the header is not valid JSON in UTF-8: {error}") from error
    entries = _unique(parsed, f"{where}: the header")
    metadata = _parse_metadata(entries.pop("__metadata__", _Pairs()), f"{where}: __metadata__")
    tensors = {
        name: _parse_tensor(entry, data_size, f"{where}: tensor {_show(name)}") for name, entry in entries.items()
    }
    for name in tensors:
        _check_unicode(name, f"{where}: tensor {_show(name)}: the name")
    tensors = dict(sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)))
    _check_coverage(tensors, data_size, where)
    return metadata, tensors


class _Pairs(tuple[tuple[str, Any], ...]):
    """A JSON object as its pairs of key and value, so that repeated keys stay visible."""


def _unique(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, _Pairs):
        raise SafetensorsError(f"{where} must be a JSON object, not {_show(value)}")
    result: dict[str, Any] = {}
    for key, item in value:
        if key in result:
            raise SafetensorsError(f"{where} has the key {_show(key)} more than once")
        result[key] = item
    return result


def _parse_metadata(value: object, where: str) -> dict[str, str]:
    metadata = _unique(value, where)
    for key, text in metadata.items():
        if not isinstance(text, str):
            raise SafetensorsError(f"{where}: {_show(key)} must be a string, not {_show(text)}")
        _check_unicode(key + text, f"{where}: {_show(key)}")
    return metadata


def _parse_tensor(value: object, data_size: int, where: str) -> TensorInfo:
    """Check one tensor's entry by itself; `_check_coverage` compares it with its neighbours."""
    entry = _unique(value, where)
    if entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise SafetensorsError(f"{where} must have dtype, shape and data_offsets, not {_show(list(entry))}")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not (isinstance(dtype, str) and dtype in STORED_DTYPES):
        raise SafetensorsError(
            f"{where}: dtype {_show(dtype)} has no equivalent in NumPy; {', '.join(STORED_DTYPES)} can be read"
        )
    if not (_is_list_of_sizes(shape) and len(shape) <= MAX_AXES):
        raise SafetensorsError(
            f"{where}: shape must be a list of at most {MAX_AXES} non-negative integers, not {_show(shape)}"
        )
    if not (_is_list_of_sizes(offsets) and len(offsets) == 2 and offsets[0] <= offsets[1]):
        raise SafetensorsError(f"{where}: data_offsets must be [begin, end] with begin <= end, not {_show(offsets)}")
    if offsets[1] > data_size:
        raise SafetensorsError(
            f"{where}: data_offsets {_show(offsets)} reach beyond the {data_size} bytes of data; is the file truncated?"
        )
    itemsize = STORED_DTYPES[dtype].itemsize
    if math.prod(max(n, 1) for n in shape) * itemsize > MAX_TENSOR_BYTES:  # NumPy wants this of empty arrays too
        raise SafetensorsError(f"{where}: shape {_show(shape)} overflows")
    if math.prod(shape) * itemsize != offsets[1] - offsets[0]:
        raise SafetensorsError(
            f"{where}: {dtype} of shape {_show(shape)} takes {math.prod(shape) * itemsize} bytes,"
            f" but data_offsets {_show(offsets)} span {offsets[1] - offsets[0]}"
        )
    return TensorInfo(dtype, tuple(shape), *offsets)


def _is_list_of_sizes(value: object) -> bool:
    return isinstance(value, list) and all(type(n) is int and n >= 0 for n in value)  # True is an int to isinstance


def _check_coverage(tensors: dict[str, TensorInfo], data_size: int, where: str) -> None:
    """Each tensor must begin where the one before it ends, and the last must end with the file."""
    covered = 0
    for name, info in tensors.items():
        if info.begin < covered:
            raise SafetensorsError(
                f"{where}: tensor {_show(name)} begins at {info.begin} and overlaps the one that ends at {covered}"
            )
        if info.begin > covered:
            raise SafetensorsError(
                f"{where}: tensor {_show(name)} begins at {info.begin} and leaves a hole: no tensor has"
                f" the {info.begin - covered} bytes before it"
            )
        covered = info.end
    if covered < data_size:
        raise SafetensorsError(f"{where}: {data_size - covered} bytes after the last tensor belong to no tensor")


def _check_unicode(text: str, where: str) -> None:
    """JSON's escapes can spell half a surrogate pair, which is no character and cannot be printed or saved."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise SafetensorsError(f"{where} is not valid Unicode text") from error


_repr = reprlib.Repr()
_repr.maxstring = 200


def _show(value: object) -> str:
    """A short `repr`: what stands in a broken file may be megabytes long, or nested too deep to print."""
    return _repr.repr(list(value) if isinstance(value, _Pairs) else value)


# Writing


def save_file(
    tensors: Mapping[str, ArrayLike],
    path: str | os.PathLike[str],
    metadata: dict[str, str] | None = None,
    *,
    dtype: DTypeLike | None = None,
) -> None:
    """Save named arrays as a safetensors file, cast to `dtype` where one is given.

    The data starts at a multiple of 64 bytes. As the format forbids gaps, tensors whose size is a
    multiple of 64 bytes come first, each then starting at one too, and the others follow, large items
    before small ones, so that all are aligned to their item size and `load_file` copies none of them.

    Each tensor is looked up twice, once for its shape and type and once for its data, and written
    in slices; from a lazy mapping such as `SafetensorsFile` no more than one tensor is in memory at a time.
    The file appears under its name when it is complete: until then an older file stays as it was, and it
    may be the file that `tensors` comes from.

    Raises TypeError for names that are not strings and arrays whose type the format lacks, ValueError for
    a name that the format forbids, and OSError where the file cannot be written.
    """
    layout = _layout(tensors, None if dtype is None else np.dtype(dtype))
    header = _header(layout, metadata or {})
    with written_whole(path) as file:
        file.write(len(header).to_bytes(8, "little"))
        file.write(header)
        for name, info in layout.items():
            _write_tensor(file, name, tensors[name], info)


def _layout(tensors: Mapping[str, ArrayLike], dtype: np.dtype[Any] | None) -> dict[str, TensorInfo]:
    """Decide each tensor's place in the data; see `save_file` for the order."""
    described = [(name, *_describe(name, tensors[name], dtype)) for name in tensors]

    def order(item: tuple[str, str, tuple[int, ...]]) -> int:
        _, dtype_name, shape = item
        itemsize = DTYPES[dtype_name].itemsize
        return -ALIGNMENT if math.prod(shape) * itemsize % ALIGNMENT == 0 else -itemsize

    layout = {}
    end = 0
    for name, dtype_name, shape in sorted(described, key=order):
        begin, end = end, end + math.prod(shape) * DTYPES[dtype_name].itemsize
        layout[name] = TensorInfo(dtype_name, shape, begin, end)
    return layout


def _describe(name: str, value: ArrayLike, dtype: np.dtype[Any] | None) -> tuple[str, tuple[int, ...]]:
    """Check a tensor, and return the format's name for the type it is saved as, and its shape."""
    if not isinstance(name, str):
        raise TypeError(f"tensor {name!r}: the name must be a string")
    if name == "__metadata__":
        raise ValueError("tensor '__metadata__': the format reserves this name")
    array = np.asarray(value)
    stored = array.dtype if dtype is None else dtype
    for kind in (array.dtype, stored):
        if _little_endian(kind) not in DTYPE_NAMES:
            raise TypeError(f"tensor {name!r}: a safetensors file cannot hold NumPy's {kind}")
    if array.ndim > MAX_AXES:
        raise ValueError(f"tensor {name!r} has {array.ndim} axes; at most {MAX_AXES} can be read back")
    return DTYPE_NAMES[_little_endian(stored)], array.shape


def _little_endian(dtype: np.dtype[Any]) -> str:
    return dtype.str.replace(">", "<")


def _header(layout: dict[str, TensorInfo], metadata: dict[str, str]) -> bytes:
    """The JSON header, padded so that the data starts at a multiple of 64 bytes."""
    for key, text in metadata.items():
        if not (isinstance(key, str) and isinstance(text, str)):
            raise TypeError(f"metadata must map strings to strings, not {key!r} to {text!r}")
    content: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    for name, info in layout.items():
        content[name] = {"dtype": info.dtype, "shape": info.shape, "data_offsets": (info.begin, info.end)}
    try:
        header = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"a name or metadata is not valid Unicode text: {error.object[:200]!a}") from error
    if len(header) > MAX_HEADER_BYTES - ALIGNMENT:
        raise ValueError(f"names, shapes and metadata take {len(header)} bytes; the format allows {MAX_HEADER_BYTES}")
    return header + b" " * (-(8 + len(header)) % ALIGNMENT)


def _write_tensor(file: BinaryIO, name: str, value: ArrayLike, info: TensorInfo) -> None:
    array = np.asarray(value)
    if array.shape != info.shape:
        raise ValueError(f"tensor {name!r} had shape {info.shape} at first and now has {array.shape}")
    for part in _slices(array):
        part = np.ascontiguousarray(part, DTYPES[info.dtype])
        file.write(part.reshape(-1).view(np.uint8).data)


def _slices(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Cut `array` into views of at most `WRITE_BYTES`, in C order."""
    if array.nbytes <= WRITE_BYTES:
        yield array
    elif len(array) == 1:
        yield from _slices(array[0])
    else:
        rows = max(1, WRITE_BYTES // array[0].nbytes)
        for start in range(0, len(array), rows):
            yield from _slices(array[start : start + rows])
