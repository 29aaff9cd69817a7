"""The file format: what is saved loads, here and in the `safetensors` library, and nothing broken does."""

from __future__ import annotations

import errno
import json
import os
import stat
import struct
import subprocess
import sys
import textwrap
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import ArrayLike, NDArray

from numpygpt import safetensors
from numpygpt.safetensors import SafetensorsError, SafetensorsFile, load_file, save_file

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


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("safetensors") / "model.safetensors"


@pytest.fixture(scope="session")
def official() -> Any:
    return pytest.importorskip("safetensors.numpy", reason="compares with the safetensors library")


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


# What is saved loads


@given(TENSORS, METADATA)
@settings(deadline=None)
def test_save_and_load(path: Path, tensors: Tensors, metadata: dict[str, str]) -> None:
    save_file(tensors, path, metadata)
    loaded = load_file(path)
    assert_same(loaded, tensors)
    assert all(array.flags.aligned and not array.flags.writeable for array in loaded.values())
    file = SafetensorsFile(path)
    assert file.metadata == metadata
    assert_same(dict(file), tensors)
    assert file.shapes == {name: tensors[name].shape for name in file}
    assert list(file) == list(loaded)


@given(TENSORS, METADATA)
@settings(deadline=None)
def test_official_library_loads_what_we_save(
    path: Path, official: Any, tensors: Tensors, metadata: dict[str, str]
) -> None:
    save_file(tensors, path, metadata)
    assert_same(official.load_file(path), tensors)
    safe_open = pytest.importorskip("safetensors").safe_open
    with safe_open(path, framework="numpy") as file:
        assert (file.metadata() or {}) == metadata


@given(TENSORS, METADATA)
@settings(deadline=None)
def test_we_load_what_the_official_library_saves(
    path: Path, official: Any, tensors: Tensors, metadata: dict[str, str]
) -> None:
    # The library's own limits: versions differ in what they make of big-endian and Fortran order, and
    # a file with no tensor and an empty metadata object comes out as broken JSON.
    tensors = {name: np.array(array, array.dtype.newbyteorder("="), order="C") for name, array in tensors.items()}
    path.write_bytes(official.save(tensors, metadata or None))
    assert_same(load_file(path), tensors)
    assert SafetensorsFile(path).metadata == metadata


def test_views_of_any_layout(tmp_path: Path) -> None:
    base = np.arange(120.0).reshape(4, 5, 6)
    tensors: Tensors = {
        "transposed": base.T,
        "strided": base[::2, ::-1, 1::3],
        "broadcast": np.broadcast_to(np.float32(7), (3, 4)),
        "big-endian": base.astype(">i2"),
        "longlong": np.arange(3, dtype=np.longlong),
        "scalar": np.array(2.5, np.float16),
        "empty": np.zeros((3, 0, 2)),
    }
    save_file(tensors, tmp_path / "x.safetensors")
    assert_same(load_file(tmp_path / "x.safetensors"), tensors)


def test_array_likes(tmp_path: Path) -> None:
    values: dict[str, ArrayLike] = {"list": [[1.5, 2.5]], "number": 3}
    save_file(values, str(tmp_path / "x.safetensors"))
    loaded = load_file(str(tmp_path / "x.safetensors"))
    assert loaded["list"].tolist() == [[1.5, 2.5]]
    assert loaded["number"].shape == ()
    assert loaded["number"] == 3


def test_order_and_alignment(tmp_path: Path) -> None:
    tensors: Tensors = {
        "bytes": np.ones(3, np.uint8),
        "floats": np.ones(5, np.float32),
        "full": np.ones((4, 16), np.float32),
        "doubles": np.ones(3, np.float64),
        "halves": np.ones(32, np.float16),
    }
    path = tmp_path / "x.safetensors"
    save_file(tensors, path)
    loaded = load_file(path)
    assert list(loaded) == ["full", "halves", "doubles", "floats", "bytes"]
    raw = path.read_bytes()
    assert (8 + struct.unpack("<Q", raw[:8])[0]) % 64 == 0
    assert all(loaded[name].ctypes.data % 64 == 0 for name in ("full", "halves"))


def test_nothing_is_copied_from_an_aligned_file(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"a": np.ones(3), "b": np.ones((4, 4), np.float32)}, path)
    for array in load_file(path).values():
        base: Any = array
        while isinstance(base.base, np.ndarray):
            base = base.base
        assert isinstance(base, np.memmap)
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


