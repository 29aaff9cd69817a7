"""Mistakes in `generate.py`."""

from __future__ import annotations

from typing import Any

from numpygpt.course.mistakes.registry import mistake
from numpygpt.generate import generate


@mistake("generate", "Is the prompt yielded too?", "Yield the new tokens alone.")
def prompt_yielded(prompt: Any, model: Any, **options: Any) -> Any:
    yield from prompt
    yield from generate(prompt, model, **options)


@mistake("generate", "Is the end token part of the text?", "Return before it is yielded.")
def end_yielded(prompt: Any, model: Any, *, eos_token_id: Any = None, **options: Any) -> Any:
    for token_id in generate(prompt, model, **options):
        yield token_id
        if token_id == eos_token_id:
            return


@mistake("generate", "What ends the text?", "The loop ends when the model chooses eos_token_id.")
def end_ignored(prompt: Any, model: Any, *, eos_token_id: Any = None, **options: Any) -> Any:
    yield from generate(prompt, model, **options)


@mistake(
    "generate", "How long may prompt and text be together?", "At most n_ctx: min(max_new_tokens, n_ctx - len(prompt))."
)
def window_ignored(prompt: Any, model: Any, *, n_ctx: int, **options: Any) -> Any:
    yield from generate(prompt, model, n_ctx=10**6, **options)


@mistake(
    "generate", "What does the model read next?", "The prompt *and* what was chosen: append each token to the ids."
)
def not_appended(prompt: Any, model: Any, *, max_new_tokens: int, n_ctx: int, **options: Any) -> Any:
    for _ in range(min(max_new_tokens, n_ctx - len(prompt))):
        new = list(generate(prompt, model, max_new_tokens=1, n_ctx=n_ctx, **options))
        if not new:
            return
        yield from new


@mistake("generate", "Which ids may be chosen?", "Those below n_vocab: cut the logits there.")
def vocabulary_ignored(prompt: Any, model: Any, *, n_vocab: Any = None, **options: Any) -> Any:
    yield from generate(prompt, model, **options)
