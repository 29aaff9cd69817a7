"""From a model's name to a model folder: `gpt2`, or any `owner/name` on the Hugging Face hub.

A download can be interrupted anywhere and goes on where it stopped. What happens to a name that is not on disk yet:

1. A HEAD request for each file, `{endpoint}/{owner}/{name}/resolve/{revision}/{file}`, tells its length and
   checksum: in `X-Linked-Etag` the SHA-256 of a large file, in `ETag` the SHA-1 that git gives a small one.
   `X-Repo-Commit` tells the commit that a branch such as `main` points to; all files are taken from that commit.
2. A GET request for each file, which may redirect to a content server, is written to a partial file. After a
   cut, a `Range` request asks for the rest. Length and checksum are compared; those of official models are pinned.
3. `checkpoint.convert` checks every tensor and writes an aligned folder, which then takes its place by a rename:
   it appears complete or not at all. Of two processes that bring the same model, the first to rename wins.

Source of the protocol: https://huggingface.co/docs/huggingface_hub, and RFC 9110, sections 14 (Range), 15
(redirects) and 10.2.3 (Retry-After).
"""

from __future__ import annotations

import errno
import json
import os
import random
import re
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import responses
from pathlib import Path
from typing import Any, NoReturn, TypeVar
from urllib.parse import quote, urljoin, urlsplit

import requests
from requests import Response
from tqdm import tqdm

from numpygpt.models import cache, checkpoint
from numpygpt.models.cache import CHECKSUM, COMMIT, CONFIG, PARTIAL, SOURCE, HubError, Model, Pin, short, size
from numpygpt.models.stored import INDEX, WEIGHTS

T = TypeVar("T")

CONNECT_SECONDS, READ_SECONDS = 4.0, 20.0  # without a connection, or a byte, for so long, it is given up
TRIES = 6  # in a row without a byte of progress
BACKOFF_SECONDS = 1.0  # before the second try; doubled before each further one
LONGEST_WAIT_SECONDS = 60.0  # a server that asks for a longer wait is left alone
CHUNK_BYTES = 2**16
MAX_TEXT_BYTES = 2**26  # for config, vocabulary and merges: GPT-2's are 1 MB
NOT_A_HUB = "is HF_ENDPOINT right, and does this network ask you to log in first (open a web page to see)?"
OPTIONAL = ("added_tokens.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json")


class _NotFoundError(HubError):
    """A file that the repository does not have."""


class _TransientError(Exception):
    """A failure that another try may not meet, and how long the server asks to wait."""

    def __init__(self, message: str, wait_seconds: float | None = None) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds


class _CannotResumeError(_TransientError):
    """The server has nothing from the asked-for position on."""