@pytest.mark.parametrize("dtype", ["F16", "F32", "F64", "I64", "BF16"])
def test_a_file_like_openais_whose_data_starts_at_an_odd_byte(tmp_path: Path, dtype: str) -> None:
    stored = safetensors.STORED_DTYPES[dtype]
    values = np.arange(1, 7, dtype=stored)
    header = json.dumps({"x": {"dtype": dtype, "shape": [2, 3], "data_offsets": [0, values.nbytes]}})
    header += " " * (1 - len(header) % 2)
    path = tmp_path / "x.safetensors"
    path.write_bytes(file_bytes(header, values.tobytes()))
    if dtype == "BF16":
        values = (values.astype(np.uint32) << 16).view(np.float32)
    x = load_file(path)["x"]
    assert x.flags.aligned
    assert not x.flags.writeable
    np.testing.assert_array_equal(x, values.reshape(2, 3))
    np.testing.assert_array_equal(SafetensorsFile(path)["x"][1], values[3:])
    save_file(SafetensorsFile(path), tmp_path / "aligned.safetensors")
    assert_same(dict(SafetensorsFile(tmp_path / "aligned.safetensors")), {"x": x})


def test_bf16_by_hand(tmp_path: Path) -> None:
    bits = np.array([0x3F80, 0xC000, 0x0000, 0x8000, 0x7F80, 0x0001, 0x4049], np.uint16)
    path = tmp_path / "x.safetensors"
    path.write_bytes(
        file_bytes({"x": {"dtype": "BF16", "shape": [7], "data_offsets": [0, 14]}}, bits.astype("<u2").tobytes())
    )
    x = load_file(path)["x"]
    assert x.dtype == np.float32
    assert x.tolist() == [1.0, -2.0, 0.0, -0.0, np.inf, 2.0**-133, 3.140625]
    assert np.signbit(x[3])
    assert SafetensorsFile(path).dtypes == {"x": "BF16"}


def test_bf16_from_torch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    save_torch = pytest.importorskip("safetensors.torch").save_file
    x = torch.arange(2**16, dtype=torch.int32).to(torch.int16).view(torch.bfloat16).reshape(256, 256)
    save_torch({"x": x}, tmp_path / "x.safetensors")
    expected = x.to(torch.float32).numpy().view(np.uint32)
    ours = load_file(tmp_path / "x.safetensors")["x"].view(np.uint32)
    nan = np.isnan(expected.view(np.float32))  # a conversion may change which NaN it is
    np.testing.assert_array_equal(ours[~nan], expected[~nan])
    assert np.isnan(ours.view(np.float32)[nan]).all()


# Rejections: what the file is, what the error says, and whether the official library rejects it too


