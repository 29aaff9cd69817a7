"""Mistakes in `main.py`."""

from __future__ import annotations

from typing import Any

from numpygpt.course.main import complete
from numpygpt.course.mistakes.registry import mistake
from numpygpt.generate import generate
from numpygpt.gpt2 import gpt2
from numpygpt.tokenizer import Tokenizer


@mistake("complete", "Is the prompt part of what is returned?", "Return the new text alone.")
def prompt_included(prompt: str, *args: Any, **kwargs: Any) -> str:
    return prompt + complete(prompt, *args, **kwargs)


@mistake("complete", "How long is the new text?", "Hand max_new_tokens on to generate.")
def length_ignored(prompt: str, merges: Any, params: Any, n_head: int, max_new_tokens: int = 40) -> str:
    return complete(prompt, merges, params, n_head)


@mistake("complete", "How many heads has the model?", "Hand n_head on to gpt2: one head is another model.")
def one_head(prompt: str, merges: Any, params: Any, n_head: int, max_new_tokens: int = 40) -> str:
    return complete(prompt, merges, params, 1, max_new_tokens)


def _complete(prompt: str, merges: Any, params: Any, n_head: int, max_new_tokens: int, **options: Any) -> str:
    tokenizer = Tokenizer(merges)
    loop = {"n_ctx": len(params["wpe"]["weight"]), "eos_token_id": tokenizer.eot_id} | options
    first = [tokenizer.eot_id] if loop.pop("begun", False) else []
    return tokenizer.decode(
        generate(
            first + tokenizer.encode(prompt),
            lambda ids: gpt2(ids, **params, n_head=n_head),
            max_new_tokens=max_new_tokens,
            **loop,
        )
    )


@mistake("complete", "What ends a text?", "The token <|endoftext|>: hand the tokenizer's eot_id on as eos_token_id.")
def end_ignored(prompt: str, merges: Any, params: Any, n_head: int, max_new_tokens: int = 40) -> str:
    return _complete(prompt, merges, params, n_head, max_new_tokens, eos_token_id=None)


@mistake("complete", "How many positions has the model?", "As many as `wpe` has rows: that is n_ctx.")
def window_of_another_model(prompt: str, merges: Any, params: Any, n_head: int, max_new_tokens: int = 40) -> str:
    return _complete(prompt, merges, params, n_head, max_new_tokens, n_ctx=1024)


@mistake("complete", "What does the model read first?", "The prompt's first token; no <|endoftext|> before it.")
def end_before_the_prompt(prompt: str, merges: Any, params: Any, n_head: int, max_new_tokens: int = 40) -> str:
    return _complete(prompt, merges, params, n_head, max_new_tokens, begun=True)


@mistake("complete", "Does the text begin with a space?", "Often: it belongs to the first token; do not strip it.")
def stripped(prompt: str, merges: Any, params: Any, n_head: int, max_new_tokens: int = 40) -> str:
    return complete(prompt, merges, params, n_head, max_new_tokens).strip()
