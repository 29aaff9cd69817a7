"""The hub's protocol: requests for the files of one model at one commit, tried again where that may help.

Source: https://huggingface.co/docs/huggingface_hub, and RFC 9110, sections 14 (Range), 15 (redirects) and 10.2.3
(Retry-After).
"""

from __future__ import annotations

import os
import random
import re
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import responses
from pathlib import Path
from typing import Any, NoReturn, TypeVar
from urllib.parse import quote, urljoin, urlsplit

import requests
from requests import Response
from tqdm import tqdm

from numpygpt.models import cache
from numpygpt.models.cache import size
from numpygpt.models.repos import CHECKSUM, COMMIT, HubError, Model, ModelNameError, Pin, access_token, endpoint, short

T = TypeVar("T")

CONNECT_SECONDS, READ_SECONDS = 4.0, 20.0  # without a connection, or a byte, for so long, it is given up
TRIES = 6  # in a row without a byte of progress
BACKOFF_SECONDS = 1.0  # before the second try; doubled before each further one
LONGEST_WAIT_SECONDS = 60.0  # a server that asks for a longer wait is left alone
MAX_TEXT_BYTES = 2**26  # for config, vocabulary and merges: GPT-2's are 1 MB
NOT_A_HUB = "is HF_ENDPOINT right, and does this network ask you to log in first (open a web page to see)?"


class NotFoundError(HubError):
    """A file that the repository does not have."""


class TransientError(Exception):
    """A failure that another try may not meet, and how long the server asks to wait."""

    def __init__(self, message: str, wait_seconds: float | None = None) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds


class CannotResumeError(TransientError):
    """The server has nothing from the asked-for position on."""


@dataclass(frozen=True)
class Remote:
    """A file on the hub. `checksum` has 64 hexadecimal digits (SHA-256) or 40 (SHA-1 as git computes it)."""

    name: str
    checksum: str
    offered: str | None  # as the hub says; a pinned SHA-256 goes before git's SHA-1
    size: int | None

    def matches(self, path: Path) -> bool:
        """Tell whether a file on disk is this one."""
        with suppress(FileNotFoundError):
            kind = cache.kind_of(self.checksum)
            return self.size in (None, path.stat().st_size) and cache.digest(path, kind) == self.checksum
        return False


class _Session(requests.Session):  # its methods have no types
    """Follows redirects as the library does, but to no unsafe place, and shows it no password of the user's."""

    def rebuild_auth(self, prepared_request: Any, response: Response) -> None:
        if self.should_strip_auth(  # type: ignore[no-untyped-call]
            str(response.request.url), prepared_request.url
        ):
            prepared_request.headers.pop("Authorization", None)

    def rebuild_proxies(self, prepared_request: Any, proxies: Any) -> Any:
        return super().rebuild_proxies(prepared_request, {})  # type: ignore[no-untyped-call]

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
            raise HubError(
                f"{_host(resp)} redirects to {target.split('?')[0]!r}, which is not safe to follow: {NOT_A_HUB}"
            )
        issaid = "X-Linked-Etag" in resp.headers and "X-Repo-Commit" in resp.headers
        if resp.request.method == "HEAD" and issaid and there.netloc != here.netloc:
            return None  # a content server's addresses are often signed for GET alone
        return target