def entry(dtype: Any = "F32", shape: Any = (1,), data_offsets: Any = (0, 4), **more: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": data_offsets, **more}


def text(value: Any) -> str:
    return json.dumps(value)


F, D = entry(), bytes(4)
BROKEN: dict[str, tuple[bytes, str, bool]] = {
    "empty file": (b"", "0 bytes long", True),
    "short file": (b"\x00" * 7, "7 bytes long", True),
    "no header": (b"\x00" * 8, "does not begin with '{'", True),
    "header longer than the file": (struct.pack("<Q", 3) + b"{}", "only 2 follow", True),
    "header far too long": (struct.pack("<Q", 2**64 - 1) + b"{}", "18446744073709551615 bytes", True),
    "header not UTF-8": (file_bytes(b'{"\xff": 1}'), "not valid JSON in UTF-8", True),
    "header not JSON": (file_bytes(b'{"a": '), "not valid JSON in UTF-8", True),
    "header with more after it": (file_bytes(b"{} {}"), "not valid JSON in UTF-8", True),
    "header an array": (file_bytes(b"[]"), "does not begin with '{'", True),
    "header begins with a space": (file_bytes(b" {}"), "does not begin with '{'", False),
    "header with a byte order mark": (file_bytes(b"\xef\xbb\xbf{}"), "does not begin with '{'", True),
    "header nested deep": (file_bytes(b'{"a":' + b"[" * 100_000), "not valid JSON", True),
    "header nested deep in objects": (file_bytes(b'{"a":' * 100_000), "not valid JSON", True),
    "integer of many digits": (
        file_bytes(text({"a": F}).replace("[1]", "[1" + "0" * 5000 + "]"), D),
        "not valid JSON",
        True,
    ),
    "integer of 4000 digits": (
        file_bytes(text({"a": F}).replace("[1]", "[1" + "0" * 4000 + "]"), D),
        "'a': shape .* overflows",
        True,
    ),
    "pickle": (b"\x80\x04K*.", "5 bytes long", True),
    "zip": (b"PK\x03\x04" + bytes(60), "header of", True),
    "duplicate tensor": (
        file_bytes(f'{{"a": {text(F)}, "a": {text(F)}}}', D),
        "the header has the key 'a' more than once",
        False,
    ),
    "duplicate tensor in other spelling": (
        file_bytes(f'{{"a": {text(F)}, "\\u0061": {text(F)}}}', D),
        "the header has the key 'a' more than once",
        False,
    ),
    "duplicate dtype": (
        file_bytes('{"a": {"dtype": "F32", "dtype": "I32", "shape": [1], "data_offsets": [0, 4]}}', D),
        "'a' has the key 'dtype' more than once",
        True,
    ),
    "duplicate metadata": (file_bytes('{"__metadata__": {}, "__metadata__": {}}'), "__metadata__", True),
    "duplicate key in metadata": (
        file_bytes('{"__metadata__": {"k": "1", "k": "2"}}'),
        "__metadata__ has the key 'k' more than once",
        False,
    ),
    "metadata a string": (file_bytes({"__metadata__": "x"}), "__metadata__ must be a JSON object", True),
    "metadata null": (file_bytes({"__metadata__": None}), "__metadata__ must be a JSON object", False),
    "metadata a number": (file_bytes({"__metadata__": {"k": 1}}), "'k' must be a string", True),
    "metadata nested": (file_bytes({"__metadata__": {"k": {}}}), "'k' must be a string", True),
    "metadata a half character": (file_bytes({"__metadata__": {"k": "\ud800"}}), "not valid Unicode", True),
    "tensor a list": (file_bytes({"a": ["F32", [1], [0, 4]]}, D), "'a' must be a JSON object", False),
    "tensor null": (file_bytes({"a": None}), "'a' must be a JSON object", True),
    "name a half character": (file_bytes({"\ud800": F}, D), "not valid Unicode", True),
    "no dtype": (file_bytes({"a": {"shape": [1], "data_offsets": [0, 4]}}, D), "'a' must have dtype", True),
    "no shape": (file_bytes({"a": {"dtype": "F32", "data_offsets": [0, 4]}}, D), "'a' must have dtype", True),
    "no offsets": (file_bytes({"a": {"dtype": "F32", "shape": [1]}}, D), "'a' must have dtype", True),
    "unknown field": (file_bytes({"a": entry(order="C")}, D), "'a' must have dtype", False),
    "unknown dtype": (
        file_bytes({"a": entry("F33")}, D),
        "'a': dtype 'F33' has no equivalent in NumPy; F64, F32",
        True,
    ),
    "dtype that NumPy lacks": (file_bytes({"a": entry("F8_E4M3", [4])}, D), "'a': dtype 'F8_E4M3'", False),
    "dtype in small letters": (file_bytes({"a": entry("f32")}, D), "'a': dtype 'f32'", True),
    "dtype a number": (file_bytes({"a": entry(32)}, D), "'a': dtype 32", True),
    "dtype a list": (file_bytes({"a": entry(["F32"])}, D), r"'a': dtype \['F32'\]", True),
    "shape a number": (file_bytes({"a": entry(shape=1)}, D), "'a': shape must be a list", True),
    "shape an object": (file_bytes({"a": entry(shape={})}, D), "'a': shape must be a list", True),
    "shape a string": (file_bytes({"a": entry(shape="1")}, D), "'a': shape must be a list", True),
    "shape of floats": (file_bytes({"a": entry(shape=[1.0])}, D), "'a': shape must be a list", True),
    "shape of booleans": (file_bytes({"a": entry(shape=[True])}, D), "'a': shape must be a list", True),
    "shape of null": (file_bytes({"a": entry(shape=[None])}, D), "'a': shape must be a list", True),
    "shape negative": (file_bytes({"a": entry(shape=[-1])}, D), "'a': shape must be a list", True),
    "shape negative twice": (file_bytes({"a": entry(shape=[-1, -1])}, D), "'a': shape must be a list", True),
    "shape nested": (
        file_bytes(text({"a": F}).replace("[1]", "[" * 400 + "]" * 400), D),
        "'a': shape must be a list",
        True,
    ),
    "too many axes": (file_bytes({"a": entry(shape=[1] * 100)}, D), "'a': shape must be a list of at most 32", False),
    "shape overflows": (file_bytes({"a": entry(shape=[2**62, 4])}, D), "'a': shape .* overflows", True),
    "shape overflows to the right size": (
        file_bytes({"a": entry(shape=[2**32, 2**32, 1], data_offsets=[0, 0])}),
        "'a': shape .* overflows",
        True,
    ),
    "size overflows": (file_bytes({"a": entry(shape=[2**62], data_offsets=[0, 0])}), "'a': shape .* overflows", True),
    "empty shape overflows": (
        file_bytes({"a": entry(shape=[2**62, 4, 0], data_offsets=[0, 0])}),
        "'a': shape .* overflows",
        True,
    ),
    "shape too small": (file_bytes({"a": entry(data_offsets=[0, 8])}, bytes(8)), "'a': F32 .* takes 4 bytes", True),
    "shape too large": (file_bytes({"a": entry(shape=[2])}, D), "'a': F32 .* takes 8 bytes", True),
    "wrong item size": (file_bytes({"a": entry("F64")}, D), "'a': F64 .* takes 8 bytes", True),
    "offsets a number": (file_bytes({"a": entry(data_offsets=4)}, D), "'a': data_offsets must be", True),
    "offsets of one": (file_bytes({"a": entry(data_offsets=[4])}, D), "'a': data_offsets must be", True),
    "offsets of three": (file_bytes({"a": entry(data_offsets=[0, 4, 4])}, D), "'a': data_offsets must be", True),
    "offsets of floats": (file_bytes({"a": entry(data_offsets=[0, 4.0])}, D), "'a': data_offsets must be", True),
    "offsets of booleans": (
        file_bytes({"a": entry("U8", data_offsets=[False, True])}, b"1"),
        "'a': data_offsets must be",
        True,
    ),
    "offsets negative": (file_bytes({"a": entry(data_offsets=[-4, 0])}, D), "'a': data_offsets must be", True),
    "offsets reversed": (file_bytes({"a": entry(data_offsets=[4, 0])}, D), "'a': data_offsets must be", True),
    "offsets out of the file": (file_bytes({"a": F}, bytes(3)), "'a': data_offsets .* beyond the 3 bytes", True),
    "offsets far out of the file": (
        file_bytes({"a": entry(shape=[2**60], data_offsets=[0, 2**62])}, D),
        "'a': data_offsets .* beyond the 4 bytes",
        True,
    ),
    "same range twice": (file_bytes({"a": F, "b": F}, D), "'b' begins at 0 and overlaps", True),
    "overlap": (
        file_bytes({"a": entry(shape=[2], data_offsets=[0, 8]), "b": entry(data_offsets=[4, 8])}, bytes(8)),
        "'b' begins at 4 and overlaps the one that ends at 8",
        True,
    ),
    "empty tensor inside another": (
        file_bytes({"a": F, "b": entry(shape=[0], data_offsets=[2, 2])}, D),
        "'b' begins at 2 and overlaps",
        True,
    ),
    "hole at the start": (
        file_bytes({"a": entry(data_offsets=[4, 8])}, bytes(8)),
        "'a' begins at 4 and leaves a hole: no tensor has the 4 bytes before it",
        True,
    ),
    "hole in the middle": (
        file_bytes({"a": F, "b": entry(data_offsets=[5, 9])}, bytes(9)),
        "'b' begins at 5 and leaves a hole: no tensor has the 1 bytes before it",
        True,
    ),
    "bytes left over": (file_bytes({"a": F}, bytes(6)), "2 bytes after the last tensor", True),
    "data without tensors": (file_bytes({}, D), "4 bytes after the last tensor", True),
    "neither true nor false": (file_bytes({"a": entry("BOOL", [4])}, b"\0\1\2\1"), "'a': a BOOL byte", False),
}


@pytest.mark.parametrize("case", BROKEN)
def test_rejects(tmp_path: Path, case: str) -> None:
    content, message, _ = BROKEN[case]
    path = tmp_path / "broken.safetensors"
    path.write_bytes(content)
    with pytest.raises(SafetensorsError, match=message) as caught:
        load_file(path)
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value)) < 1000
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("case", [case for case, (_, _, rejected) in BROKEN.items() if rejected])
def test_official_library_rejects_it_too(official: Any, case: str) -> None:
    with pytest.raises(pytest.importorskip("safetensors").SafetensorError):
        official.load(BROKEN[case][0])


