"""The file format: what is saved loads, here and in the `safetensors` library."""

from __future__ import annotations

import errno
import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from numpy.typing import ArrayLike
from safetensors_files import METADATA, TENSORS, Tensors, assert_same, file_bytes

from numpygpt import safetensors
from numpygpt.safetensors import SafetensorsFile, load_file, save_file


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("safetensors") / "model.safetensors"


@pytest.fixture(scope="session")
def official() -> Any:
    return pytest.importorskip("safetensors.numpy", reason="compares with the safetensors library")


@given(TENSORS, METADATA)
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
def test_official_library_loads_what_we_save(
    path: Path, official: Any, tensors: Tensors, metadata: dict[str, str]
) -> None:
    save_file(tensors, path, metadata)
    assert_same(official.load_file(path), tensors)
    safe_open = pytest.importorskip("safetensors").safe_open
    with safe_open(path, framework="numpy") as file:
        assert (file.metadata() or {}) == metadata


@given(TENSORS, METADATA)
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


@pytest.mark.parametrize("odd", [False, True])
def test_a_drive_that_maps_no_files_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, odd: bool) -> None:
    """Some network drives say ENODEV."""
    tensors: Tensors = {"a": np.arange(6.0).reshape(2, 3), "b": np.arange(5, dtype=np.float32), "c": np.zeros((0, 2))}
    path = tmp_path / "x.safetensors"
    save_file(tensors, path, {"odd": "x" * odd})

    def no_device(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    monkeypatch.setattr(np, "memmap", no_device)
    loaded = load_file(path)
    assert_same(loaded, tensors)
    assert_same(dict(SafetensorsFile(path)), tensors)
    assert all(array.flags.aligned and not array.flags.writeable for array in loaded.values())
