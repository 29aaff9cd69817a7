"""What a command or a page says, in the user's language: catalogues `zh.json`, whose keys are the English texts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

LANGUAGES = ("en", "zh")  # Chinese: in simplified characters
_spoken = ContextVar("spoken", default="en")


def spoken() -> str:
    """Return the language that texts are given in, here and now."""
    return _spoken.get()


@contextmanager
def speaking(lang: str) -> Iterator[None]:
    """Give texts in a language for as long as the block runs.

    Raises ValueError for a language that there is not.
    """
    if lang not in LANGUAGES:
        raise ValueError(f"there is no language {lang!r}; choose one of {', '.join(LANGUAGES)}")
    token = _spoken.set(lang)
    try:
        yield
    finally:
        _spoken.reset(token)


def of_locale() -> str:
    """Return the language of the user's locale: "zh" where that is Chinese, "en" everywhere else."""
    names = ("LC_ALL", "LC_MESSAGES", "LANG")  # the first that is set decides, as in POSIX
    locale = next((value for name in names if (value := os.environ.get(name))), "")
    return "zh" if locale.lower().startswith("zh") else "en"


def read_catalogue(folder: Path) -> dict[str, str]:
    """Read the Chinese texts of a folder."""
    texts: dict[str, str] = json.loads((folder / "zh.json").read_text(encoding="utf-8"))
    return texts


def speaker(*folders: Path) -> Callable[..., str]:
    """Return the function `say(text, **fields)` of the folders' catalogues: a text in the spoken language.

    `{name}` in a text stands for a field, as `str.format` has it. A text without a translation stays as it is.
    """
    texts: dict[str, str] = {}

    def say(text: str, /, **fields: Any) -> str:
        if spoken() != "en":
            if not texts:
                for folder in folders:
                    texts.update(read_catalogue(folder))
            text = texts.get(text, text)
        return text.format(**fields) if fields else text

    return say