def test_rejects_a_header_over_100_mb(tmp_path: Path) -> None:
    path = tmp_path / "long.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 100_000_001))
        file.truncate(200_000_000)  # a sparse file: it takes no room on disk
    with pytest.raises(SafetensorsError, match="header of 100000001 bytes; no more than 100000000 are allowed"):
        load_file(path)


@pytest.mark.parametrize(
    "content",
    [
        file_bytes(b"{}"),
        file_bytes(b"{}    "),
        file_bytes({"a": entry(shape=[], data_offsets=[0, 4])}, D),
        file_bytes({"a": entry(shape=[0], data_offsets=[0, 0]), "b": F, "c": entry(shape=[0], data_offsets=[4, 4])}, D),
        file_bytes({"b": entry(data_offsets=[4, 8]), "a": F}, bytes(8)),
        file_bytes({"": F, "__metadata__": {}}, D),
    ],
)
def test_accepts_what_the_specification_allows(tmp_path: Path, official: Any, content: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    assert_same(load_file(path), official.load(content))


def test_order_is_that_of_the_data(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(file_bytes({"b": entry(data_offsets=[4, 8]), "a": F}, struct.pack("<2f", 1, 2)))
    assert [(name, array.item()) for name, array in load_file(path).items()] == [("a", 1), ("b", 2)]


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"missing\.safetensors: there is no such file"):
        load_file(tmp_path / "missing.safetensors")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        load_file(tmp_path)


# Mutations of a valid file

SEED = file_bytes(
    '{"__metadata__":{"k":"v"},"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},'
    '"h":{"dtype":"BF16","shape":[2],"data_offsets":[24,28]},"m":{"dtype":"BOOL","shape":[3],"data_offsets":[28,31]},'
    '"e":{"dtype":"F64","shape":[0],"data_offsets":[31,31]},"i":{"dtype":"I8","shape":[],"data_offsets":[31,32]}}',
    struct.pack("<6f", *range(6)) + b"\x80\x3f\x00\xc0" + b"\0\1\1" + b"\7",
)
NUMBERS = ["0", "-1", "1e3", "1.0", "true", "null", "[]", "{}", '"w"', str(2**31), str(2**63), str(2**64), "9" * 30]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    content = bytearray(SEED)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(content)))
        kind = draw(st.sampled_from(["replace", "truncate", "insert", "delete", "copy"]))
        if kind == "replace":
            content[start : start + 1] = draw(st.binary(min_size=1, max_size=1))
        elif kind == "truncate":
            del content[start:]
        elif kind == "insert":
            content[start:start] = draw(st.binary(max_size=8))
        elif kind == "delete":
            del content[start : start + draw(st.integers(1, 40))]
        else:
            content[start:start] = content[start : start + draw(st.integers(1, 60))]
    return bytes(content)