class Connection:
    """A connection to the hub, for the files of one model at one commit."""

    def __init__(self, model: Model, progress: bool) -> None:
        self.model, self.endpoint, self._progress = model, endpoint(), progress
        self.commit = model.revision if model.revision and COMMIT.fullmatch(model.revision) else ""
        self._token, self._is_reached = access_token(), False
        self._session = _Session()
        self._session.max_redirects = 10
        self._session.headers.update({"User-Agent": "numpygpt", "Accept-Encoding": "identity"})

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def say(self, text: str) -> None:
        """Print a line to standard error, above a progress bar if there is one."""
        if self._progress:
            tqdm.write(text, file=sys.stderr)

    def look_up(self, name: str) -> Remote:
        """Ask for a file's length and checksum, and hold them against what is known beforehand."""
        with self.persist(name, lambda: self.request("HEAD", name)) as response:
            commit, offered, length = self.said(response)
        if not self.commit:
            if not commit or not COMMIT.fullmatch(commit):
                raise HubError(f"{self.endpoint} does not answer like a hub (no X-Repo-Commit header): {NOT_A_HUB}")
            self.commit = commit
        elif commit not in (None, self.commit):
            raise HubError(f"{self.endpoint} answers for commit {commit!r} where {self.commit} was asked for")
        pin = self.model.pins.get(name, Pin())
        if pin.sha256 and len(offered or "") == 64 and offered != pin.sha256:
            self.refuse(name, f"SHA-256 {offered}", pin.sha256)
        if pin.bytes is not None and length not in (None, pin.bytes):
            self.refuse(name, f"{length} bytes", str(pin.bytes))
        checksum, length = pin.sha256 or offered, length if pin.bytes is None else pin.bytes
        if checksum is None:
            raise HubError(f"{self.endpoint} gives no checksum for {name}, so it is not fetched: {NOT_A_HUB}")
        if name.endswith(".safetensors"):
            if length is None:
                raise HubError(f"{self.endpoint} does not say how long {name} is: {NOT_A_HUB}")
        elif (length or 0) > MAX_TEXT_BYTES:
            raise HubError(f"{self.model.name}: {name} is {size(length or 0)} long, which no GPT-2's is; not fetched")
        return Remote(name, checksum, offered, length)

    def look_up_optional(self, name: str) -> Remote | None:
        """Do the same for a file that need not be there."""
        try:
            return self.look_up(name)
        except NotFoundError:
            return None

    def said(self, response: Response) -> tuple[str | None, str | None, int | None]:
        """Read commit, checksum and length from the headers of an answer and of the redirects before it."""
        commit = checksum = length = None
        for answer in [*response.history, response]:
            headers, is_hub = answer.headers, str(answer.url).startswith(self.endpoint + "/")
            commit = commit or headers.get("X-Repo-Commit")
            etag = headers.get("X-Linked-Etag") or (
                headers.get("ETag", "") if is_hub or commit in headers.values() else ""
            )
            etag = etag.removeprefix("W/").strip('"').lower()
            checksum = checksum or (etag if CHECKSUM.fullmatch(etag) else None)
            n = headers.get("X-Linked-Size") or (headers.get("Content-Length", "") if answer.status_code == 200 else "")
            length = int(n) if length is None and re.fullmatch(r"[0-9]{1,18}", n) else length
        return commit, checksum, length

    def request(self, method: str, name: str, headers: dict[str, str] | None = None) -> Response:
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
            raise self.explained(error) from None
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
        is_hub = str(response.url).startswith(self.endpoint + "/") or {"X-Error-Code", "X-Repo-Commit"} & set(
            response.headers
        )
        what = f"{self.endpoint}: {self.model.name}"
        tokens = "a token from https://huggingface.co/settings/tokens in HF_TOKEN"
        if status in (200, 206):
            if response.headers.get("Content-Type", "").startswith("text/html"):
                raise HubError(f"{self.endpoint} sent a web page instead of {name}: {NOT_A_HUB}")
        elif status == 416:
            raise CannotResumeError(answered)
        elif status in (408, 425, 429) or status >= 500:
            raise TransientError(answered, _retry_after(response))
        elif not is_hub:  # its codes mean other things, and its pages do not help
            raise HubError(f"{what}: {answered} for {name}; where it is blocked, set HF_ENDPOINT to a mirror")
        elif code == "GatedRepo" or status == 403:
            raise HubError(f"{what} is not open to you ({status}): accept its terms on its page, and put {tokens}")
        elif status == 401 and self._token:
            raise ModelNameError(f"{what}: no such model, or your token does not open it; check the name and HF_TOKEN")
        elif status == 401 or code == "RepoNotFound":
            raise ModelNameError(f"{what}: no such model, or a private one; check the name, or put {tokens}")
        elif code == "RevisionNotFound":
            raise ModelNameError(f"{what}: it has no revision {self.model.revision or 'main'}; see its page")
        elif status == 404:
            raise NotFoundError(f"{what}: it has no {name} (404); is it a model, and is the name right?")
        else:
            raise HubError(f"{what}: {answered} for {name}")

    def refuse(self, name: str, offered: str, expected: str) -> NoReturn:
        raise HubError(
            f"{self.endpoint} offers a different {name} under the name {short(self.model.name)}: {offered} instead of "
            f"{expected}. Nothing was kept of it; try again, or another HF_ENDPOINT"
        )

    def explained(self, error: Exception) -> Exception:
        """Turn what the network library raises into one line, or into another try."""
        proxy = requests.utils.select_proxy(self.endpoint, requests.utils.get_environ_proxies(self.endpoint))
        names = (f"{urlsplit(self.endpoint).scheme}_proxy", "all_proxy")
        setting = next((n for n, value in os.environ.items() if value == proxy and n.lower() in names), "the system")
        way = f"{self.endpoint} through the proxy of {setting}" if proxy else self.endpoint
        if isinstance(error, requests.exceptions.SSLError) and "CERTIFICATE" in str(error):
            advice = "behind a company's proxy, set REQUESTS_CA_BUNDLE to the file of its certificate"
            return HubError(f"no safe connection to {self.endpoint} ({_brief(error)}); {advice}")
        if isinstance(error, ValueError):  # addresses and headers that cannot be sent
            return HubError(f"{way}: {_brief(error)}; is that address right?")
        if isinstance(error, requests.ConnectionError) and not self._is_reached:
            reason = f"no answer within {CONNECT_SECONDS:.0f} seconds" if "timed out" in str(error) else _brief(error)
            return HubError(
                f"cannot reach {way} ({reason}). Check the network; where the hub is blocked, set HF_ENDPOINT to a "
                f"mirror. {cache.what_works()}"
            )
        return TransientError(_brief(error))

    def persist(self, name: str, attempt: Callable[[], T], progress: Callable[[], int] = lambda: 0) -> T:
        """Try until it works, or fails `TRIES` times in a row without getting further than ever before."""
        failures, furthest = 0, progress()
        while True:
            try:
                return attempt()
            except TransientError as error:
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


def _host(response: Response) -> str:
    return urlsplit(str(response.url)).hostname or ""


def _retry_after(response: Response) -> float | None:
    """Read how long to wait: seconds, a date, or the hub's `RateLimit: "api";r=0;t=55`, in any draft's words."""
    value = response.headers.get("Retry-After", "").strip()
    said = f"{response.headers.get('RateLimit', '')};reset={response.headers.get('RateLimit-Reset', '')}"
    limit = re.search(r"\b(?:t|reset)\s*=\s*([0-9]{1,6})\b", said) if response.status_code == 429 else None
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
