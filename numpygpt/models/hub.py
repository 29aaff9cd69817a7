"""From a model's name to a model folder: `gpt2`, or any `owner/name` on the Hugging Face hub.

A download can be interrupted anywhere and goes on where it stopped. What happens to a name, in order:

1. `find` looks on this disk: among the models downloaded before, then in Hugging Face's own cache.
2. A HEAD request for each file, `{endpoint}/{owner}/{name}/resolve/{revision}/{file}`, tells its length and
   checksum: in `X-Linked-Etag` the SHA-256 of a large file, in `ETag` the SHA-1 that git gives a small one.
   `X-Repo-Commit` tells the commit that a branch such as `main` points to; all files are taken from that commit.
3. A GET request for each file, which may redirect to a content server, is written to a partial file. After a
   cut, a `Range` request asks for the rest.
4. Length and checksum are compared. The official models are pinned: their revisions and, where they are known,
   their checksums stand in `OFFICIAL`.
5. `checkpoint.convert` checks every tensor and writes an aligned folder, which then takes its place by a rename:
   it appears complete or not at all.

The cache is a folder a model under `models/` (`cache_dir` says where), with a `source.json` in each that says
where it came from and what its files' checksums are; `.partial/` holds what is under way.

Run as a command, `python -m numpygpt.hub` lists, downloads, verifies and removes models.

Source of the protocol: https://huggingface.co/docs/huggingface_hub, and RFC 9110, sections 14 (Range), 15
(redirects) and 10.2.3 (Retry-After).
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import re
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar
from urllib.parse import quote, unquote, urljoin, urlsplit

if TYPE_CHECKING:
    from requests import PreparedRequest, Response
    from tqdm import tqdm

T = TypeVar("T")

NO_CONNECTION_SECONDS = 4.0  # without a connection within that time, there is no network
READ_SECONDS = 20.0  # a connection that sends nothing for so long is given up and made anew
TRIES = 6  # in a row without a byte of progress
BACKOFF_SECONDS = 1.0  # before the second try; doubled before each further one
LONGEST_WAIT_SECONDS = 60.0  # a server that asks for a longer wait is left alone
MAX_REDIRECTS = 10
CHUNK_BYTES = 2**16
MAX_TEXT_BYTES = 2**26  # for config, vocabulary and merges: GPT-2's are 1 MB

CONFIG, WEIGHTS, INDEX, SOURCE = "config.json", "model.safetensors", "model.safetensors.index.json", "source.json"
MODELS, PARTIAL, CONVERTED = "models", ".partial", "converted"
COMMAND = "python -m numpygpt.hub"


class HubError(OSError):
    """A model that could not be found, fetched or stored: the message says what, where and what to do."""


class ModelNameError(HubError, ValueError):
    """A name that no model can have, or that of a model which is not on disk."""


class _NotFoundError(HubError):
    """A file that the repository does not have."""


class _TransientError(Exception):
    """A failure that another try may not meet."""

    def __init__(self, message: str, wait_seconds: float | None = None) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds


class _CannotResumeError(_TransientError):
    """The server has nothing from the asked-for position on."""


# Names


@dataclass(frozen=True)
class Pin:
    """What is known of a file beforehand."""

    bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Model:
    """A repository on the hub, and which state of it: `revision` None is the newest on its branch `main`."""

    repo: str
    revision: str | None = None
    pins: Mapping[str, Pin] = field(default_factory=dict, hash=False)

    @property
    def name(self) -> str:
        """The name that messages and `source.json` use: official models are known without their revision."""
        return self.repo if self.revision is None or self in OFFICIAL.values() else f"{self.repo}@{self.revision}"

    @property
    def key(self) -> str:
        """The name as one file name."""
        return quote(self.name.replace("/", "--", 1), safe="@")


# Revisions, sizes and checksums as huggingface.co gives them for these repositories.
OFFICIAL: dict[str, Model] = {
    "gpt2": Model(
        "openai-community/gpt2",
        "607a30d783dfa663caf39e06633721c8d4cfcd7e",
        {
            CONFIG: Pin(665),
            WEIGHTS: Pin(548105171, "248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707"),
            "vocab.json": Pin(1042301, "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783"),
            "merges.txt": Pin(456318, "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5"),
        },
    ),
    "gpt2-medium": Model("openai-community/gpt2-medium", "6dcaa7a952f72f9298047fd5137cd6e4f05f41da"),
    "gpt2-large": Model("openai-community/gpt2-large", "32b71b12589c2f8d625668d2335a01cac3249519"),
    "gpt2-xl": Model(
        "openai-community/gpt2-xl",
        "15ea56dee5df4983c59b2538573817e1667135e2",
        {WEIGHTS: Pin(sha256="0f8b28eb05a8075f48b61b6f35332978c74fc7763fa9fb4051a1c30511736a6a")},
    ),
    "distilgpt2": Model(
        "distilbert/distilgpt2",
        "2290a62682d06624634c1f46a6ad5be0f47f38aa",
        {WEIGHTS: Pin(352824413, "e1ff18884359fe8beb795a5f414feb85a6ce3d929ad019c0d958c039d2b94a1b")},
    ),
}
_PART = r"(?!.*(?:--|\.\.))[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"  # as the hub allows them
_REPO = re.compile(rf"{_PART}/{_PART}")
_REVISION = re.compile(r"(?!.*(?:\.\.|//|/\.|\.lock$))[A-Za-z0-9_](?:[A-Za-z0-9._/-]{0,198}[A-Za-z0-9_])?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_CHECKSUM = re.compile(r"[0-9a-f]{64}|[0-9a-f]{40}")


def parse_name(name: str) -> Model:
    """Return the model that a name means: a short name, `owner/name` or `owner/name@revision`.

    Raises ModelNameError for anything else, so that no name can lead out of the cache.

    >>> parse_name("someone/tiny-gpt2@v1.0").revision
    'v1.0'
    >>> parse_name("openai-community/gpt2") == parse_name("gpt2")
    True
    >>> parse_name("../gpt2")
    Traceback (most recent call last):
    numpygpt.hub.ModelNameError: '../gpt2' is not a model's name; say gpt2, gpt2-medium, gpt2-large, gpt2-xl, \
distilgpt2 or OWNER/NAME as on huggingface.co, with @REVISION for another state than the newest
    """
    repo, at, revision = name.partition("@")
    official = OFFICIAL.get(repo) or next((model for model in OFFICIAL.values() if model.repo == repo), None)
    if official and (not at or revision == official.revision):
        return official
    repo = official.repo if official else repo
    if not _REPO.fullmatch(repo) or repo.endswith(".git") or (at and not _REVISION.fullmatch(revision)):
        *names, last = OFFICIAL
        raise ModelNameError(
            f"{name!r} is not a model's name; say {', '.join(names)}, {last} or OWNER/NAME as on huggingface.co, "
            "with @REVISION for another state than the newest"
        )
    return Model(repo, revision or None)


# Settings


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


def endpoint() -> str:
    """Return the hub's address: `HF_ENDPOINT` (a mirror, say), or https://huggingface.co."""
    address = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").strip().rstrip("/")
    try:
        scheme, host, _ = _origin(address)
    except ValueError:
        host = ""
    if not host or scheme not in ("http", "https") or re.search(r"[@?#\s]", address):
        raise HubError(f"HF_ENDPOINT is {address!r}; it must be a plain address such as https://huggingface.co")
    return address