@st.composite
def edited(draw: st.DrawFn) -> bytes:
    """Another header before the same data: numbers, names and types exchanged, length right."""
    header = SEED[8:-32].decode()
    for _ in range(draw(st.integers(1, 3))):
        old = draw(
            st.sampled_from([*"0123", "24", "28", "31", "32", "F32", "BF16", "BOOL", "I8", '"w"', ",", ":", "["])
        )
        new = draw(st.sampled_from([*NUMBERS, "1", "2", "3", "6", "24", "28", "F32", "U8", "F16", '"e"', ","]))
        places = [i for i in range(len(header)) if header.startswith(old, i)]
        if places:
            place = draw(st.sampled_from(places))
            header = header[:place] + new + header[place + len(old) :]
    return file_bytes(header, SEED[-32:])


def assert_tells_what_the_header_says(loaded: Tensors, content: bytes) -> None:
    (length,) = struct.unpack("<Q", content[:8])
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    header.pop("__metadata__", None)
    assert loaded.keys() == header.keys()
    for name, array in loaded.items():
        begin, end = header[name]["data_offsets"]
        assert list(array.shape) == header[name]["shape"]
        if header[name]["dtype"] == "BF16":
            array = (array.view("<u4") >> 16).astype("<u2")
        assert array.tobytes() == data[begin:end]
    assert sum(end - begin for begin, end in (tensor["data_offsets"] for tensor in header.values())) == len(data)


