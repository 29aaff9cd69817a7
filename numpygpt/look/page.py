"""The page as one file: HTML, CSS, JavaScript and the data together, which asks nothing of any network."""

from __future__ import annotations

import json
import os
import re
from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any

from numpygpt.files import atomic_write
from numpygpt.languages import read_catalogue, speaking, spoken
from numpygpt.look import translation
from numpygpt.look.say import say
from numpygpt.look.view import Model, facts, view

FOLDER = Path(__file__).parent
POLICY = (  # the browser itself refuses every other script, and every address but, from the server, the page's own
    "default-src 'none'; img-src data:; style-src '{style}'; script-src '{script}'; connect-src {own}; "
    "base-uri 'none'; form-action 'none'"
)
TEXT = re.compile(  # of the template: what stands between two tags, and what a reader sees or hears of attributes
    r"""(>\s*|(?:aria-label|placeholder|data-page)=")([^<>{}"\s](?:[^<>{}"]*[^<>{}"\s])?)(\s*(?=<)|")"""
)
HEIGHT = 900  # of the page within a notebook, in pixels


@dataclass(frozen=True)
class Page:
    """A page of HTML that a notebook shows and `save` writes to a file."""

    html: str

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page to a file. Raises OSError where that cannot be."""
        with atomic_write(path) as file:
            file.write(self.html.encode())

    def __repr__(self) -> str:
        return f"<Page: {len(self.html.encode()):,} bytes; .save(path) writes it to a file>"

    def _repr_html_(self) -> str:
        title = self.html.partition("<title>")[2].partition("</title>")[0]
        frame = f'style="width: 100%; border: 0" sandbox="allow-scripts allow-downloads" title="{title}"'
        return f'<iframe height="{HEIGHT}" {frame} srcdoc="{escape(self.html)}"></iframe>'


def look(model: Model, text: str, *, live: bool = False, tutorials: str = "", lang: str = "en") -> Page:
    """Run a model on a text and return the page that shows what went on inside.

    `live` is for the server, which answers the page's questions; `tutorials`, an address that ends in "/", makes the
    names of the tutorials' pages links; `lang` is the language of all but the model's text: "zh" for Chinese.

    Raises what `view` raises, and ValueError for a language that there is not.
    """
    with speaking(lang):
        return render({"model": facts(model), "live": live, "tutorials": tutorials, "view": view(model, text)})


def look_at_translation(translator: translation.Model, text: str, *, tutorials: str = "", lang: str = "en") -> Page:
    """Translate a text and return the page that shows where the decoder looked for every token that it chose.

    Raises what `translation.view` raises, and ValueError for a language that there is not.
    """
    with speaking(lang):
        seen = translation.view(translator, text)
        return render({"model": translation.facts(translator), "live": False, "tutorials": tutorials, "view": seen})


def render(data: dict[str, Any]) -> Page:
    """Put data, script and style into the page, in the language spoken."""
    lang = spoken()
    texts = {} if lang == "en" else read_catalogue(FOLDER)
    data = data | {"lang": lang, "texts": texts}
    style, script = ((FOLDER / f"page.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    own = "'self'" if data["live"] else "'none'"
    parts = {
        "lang": "zh-CN" if lang == "zh" else lang,
        "policy": POLICY.format(style=fingerprint(style), script=fingerprint(script), own=own),
        "style": style,
        "script": script,
        "data": to_json(data).replace("<", r"\u003c"),  # so that no text of a user ends the element or begins another
    }
    template = (FOLDER / "page.html").read_text(encoding="utf-8")
    return Page(re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], TEXT.sub(translated, template)))


def translated(match: re.Match[str]) -> str:
    """Put a text of the template into the language spoken; one that ends a sentence there takes no space after it."""
    before, text, after = match.groups()
    said = say(" ".join(text.split()))
    return f"{before}{text if spoken() == 'en' else said}{'' if said.endswith(('：', '。', '，')) else after}"


def to_json(data: Any) -> str:
    """Write data as compact JSON, in ASCII."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False)


def fingerprint(text: str) -> str:
    """Name a script or a style for a content security policy, which then allows it and no other."""
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
