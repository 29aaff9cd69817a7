"""Files and folders that appear complete or not at all: written beside their place, then renamed."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file that takes the name `path` when it is complete, and leaves no trace when that fails.

    Until then an older file of that name stays as it was.

    Raises IsADirectoryError where `path` is a folder, and OSError where the file cannot be written.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give the name of a file to write")
    beside = _beside(path)
    try:
        with beside.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException as error:
        beside.unlink(missing_ok=True)
        raise _named_after(path, beside, error) from None


@contextmanager
def folder_written_whole(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Give an empty folder to fill, which takes the name `path` when it is complete.

    With `overwrite`, the files of an existing folder are replaced one by one, each of them whole.

    Raises FileExistsError where `path` exists and `overwrite` is not asked for, and OSError where it cannot be written.
    """
    path = Path(path)
    if path.is_file():
        raise FileExistsError(f"{path} is a file; give the name of a new folder")
    if path.is_dir() and any(path.iterdir()) and not overwrite:
        raise FileExistsError(f"{path} exists already; give the name of a new folder, or remove it first")
    beside = _beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.mkdir()
        yield beside
        if path.is_dir():
            for file in sorted(beside.iterdir()):
                os.replace(file, path / file.name)
        else:
            os.rename(beside, path)
    except BaseException as error:
        raise _named_after(path, beside, error) from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")


def _named_after(path: Path, beside: Path, error: BaseException) -> BaseException:
    """Let an error about the temporary name speak of the name that the caller knows."""
    if isinstance(error, OSError) and str(error.filename or beside).startswith(str(beside)):
        error.filename = str(path)
    return error
