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
from numpygpt.look import translation
from numpygpt.look.view import Model, facts, view

FOLDER = Path(__file__).parent
POLICY = (  # the browser itself refuses every other script, and every address but, from the server, the page's own
    "default-src 'none'; img-src data:; style-src '{style}'; script-src '{script}'; connect-src {own}; "
    "base-uri 'none'; form-action 'none'"
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
        frame = 'style="width: 100%; border: 0" sandbox="allow-scripts allow-downloads" title="Look inside a prompt"'
        return f'<iframe height="{HEIGHT}" {frame} srcdoc="{escape(self.html)}"></iframe>'


def look(model: Model, text: str, *, live: bool = False, tutorials: str = "") -> Page:
    """Run a model on a text and return the page that shows what went on inside.

    `live` is for the server, which answers the page's questions; `tutorials`, an address that ends in "/", makes the
    names of the tutorials' pages links. Raises what `view` raises.
    """
    return render({"model": facts(model), "live": live, "tutorials": tutorials, "view": view(model, text)})


def look_at_translation(translator: translation.Model, text: str, *, tutorials: str = "") -> Page:
    """Translate a text and return the page that shows where the decoder looked for every token that it chose.

    Raises what `translation.view` raises.
    """
    seen = translation.view(translator, text)
    return render({"model": translation.facts(translator), "live": False, "tutorials": tutorials, "view": seen})


def render(data: dict[str, Any]) -> Page:
    """Put data, script and style into the page."""
    style, script = ((FOLDER / f"page.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    own = "'self'" if data["live"] else "'none'"
    parts = {
        "policy": POLICY.format(style=fingerprint(style), script=fingerprint(script), own=own),
        "style": style,
        "script": script,
        "data": to_json(data).replace("<", r"\u003c"),  # so that no text of a user ends the element or begins another
    }
    template = (FOLDER / "page.html").read_text(encoding="utf-8")
    return Page(re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], template))


def to_json(data: Any) -> str:
    """Write data as compact JSON, in ASCII."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False)


def fingerprint(text: str) -> str:
    """Name a script or a style for a content security policy, which then allows it and no other."""
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
