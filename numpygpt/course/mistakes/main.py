"""Mistakes in `main.py`."""

from __future__ import annotations

from typing import Any

from numpygpt.course.main import complete
from numpygpt.course.mistakes.registry import mistake


@mistake("complete", "Is the prompt part of what is returned?", "Return the new text alone.")
def prompt_included(prompt: str, *args: Any, **kwargs: Any) -> str:
    return prompt + complete(prompt, *args, **kwargs)


@mistake("complete", "How long is the new text?", "Hand max_new_tokens on to generate.")
def length_ignored(prompt: str, merges: Any, params: Any, n_head: int, max_new_tokens: int = 40) -> str:
    return complete(prompt, merges, params, n_head)


@mistake("complete", "How many heads has the model?", "Hand n_head on to gpt2: one head is another model.")
def one_head(prompt: str, merges: Any, params: Any, n_head: int, max_new_tokens: int = 40) -> str:
    return complete(prompt, merges, params, 1, max_new_tokens)
