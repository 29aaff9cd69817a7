"""From a model's name to a model folder: `gpt2`, or any `owner/name` on the Hugging Face hub.

A download can be interrupted anywhere and goes on where it stopped. What happens to a name that is not on disk yet:

1. A HEAD request for each file, `{endpoint}/{owner}/{name}/resolve/{revision}/{file}`, tells its length and
   checksum: in `X-Linked-Etag` the SHA-256 of a large file, in `ETag` the SHA-1 that git gives a small one.
   `X-Repo-Commit` tells the commit that a branch such as `main` points to; all files are taken from that commit.
2. A GET request for each file, which may redirect to a content server, fills a file in a folder of this process.
   After a cut, a `Range` request asks for the rest. Length and checksum are compared; those of official models are
   pinned.
3. `checkpoint.convert` checks every tensor and writes an aligned folder, which then takes its place by a rename:
   it appears complete or not at all. Of two processes that bring the same model, the first to rename wins.

Source of the protocol: https://huggingface.co/docs/huggingface_hub, and RFC 9110, sections 14 (Range), 15
(redirects) and 10.2.3 (Retry-After).
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

import requests
from tqdm import tqdm

from numpygpt.models import cache, checkpoint, formats, marian
from numpygpt.models.cache import CONFIG, PARTIAL, SOURCE, size
from numpygpt.models.connection import (
    MAX_TEXT_BYTES,
    CannotResumeError,
    Connection,
    NotFoundError,
    Remote,
    TransientError,
)
from numpygpt.models.repos import HubError, Model, parse_name, short
from numpygpt.models.stored import INDEX, WEIGHTS
from numpygpt.models.tokenizer_files import OTHER_KINDS

ABANDONED_SECONDS = 600.0  # a folder of another computer, on a shared disk, in which nobody writes
CHUNK_BYTES = 2**16
OPTIONAL = (
    "added_tokens.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "generation_config.json",
    "chat_template.jinja",
)


def download(name: str, *, progress: bool = True) -> Path:
    """Return the folder of a model, and fetch, verify and convert it first where it is not on disk.

    `progress` tells on standard error what happens, with a progress bar on a terminal. After any interruption, call it
    again: it goes on where it stopped.

    Raises ModelNameError (a ValueError) for what is no model's name, and HubError (an OSError), in one line fit to
    be shown, for everything that network, server and disk can do.
    """
    model = parse_name(name)
    if folder := cache.find(name):
        return folder
    if any(
        os.environ.get(s, "").upper() in ("1", "ON", "YES", "TRUE") for s in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    ):
        raise HubError(f"{name} is not on this disk, and HF_HUB_OFFLINE forbids a download. {cache.what_works()}")
    try:
        with Connection(model, progress) as hub:
            return _install(model, hub, progress)
    except OSError as error:
        if folder := cache.find(name):  # another process has brought it meanwhile
            return folder
        if isinstance(error, HubError):
            raise
        where = f"{error.filename or cache.cache_dir()}: {error.strerror or error}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            advice = "make room and run it again (it goes on where it stopped), or set NUMPYGPT_HOME to another disk"
        else:
            advice = "the models' folder must be writable; NUMPYGPT_HOME sets another one"
        raise HubError(f"{where}; {advice}") from error


def _install(model: Model, hub: Connection, progress: bool) -> Path:
    """Fetch a model's files, convert them and put the result in its place."""
    config = _look_up_config(hub)
    folder = _own_folder(cache.make_folder(PARTIAL, model.key), hub.commit)
    try:
        fetch(hub, config, folder)
        is_marian = marian.is_marian(folder)
        (marian if is_marian else checkpoint).load_config(
            folder
        )  # before half a gigabyte of another architecture is fetched
        _fetch_all(hub, [config, *_plan(hub, folder)], folder, progress)
        converted = folder / "converted"
        cache.delete(converted)  # of a process that was killed
        if is_marian:
            marian.copy(folder, converted)
        else:
            hub.say(f"{short(model.name)}: converting to aligned float32, once")
            checkpoint.convert(folder, converted)
    except HubError:
        raise
    except ValueError as error:  # the files came as the hub has them, but are no model of ours
        cache.delete(folder.parent)
        raise HubError(str(error).replace(str(folder), model.name)) from None
    said = {"name": model.name, "repo": model.repo, "revision": hub.commit, "endpoint": hub.endpoint}
    source = {**said, "files": {path.name: cache.facts(path) for path in sorted(converted.iterdir())}}
    (converted / SOURCE).write_text(json.dumps(source, indent=2) + "\n", encoding="utf-8")
    return _publish(model, converted)


def _look_up_config(hub: Connection) -> Remote:
    try:
        return hub.look_up(CONFIG)
    except NotFoundError:
        if not (adapter := hub.look_up_optional(formats.ADAPTER)):
            raise
        with TemporaryDirectory() as folder:
            fetch(hub, adapter, Path(folder))
            raise HubError(formats.explain_adapter(hub.model.repo, Path(folder, formats.ADAPTER))) from None


def _publish(model: Model, converted: Path) -> Path:
    place = cache.make_folder(cache.MODELS) / model.key
    if not cache.is_complete(place, model.name):
        cache.delete(place)
        with suppress(FileExistsError):  # of another process, this moment
            os.rename(converted, place)
    cache.delete(cache.make_folder(PARTIAL, model.key))
    return place


