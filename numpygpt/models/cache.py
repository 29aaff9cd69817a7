"""Models on this disk: where they are, and care of them.

The cache is a folder a model under `models/` (`cache_dir` says where), with a `source.json` in each that says where it
came from and what its files' checksums are; `.partial/` holds what is under way. Hugging Face's own cache is read too.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpygpt.models.repos import (
    CHECKSUM,
    COMMIT,
    EMBEDDED,
    OFFICIAL,
    HubError,
    Model,
    ModelNameError,
    Pin,
    hf_home,
    parse_name,
    short,
)
from numpygpt.models.stored import INDEX, WEIGHTS

CONFIG, SOURCE = "config.json", "source.json"
MODELS, PARTIAL = "models", ".partial"
COMMAND = "python -m numpygpt.models"


def cache_dir() -> Path:
    """Return the folder for downloaded models: `NUMPYGPT_HOME`, or `numpygpt` in the platform's cache folder."""
    if home := os.environ.get("NUMPYGPT_HOME"):
        return Path(os.path.expanduser(home)).absolute()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.path.expanduser(base), "numpygpt").absolute()


def hf_cache() -> Path:
    """Return the folder of Hugging Face's downloaded models."""
    cache = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    return Path(os.path.expandvars(os.path.expanduser(cache)) if cache else os.path.join(hf_home(), "hub"))


# What is there


@dataclass(frozen=True)
class Installed:
    """A model on disk: its name and folder, what its files take, and whether this package downloaded it."""

    name: str
    folder: Path
    bytes: int
    ours: bool


def find(name: str) -> Path | None:
    """Return the folder of a model that is on disk, downloaded by this package or by Hugging Face's, or None.

    Needs no network and opens no weights. Raises ModelNameError for what is no model's name.
    """
    model = parse_name(name)
    folder = cache_dir() / MODELS / model.key
    return folder if is_complete(folder, model.name) else _find_in_hf_cache(model)


def installed() -> list[Installed]:
    """Return every model that `find` finds, by name."""
    models = {}
    for folder in subfolders(hf_cache()):
        kind, _, name = folder.name.partition("--")
        try:
            snapshot = find(name.replace("--", "/", 1)) if kind == "models" else None
        except ModelNameError:
            continue
        if snapshot and _read(snapshot / CONFIG).get("model_type") in ("gpt2", "marian"):
            repo = parse_name(name.replace("--", "/", 1)).name
            models[repo] = Installed(short(repo), snapshot, bytes_of(snapshot), ours=False)
    for folder in subfolders(cache_dir() / MODELS):
        name = str(_read(folder / SOURCE).get("name"))
        if is_complete(folder, name):
            models[name] = Installed(short(name), folder, bytes_of(folder), ours=True)
    return sorted(models.values(), key=lambda model: model.name)


def what_works() -> str:
    """Say which models are on disk, for who cannot have another."""
    return f"On this disk and ready to use: {', '.join([*EMBEDDED, *(model.name for model in installed())])}"


def subfolders(folder: Path) -> list[Path]:
    """Return the folders in a folder, none where there is no such folder."""
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:
        return []


def bytes_of(folder: Path) -> int:
    """Return what a folder's files take."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def is_complete(folder: Path, name: str) -> bool:
    """Tell whether all files that the model was stored with are there, in their length."""
    source = _read(folder / SOURCE)
    try:
        sizes = {file: facts["bytes"] for file, facts in source["files"].items()}
        return source["name"] == name and all((folder / file).stat().st_size == sizes[file] for file in sizes)
    except (OSError, KeyError, TypeError, AttributeError):
        return False


def _find_in_hf_cache(model: Model) -> Path | None:
    """Return a snapshot with all the files of a model: of the pinned revision if it is there, else of `main`."""
    early = [short for short, official in OFFICIAL.items() if official.repo == model.repo]  # names of early days
    for repo in [model.repo, *early]:
        folder = hf_cache() / f"models--{repo.replace('/', '--')}"
        for revision in dict.fromkeys([model.revision, None] if model.name == model.repo else [model.revision]):
            commit = revision or ""
            if not COMMIT.fullmatch(commit):
                try:
                    commit = (folder / "refs" / (revision or "main")).read_text(encoding="ascii").strip()
                except (OSError, UnicodeDecodeError):
                    continue
            pins = model.pins if commit == model.revision else {}
            if COMMIT.fullmatch(commit) and _is_usable(folder / "snapshots" / commit, pins, bool(early)):
                return folder / "snapshots" / commit
    return None


def _is_usable(snapshot: Path, pins: Mapping[str, Pin], is_official: bool) -> bool:
    def has(name: str) -> bool:
        path = snapshot / name
        return path.is_file() and pins.get(name, Pin()).bytes in (None, path.stat().st_size)

    try:
        weights = [WEIGHTS] if has(WEIGHTS) else shards(snapshot / INDEX)
    except OSError:
        return False
    tokenizer = (has("vocab.json") and has("merges.txt")) or has("tokenizer.json") or is_official  # whose is known
    return has(CONFIG) and tokenizer and all(map(has, weights))


def shards(index: Path) -> list[str]:
    """Return the names of the files that hold the weights, none of which can lead out of the folder."""
    try:
        names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise HubError(f"{index}: it does not say which file holds which tensor") from None
    for name in names:
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,150}\.safetensors", name):
            raise HubError(
                f"{index}: it names {name!r}, which is not a safetensors file beside it; nothing was fetched"
            )
    return names


# Care


def kind_of(checksum: str) -> str:
    """Return the kind of a checksum: SHA-256 has 64 hexadecimal digits, git's SHA-1 has 40."""
    return "sha256" if len(checksum) == 64 else "sha1"