def download(name: str, *, progress: bool = True) -> Path:
    """Return the folder of a model, and fetch, verify and convert it first where it is not on disk.

    `progress` tells on standard error what happens, with a progress bar on a terminal. After any interruption, call it
    again: it goes on where it stopped.

    Raises ModelNameError (a ValueError) for what is no model's name, and HubError (an OSError), in one line fit to
    be shown, for everything that network, server and disk can do.
    """
    model = cache.parse_name(name)
    if folder := cache.find(name):
        return folder
    if any(os.environ.get(s, "").upper() in ("1", "ON", "YES", "TRUE") for s in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")):
        raise HubError(f"{name} is not on this disk, and HF_HUB_OFFLINE forbids a download. {cache.what_works()}")
    try:
        with _Hub(model, progress) as hub, _disk_errors():
            return _install(model, hub, progress)
    except OSError:
        if folder := cache.find(name):  # another process has brought it meanwhile
            return folder
        raise


def _install(model: Model, hub: _Hub, progress: bool) -> Path:
    """Fetch a model's files, convert them and put the result in its place."""
    config = hub.look_up(CONFIG)
    work = cache.make_folder(PARTIAL, model.key)
    folder = cache.make_folder(PARTIAL, model.key, hub.commit)
    hub.fetch(config, folder)
    with _model_errors(model, folder, work):
        checkpoint.load_config(folder)  # before half a gigabyte of another architecture is fetched
    files = [config, *_plan(hub, folder)]
    total = sum(file.size or 0 for file in files)
    needed, free = max(total - cache.bytes_of(folder), 0) + total, shutil.disk_usage(folder).free
    if free < needed:
        raise HubError(
            f"{short(model.name)} needs {size(needed)} on the disk of {cache.cache_dir()}, where {size(free)} are free: "
            "make room, or set NUMPYGPT_HOME to a folder on another disk"
        )
    hub.say(f"{short(model.name)}: downloading {size(total)} from {hub.endpoint} to {cache.cache_dir()}")
    is_watched = sys.stderr.isatty() or "ipykernel" in sys.modules  # a notebook is no terminal, but shows bars
    hidden = not (progress and is_watched)
    with tqdm(desc=short(model.name), total=total, unit="B", unit_scale=True, leave=False, disable=hidden) as bar:
        for file in files:
            hub.fetch(file, folder, bar)
    hub.say(f"{short(model.name)}: converting to aligned float32, once")
    converted = work / f"converted-{secrets.token_hex(4)}"
    with _model_errors(model, folder, work):
        checkpoint.convert(folder, converted)
    said = {"name": model.name, "repo": model.repo, "revision": hub.commit, "endpoint": hub.endpoint}
    source = {**said, "files": {path.name: cache.facts(path) for path in sorted(converted.iterdir())}}
    (converted / SOURCE).write_text(json.dumps(source, indent=2) + "\n", encoding="utf-8")
    return _publish(model, converted, work)


def _publish(model: Model, converted: Path, work: Path) -> Path:
    place = cache.make_folder(cache.MODELS) / model.key
    if not cache.is_complete(place, model.name):
        cache.delete(place)
        with suppress(FileExistsError):  # of another process, this moment
            os.rename(converted, place)
    cache.delete(work)
    return place


def _plan(hub: _Hub, folder: Path) -> list[_Remote]:
    """Look up the files that belong to the model beside config.json: the tokenizer's, then the weights."""
    vocabulary = [hub.look_up_optional(name) for name in ("vocab.json", "merges.txt")]
    if None in vocabulary:
        vocabulary = [hub.look_up_optional("tokenizer.json")]
    texts = [file for file in [*vocabulary, *map(hub.look_up_optional, OPTIONAL)] if file]
    if weights := hub.look_up_optional(WEIGHTS):
        return [*texts, weights]
    index = hub.look_up_optional(INDEX)
    if not index:
        raise HubError(
            f"{hub.model.name} has no model.safetensors. Pickles such as pytorch_model.bin can run code when they are "
            "opened, so they never are; ask its owner for safetensors, or convert it with `transformers`"
        )
    hub.fetch(index, folder)
    return [*texts, index, *map(hub.look_up, cache.shards(folder / INDEX))]


@contextmanager
def _model_errors(model: Model, folder: Path, work: Path) -> Iterator[None]:
    """Report files that came as the hub has them but are no model of ours; keeping them would help nobody."""
    try:
        yield
    except ValueError as error:
        cache.delete(work)
        raise HubError(str(error).replace(str(folder), model.name)) from None


@contextmanager
def _disk_errors() -> Iterator[None]:
    """Say in one line what the disk refused, and what to do."""
    try:
        yield
    except HubError:
        raise
    except OSError as error:
        where = f"{error.filename or cache.cache_dir()}: {error.strerror or error}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            advice = "make room and run it again (it goes on where it stopped), or set NUMPYGPT_HOME to another disk"
        else:
            advice = "the models' folder must be writable; NUMPYGPT_HOME sets another one"
        raise HubError(f"{where}; {advice}") from error


# The hub's protocol


@dataclass(frozen=True)
class _Remote:
    """A file on the hub. `checksum` has 64 hexadecimal digits (SHA-256) or 40 (SHA-1 as git computes it)."""

    name: str
    checksum: str
    offered: str | None  # as the hub says; a pinned SHA-256 goes before git's SHA-1
    size: int | None

    def matches(self, path: Path) -> bool:
        kind = "sha256" if len(self.checksum) == 64 else "sha1"
        return path.is_file() and self.size in (None, _length(path)) and cache.digest(path, kind) == self.checksum


class _Session(requests.Session):
    """Follows redirects as the library does, but to no unsafe place, and shows it no password of the user's."""

    def rebuild_auth(self, prepared_request: Any, response: Response) -> None:
        if self.should_strip_auth(str(response.request.url), prepared_request.url):
            prepared_request.headers.pop("Authorization", None)

    def rebuild_proxies(self, prepared_request: Any, proxies: Any) -> Any:
        return super().rebuild_proxies(prepared_request, {})  # those of the new host

    def get_redirect_target(self, resp: Response) -> str | None:
        target = super().get_redirect_target(resp)
        if target is None:
            return None
        try:
            here, there = urlsplit(str(resp.url)), urlsplit(urljoin(str(resp.url), target))
            is_safe = bool(there.hostname) and there.scheme in ("http", "https") and there.port != 0
        except ValueError:
            is_safe = False
        if not is_safe or (there.scheme, here.scheme) == ("http", "https"):
            raise HubError(f"{_host(resp)} redirects to {target.split('?')[0]!r}, which is not safe to follow: {NOT_A_HUB}")
        is_said = "X-Linked-Etag" in resp.headers and "X-Repo-Commit" in resp.headers
        if resp.request.method == "HEAD" and is_said and there.netloc != here.netloc:
            return None  # a content server's addresses are often signed for GET alone
        return target


class _Hub:
    """A connection to the hub, for the files of one model at one commit."""

    def __init__(self, model: Model, progress: bool) -> None:
        self.model, self.endpoint, self._progress = model, endpoint(), progress
        self.commit = model.revision if model.revision and COMMIT.fullmatch(model.revision) else ""
        self._token, self._is_reached = _token(), False
        self._session = _Session()
        self._session.max_redirects = 10
        self._session.headers.update({"User-Agent": "numpygpt", "Accept-Encoding": "identity"})

    def __enter__(self) -> _Hub:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def say(self, text: str) -> None:
        """Print a line to standard error, above a progress bar if there is one."""
        if self._progress:
            tqdm.write(text, file=sys.stderr)

    def look_up(self, name: str) -> _Remote:
        """Ask for a file's length and checksum, and hold them against what is known beforehand."""
        with self._persist(name, lambda: self._request("HEAD", name)) as response:
            commit, offered, length = self._said(response)
        if not self.commit:
            if not commit or not COMMIT.fullmatch(commit):
                raise HubError(f"{self.endpoint} does not answer like a hub (no X-Repo-Commit header): {NOT_A_HUB}")
            self.commit = commit
        elif commit not in (None, self.commit):
            raise HubError(f"{self.endpoint} answers for commit {commit!r} where {self.commit} was asked for")
        pin = self.model.pins.get(name, Pin())
        if pin.sha256 and len(offered or "") == 64 and offered != pin.sha256:
            self._refuse(name, f"SHA-256 {offered}", pin.sha256)
        if pin.bytes is not None and length not in (None, pin.bytes):
            self._refuse(name, f"{length} bytes", str(pin.bytes))
        checksum, length = pin.sha256 or offered, length if pin.bytes is None else pin.bytes
        if checksum is None:
            raise HubError(f"{self.endpoint} gives no checksum for {name}, so it is not fetched: {NOT_A_HUB}")
        if name.endswith(".safetensors"):
            if length is None:
                raise HubError(f"{self.endpoint} does not say how long {name} is: {NOT_A_HUB}")
        elif (length or 0) > MAX_TEXT_BYTES:
            raise HubError(f"{self.model.name}: {name} is {size(length or 0)} long, which no GPT-2's is; not fetched")
        return _Remote(name, checksum, offered, length)

    def look_up_optional(self, name: str) -> _Remote | None:
        """Do the same for a file that need not be there."""
        try:
            return self.look_up(name)
        except _NotFoundError:
            return None

    def _said(self, response: Response) -> tuple[str | None, str | None, int | None]:
        """Read commit, checksum and length from the headers of an answer and of the redirects before it."""
        commit = checksum = length = None
        for answer in [*response.history, response]:
            headers, is_hub = answer.headers, str(answer.url).startswith(self.endpoint + "/")
            commit = commit or headers.get("X-Repo-Commit")
            etag = headers.get("X-Linked-Etag") or (headers.get("ETag", "") if is_hub or commit in headers.values() else "")
            etag = etag.removeprefix("W/").strip('"').lower()
            checksum = checksum or (etag if CHECKSUM.fullmatch(etag) else None)
            n = headers.get("X-Linked-Size") or (headers.get("Content-Length", "") if answer.status_code == 200 else "")
            length = int(n) if length is None and re.fullmatch(r"[0-9]{1,18}", n) else length
        return commit, checksum, length

    def fetch(self, file: _Remote, folder: Path, bar: tqdm[NoReturn] | None = None) -> None:
        """Bring a file into a folder, going on with what is there of it, and verify it."""
        place, part = folder / file.name, folder / f"{file.name}.{file.checksum[:16]}.part"
        before = bar.n if bar is not None else 0

        def show() -> None:
            if bar is not None:
                bar.update(before + (_length(part) or _length(place)) - bar.n)

        for attempt in range(3):
            for path in (place, part):  # of an earlier run, of another process, or of this one
                if path.is_symlink() or path.is_dir():
                    cache.delete(path)
                show()
                if file.matches(path):
                    os.replace(path, place)
                    return
                if file.size is None or _length(path) >= file.size or path == place:
                    path.unlink(missing_ok=True)  # damaged: once more from its beginning
            if attempt < 2:
                self._persist(file.name, lambda: self._receive(file, part, show), lambda: _length(part))
        self._refuse(file.name, f"a checksum other than {file.checksum}", "that one")

    def _receive(self, file: _Remote, part: Path, show: Callable[[], None]) -> None:
        """Write to a partial file what the hub sends.

        Another process may do the same: both write the same bytes to the same places.
        """
        have = _length(part) if _length(part) < (file.size or 0) else 0
        limit = MAX_TEXT_BYTES if file.size is None else file.size
        try:
            with self._request("GET", file.name, {"Range": f"bytes={have}-"} if have else {}) as response:
                offered = self._said(response)[1]
                if offered and file.offered and offered != file.offered:
                    raise HubError(f"{file.name} changed at {self.endpoint} during the download; run it again")
                if response.status_code == 200:  # the whole file, from its beginning
                    have = 0
                elif not _continues(response, have, file.size):
                    raise _CannotResumeError("the server sent another part of the file than it was asked for")
                with _open_part(part) as output:
                    output.seek(have)
                    for chunk in response.iter_content(CHUNK_BYTES):
                        output.write(chunk)
                        show()
                        if output.tell() > limit:
                            raise _CannotResumeError(f"the server sent more than the file's {limit} bytes")
                    end = output.tell()
        except requests.RequestException as error:
            raise self._explained(error) from None
        except _CannotResumeError:
            part.unlink(missing_ok=True)
            raise
        if file.size is not None and end < file.size:
            raise _TransientError(f"the connection ended after {end} of {file.size} bytes")

    def _request(self, method: str, name: str, headers: dict[str, str] | None = None) -> Response:
        """Send a request for a file; the answer is a success."""
        revision = quote(self.commit or self.model.revision or "main", safe="")
        url = f"{self.endpoint}/{self.model.repo}/resolve/{revision}/{quote(name)}"
        timeout = CONNECT_SECONDS, READ_SECONDS
        try:
            response = self._session.request(
                method, url, headers=headers, auth=self._authorize, stream=True, timeout=timeout, allow_redirects=True
            )
        except requests.TooManyRedirects:
            raise HubError(f"{self.endpoint} redirects the request for {name} in circles; {NOT_A_HUB}") from None
        except (requests.RequestException, ValueError) as error:
            raise self._explained(error) from None
        self._is_reached = True
        if not response.is_redirect:
            self._check_status(response, name)
        return response

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def _check_status(self, response: Response, name: str) -> None:
        status, code = response.status_code, response.headers.get("X-Error-Code")
        answered = f"{_host(response)} answered {status} {responses.get(status, '')}".rstrip()
        is_hub = str(response.url).startswith(self.endpoint + "/") or {"X-Error-Code", "X-Repo-Commit"} & set(response.headers)
        what = f"{self.endpoint}: {self.model.name}"
        tokens = "a token from https://huggingface.co/settings/tokens in HF_TOKEN"
        if status in (200, 206):
            if response.headers.get("Content-Type", "").startswith("text/html"):
                raise HubError(f"{self.endpoint} sent a web page instead of {name}: {NOT_A_HUB}")
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
            f"{self.endpoint} offers a different {name} under the name {short(self.model.name)}: {offered} instead of "
            f"{expected}. Nothing was kept of it; try again, or another HF_ENDPOINT"
        )

    def _explained(self, error: Exception) -> Exception:
        """Turn what the network library raises into one line, or into another try."""
        proxy = requests.utils.select_proxy(self.endpoint, requests.utils.get_environ_proxies(self.endpoint))
        way = f"{self.endpoint} through the proxy of HTTP_PROXY or HTTPS_PROXY" if proxy else self.endpoint
        if isinstance(error, requests.exceptions.SSLError) and "CERTIFICATE" in str(error):
            return HubError(
                f"no safe connection to {self.endpoint} ({_brief(error)}); behind a company's proxy, set "
                "REQUESTS_CA_BUNDLE to the file of its certificate"
            )
        if isinstance(error, ValueError):  # addresses and headers that cannot be sent
            return HubError(f"{way}: {_brief(error)}; is that address right?")
        if isinstance(error, requests.ConnectionError) and not self._is_reached:
            reason = f"no answer within {CONNECT_SECONDS:.0f} seconds" if "timed out" in str(error) else _brief(error)
            return HubError(
                f"cannot reach {way} ({reason}). Check the network; where the hub is blocked, set HF_ENDPOINT to a "
                f"mirror. {cache.what_works()}"
            )
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
                        f"{self.endpoint}: {name} of {short(self.model.name)} could not be fetched: {error}{asked}. "
                        "Run it again later, it goes on where it stopped; where the hub is blocked, set HF_ENDPOINT "
                        "to a mirror"
                    ) from None
                if wait >= 1:
                    self.say(f"{name}: {error}; trying again in {wait:.0f} s")
                time.sleep(wait)


