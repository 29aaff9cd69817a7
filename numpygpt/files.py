"""Files and folders that appear complete or not at all: written beside their place, then renamed."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

TEMPORARY = f".{'[0-9a-f]' * 16}.tmp"  # the names, as a glob, of what is being written; a killed process leaves it
NO_SYNC = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM)  # "fsync is not for this file"


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file that takes the name `path` when it is complete, and leaves no trace when that fails.

    Until then an older file of that name stays as it was.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "poem.txt")
    ...     with atomic_write(path) as file:
    ...         _ = file.write(b"The sea")
    ...         before = path.exists()
    ...     before, path.read_bytes()
    (False, b'The sea')

    Raises IsADirectoryError where `path` is a folder, and OSError where the file cannot be written.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give the name of a file to write")
    beside = path.parent / _temporary_name()
    try:
        with _errors_named(path, beside):
            with beside.open("xb") as file:
                yield file
                file.flush()
                _sync(file)
            os.replace(beside, path)
    finally:
        with suppress(OSError):  # usually it has the new name by now
            beside.unlink()


@contextmanager
def atomic_folder(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Give an empty folder to fill with files, which takes the name `path` when it is complete.

    The folders above it are made if need be. With `overwrite`, the files of an existing folder are replaced one by
    one, each of them whole, and those of other names stay.

    Raises FileExistsError where `path` is there, not empty, and `overwrite` is not asked for, NotADirectoryError where
    it is not a folder, and OSError where it cannot be written.
    """
    path = Path(path)
    exists = path.is_dir()
    if os.path.lexists(path) and not exists:
        raise NotADirectoryError(f"{path} is there and is not a folder; give the name of a new folder")
    if exists and any(path.iterdir()) and not overwrite:
        raise FileExistsError(f"{path} exists already; give the name of a new folder")
    # inside an existing folder, which may be a link or a mount point: renaming works within one file system only
    beside = (path if exists else path.parent) / _temporary_name()
    try:
        with _errors_named(path, beside):
            beside.parent.mkdir(parents=True, exist_ok=True)
            beside.mkdir()
            yield beside
            if exists:
                for file in sorted(beside.iterdir()):
                    os.replace(file, path / file.name)
            else:
                os.rename(beside, path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _sync(file: BinaryIO) -> None:
    """Wait until the file is on the disk, which says so if it is full, unless the file system knows no such wait."""
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in NO_SYNC:
            raise


def _temporary_name() -> str:
    return f".{secrets.token_hex(8)}.tmp"


@contextmanager
def _errors_named(path: Path, beside: Path) -> Iterator[None]:
    """Let an error about the temporary name speak of the name that the caller knows."""
    try:
        yield
    except OSError as error:
        about = str(error.filename or beside)
        if error.errno and about.startswith(str(beside)):
            raise OSError(error.errno, error.strerror, about.replace(str(beside), str(path), 1)) from None
        raise