@given(st.one_of(mutated(), edited(), st.binary(max_size=200)))
@settings(deadline=10_000, max_examples=500)
def test_a_mutated_file_is_an_error_or_correct(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    tracemalloc.start()
    try:
        loaded = load_file(path)
    except SafetensorsError:
        return
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 2**20
    assert_tells_what_the_header_says(loaded, content)


@given(st.one_of(mutated(), edited()))
@settings(deadline=None, max_examples=200)
def test_what_we_accept_the_official_library_accepts(path: Path, official: Any, content: bytes) -> None:
    path.write_bytes(content)
    try:
        loaded = load_file(path)
    except SafetensorsError:
        return
    if b"-0" in content:  # JSON's -0 is an integer to Python and a float to the library
        return
    for name, info in pytest.importorskip("safetensors").deserialize(content):
        assert list(loaded[name].shape) == info["shape"]


# Saving


@pytest.mark.parametrize("value", [1j, "text", None, np.datetime64("2020"), np.zeros(1, "i4,f4")])
def test_types_that_cannot_be_saved(tmp_path: Path, value: Any) -> None:
    with pytest.raises(TypeError, match="tensor 'odd': a safetensors file cannot hold"):
        save_file({"fine": np.zeros(2), "odd": np.array(value)}, tmp_path / "x.safetensors")
    with pytest.raises(TypeError, match="tensor 'odd'"):
        save_file({"odd": np.array(value)}, tmp_path / "x.safetensors", dtype=np.float32)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("tensors", "metadata", "dtype", "error", "message"),
    [
        ({1: [1.0]}, None, None, TypeError, "tensor 1: the name must be a string"),
        ({"__metadata__": [1.0]}, None, None, ValueError, "reserves this name"),
        ({"\ud800": [1.0]}, None, None, ValueError, "not valid Unicode"),
        ({"x": [1.0]}, {"n": 1}, None, TypeError, "metadata must map strings to strings, not 'n' to 1"),
        ({"x": [1.0]}, {1: "n"}, None, TypeError, "metadata must map strings to strings"),
        ({"x": [1.0]}, {"n": "\udfff"}, None, ValueError, "not valid Unicode"),
        ({"x": [1.0]}, None, "complex64", TypeError, "cannot hold NumPy's complex64"),
    ],
)
def test_what_cannot_be_saved(
    tmp_path: Path, tensors: Any, metadata: Any, dtype: Any, error: type[Exception], message: str
) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"as it was")
    with pytest.raises(error, match=message):
        save_file(tensors, path, metadata, dtype=dtype)
    assert path.read_bytes() == b"as it was"
    assert list(tmp_path.iterdir()) == [path]


def test_more_axes_than_can_be_read_back(tmp_path: Path) -> None:
    if np.lib.NumpyVersion(np.__version__) < "2.0.0":
        pytest.skip("NumPy 1 makes no array of 33 axes")
    with pytest.raises(ValueError, match="tensor 'x' has 33 axes"):
        save_file({"x": np.zeros((1,) * 33)}, tmp_path / "x.safetensors")


def test_cast_while_saving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safetensors, "WRITE_BYTES", 64)
    rng = np.random.default_rng(0)
    tensors: Tensors = {
        "a": rng.normal(size=(7, 3, 50)),
        "b": np.arange(9, dtype=">i2"),
        "c": np.array(1.5, np.float16),
    }
    save_file(tensors, tmp_path / "x.safetensors", dtype=np.float32)
    assert_same(load_file(tmp_path / "x.safetensors"), {name: x.astype(np.float32) for name, x in tensors.items()})


@given(ARRAYS, st.integers(8, 100))
@settings(deadline=None)
def test_slices_cover_an_array_in_order(array: NDArray[Any], limit: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(safetensors, "WRITE_BYTES", limit)
        for view in (array, array.T):
            parts = list(safetensors._slices(view))
            assert all(part.nbytes <= limit for part in parts)
            assert b"".join(part.tobytes() for part in parts) == view.tobytes()


def test_save_over_the_file_that_is_mapped(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"a": np.arange(1000.0), "b": np.arange(8)}, path)
    before = load_file(path)
    file = SafetensorsFile(path)
    save_file(file, path, dtype=np.float32)
    assert load_file(path)["a"].dtype == np.float32
    assert_same(before, {"a": np.arange(1000.0), "b": np.arange(8)})
    with pytest.raises(SafetensorsError, match="has changed since it was opened"):
        file["a"]