def endpoint() -> str:
    """Return the hub's address: `HF_ENDPOINT` (a mirror, say), or https://huggingface.co."""
    address = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").strip().rstrip("/")
    try:
        parts = urlsplit(address)
        is_plain = bool(parts.hostname) and parts.scheme in ("http", "https") and parts.port != 0
    except ValueError:
        is_plain = False
    if not is_plain or re.search(r"[@?#\s]", address):
        raise HubError(f"HF_ENDPOINT is {address!r}; it must be a plain address such as https://huggingface.co")
    return address


def _token() -> str | None:
    token = os.environ.get("HF_TOKEN")
    if not token:
        path = os.environ.get("HF_TOKEN_PATH") or os.path.join(cache.hf_home(), "token")
        try:
            token = Path(os.path.expanduser(path)).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None
    token = token.strip()
    if any(not " " < character <= "~" for character in token):
        raise HubError("the access token (HF_TOKEN, or the file that `hf auth login` wrote) has characters no token has")
    return token or None


def _host(response: Response) -> str:
    return urlsplit(str(response.url)).hostname or ""


def _continues(response: Response, have: int, length: int | None) -> bool:
    """Tell whether a partial response starts where the file on disk ends."""
    match = re.fullmatch(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)", response.headers.get("Content-Range", ""))
    return match is not None and int(match[1]) == have > 0 and (length is None or match[2] in ("*", str(length)))