def _hf_home() -> str:
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join("~", ".cache")
    return os.path.expandvars(os.path.expanduser(os.environ.get("HF_HOME") or os.path.join(cache, "huggingface")))


def _hf_cache() -> Path:
    cache = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    return Path(os.path.expandvars(os.path.expanduser(cache)) if cache else os.path.join(_hf_home(), "hub"))


def _token() -> str | None:
    token = os.environ.get("HF_TOKEN")
    if not token:
        path = os.environ.get("HF_TOKEN_PATH") or os.path.join(_hf_home(), "token")
        try:
            token = Path(os.path.expanduser(path)).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None
    token = token.strip()
    if not token.isascii() or any(not " " < character <= "~" for character in token):
        raise HubError(
            "the access token (HF_TOKEN, or the file that `hf auth login` wrote) has characters no token has"
        )
    return token or None


def _is_offline() -> bool:
    switches = os.environ.get("HF_HUB_OFFLINE"), os.environ.get("TRANSFORMERS_OFFLINE")
    return any((switch or "").upper() in ("1", "ON", "YES", "TRUE") for switch in switches)


# What is on disk


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
    return folder if _is_complete(folder, model.name) else _find_in_hf_cache(model)


def installed() -> list[Installed]:
    """Return every model that `find` finds, by name."""
    models = {}
    for folder in _subfolders(_hf_cache()):
        if folder.name.startswith("models--"):
            name = folder.name.removeprefix("models--").replace("--", "/", 1)
            try:
                snapshot = find(name)
            except ModelNameError:
                continue
            if snapshot and _model_type(snapshot) == "gpt2":
                repo = parse_name(name).name
                models[repo] = Installed(_short(repo), snapshot, _bytes_of(snapshot), ours=False)
    for folder in _subfolders(cache_dir() / MODELS):
        name = str(_read_source(folder).get("name"))
        if _is_complete(folder, name):
            models[name] = Installed(_short(name), folder, _bytes_of(folder), ours=True)
    return sorted(models.values(), key=lambda model: model.name)


def _short(name: str) -> str:
    return next((short for short, model in OFFICIAL.items() if model.name == name), name)


def _subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:
        return []


def _bytes_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _read_source(folder: Path) -> dict[str, Any]:
    try:
        source = json.loads((folder / SOURCE).read_bytes())
        return source if isinstance(source, dict) else {}
    except (OSError, ValueError):
        return {}


def _is_complete(folder: Path, name: str) -> bool:
    """Tell whether all files that the model was stored with are there, in their length."""
    source = _read_source(folder)
    try:
        sizes = {file: facts["bytes"] for file, facts in source["files"].items()}
        return source["name"] == name and all((folder / file).stat().st_size == sizes[file] for file in sizes)
    except (OSError, KeyError, TypeError, AttributeError):
        return False


def _find_in_hf_cache(model: Model) -> Path | None:
    """Return a snapshot with all the files of a model: of the pinned revision if it is there, else of `main`."""
    short = [short for short, official in OFFICIAL.items() if official.repo == model.repo]  # names of early days
    for repo in [model.repo, *short]:
        folder = _hf_cache() / f"models--{repo.replace('/', '--')}"
        revisions = [model.revision, None] if model.name == model.repo else [model.revision]
        for revision in dict.fromkeys(revisions):
            commit = revision
            if not (commit and _COMMIT.fullmatch(commit)):
                try:
                    commit = (folder / "refs" / (revision or "main")).read_text(encoding="ascii").strip()
                except (OSError, UnicodeDecodeError):
                    continue
            snapshot = folder / "snapshots" / commit
            pins = model.pins if commit == model.revision else {}
            if _COMMIT.fullmatch(commit) and _is_usable(snapshot, pins, needs_tokenizer=not short):
                return snapshot
    return None


