"""A model's name or folder -> the folder on this disk that holds it."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from numpygpt.files import atomic_write
from numpygpt.models import cache
from numpygpt.models.repos import EMBEDDED, OFFICIAL, HubError

FETCH = f"{cache.COMMAND} download gpt2"
TRAINED = "trained.json"  # in the cache
PACKAGE = Path(__file__).parents[1]
EMBEDDED_FOLDERS = [PACKAGE / "weights", PACKAGE.parent / "weights"]  # installed, and in a checkout


def find_embedded(name: str) -> Path | None:
    """Return the folder of a model that comes along, or None."""
    folders = [folder / name for folder in EMBEDDED_FOLDERS] if name in EMBEDDED else []
    return next(filter(Path.is_dir, folders), None)


def find_or_download(name_or_folder: str | os.PathLike[str]) -> Path:
    """Return a model's folder: that of an embedded model's name, the one that is given, or that of a name on the hub.

    What is not on disk yet is downloaded, once. `./stories` is a folder where `stories` is a name.

    Raises `HubError` (an OSError) where the name cannot be found or fetched.
    """
    name = os.fspath(name_or_folder)
    folder = find_embedded(name) or Path(name).expanduser()
    if folder.is_dir() or folder.is_absolute() or name.startswith("."):
        return folder
    from numpygpt.models import hub  # here, for what is on disk needs no network library

    try:
        return hub.download(name)
    except HubError as error:
        if name not in OFFICIAL:
            error.args = (f"{error} (There is no folder {name} either.)",)
        raise


def default_model() -> str:
    """Name the model to use where none is named: the official `gpt2` if it is on disk, else the embedded one.

    Raises FileNotFoundError where there is neither.
    """
    if cache.find("gpt2"):
        return "gpt2"
    if find_embedded(EMBEDDED[0]):
        return EMBEDDED[0]
    raise FileNotFoundError(f"no model is on this disk yet; {FETCH} fetches the official one (548 MB)")


def remember_trained(folder: Path) -> None:
    """Note the folder of a model that was trained here, for `models list`; where that cannot be, let it be."""
    known = [*dict.fromkeys([*trained(), folder.absolute()])]
    with suppress(OSError), atomic_write(cache.make_folder() / TRAINED) as file:
        file.write(json.dumps([str(path) for path in known]).encode())


def trained() -> list[Path]:
    """Return the folders of models that were trained here and are still there."""
    try:
        folders = [Path(str(path)) for path in json.loads((cache.cache_dir() / TRAINED).read_bytes())]
    except (OSError, ValueError, TypeError):
        return []
    return [folder for folder in folders if (folder / "config.json").is_file()]