def digest(path: Path, kind: str) -> str:
    """Return a file's SHA-256, or for "sha1" the SHA-1 of git, which puts a header before the content."""
    result = hashlib.new(kind, usedforsecurity=False)
    with open(path, "rb") as file:
        if kind == "sha1":
            result.update(b"blob %d\0" % os.fstat(file.fileno()).st_size)
        while chunk := file.read(2**20):
            result.update(chunk)
    return result.hexdigest()


def facts(path: Path) -> dict[str, Any]:
    """Return what `source.json` says of a file."""
    return {"bytes": path.stat().st_size, "sha256": digest(path, "sha256")}


def verify(name: str) -> Path:
    """Read a model's files again and compare them with their checksums; return its folder.

    Raises ModelNameError where the model is not on disk and HubError, saying what to do, where a file is damaged.
    """
    folder, again = cache_dir() / MODELS / parse_name(name).key, f"{COMMAND} remove {name}"
    if folder.is_dir():
        files = _read(folder / SOURCE).get("files")
        known = files if isinstance(files, dict) and WEIGHTS in files else {SOURCE: None}
        damaged = [file for file in known if not (folder / file).is_file() or facts(folder / file) != known[file]]
    elif found := find(name):  # in Hugging Face's cache, links lead to files that are named by their checksums
        folder, again = found, "`hf cache rm` (it is in Hugging Face's cache)"
        blobs = {path.name: path.resolve().name for path in sorted(folder.iterdir())}
        blobs = {file: blob for file, blob in blobs.items() if CHECKSUM.fullmatch(blob)}
        if not blobs:
            raise HubError(
                f"{folder}: its files are no links to blobs named by their checksums; there is nothing to verify"
            )
        damaged = [
            f for f, blob in blobs.items() if digest(folder / f, "sha256" if len(blob) == 64 else "sha1") != blob
        ]
    else:
        raise ModelNameError(f"{name} is not on this disk. {what_works()}")
    if damaged:
        what = f"{name} is damaged: {', '.join(damaged)} in {folder} changed on disk"
        raise HubError(f"{what}; run {again} and then {COMMAND} download {name}")
    return folder


def remove(name: str) -> int:
    """Remove a model that this package downloaded, or the part of it; return how many bytes that frees.

    Raises ModelNameError where there is nothing of ours to remove.
    """
    model = parse_name(name)
    place, work = cache_dir() / MODELS / model.key, cache_dir() / PARTIAL / model.key
    if not os.path.lexists(place) and not os.path.lexists(work):
        if folder := find(name):
            raise ModelNameError(f"{name} belongs to Hugging Face's cache; remove it with `hf cache rm` ({folder})")
        raise ModelNameError(f"{name} is not on this disk. {what_works()}")
    make_folder(MODELS)  # raises where it is a link to elsewhere
    make_folder(PARTIAL, model.key)
    freed = sum(bytes_of(path) for path in (place, work) if path.is_dir() and not path.is_symlink())
    if os.path.lexists(place):
        delete(work / "removed")
        os.rename(place, work / "removed")  # at once: nobody finds half a model
    delete(work)
    return freed


def make_folder(*parts: str) -> Path:
    """Make a folder in the cache, step by step, and follow no symbolic link on the way.

    The cache itself may be one: that is the user's choice.
    """
    path = cache_dir()
    path.mkdir(parents=True, exist_ok=True)
    for part in parts:
        path /= part
        try:
            path.mkdir()
        except FileExistsError:
            if path.is_symlink() or not path.is_dir():
                raise HubError(f"{path} is not a folder; remove it, the cache must hold folders there") from None
    return path


def delete(path: Path) -> None:
    """Delete a file, a folder, or a symbolic link but not what it leads to."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)


def size(n_bytes: float) -> str:
    """Write a number of bytes for people.

    >>> size(548105171), size(6431878936)
    ('548 MB', '6.4 GB')
    """
    for unit in ("bytes", "kB", "MB"):
        if n_bytes < 999.5:
            return f"{n_bytes:.0f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} GB"