def _is_usable(snapshot: Path, pins: Mapping[str, Pin], *, needs_tokenizer: bool) -> bool:
    def has(name: str) -> bool:
        path = snapshot / name
        return path.is_file() and pins.get(name, Pin()).bytes in (None, path.stat().st_size)

    try:
        weights = [WEIGHTS] if has(WEIGHTS) else _shards(snapshot / INDEX)
        tokenizer = (has("vocab.json") and has("merges.txt")) or has("tokenizer.json") or not needs_tokenizer
        return has(CONFIG) and tokenizer and all(has(name) for name in weights)
    except OSError:
        return False


def _model_type(folder: Path) -> str | None:
    try:
        config = json.loads((folder / CONFIG).read_bytes())
        return config.get("model_type") if isinstance(config, dict) else None
    except (OSError, ValueError):
        return None


def _shards(index: Path) -> list[str]:
    """Return the names of the files that hold the weights, none of which can lead out of the folder."""
    try:
        shards = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise HubError(f"{index}: it does not say which file holds which tensor") from None
    for shard in shards:
        if not isinstance(shard, str) or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,150}\.safetensors", shard):
            raise HubError(
                f"{index}: it names {shard!r}, which is not a safetensors file beside it; nothing was fetched"
            )
    return shards


# Download


def download(name: str, *, progress: bool = True) -> Path:
    """Return the folder of a model, and fetch, verify and convert it first where it is not on disk.

    `progress` tells on standard error what happens, with a progress bar on a terminal. Where another process is
    downloading the same model, waits for it and uses its result. After any interruption, call it again: it goes
    on where it stopped.

    Raises ModelNameError (a ValueError) for what is no model's name, and HubError (an OSError), in one line fit to
    be shown, for everything that network, server and disk can do.
    """
    model = parse_name(name)
    if folder := find(name):
        return folder
    if _is_offline():
        raise HubError(f"{name} is not on this disk, and HF_HUB_OFFLINE forbids a download. {_what_works()}")
    say: Callable[[str], None] = _say if progress else _say_nothing
    with _disk_errors(), _locked(model, say):
        folder = find(name) or _install(model, say, progress)  # another process may have brought it meanwhile
        _delete(cache_dir() / PARTIAL / model.key)
    return folder


def _say(text: str) -> None:
    """Print a line to standard error, above a progress bar if there is one."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stderr)
    sys.stderr.flush()


def _say_nothing(text: str) -> None:
    pass


def _install(model: Model, say: Callable[[str], None], progress: bool) -> Path:
    """Fetch a model's files, convert them and put the result in its place."""
    from numpygpt.models import checkpoint

    work = cache_dir() / PARTIAL / model.key
    if os.path.lexists(work) and _is_complete(_make_folder(PARTIAL, model.key) / CONVERTED, model.name):
        return _publish(work / CONVERTED, model)  # the last run was killed at the last step
    with closing(_Hub(model, say)) as hub:
        hub.check_connection()
        config = hub.look_up(CONFIG)
        folder = _make_folder(PARTIAL, model.key, hub.commit)
        for path in work.iterdir():  # of runs that were killed, or of a commit that is no longer the newest
            if path != folder:
                _delete(path)
        hub.fetch(config, folder)
        with _model_errors(model, folder, work):
            checkpoint.load_config(folder)  # before half a gigabyte of another architecture is fetched
        files = [config, *_plan(hub, folder)]
        _check_space(model, folder, files)
        total = sum(file.size or 0 for file in files)
        say(f"{_short(model.name)}: downloading {_size(total)} from {hub.endpoint} to {cache_dir()}")
        with _bar(model, total, progress) as bar:
            for file in files:
                hub.fetch(file, folder, bar)
    say(f"{_short(model.name)}: converting to aligned float32, once")
    with _model_errors(model, folder, work):
        checkpoint.convert(folder, work / CONVERTED)
    origin = {"name": model.name, "repo": model.repo, "revision": hub.commit, "endpoint": hub.endpoint}
    _write_source(
        work / CONVERTED, origin, {file.name: {"bytes": file.size, file.kind: file.checksum} for file in files}
    )
    _delete(folder)
    return _publish(work / CONVERTED, model)


def _plan(hub: _Hub, folder: Path) -> list[_Remote]:
    """Look up the files that belong to the model beside config.json: the tokenizer's, then the weights."""
    vocabulary = [hub.look_up_optional(name) for name in ("vocab.json", "merges.txt")]
    if None in vocabulary:
        vocabulary = [hub.look_up_optional("tokenizer.json")]
    settings = [hub.look_up_optional(name) for name in ("added_tokens.json", "tokenizer_config.json")]
    tokenizer = [file for file in [*vocabulary, *settings] if file]
    weights = hub.look_up_optional(WEIGHTS)
    if weights:
        return [*tokenizer, weights]
    index = hub.look_up_optional(INDEX)
    if not index:
        raise HubError(
            f"{hub.model.name} has no model.safetensors. Pickles such as pytorch_model.bin can run code when they are "
            "opened, so they never are; ask its owner for safetensors, or convert it with `transformers`"
        )
    hub.fetch(index, folder)
    shards = [hub.look_up(name) for name in _shards(folder / INDEX)]
    return [*tokenizer, index, *shards]


