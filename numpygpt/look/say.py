"""What the page says, in the language of whoever looks: `say("{path}: written", path="look.html")`."""

from __future__ import annotations

from pathlib import Path

from numpygpt.languages import speaker

say = speaker(Path(__file__).parent)
