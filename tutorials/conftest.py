"""The pages run in an empty folder: a reader's may be anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tutorials import chinese

# the blocks of a Chinese page are those of its English twin; one that has more is run
collect_ignore = [
    f"zh/{page.name}" for page in chinese.FOLDER.glob("*.md") if chinese.OWN not in page.read_text(encoding="utf-8")
]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Page 10 trains a model for a thousand steps: as long as all the other pages together."""
    for item in items:
        if item.path.name.startswith("10-"):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go to an empty folder."""
    monkeypatch.chdir(tmp_path)
