"""A model's name or folder -> the folder on this disk that holds it."""

from __future__ import annotations

import os
from pathlib import Path

from numpygpt.models import cache
from numpygpt.models.repos import OFFICIAL, HubError

FETCH = f"{cache.COMMAND} download gpt2"
PACKAGE = Path(__file__).parents[1]
EMBEDDED_MODEL = [PACKAGE / "weights" / "stories", PACKAGE.parent / "weights" / "stories"]


def find_or_download(name_or_folder: str | os.PathLike[str]) -> Path:
    """Return a model's folder: the one that is given, or that of a name on the Hugging Face hub, downloaded if need be.

    Raises `HubError` (an OSError) where the name cannot be found or fetched.
    """
    name = os.fspath(name_or_folder)
    folder = Path(name).expanduser()
    if folder.is_dir() or folder.is_absolute() or name.startswith("."):
        return folder
    from numpygpt.models import hub  # here, for what is on disk needs no network library

    try:
        return hub.download(name)
    except HubError as error:
        if name not in OFFICIAL:
            error.args = (f"{error} (There is no folder {name} either.)",)
        raise


def default_model() -> Path:
    """Find the model to use where none is named: the official `gpt2` if it is on disk, else the embedded one.

    Raises FileNotFoundError where there is neither.
    """
    folder = cache.find("gpt2") or next(filter(Path.is_dir, EMBEDDED_MODEL), None)
    if folder is None:
        raise FileNotFoundError(f"no model is on this disk yet; {FETCH} fetches the official one (548 MB)")
    return folder
