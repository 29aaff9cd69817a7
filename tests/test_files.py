"""Files and folders that appear whole or not at all, whatever goes wrong and whenever."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from numpygpt.files import atomic_folder, atomic_write


class Interruption(BaseException):
    """Not an Exception, as KeyboardInterrupt is not."""


def tree(folder: Path) -> dict[str, bytes | None]:
    """Everything in a folder: the content of files, None for folders."""
    return {str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes() for path in folder.rglob("*")}


def fail(monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"first", b"second"):
        before = tree(tmp_path).get("file")
        with atomic_write(path) as file:
            file.write(content)
            file.flush()
            assert tree(tmp_path).get("file") == before
        assert tree(tmp_path) == {"file": content}


def test_a_file_name_may_be_as_long_as_the_system_allows(tmp_path: Path) -> None:
    with atomic_write(tmp_path / ("x" * 255)) as file:
        file.write(b"content")
    assert tree(tmp_path) == {"x" * 255: b"content"}


def test_a_path_may_be_relative_and_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with atomic_write("file") as file:
        file.write(b"content")
    with atomic_folder("folder") as folder:
        (folder / "a").write_bytes(b"a")
    assert tree(tmp_path) == {"file": b"content", "folder": None, "folder/a": b"a"}


@pytest.mark.parametrize("error", [Interruption, KeyboardInterrupt, ValueError, OSError, StopIteration])
@pytest.mark.parametrize("old", [False, True])
def test_an_error_leaves_the_old_file(tmp_path: Path, error: type[BaseException], old: bool) -> None:
    path = tmp_path / "file"
    if old:
        path.write_bytes(b"old")

    def write() -> None:
        with atomic_write(path) as file:
            file.write(b"new")
            raise error("why")

    with pytest.raises(error, match=r"^why$"):
        write()
    assert tree(tmp_path) == ({"file": b"old"} if old else {})


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    fail(monkeypatch, call)
    with pytest.raises(OSError, match="No space left on device") as caught, atomic_write(path) as file:
        file.write(b"new")
    assert (caught.value.errno, caught.value.filename, caught.value.filename2) == (errno.ENOSPC, str(path), None)
    assert tree(tmp_path) == {"file": b"old"}


def test_errors_about_other_files_keep_their_names(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"other'$"), atomic_write(tmp_path / "file"):
        (tmp_path / "other").read_bytes()
    with pytest.raises(FileNotFoundError, match=r"other'$"), atomic_folder(tmp_path / "folder"):
        (tmp_path / "other").read_bytes()
    assert tree(tmp_path) == {}


def test_places_where_no_file_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "folder").mkdir()
    before = tree(tmp_path)
    with pytest.raises(IsADirectoryError, match="folder is a folder; give the name of a file"):
        atomic_write(tmp_path / "folder").__enter__()
    with pytest.raises(FileNotFoundError) as caught:
        atomic_write(tmp_path / "missing" / "file").__enter__()
    assert caught.value.filename == str(tmp_path / "missing" / "file")
    with pytest.raises(NotADirectoryError) as not_a_directory:
        atomic_write(tmp_path / "file" / "file").__enter__()
    assert not_a_directory.value.filename == str(tmp_path / "file" / "file")
    assert tree(tmp_path) == before


def test_a_file_under_the_umask(tmp_path: Path) -> None:
    if os.name != "posix":
        pytest.skip("file modes are POSIX's")
    before = os.umask(0o027)
    try:
        with atomic_folder(tmp_path / "folder") as folder, atomic_write(folder / "file"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o750
    assert stat.S_IMODE((tmp_path / "folder" / "file").stat().st_mode) == 0o640


def test_a_folder_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "folder"
    with atomic_folder(path) as folder:
        (folder / "a").write_bytes(b"a")
        (folder / "b").write_bytes(b"b")
        assert not path.exists()
    assert tree(path.parent) == {"folder": None, "folder/a": b"a", "folder/b": b"b"}


def test_an_empty_folder_counts_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with atomic_folder(".") as folder:
        (folder / "a").write_bytes(b"a")
        assert list(tree(tmp_path).values()) == [None, b"a"]
    assert tree(tmp_path) == {"a": b"a"}


def test_a_folder_is_not_overwritten_unless_asked(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    (path / "a").write_bytes(b"old a")
    (path / "b").write_bytes(b"old b")
    with pytest.raises(FileExistsError, match="folder exists already; give the name of a new folder"):
        atomic_folder(path).__enter__()
    with atomic_folder(path, overwrite=True) as folder:
        (folder / "a").write_bytes(b"new a")
        (folder / "c").write_bytes(b"new c")
        assert tree(path)["a"] == b"old a"
    assert tree(path) == {"a": b"new a", "b": b"old b", "c": b"new c"}


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_or_a_broken_link_is_no_folder(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("file", "link"):
        with pytest.raises(NotADirectoryError, match=f"{name} is there and is not a folder"):
            atomic_folder(tmp_path / name, overwrite=overwrite).__enter__()
    assert sorted(os.listdir(tmp_path)) == ["file", "link"]


def test_a_folder_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    with atomic_folder(tmp_path / "link", overwrite=True) as folder:
        assert folder.resolve().parent == (tmp_path / "real").resolve()  # on the file system of the real folder
        (folder / "a").write_bytes(b"new")
    assert (tmp_path / "link").is_symlink()
    assert tree(tmp_path / "real") == {"a": b"new"}


@pytest.mark.parametrize("error", [Interruption, KeyboardInterrupt, ValueError, OSError, StopIteration])
@pytest.mark.parametrize("old", [False, True])
def test_an_error_leaves_the_old_folder(tmp_path: Path, error: type[BaseException], old: bool) -> None:
    path = tmp_path / "folder"
    if old:
        path.mkdir()
        (path / "a").write_bytes(b"old")
    before = tree(tmp_path)

    def write() -> None:
        with atomic_folder(path, overwrite=True) as folder:
            (folder / "a").write_bytes(b"new")
            (folder / "deep").mkdir()
            raise error("why")

    with pytest.raises(error, match=r"^why$"):
        write()
    assert tree(tmp_path) == before


def test_a_full_disk_leaves_no_folder_and_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "folder"
    fail(monkeypatch, "fsync")
    with (
        pytest.raises(OSError, match="No space left on device") as caught,
        atomic_folder(path) as folder,
        atomic_write(folder / "a") as file,
    ):
        file.write(b"new")
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path / "a"))
    assert tree(tmp_path) == {}


def test_a_folder_that_appears_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "folder"

    def write() -> None:
        with atomic_folder(path) as folder:
            (folder / "a").write_bytes(b"ours")
            path.mkdir()
            (path / "a").write_bytes(b"theirs")

    with pytest.raises(OSError, match=r"folder'$") as caught:
        write()
    assert caught.value.filename == str(path)
    assert tree(tmp_path) == {"folder": None, "folder/a": b"theirs"}