def _retry_after(response: Response) -> float | None:
    """Read how long the server asks to wait: seconds, a date, or the hub's own `RateLimit: "api";r=0;t=55`."""
    value = response.headers.get("Retry-After", "").strip()
    limit = re.search(r"\br=0\b.*\bt=([0-9]{1,6})\b", response.headers.get("RateLimit", ""))
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(parsedate_to_datetime(value).timestamp() - time.time(), 0)
    except (TypeError, ValueError):
        return float(limit[1]) if limit else None


def _brief(error: Exception) -> str:
    """Dig the sentence that helps out of the layers that the network libraries wrap around it."""
    reason: Any = error
    while isinstance(reason, Exception) and reason.args:
        reason = getattr(reason, "reason", None) or reason.args[0]
    text = " ".join(str(reason).split()).rpartition("): ")[2]
    return re.sub(r".*\[Errno -?\d+\] ", "", text).strip(")")[:200] or type(error).__name__


def _length(path: Path) -> int:
    try:
        return os.lstat(path).st_size
    except FileNotFoundError:
        return 0


def _open_part(path: Path) -> Any:
    """Open a partial file for writing anywhere in it, unbuffered so that an error is that of the bytes at hand."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return open(os.open(path, flags, 0o666), "r+b", buffering=0)