def test_mode_follows_the_umask(tmp_path: Path) -> None:
    if os.name != "posix":
        pytest.skip("file modes are POSIX's")
    before = os.umask(0o027)
    try:
        save_file({"a": [1.0]}, tmp_path / "x.safetensors")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x.safetensors").stat().st_mode) == 0o640


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"a": [1.0]}, path)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, broken, full)
    with pytest.raises(OSError, match=r"No space left on device: .*x\.safetensors"):
        save_file({"a": [2.0]}, path)
    assert load_file(path)["a"].tolist() == [1.0]
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_fills_up_while_writing(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="limits the size of files")
    path = tmp_path / "x.safetensors"
    save_file({"a": [1.0]}, path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OSError, match=r"File too large: .*x\.safetensors"):
            save_file({"a": np.zeros(100_000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert load_file(path)["a"].tolist() == [1.0]
    assert list(tmp_path.iterdir()) == [path]


def test_a_failing_source_leaves_the_old_file(tmp_path: Path) -> None:
    class Fickle(dict[str, Any]):
        """Tells one shape at the first look and another at the second."""

        looks = 0

        def __getitem__(self, name: str) -> NDArray[Any]:
            self.looks += 1
            return np.zeros(self.looks)

    path = tmp_path / "x.safetensors"
    save_file({"a": [1.0]}, path)
    with pytest.raises(ValueError, match=r"tensor 'a' had shape \(1,\) at first and now has \(2,\)"):
        save_file(Fickle(a=0), path)
    assert load_file(path)["a"].tolist() == [1.0]
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_of_the_source_keeps_its_message(tmp_path: Path) -> None:
    class Lost(dict[str, Any]):
        def __getitem__(self, name: str) -> NDArray[Any]:
            raise FileNotFoundError(f"the shard with {name} is missing")

    with pytest.raises(FileNotFoundError, match=r"^the shard with a is missing$"):
        save_file(Lost(a=0), tmp_path / "x.safetensors")


def test_saving_where_nothing_can_be(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"missing.x\.safetensors"):
        save_file({}, tmp_path / "missing" / "x.safetensors")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        save_file({}, tmp_path)
    assert list(tmp_path.iterdir()) == []


# Memory


def peak_memory(program: str, *arguments: Path) -> int:
    """Bytes by which `program` raises the peak resident memory of a fresh interpreter."""
    if not Path("/proc/self/status").exists():
        pytest.skip("needs /proc to measure resident memory")
    measure = """
        import sys
        import numpy as np
        from numpygpt.safetensors import SafetensorsFile, load_file, save_file

        def peak():
            status = open("/proc/self/status").read()
            return int(status.split("VmHWM:")[1].split()[0]) * 1024

        before = peak()
    """
    source = textwrap.dedent(measure) + textwrap.dedent(program) + "\nprint(peak() - before)"
    command = [sys.executable, "-c", source, *map(str, arguments)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.parametrize("odd", [False, True])
def test_memory_of_going_through_a_large_file(tmp_path: Path, odd: bool) -> None:
    """A file of 192 MB in six tensors, once as we align it and once with its data at an odd byte."""
    size = 32 * 2**20
    header = text(
        {str(i): entry(shape=[1024, size // 4096], data_offsets=[i * size, (i + 1) * size]) for i in range(6)}
    )
    header += " " * ((-8 - len(header)) % 64 + odd)
    source, target = tmp_path / "large.safetensors", tmp_path / "copy.safetensors"
    with source.open("wb") as file:
        file.write(file_bytes(header))
        file.truncate(8 + len(header) + 6 * size)
    stream = "file = SafetensorsFile(sys.argv[1])\nfor name in file: assert file[name].sum() == 0"
    assert peak_memory(stream, source) < size + 24 * 2**20
    load = "for x in load_file(sys.argv[1]).values(): x[5, :7].sum()"  # unaligned: six copies, one by one
    assert peak_memory(load, source) < (7 * size if odd else 0) + 24 * 2**20
    rows = "for name in '012345': SafetensorsFile(sys.argv[1])[name][700:710].sum()"
    assert peak_memory(rows, source) < 16 * 2**20
    copy = "save_file(SafetensorsFile(sys.argv[1]), sys.argv[2], dtype=np.float16)"
    assert peak_memory(copy, source, target) < 2 * size + 24 * 2**20
    assert target.stat().st_size == pytest.approx(3 * size, abs=1000)