def _check_space(model: Model, folder: Path, files: list[_Remote]) -> None:
    """Make sure that the disk can hold the files and, beside them, the converted model."""
    total = sum(file.size or 0 for file in files)
    there = sum(path.stat().st_size for path in folder.iterdir())
    needed, free = max(total - there, 0) + total, shutil.disk_usage(folder).free
    if free < needed:
        raise HubError(
            f"{_short(model.name)} needs {_size(needed)} on the disk of {cache_dir()}, where {_size(free)} are free: "
            "make room, or set NUMPYGPT_HOME to a folder on another disk"
        )


@contextmanager
def _model_errors(model: Model, folder: Path, work: Path) -> Iterator[None]:
    """Report files that came as the hub has them but are no model of ours; keeping them would help nobody."""
    try:
        yield
    except ValueError as error:
        _delete(work)
        raise HubError(str(error).replace(str(folder), model.name)) from None


def _write_source(folder: Path, origin: dict[str, str], downloaded: dict[str, Any]) -> None:
    files = {path.name: _facts(path) for path in sorted(folder.iterdir())}
    with open(folder / SOURCE, "xb") as file:
        file.write(json.dumps({**origin, "downloaded": downloaded, "files": files}, indent=2).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _facts(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": _digest(path, "sha256")}


def _publish(converted: Path, model: Model) -> Path:
    place = _make_folder(MODELS) / model.key
    if os.path.lexists(place):  # incomplete, or `find` had found it
        _delete(place)
    _sync_folder(converted)
    os.rename(converted, place)
    _sync_folder(place.parent)
    return place


@contextmanager
def _bar(model: Model, total: int, progress: bool) -> Iterator[tqdm[NoReturn] | None]:
    is_watched = sys.stderr.isatty() or "ipykernel" in sys.modules  # a notebook is no terminal, but shows bars
    if not progress or not is_watched:
        yield None
        return
    from tqdm import tqdm

    with tqdm(desc=_short(model.name), total=total, unit="B", unit_scale=True, leave=False) as bar:
        yield bar


# The hub's protocol


@dataclass(frozen=True)
class _Remote:
    """A file on the hub. `checksum` has 64 hexadecimal digits (SHA-256) or 40 (SHA-1 as git computes it)."""

    name: str
    checksum: str
    offered: str | None  # as the hub says; a pinned SHA-256 goes before git's SHA-1
    size: int | None

    @property
    def kind(self) -> str:
        return "sha256" if len(self.checksum) == 64 else "sha1"


@dataclass
class _Answer:
    """The response at the end of the redirects, and what the responses on the way said about the file."""

    response: Response
    commit: str | None = None
    checksum: str | None = None
    size: int | None = None

    def read_headers(self, from_hub: bool) -> None:
        """Take in one response's headers. A content server's ETag means nothing: only the hub's is a checksum."""
        headers = self.response.headers
        self.commit = self.commit or headers.get("X-Repo-Commit")
        etag = headers.get("X-Linked-Etag") or (
            headers.get("ETag", "") if from_hub or "X-Repo-Commit" in headers else ""
        )
        etag = etag.removeprefix("W/").strip('"').lower()
        self.checksum = self.checksum or (etag if _CHECKSUM.fullmatch(etag) else None)
        size = headers.get("X-Linked-Size", "")
        if not size and self.response.status_code == 200 and "Content-Encoding" not in headers:
            size = headers.get("Content-Length", "")
        if self.size is None and re.fullmatch(r"[0-9]{1,18}", size):
            self.size = int(size)


class _Hub:
    """A connection to the hub, for the files of one model at one commit."""

    def __init__(self, model: Model, say: Callable[[str], None]) -> None:
        import requests

        self.model, self._say = model, say
        self.endpoint = endpoint()
        self.commit = model.revision if model.revision and _COMMIT.fullmatch(model.revision) else ""
        self._token = _token()
        self._session = requests.Session()
        # _request follows redirects, and the library need not look at them:
        self._session.get_redirect_target = lambda response: None  # type: ignore[assignment,method-assign]
        self._session.headers.update({"User-Agent": "numpygpt", "Accept-Encoding": "identity"})

    def close(self) -> None:
        self._session.close()

    def check_connection(self) -> None:
        """Find out within seconds whether the hub, or the proxy before it, can be reached at all."""
        from requests.utils import get_environ_proxies, select_proxy

        proxy = select_proxy(self.endpoint, get_environ_proxies(self.endpoint))
        address = self.endpoint if not proxy else proxy if "://" in proxy else f"http://{proxy}"
        _, host, port = _origin(address)
        reason = _why_unreachable(host, port)
        if reason:
            where = f"the proxy {host} on the way to {self.endpoint}" if proxy else self.endpoint
            raise HubError(
                f"cannot reach {where} ({reason}). Check the network; where the hub is blocked, set HF_ENDPOINT to "
                f"a mirror. {_what_works()}"
            )

    def look_up(self, name: str) -> _Remote:
        """Ask for a file's length and checksum, and hold them against what is known beforehand."""

        def ask() -> _Answer:
            with self._request("HEAD", name) as answer:
                return answer

        answer = self._persist(name, ask)
        self._check_commit(answer.commit)
        pin = self.model.pins.get(name, Pin())
        if pin.sha256 and len(answer.checksum or "") == 64 and answer.checksum != pin.sha256:
            self._refuse(name, f"SHA-256 {answer.checksum}", pin.sha256)
        if pin.bytes is not None and answer.size not in (None, pin.bytes):
            self._refuse(name, f"{answer.size} bytes", str(pin.bytes))
        checksum, size = pin.sha256 or answer.checksum, answer.size if pin.bytes is None else pin.bytes
        if checksum is None:
            raise HubError(f"{self.endpoint} gives no checksum for {name}, so it is not fetched: {_NOT_A_HUB}")
        if name.endswith(".safetensors") and size is None:
            raise HubError(f"{self.endpoint} does not say how long {name} is: {_NOT_A_HUB}")
        if not name.endswith(".safetensors") and (size or 0) > MAX_TEXT_BYTES:
            raise HubError(f"{self.model.name}: {name} is {_size(size or 0)} long, which no GPT-2's is; not fetched")
        return _Remote(name, checksum, answer.checksum, size)

    def look_up_optional(self, name: str) -> _Remote | None:
        try:
            return self.look_up(name)
        except _NotFoundError:
            return None

    def fetch(self, file: _Remote, folder: Path, bar: tqdm[NoReturn] | None = None) -> None:
        """Bring a file into a folder, going on with what is there of it, and verify it."""
        place, part = folder / file.name, folder / f"{file.name}.{file.checksum[:16]}.part"
        if _is_plain_file(place):  # of an earlier run: verified then, and again now
            os.replace(place, part)
        if os.path.lexists(part) and not _is_plain_file(part):
            _delete(part)
        before = bar.n if bar is not None else 0
        if bar is not None:  # what is there already is progress, but says nothing of the speed
            bar.initial += _length(part)
            bar.n = bar.last_print_n = before + _length(part)

        def show() -> None:
            if bar is not None:
                bar.update(before + _length(part) - bar.n)

        for is_last_try in (False, True):
            show()
            if not os.path.lexists(part) or _length(part) != file.size:
                self._persist(file.name, lambda: self._receive(file, part, show), lambda: _length(part))
            if _matches(part, file):
                _sync(part)
                os.replace(part, place)
                return
            part.unlink()  # damaged on the way, or in an earlier run: once more from its beginning
            if is_last_try:
                self._refuse(file.name, f"a checksum other than {file.checksum}", "that one")

    def _receive(self, file: _Remote, part: Path, show: Callable[[], None]) -> None:
        """Append to a partial file what the hub sends."""
        have = _length(part) if _length(part) < (file.size or 0) else 0
        limit = MAX_TEXT_BYTES if file.size is None else file.size
        try:
            with self._request("GET", file.name, {"Range": f"bytes={have}-"} if have else {}) as answer:
                if answer.checksum and file.offered and answer.checksum != file.offered:
                    raise HubError(f"{file.name} changed at {self.endpoint} during the download; run it again")
                resumes = answer.response.status_code == 206  # 200: the whole file, from its beginning
                if resumes and not _continues(answer.response, have, file.size):
                    raise _CannotResumeError("the server sent another part of the file than it was asked for")
                with _open_part(part, append=resumes) as output:
                    for chunk in self._chunks(answer.response):
                        output.write(chunk)
                        show()
                        if output.tell() > limit:
                            raise _CannotResumeError(f"the server sent more than the file's {limit} bytes")
        except _CannotResumeError:
            part.unlink(missing_ok=True)
            raise
        if file.size is not None and _length(part) < file.size:
            raise _TransientError(f"the connection ended after {_length(part)} of {file.size} bytes")

    def _chunks(self, response: Response) -> Iterator[bytes]:
        try:
            yield from response.iter_content(CHUNK_BYTES)
        except _network_errors() as error:
            raise self._explained(error) from None

    @contextmanager
    def _request(self, method: str, name: str, headers: Mapping[str, str] | None = None) -> Iterator[_Answer]:
        """Send a request for a file and follow its redirects; the answer is a success."""
        revision = quote(self.commit or self.model.revision or "main", safe="")
        url = f"{self.endpoint}/{self.model.repo}/resolve/{revision}/{quote(name)}"
        answer: _Answer | None = None
        for _ in range(MAX_REDIRECTS):
            try:
                response = self._session.request(
                    method,
                    url,
                    headers=headers,
                    auth=self._authorize,
                    stream=True,
                    allow_redirects=False,
                    timeout=(NO_CONNECTION_SECONDS, READ_SECONDS),
                )
            except _network_errors() as error:
                raise self._explained(error) from None
            with closing(response):
                answer = answer or _Answer(response)
                answer.response = response
                answer.read_headers(_origin(url) == _origin(self.endpoint))
                if not response.is_redirect:
                    self._check_status(response, url, name)
                    yield answer
                    return
            target = self._redirect(url, response.headers["Location"])
            if method == "HEAD" and answer.commit and answer.checksum and _origin(target) != _origin(url):
                yield answer  # all is said, and a content server's addresses are often signed for GET alone
                return
            url = target
        raise HubError(f"{self.endpoint} redirects the request for {name} in circles; {_NOT_A_HUB}")

    def _authorize(self, request: PreparedRequest) -> PreparedRequest:
        """Show the token to the hub and to nobody else."""
        if self._token and request.url and _origin(request.url) == _origin(self.endpoint):
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def _redirect(self, url: str, location: str) -> str:
        """Return where a redirect leads, unless that is no web address or less safe than this one."""
        try:
            target = urljoin(url, location)
            scheme, host, _ = _origin(target)
        except ValueError:
            scheme = host = ""
        if not host or scheme not in ("http", "https") or (scheme == "http" and urlsplit(url).scheme == "https"):
            raise HubError(
                f"{self.endpoint} redirects to {location.split('?')[0]!r}, which is not safe to follow: {_NOT_A_HUB}"
            )
        return target

    def _check_commit(self, commit: str | None) -> None:
        """Fix the commit that all files are taken from."""
        if not self.commit:
            if not commit or not _COMMIT.fullmatch(commit):
                raise HubError(f"{self.endpoint} does not answer like a hub (no X-Repo-Commit header): {_NOT_A_HUB}")
            self.commit = commit
        elif commit not in (None, self.commit):
            raise HubError(f"{self.endpoint} answers for commit {commit!r} where {self.commit} was asked for")

    def _check_status(self, response: Response, url: str, name: str) -> None:
        from http.client import responses

        status, code = response.status_code, response.headers.get("X-Error-Code")
        answered = f"{_origin(url)[1]} answered {status} {responses.get(status, '')}".rstrip()
        is_hub = _origin(url) == _origin(self.endpoint) or {"X-Error-Code", "X-Repo-Commit"} & set(response.headers)
        what = f"{self.endpoint}: {self.model.name}"
        tokens = "a token from https://huggingface.co/settings/tokens in HF_TOKEN"
        if status in (200, 206):
            if response.headers.get("Content-Type", "").startswith("text/html"):
                raise HubError(f"{self.endpoint} sent a web page instead of {name}: {_NOT_A_HUB}")
        elif status == 416:
            raise _CannotResumeError(answered)
        elif status in (408, 425, 429) or status >= 500:
            raise _TransientError(answered, _retry_after(response))
        elif not is_hub:  # its codes mean other things, and its pages do not help
            raise HubError(f"{what}: {answered} for {name}; where it is blocked, set HF_ENDPOINT to a mirror")
        elif code == "GatedRepo" or status == 403:
            raise HubError(f"{what} is not open to you ({status}): accept its terms on its page, and put {tokens}")
        elif status == 401 and self._token:
            raise HubError(f"{what}: no such model, or your token does not open it; check the name and HF_TOKEN")
        elif status == 401 or code == "RepoNotFound":
            raise HubError(f"{what}: no such model, or a private one; check the name, or put {tokens}")
        elif code == "RevisionNotFound":
            raise HubError(f"{what}: it has no revision {self.model.revision or 'main'}; its page lists those it has")
        elif status == 404:
            raise _NotFoundError(f"{what}: it has no {name} (404); is it a model, and is the name right?")
        else:
            raise HubError(f"{what}: {answered} for {name}")

    def _refuse(self, name: str, offered: str, expected: str) -> NoReturn:
        raise HubError(
            f"{self.endpoint} offers a different {name} under the name {_short(self.model.name)}: {offered} instead of "
            f"{expected}. Nothing was kept of it; try again, or another HF_ENDPOINT"
        )

    def _explained(self, error: Exception) -> Exception:
        """Turn what the network library raises into one line, or into another try."""
        import requests

        if isinstance(error, requests.exceptions.SSLError) and "CERTIFICATE" in str(error):
            return HubError(
                f"no safe connection to {self.endpoint} ({_brief(error)}); behind a company's proxy, set "
                "REQUESTS_CA_BUNDLE to the file of its certificate"
            )
        if isinstance(error, requests.exceptions.ProxyError):
            return HubError(f"the proxy does not connect to {self.endpoint} ({_brief(error)}); check HTTPS_PROXY")
        if isinstance(error, ValueError):  # addresses and headers that cannot be sent
            return HubError(f"{self.endpoint}: {_brief(error)}")
        return _TransientError(_brief(error))

    def _persist(self, name: str, attempt: Callable[[], T], progress: Callable[[], int] = lambda: 0) -> T:
        """Try until it works, or fails `TRIES` times in a row without getting further than ever before."""
        failures, furthest = 0, progress()
        while True:
            try:
                return attempt()
            except _TransientError as error:
                failures = failures + 1 if progress() <= furthest else 1
                furthest = max(furthest, progress())
                wait = error.wait_seconds
                if wait is None:
                    wait = BACKOFF_SECONDS * 2 ** (failures - 1) * random.uniform(0.5, 1)
                if failures >= TRIES or wait > LONGEST_WAIT_SECONDS:
                    asked = f" and asks to wait {wait:.0f} seconds" if wait > LONGEST_WAIT_SECONDS else ""
                    raise HubError(
                        f"{self.endpoint}: {name} of {_short(self.model.name)} could not be fetched: {error}{asked}. "
                        "Run it again later, it goes on where it stopped; where the hub is blocked, set HF_ENDPOINT "
                        "to a mirror"
                    ) from None
                if wait >= 1:
                    self._say(f"{name}: {error}; trying again in {wait:.0f} s")
                time.sleep(wait)


_NOT_A_HUB = "is HF_ENDPOINT right, and does this network ask you to log in first (open a web page to see)?"


def _network_errors() -> type[Exception]:
    import requests

    return requests.RequestException


def _why_unreachable(host: str, port: int) -> str | None:
    """Try all of a host's addresses at once; None if one of them answers in time, else why not.

    In threads, for neither a name server nor a dead address keeps to a limit.
    """
    import queue
    import socket
    import threading

    answers: queue.Queue[str | None] = queue.Queue()

    def connect(address: Any) -> None:
        try:
            socket.create_connection(address[:2], timeout=NO_CONNECTION_SECONDS).close()
            answers.put(None)
        except OSError as error:
            answers.put(error.strerror or str(error))

    def resolve() -> None:
        try:
            addresses = {info[4][:2] for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
        except (OSError, UnicodeError):
            answers.put(f"the name {host} is not known")
            answers.put("end")
            return
        threads = [threading.Thread(target=connect, args=(address,), daemon=True) for address in addresses]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        answers.put("end")

    threading.Thread(target=resolve, daemon=True).start()
    deadline, reason = time.monotonic() + NO_CONNECTION_SECONDS, f"no answer within {NO_CONNECTION_SECONDS:.0f} seconds"
    while True:
        try:
            answer = answers.get(timeout=max(deadline - time.monotonic(), 0.001))
        except queue.Empty:
            return reason
        if answer is None:
            return None
        if answer == "end":
            return reason
        reason = answer


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme, 1080)


def _continues(response: Response, have: int, size: int | None) -> bool:
    """Tell whether a partial response starts where the file on disk ends."""
    match = re.fullmatch(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)", response.headers.get("Content-Range", ""))
    return match is not None and int(match[1]) == have > 0 and (size is None or match[2] in ("*", str(size)))


def _retry_after(response: Response) -> float | None:
    """Read how long the server asks to wait: seconds, or a date."""
    from email.utils import parsedate_to_datetime

    value = response.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(parsedate_to_datetime(value).timestamp() - time.time(), 0)
    except (TypeError, ValueError):
        return None


def _brief(error: Exception) -> str:
    """Dig the sentence that helps out of the layers that the network libraries wrap around it."""
    reason: Any = error
    while isinstance(reason, Exception) and reason.args:
        reason = getattr(reason, "reason", None) or reason.args[0]
    return " ".join(str(reason).split()).rpartition("): ")[2][:200] or type(error).__name__


# Files


def _make_folder(*parts: str) -> Path:
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


def _delete(path: Path) -> None:
    """Delete a file, a folder, or a symbolic link but not what it leads to."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path)


def _is_plain_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False


def _length(path: Path) -> int:
    try:
        return os.lstat(path).st_size
    except FileNotFoundError:
        return 0


def _open_part(path: Path, *, append: bool) -> Any:
    """Open a partial file for writing, unbuffered so that an error is that of the bytes at hand."""
    flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if append else os.O_TRUNC)
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return open(os.open(path, flags, 0o666), "ab" if append else "wb", buffering=0)


def _digest(path: Path, kind: str) -> str:
    """Return a file's SHA-256, or for "sha1" the SHA-1 of git, which puts a header before the content."""
    digest = hashlib.new(kind, usedforsecurity=False)
    with open(path, "rb") as file:
        if kind == "sha1":
            digest.update(b"blob %d\0" % os.fstat(file.fileno()).st_size)
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _matches(path: Path, file: _Remote) -> bool:
    return file.size in (None, _length(path)) and _digest(path, file.kind) == file.checksum


def _sync(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    if os.name == "posix":  # elsewhere folders cannot be opened
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _disk_errors() -> Iterator[None]:
    """Say in one line what the disk refused, and what to do."""
    try:
        yield
    except HubError:
        raise
    except OSError as error:
        where = f"{error.filename or cache_dir()}: {error.strerror or error}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            advice = "make room and run it again (it goes on where it stopped), or set NUMPYGPT_HOME to another disk"
        else:
            advice = "the models' folder must be writable; NUMPYGPT_HOME sets another one"
        raise HubError(f"{where}; {advice}") from error


@contextmanager
def _locked(model: Model, say: Callable[[str], None]) -> Iterator[None]:
    """Let one process at a time work on a model. The system frees the lock of a process however it ends."""
    path = _make_folder(PARTIAL) / f"{model.key}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    try:
        if not _try_lock(descriptor):
            say(f"{_short(model.name)}: another process is working on it; waiting for that one")
            while not _try_lock(descriptor):
                time.sleep(0.1)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # POSIX says the one, Windows the other
        return False
    return True


# Care of what is on disk


def verify(name: str) -> Path:
    """Read a model's files again and compare them with their checksums; return its folder.

    Raises ModelNameError where the model is not on disk and HubError, saying what to do, where a file is damaged.
    """
    model, folder = parse_name(name), find(name)
    place = cache_dir() / MODELS / model.key
    if place.is_dir():
        folder, damaged_files, again = place, _damaged_of_ours, f"{COMMAND} remove {name}"
    elif folder:
        damaged_files, again = _damaged_of_hf, "`hf cache rm` (it is in Hugging Face's cache)"
    else:
        raise ModelNameError(f"{name} is not on this disk. {_what_works()}")
    with _disk_errors():
        damaged = damaged_files(folder)
    if damaged:
        what = f"{name} is damaged: {', '.join(damaged)} in {folder} changed on disk"
        raise HubError(f"{what}; run {again} and then {COMMAND} download {name}")
    return folder


def _damaged_of_ours(folder: Path) -> list[str]:
    files = _read_source(folder).get("files")
    if not isinstance(files, dict) or WEIGHTS not in files:
        return [SOURCE]
    return [name for name, facts in files.items() if not (folder / name).is_file() or _facts(folder / name) != facts]


def _damaged_of_hf(folder: Path) -> list[str]:
    """In Hugging Face's cache, the names are links to files that are named by their checksums."""
    blobs = {path: path.resolve().name for path in sorted(folder.iterdir())}
    known = {path: blob for path, blob in blobs.items() if _CHECKSUM.fullmatch(blob)}
    if not known:
        raise HubError(f"{folder}: there are no checksums here to verify with; the files are no links to named blobs")
    return [p.name for p, blob in known.items() if _digest(p, "sha256" if len(blob) == 64 else "sha1") != blob]


def remove(name: str) -> int:
    """Remove a model that this package downloaded, or the part of it; return how many bytes that frees.

    Raises ModelNameError where there is nothing of ours to remove.
    """
    model = parse_name(name)
    place, work = cache_dir() / MODELS / model.key, cache_dir() / PARTIAL / model.key
    if not os.path.lexists(place) and not os.path.lexists(work):
        if folder := find(name):
            raise ModelNameError(f"{name} belongs to Hugging Face's cache; remove it with `hf cache rm` ({folder})")
        raise ModelNameError(f"{name} is not on this disk. {_what_works()}")
    with _disk_errors(), _locked(model, lambda text: print(text, file=sys.stderr)):
        _make_folder(MODELS)  # raises where it is a link to elsewhere
        freed = sum(_bytes_of(path) for path in (place, work) if path.is_dir() and not path.is_symlink())
        if os.path.lexists(place):
            trash = _make_folder(PARTIAL, model.key) / "removed"
            _delete(trash)
            os.rename(place, trash)  # at once: nobody finds half a model
        _delete(work)
    return freed


def _what_works() -> str:
    models = installed()
    if not models:
        return "No model is on this disk yet."
    return f"On this disk and ready to use: {', '.join(model.name for model in models)}"


def _size(n_bytes: int) -> str:
    """Write a number of bytes for people.

    >>> _size(548105171)
    '548 MB'
    >>> _size(6431878936)
    '6.4 GB'
    """
    for unit in ("bytes", "kB", "MB"):
        if n_bytes < 999.5:
            return f"{n_bytes:.0f} {unit}"
        n_bytes /= 1000  # type: ignore[assignment]
    return f"{n_bytes:.1f} GB"


# The command line


def _list() -> None:
    models = installed()
    width = max((len(model.name) for model in models), default=0)
    for model in models:
        whose = "" if model.ours else "  (Hugging Face's cache)"
        print(f"{model.name:{width}}  {_size(model.bytes):>8}  {model.folder}{whose}")
    for folder in _subfolders(cache_dir() / PARTIAL):
        if begun := _bytes_of(folder):
            print(f"{unquote(folder.name.replace('--', '/', 1))}: begun, {_size(begun)}; `download` goes on with it")
    missing = [name for name in OFFICIAL if name not in {model.name for model in models}]
    if missing:
        print(f"not on this disk: {', '.join(missing)}; to get one: {COMMAND} download {missing[0]}")


def _verify(names: list[str]) -> None:
    damaged = []
    for name in names:
        try:
            print(f"{name}: every checksum is right ({verify(name)})", flush=True)
        except HubError as error:
            if isinstance(error, ModelNameError):
                raise
            damaged.append(str(error))
    if damaged:
        raise HubError("; ".join(damaged))
    if not names:
        print("no model is on this disk")


def main(argv: list[str] | None = None) -> None:
    """List, download, verify and remove models, from the command line."""
    from numpygpt.command_line import Parser, friendly_exit

    parser = Parser(
        COMMAND,
        "Models from the Hugging Face hub: what is on disk, and getting more.\n\n"
        "  list            models on disk, with sizes and folders (the default)\n"
        "  download NAME   fetch a model, verify and convert it; run it again after any interruption\n"
        "  verify [NAME]   compare the files of one model, or of all, with their checksums\n"
        "  remove NAME     delete a model, or what there is of an interrupted download",
        f"NAME is {', '.join(OFFICIAL)}, or OWNER/NAME[@REVISION] of any GPT-2 on the hub.\n\n"
        f"examples: {COMMAND} download gpt2\n"
        '          python -m numpygpt --model gpt2 "Alan Turing theorized that"\n\n'
        "environment: HF_ENDPOINT (a mirror), HF_TOKEN (for private models), HF_HUB_OFFLINE=1 (no network),\n"
        f"             HTTPS_PROXY, NUMPYGPT_HOME (where models go; now {cache_dir()})",
    )
    parser.add_argument("action", nargs="?", choices=["list", "download", "verify", "remove"], default="list")
    parser.add_argument("name", metavar="NAME", nargs="?", help="a model")
    options = parser.parse_args(argv)
    if options.action in ("download", "remove") and not options.name:
        parser.error(f"{options.action} needs the NAME of a model, such as gpt2")
    if options.action == "list" and options.name:
        parser.error(f"list takes no name; `download {options.name}` also says where a model is")
    with friendly_exit(parser.prog):
        try:
            _run(options.action, options.name)
        except ModelNameError:
            raise  # the user's to mend: friendly_exit's status 2
        except HubError as error:
            sys.exit(f"{parser.prog}: {' '.join(str(error).split())}")  # status 1


def _run(action: str, name: str | None) -> None:
    if action == "list":
        _list()
    elif action == "verify":
        _verify([name] if name else [model.name for model in installed()])
    elif action == "download" and name:
        print(f"{name}: {download(name)}")
    elif action == "remove" and name:
        print(f"{name}: removed, {_size(remove(name))} freed")


if __name__ == "__main__":
    main()
