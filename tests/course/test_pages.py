"""The tutorials and the course name each other's parts: an exercise its page, a page its exercises."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from numpygpt.course.exercises import EXERCISES, NAMED, section

TUTORIALS = Path(__file__).parents[2] / "tutorials"


def test_every_page_that_has_exercises_names_up_to_three_of_them() -> None:
    assert NAMED.keys() == {exercise.page for exercise in EXERCISES.values()}
    for page, names in NAMED.items():
        assert 1 <= len(names) <= 3
        assert {EXERCISES[name].page for name in names} == {page}


@pytest.mark.parametrize("path", sorted(TUTORIALS.glob("[01][0-9]-*.md")), ids=lambda path: path.name)
def test_the_end_of_a_page_agrees_with_the_course(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    found = re.findall(r"^## Write it yourself\n.*?(?=\n## )", text, re.MULTILINE | re.DOTALL)
    page = int(path.name[:2])
    assert found == ([section(page)] if page in NAMED else []), f"expected:\n{section(page) if page in NAMED else ''}"
