"""Saving tensors: what cannot be saved, a full disk, and how much memory it takes."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors_files import Tensors, assert_same, file_bytes

from numpygpt import safetensors
from numpygpt.safetensors import SafetensorsError, SafetensorsFile, load_file, save_file


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
    """A file of 96 MB in six tensors, once as we align it and once with its data at an odd byte."""
    size = 16 * 2**20
    entries = {"dtype": "F32", "shape": [1024, size // 4096]}
    header = json.dumps({str(i): entries | {"data_offsets": [i * size, (i + 1) * size]} for i in range(6)})
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
    assert peak_memory(rows, source) < (size if odd else 0) + 16 * 2**20  # unaligned: the tensor is read, whole
    copy = "save_file(SafetensorsFile(sys.argv[1]), sys.argv[2], dtype=np.float16)"
    assert peak_memory(copy, source, target) < 2 * size + 24 * 2**20
    assert target.stat().st_size == pytest.approx(3 * size, abs=1000)
