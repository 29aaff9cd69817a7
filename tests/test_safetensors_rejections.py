"""No broken file is opened: what it is, what the error says, and whether the `safetensors` library rejects it too."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import Any

import pytest
from safetensors_files import assert_same, file_bytes

from numpygpt.safetensors import SafetensorsError, load_file


@pytest.fixture(scope="session")
def official() -> Any:
    return pytest.importorskip("safetensors.numpy", reason="compares with the safetensors library")


def entry(dtype: Any = "F32", shape: Any = (1,), data_offsets: Any = (0, 4), **more: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": data_offsets, **more}


def text(value: Any) -> str:
    return json.dumps(value)


F, D = entry(), bytes(4)
BROKEN: dict[str, tuple[bytes, str, bool]] = {
    "empty file": (b"", "is it truncated", True),
    "short file": (b"\x00" * 7, "is it truncated", True),
    "no header": (b"\x00" * 8, "does not begin with '{'", True),
    "header longer than the file": (struct.pack("<Q", 3) + b"{}", "a header of 3 bytes, where 2 are possible", True),
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
    "pickle": (b"\x80\x04K*.", "is it truncated", True),
    "zip": (b"PK\x03\x04" + bytes(60), "header of", True),
    "duplicate tensor": (
        file_bytes(f'{{"a": {text(F)}, "a": {text(F)}}}', D),
        "the key 'a' is there more than once",
        False,
    ),
    "duplicate tensor in other spelling": (
        file_bytes(f'{{"a": {text(F)}, "\\u0061": {text(F)}}}', D),
        "the key 'a' is there more than once",
        False,
    ),
    "duplicate dtype": (
        file_bytes('{"a": {"dtype": "F32", "dtype": "I32", "shape": [1], "data_offsets": [0, 4]}}', D),
        "the key 'dtype' is there more than once",
        True,
    ),
    "duplicate metadata": (file_bytes('{"__metadata__": {}, "__metadata__": {}}'), "__metadata__", True),
    "duplicate key in metadata": (
        file_bytes('{"__metadata__": {"k": "1", "k": "2"}}'),
        "the key 'k' is there more than once",
        False,
    ),
    "metadata a string": (file_bytes({"__metadata__": "x"}), "__metadata__ must be an object of strings", True),
    "metadata null": (file_bytes({"__metadata__": None}), "__metadata__ must be an object of strings", False),
    "metadata a number": (file_bytes({"__metadata__": {"k": 1}}), "__metadata__ must be an object of strings", True),
    "metadata nested": (file_bytes({"__metadata__": {"k": {}}}), "__metadata__ must be an object of strings", True),
    "metadata a half character": (file_bytes({"__metadata__": {"k": "\ud800"}}), "surrogates not allowed", True),
    "tensor a list": (file_bytes({"a": ["F32", [1], [0, 4]]}, D), "'a' must have dtype", False),
    "tensor null": (file_bytes({"a": None}), "'a' must have dtype", True),
    "name a half character": (file_bytes({"\ud800": F}, D), "surrogates not allowed", True),
    "no dtype": (file_bytes({"a": {"shape": [1], "data_offsets": [0, 4]}}, D), "'a' must have dtype", True),
    "no shape": (file_bytes({"a": {"dtype": "F32", "data_offsets": [0, 4]}}, D), "'a' must have dtype", True),
    "no offsets": (file_bytes({"a": {"dtype": "F32", "shape": [1]}}, D), "'a' must have dtype", True),
    "unknown field": (file_bytes({"a": entry(order="C")}, D), "'a' must have dtype", False),
    "unknown dtype": (
        file_bytes({"a": entry("F33")}, D),
        "'a': dtype 'F33' is none of F64, F32",
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
    "offsets out of the file": (file_bytes({"a": F}, bytes(3)), "'a': data_offsets beyond the 3 bytes", True),
    "offsets far out of the file": (
        file_bytes({"a": entry(shape=[2**60], data_offsets=[0, 2**62])}, D),
        "'a': data_offsets beyond the 4 bytes",
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
        "'a' begins at 4 and leaves a hole after the one that ends at 0",
        True,
    ),
    "hole in the middle": (
        file_bytes({"a": F, "b": entry(data_offsets=[5, 9])}, bytes(9)),
        "'b' begins at 5 and leaves a hole after the one that ends at 4",
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
    with pytest.raises(SafetensorsError, match="a header of 100000001 bytes, where 100000000 are possible"):
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
    with pytest.raises(FileNotFoundError, match=r"missing\.safetensors"):
        load_file(tmp_path / "missing.safetensors")
    with pytest.raises(IsADirectoryError, match=re.escape(str(tmp_path))):
        load_file(tmp_path)
