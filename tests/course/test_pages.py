"""The tutorials and the course name each other's parts: an exercise its page, a page its exercises."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from numpygpt.course.exercises import EXERCISES, FILES, NAMED, POSITIONS, Exercise, section

TUTORIALS = Path(__file__).parents[2] / "tutorials"


def test_every_page_that_has_exercises_names_up_to_three_of_them() -> None:
    assert NAMED.keys() == {exercise.page for exercise in EXERCISES.values()}
    for page, names in NAMED.items():
        assert 1 <= len(names) <= 3
        assert {EXERCISES[name].page for name in names} == {page}


SPOKEN_OF_AS = {
    "apply_temperature": "temperature",
    "cached_attention": "cache",
    "complete": "generate",
    "merge_heads": "side by side",
    "update": "AdamW",
}
PAGES = [*sorted(TUTORIALS.glob("[01][0-9]-*.md")), TUTORIALS / f"{FILES[POSITIONS]}.md"]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_end_of_a_page_agrees_with_the_course(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    found = re.findall(r"^## Write it yourself\n.*?(?=\n## )", text, re.MULTILINE | re.DOTALL)
    page = int(path.name[:2]) if path.name[0].isdigit() else POSITIONS
    assert found == ([section(page)] if page in NAMED else []), f"expected:\n{section(page) if page in NAMED else ''}"


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
def test_the_page_of_an_exercise_speaks_of_it(exercise: Exercise) -> None:
    """By its name, or by another word for what it does."""
    text = (TUTORIALS / f"{FILES[exercise.page]}.md").read_text(encoding="utf-8")
    text = re.sub(r"^## Write it yourself\n.*?(?=\n## )", "", text, flags=re.MULTILINE | re.DOTALL)
    word = SPOKEN_OF_AS.get(exercise.name, exercise.name)
    assert re.search(rf"\b{word.removeprefix('backward.').removeprefix('transformer.')}\b", text)
