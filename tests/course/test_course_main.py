"""The program that the course ends with writes what the package writes."""

from __future__ import annotations

import pytest

from numpygpt import GPT2
from numpygpt.course.main import complete
from numpygpt.course.weights import read_weights


@pytest.mark.parametrize(("prompt", "n"), [("Once upon a time", 7), ("The cat", 3)])
def test_the_text_is_the_packages(stories: GPT2, prompt: str, n: int) -> None:
    assert complete(prompt, *read_weights(), max_new_tokens=n) == stories.generate(prompt, n)
