"""The names of models, `gpt2` and other official ones or any `owner/name`, and the hub that has them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit


class HubError(OSError):
    """A model that could not be found, fetched or stored: the message says what, where and what to do."""


class ModelNameError(HubError, ValueError):
    """A name that no model has, here or on the hub, or a setting that cannot be meant: the user's to mend."""


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


def _read_official() -> dict[str, Model]:
    """Read the revisions, sizes and checksums that huggingface.co gives for the official repositories."""
    stored = json.loads((Path(__file__).parents[1] / "data" / "official.json").read_text(encoding="utf-8"))
    for model in stored.values():
        model["pins"] = {file: Pin(**pin) for file, pin in model["pins"].items()}
    return {name: Model(**model) for name, model in stored.items()}


EMBEDDED = ("stories", "english-french", "questions", "emoji")  # they come along; the first is used by default
OFFICIAL = _read_official()
_PART = r"(?!.*(?:--|\.\.))[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"  # as the hub allows them
_REPO = re.compile(rf"{_PART}/{_PART}")
_REVISION = re.compile(r"(?!.*(?:\.\.|//|/\.|\.lock$))[A-Za-z0-9_](?:[A-Za-z0-9._/-]{0,198}[A-Za-z0-9_])?")
COMMIT = re.compile(r"[0-9a-f]{40}")
CHECKSUM = re.compile(r"[0-9a-f]{64}|[0-9a-f]{40}")  # SHA-256, or SHA-1 as git computes it


def parse_name(name: str) -> Model:
    """Return the model that a name means: a short name, `owner/name` or `owner/name@revision`.

    Raises ModelNameError for anything else, so that no name can lead out of the cache.

    >>> parse_name("someone/tiny-gpt2@v1.0").revision
    'v1.0'
    >>> parse_name("openai-community/gpt2") == parse_name("gpt2")
    True
    """
    repo, at, revision = name.partition("@")
    official = OFFICIAL.get(repo) or next((model for model in OFFICIAL.values() if model.repo == repo), None)
    if official and (not at or revision == official.revision):
        return official
    repo = official.repo if official else repo
    if not _REPO.fullmatch(repo) or repo.endswith(".git") or (at and not _REVISION.fullmatch(revision)):
        *names, last = [*EMBEDDED, *OFFICIAL]
        raise ModelNameError(
            f"{name!r} is not a model's name; say {', '.join(names)}, {last} or OWNER/NAME as on huggingface.co, "
            "with @REVISION for another state than the newest"
        )
    return Model(repo, revision or None)


def short(name: str) -> str:
    """Return the short name of an official model, and other names as they are."""
    return next((short for short, model in OFFICIAL.items() if model.name == name), name)


def hf_home() -> str:
    """Return Hugging Face's own folder."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join("~", ".cache")
    return os.path.expandvars(os.path.expanduser(os.environ.get("HF_HOME") or os.path.join(cache, "huggingface")))


def endpoint() -> str:
    """Return the hub's address: `HF_ENDPOINT` (a mirror, say), or https://huggingface.co."""
    address = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").strip().rstrip("/")
    try:
        parts = urlsplit(address)
        is_plain = bool(parts.hostname) and parts.scheme in ("http", "https") and parts.port != 0
    except ValueError:
        is_plain = False
    if not is_plain or re.search(r"[@?#\s]", address):
        raise ModelNameError(f"HF_ENDPOINT is {address!r}; it must be a plain address such as https://huggingface.co")
    return address


def access_token() -> str | None:
    """Return the token that opens private models: `HF_TOKEN`, or the one that `hf auth login` wrote."""
    token = os.environ.get("HF_TOKEN")
    if not token:
        path = os.environ.get("HF_TOKEN_PATH") or os.path.join(hf_home(), "token")
        try:
            token = Path(os.path.expanduser(path)).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None
    token = token.strip()
    if any(not " " < character <= "~" for character in token):
        raise ModelNameError(
            "the access token (HF_TOKEN, or the file that `hf auth login` wrote) has characters no token has"
        )
    return token or None
