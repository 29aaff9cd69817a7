"""Memory, file descriptors, full disks and destinations that are taken."""

from __future__ import annotations

import dataclasses
import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from model_folders import (
    CONFIG,
    random_params,
    sparse_folder,
    tree,
)

from numpygpt.config import GPT2Config, parameter_shapes
from numpygpt.models import checkpoint
from numpygpt.models.checkpoint import convert, save
from numpygpt.safetensors import SafetensorsFile


@pytest.mark.parametrize("kind", ["F16", "F32"])
def test_memory_of_converting(tmp_path: Path, kind: str) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("needs /proc to measure resident memory")
    config = GPT2Config(vocab_size=4000, n_ctx=64, n_embd=1024, n_layer={"F16": 4, "F32": 2}[kind], n_head=16)
    size = sparse_folder(tmp_path / "source", config, kind, {"h.0.attn.bias": (1, 1, 64, 64)})
    largest = 1024 * 4096 * 4
    program = """
        import sys
        from numpygpt.models.checkpoint import convert

        def peak():
            status = open("/proc/self/status").read()
            return int(status.split("VmHWM:")[1].split()[0]) * 1024

        before = peak()
        convert(sys.argv[1], sys.argv[2])
        print(peak() - before)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "source"), str(tmp_path / "converted")]
    peak = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert peak < 2.5 * largest + 10e6 < size / 2


def test_file_descriptors_of_many_tensors(tmp_path: Path) -> None:
    pytest.importorskip("resource", reason="limits the number of open files")
    config = GPT2Config(vocab_size=10, n_ctx=2, n_embd=2, n_layer=30, n_head=1)
    sparse_folder(tmp_path / "source", config, "F16", {})
    program = """
        import resource, sys
        from numpygpt.arrays import flatten
        from numpygpt.models.checkpoint import convert, load

        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
        convert(sys.argv[1], sys.argv[2])
        for folder in sys.argv[1], sys.argv[2]:
            print(len(flatten(load(folder)[1])))
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "source"), str(tmp_path / "converted")]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    assert result.stdout.split() == ["364"] * 2


def test_a_destination_that_exists(source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").write_bytes(b"old")
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "other name").symlink_to(source)
    before = tree(tmp_path)
    for name in ("file", "folder", "link"):
        with pytest.raises(OSError, match=rf"{name} .*; give the name of a new folder"):
            convert(source, tmp_path / name)
    for name in ("source", "other name", "source/../source"):
        with pytest.raises(FileExistsError, match="is the source; give the name of a new folder"):
            convert(source, tmp_path / name)
    assert tree(tmp_path) == before


def test_a_destination_inside_a_file(source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    before = tree(tmp_path)
    with pytest.raises(OSError, match="file"):
        convert(source, tmp_path / "file" / "converted")
    assert tree(tmp_path) == before


FAILURES = [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), ValueError("a broken tensor"), KeyboardInterrupt()]


@pytest.mark.parametrize("failure", FAILURES, ids=repr)
@pytest.mark.parametrize("moment", [0, 5, 27])
def test_a_failure_in_the_middle_leaves_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException, moment: int
) -> None:
    """Stop at one of the 28 tensors while they are written."""
    count = -len(parameter_shapes(CONFIG))  # save_file looks at each once before
    lookup = SafetensorsFile.__getitem__

    def failing(self: SafetensorsFile, name: str) -> Any:
        nonlocal count
        if count == moment:
            raise failure
        count += 1
        return lookup(self, name)

    before = tree(tmp_path)
    monkeypatch.setattr(SafetensorsFile, "__getitem__", failing)
    with pytest.raises(type(failure)):
        convert(source, tmp_path / "converted")
    assert tree(tmp_path) == before
    monkeypatch.undo()
    convert(source, tmp_path / "converted")


def test_a_disk_that_fills_up(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="limits the size of files")
    sparse_folder(tmp_path / "source", dataclasses.replace(CONFIG, vocab_size=100_000), "F32", {})
    before = sorted(tmp_path.rglob("*"))
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limit[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            convert(tmp_path / "source", tmp_path / "converted")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert str(caught.value.filename).startswith(str(tmp_path / "converted"))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_failure_while_saving_leaves_the_old_model(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = tree(tmp_path)
    monkeypatch.setattr(checkpoint, "save_file", full)
    for folder in (source, tmp_path / "new"):
        with pytest.raises(OSError, match="No space left"):
            save(folder, CONFIG, random_params(seed=1), None, overwrite=True)
    assert tree(tmp_path) == before
