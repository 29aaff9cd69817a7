"""What `GPT2` wants of the engine, done by the book: the package works without the engine's folder, slowly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from numpygpt import generate as book
from numpygpt.arrays import Array, Params
from numpygpt.config import GPT2Config
from numpygpt.gpt2 import gpt2 as book_gpt2
from numpygpt.stream import CONTEXT_WINDOW, ENDED, MAX_LENGTH, MAX_NEW_TOKENS, Continuation
from numpygpt.tokenizer import Tokenizer as Tokenizer

KVCache = pad_left = None  # only the engine has a cache, and batches of different lengths


def gpt2(ids: ArrayLike, *, config: GPT2Config, logits_to_keep: int | None = None, **params: Any) -> Array:
    """Return the last logits of the book's `gpt2`: ids [..., n_seq] -> [..., logits_to_keep, n_vocab]."""
    logits = book_gpt2(config.check_ids(ids), **params, n_head=config.n_head)
    return logits[..., -(logits_to_keep or 0) :, :]


def generate(
    prompts: Sequence[Sequence[int]],
    params: Params,
    config: GPT2Config,
    *,
    max_new_tokens: int,
    min_new_tokens: int = 0,
    max_length: int | None = None,
    num_return_sequences: int = 1,
    eos_token_id: int | Sequence[int] | None = None,
    suppress_tokens: Sequence[int] = (),
    seed: int | np.random.Generator | None = None,
    prompt_lookup_num_tokens: int = 0,
    **options: Any,
) -> Iterator[list[Continuation]]:
    """Continue prompts as the engine's `generate` does, by a decode loop for each."""
    ends = [] if eos_token_id is None else np.atleast_1d(eos_token_id).tolist()
    n_ctx = min(config.n_ctx, max_length or config.n_ctx)

    def start(prompt: list[int], number: int) -> Iterator[int]:
        def model(ids: list[int]) -> Array:
            logits = gpt2(ids, config=config, **params)
            logits[-1, [*suppress_tokens, *(ends if len(ids) - len(prompt) < min_new_tokens else [])]] = -np.inf
            return logits

        own_seed = [seed, number] if isinstance(seed, int) and number else seed
        return book.generate(prompt, model, max_new_tokens=max_new_tokens, n_ctx=n_ctx, seed=own_seed, **options)

    texts = [Continuation(list(prompt)) for prompt in prompts for _ in range(num_return_sequences)]
    loops = [start(text.prompt, i % num_return_sequences) for i, text in enumerate(texts)]
    yield texts
    while going_on := [i for i, text in enumerate(texts) if text.finish_reason is None]:
        for i in going_on:
            text, token_id = texts[i], next(loops[i], None)
            if token_id in ends:
                text.finish_reason = ENDED
            elif token_id is not None:
                text.ids.append(token_id)
            elif len(text.ids) == max_new_tokens:
                text.finish_reason = MAX_NEW_TOKENS
            else:
                text.finish_reason = CONTEXT_WINDOW if n_ctx == config.n_ctx else MAX_LENGTH
        yield texts
