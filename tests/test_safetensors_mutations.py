"""A mutated file is an error, or what its header says; none is accepted that the `safetensors` library rejects."""

from __future__ import annotations

import json
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors_files import Tensors, file_bytes

from numpygpt.safetensors import SafetensorsError, load_file


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("safetensors") / "model.safetensors"


@pytest.fixture(scope="session")
def official() -> Any:
    return pytest.importorskip("safetensors.numpy", reason="compares with the safetensors library")


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


def assert_accepted_by_both(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        loaded = load_file(path)
    except SafetensorsError:
        return
    if b"-0" in content:  # JSON's -0 is an integer to Python and a float to the library
        return
    for name, info in pytest.importorskip("safetensors").deserialize(content):
        assert list(loaded[name].shape) == info["shape"]


@given(st.one_of(mutated(), edited()))
def test_what_we_accept_the_official_library_accepts(path: Path, official: Any, content: bytes) -> None:
    assert_accepted_by_both(path, content)


@pytest.mark.slow
@given(st.one_of(mutated(), edited()))
@settings(deadline=None, max_examples=20_000)
def test_so_do_twenty_thousand_more(path: Path, official: Any, content: bytes) -> None:
    assert_accepted_by_both(path, content)
