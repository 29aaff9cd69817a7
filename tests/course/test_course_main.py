"""The program that the course ends with writes what the package writes."""

from __future__ import annotations

import pytest

from numpygpt import GPT2
from numpygpt.course.main import complete
from numpygpt.course.weights import read_weights
from numpygpt.tokenizer import Tokenizer


@pytest.mark.parametrize(("prompt", "n"), [("Once upon a time", 7), ("The cat", 3), ("They lived happily ever", 9)])
def test_the_text_is_the_packages(stories: GPT2, prompt: str, n: int) -> None:
    assert complete(prompt, *read_weights(), max_new_tokens=n) == stories.generate(prompt, n)


def test_the_text_ends_where_the_context_window_does() -> None:
    merges, params, n_head = read_weights()
    n_ctx = len(Tokenizer(merges).encode("The cat")) + 2
    shorter = params | {"wpe": {"weight": params["wpe"]["weight"][:n_ctx]}}
    assert complete("The cat", merges, shorter, n_head) == complete("The cat", merges, params, n_head, max_new_tokens=2)
