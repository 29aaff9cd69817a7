"""A text that is quickly learned from."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def text(tmp_path: Path) -> str:
    """120 items of a few words, all different."""
    path = tmp_path / "text.txt"
    path.write_text("\n<|endoftext|>\n".join(f"{n} sheep jump.\nThen {n + 1} sleep." for n in range(120)))
    return str(path)