def _own_folder(work: Path, commit: str) -> Path:
    """Return this process's folder, and go on in it with what a process left that is no longer there."""
    host = re.sub(r"\W", "-", socket.gethostname())
    own = work / f"{commit}.{host}-{os.getpid()}"
    others = [folder for folder in cache.subfolders(work) if folder.name.startswith(f"{commit}.") and folder != own]
    for folder in sorted(others, key=cache.bytes_of, reverse=True):
        writer, _, pid = folder.name.partition(".")[2].rpartition("-")
        newest = max(path.stat().st_mtime for path in [folder, *folder.rglob("*")])
        is_gone = writer == host and os.name == "posix" and pid.isdecimal() and not _is_running(int(pid))
        if (is_gone or time.time() - newest > ABANDONED_SECONDS) and not own.exists():
            with suppress(OSError):  # another process was faster
                os.rename(folder, own)
    if own.is_symlink():
        own.unlink()
    own.mkdir(exist_ok=True)
    return own


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _plan(hub: Connection, folder: Path) -> list[Remote]:
    """Look up the files that belong to the model beside config.json: the tokenizer's, then the weights."""
    vocabulary = [] if "vocab.json" in hub.model.pins else [hub.look_up_optional("tokenizer.json")]
    if not any(vocabulary):  # tokenizer.json counts where it is there, but the official models' old files are pinned
        vocabulary = [hub.look_up_optional(name) for name in ("vocab.json", "merges.txt")]
    if not vocabulary[-1]:  # one of another kind is fetched as well, so that nobody takes GPT-2's for it
        vocabulary += [hub.look_up_optional(name) for name in OTHER_KINDS]
    texts = [file for file in [*vocabulary, *map(hub.look_up_optional, OPTIONAL)] if file]
    if weights := hub.look_up_optional(WEIGHTS):
        return [*texts, weights]
    index = hub.look_up_optional(INDEX)
    if not index:
        raise HubError(
            f"{hub.model.name} has no model.safetensors. Pickles such as pytorch_model.bin can run code when they are "
            "opened, so they never are; ask its owner for safetensors, or write them where PyTorch is: "
            + formats.to_safetensors(hub.model.repo)
        )
    fetch(hub, index, folder)
    return [*texts, index, *map(hub.look_up, cache.shards(folder / INDEX))]


def _fetch_all(hub: Connection, files: list[Remote], folder: Path, progress: bool) -> None:
    """Bring files into a folder, if there is room for them and for what they are converted to."""
    name, total = short(hub.model.name), sum(file.size or 0 for file in files)
    needed, free = max(total - cache.bytes_of(folder), 0) + total, shutil.disk_usage(folder).free
    if free < needed:
        raise HubError(
            f"{name} needs {size(needed)} on the disk of {cache.cache_dir()}, where {size(free)} are free: make room, "
            "or set NUMPYGPT_HOME to a folder on another disk"
        )
    hub.say(f"{name}: downloading {size(total)} from {hub.endpoint} to {cache.cache_dir()}")
    is_watched = sys.stderr.isatty() or "ipykernel" in sys.modules  # a notebook is no terminal, but shows bars
    hidden = not (progress and is_watched)
    with tqdm(desc=name, total=total, unit="B", unit_scale=True, leave=False, disable=hidden) as bar:
        for file in files:
            fetch(hub, file, folder, bar)


def fetch(hub: Connection, file: Remote, folder: Path, bar: tqdm[NoReturn] | None = None) -> None:
    """Bring a file into a folder, going on with what is there of it, and verify it."""
    place = folder / file.name
    before = bar.n if bar is not None else 0

    def show() -> None:
        if bar is not None:
            bar.update(before + _length(place) - bar.n)

    for attempt in range(3):
        if place.is_symlink() or place.is_dir():
            cache.delete(place)
        show()
        if _length(place) and (file.size is None or _length(place) >= file.size):
            if file.matches(place):
                return
            place.unlink()  # damaged: once more from its beginning
        if attempt < 2:
            hub.persist(file.name, lambda: _receive(hub, file, place, show), lambda: _length(place))
    hub.refuse(file.name, f"a checksum other than {file.checksum}", "that one")


def _receive(hub: Connection, file: Remote, place: Path, show: Callable[[], None]) -> None:
    """Write what the hub sends to a file, behind what is there."""
    have = _length(place) if file.size is not None else 0
    limit = MAX_TEXT_BYTES if file.size is None else file.size
    try:
        with hub.request("GET", file.name, {"Range": f"bytes={have}-"} if have else {}) as response:
            offered = hub.said(response)[1]
            if offered and file.offered and offered != file.offered:
                raise HubError(f"{file.name} changed at {hub.endpoint} during the download; run it again")
            if response.status_code == 200:  # the whole file, from its beginning
                have = 0
            elif not _continues(response, have, file.size):
                raise CannotResumeError("the server sent another part of the file than it was asked for")
            with _open(place, have) as output:
                for chunk in response.iter_content(CHUNK_BYTES):
                    output.write(chunk)
                    show()
                    if output.tell() > limit:
                        raise CannotResumeError(f"the server sent more than the file's {limit} bytes")
    except requests.RequestException as error:
        raise hub.explained(error) from None
    except CannotResumeError:
        place.unlink(missing_ok=True)
        raise
    if file.size is not None and _length(place) < file.size:
        raise TransientError(f"the connection ended after {_length(place)} of {file.size} bytes")


def _continues(response: requests.Response, have: int, length: int | None) -> bool:
    """Tell whether a partial response starts where the file on disk ends."""
    match = re.fullmatch(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)", response.headers.get("Content-Range", ""))
    return match is not None and int(match[1]) == have > 0 and (length is None or match[2] in ("*", str(length)))


def _open(path: Path, have: int) -> FileIO:
    """Open a file to write behind its first `have` bytes, unbuffered so that an error is that of the bytes at hand."""
    file = FileIO(path, "ab" if have else "wb")
    file.truncate(have)
    return file


def _length(path: Path) -> int:
    try:
        return os.lstat(path).st_size
    except FileNotFoundError:
        return 0
