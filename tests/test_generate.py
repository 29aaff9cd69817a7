"""The book's decode loop makes the engine's choices."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from random_models import random_params

from numpygpt import GPT2Config, engine, gpt2
from numpygpt.generate import generate
from numpygpt.sampling import Sampling

CONFIG = GPT2Config(vocab_size=300, n_ctx=64, n_embd=32, n_layer=2, n_head=4)
PARAMS = random_params(CONFIG, scale=0.3, dtype=float)  # float64: no two logits so close that rounding decides
MODEL: Any = partial(gpt2, **PARAMS, n_head=CONFIG.n_head)
PROMPTS = [[7], [3, 1, 4, 1, 5, 9, 2, 6], list(range(40))]


def engines(prompt: list[int], **options: Any) -> list[int]:
    *_, (continuation,) = engine.generate([prompt], PARAMS, CONFIG, **options)
    return continuation.ids


@pytest.mark.parametrize("prompt", PROMPTS, ids=len)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"sampling": Sampling(repetition_penalty=1.3)},
        {"sampling": Sampling(temperature=0.8, top_k=40, top_p=0.9), "seed": 5},
        {"sampling": Sampling(temperature=5.0), "n_vocab": 10, "seed": 5},
        {"max_new_tokens": 0},
        {"max_new_tokens": 1000},  # to the end of the context window
    ],
    ids=str,
)
def test_the_ids_are_the_engines(prompt: list[int], options: dict[str, Any]) -> None:
    options = {"max_new_tokens": 20, **options}
    assert list(generate(prompt, MODEL, n_ctx=CONFIG.n_ctx, **options)) == engines(prompt, **options)


def test_the_end_of_text_token_ends_it_and_is_not_yielded() -> None:
    ids = list(generate(PROMPTS[1], MODEL, n_ctx=CONFIG.n_ctx, max_new_tokens=20))
    eos = ids[4]
    ended = list(generate(PROMPTS[1], MODEL, n_ctx=CONFIG.n_ctx, max_new_tokens=20, eos_token_id=eos))
    assert ended == ids[: ids.index(eos)]


def test_a_token_is_yielded_before_the_next_is_computed() -> None:
    calls = []

    def counting(ids: list[int]) -> Any:
        calls.append(len(ids))
        return MODEL(ids)

    steps = generate([7], counting, n_ctx=CONFIG.n_ctx, max_new_tokens=20)
    next(steps)
    next(steps)
    assert calls == [1, 2]


def test_a_prompt_that_fills_the_window_is_not_continued() -> None:
    assert list(generate(PROMPTS[1], MODEL, n_ctx=len(PROMPTS[1]), max_new_tokens=20)) == []


def test_the_end_may_be_token_0() -> None:
    def count_on(ids: list[int]) -> Any:
        return np.eye(10)[[(i + 1) % 10 for i in ids]]

    assert list(generate([7], count_on, n_ctx=99, max_new_tokens=20, eos_token_id=0)) == [8, 9]
