"""Guesses by prompt lookup change no id, and save passes where they are right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from random_models import random_params

from numpygpt import GPT2Config
from numpygpt.arrays import Array
from numpygpt.engine import decode as module
from numpygpt.engine import generate
from numpygpt.engine.prompt_lookup import PromptLookup
from numpygpt.sampling import Sampling
from numpygpt.stream import STOP_STRING, Continuation

CONFIG = GPT2Config(vocab_size=300, n_ctx=64, n_embd=32, n_layer=2, n_head=4)
PARAMS = random_params(CONFIG, scale=0.3, dtype=np.float64)
PROMPTS = [[7], [3, 1, 4, 1, 5, 9, 2, 6], [250, 11, 250, 11, 250], list(range(40))]
PENALTY = Sampling(repetition_penalty=1.3)


def decode(prompts: list[list[int]], **options: Any) -> list[Continuation]:
    *_, continuations = generate(prompts, PARAMS, CONFIG, **{"max_new_tokens": 20, **options})
    return continuations


@pytest.mark.parametrize("num_tokens", [1, 3, 15])
@pytest.mark.parametrize("sampling", [Sampling(), PENALTY])
@pytest.mark.parametrize("prompt", [*PROMPTS, [4, 5, 6, 7] * 8])
def test_prompt_lookup_changes_no_id(prompt: list[int], sampling: Sampling, num_tokens: int) -> None:
    plain = decode([prompt], sampling=sampling, max_new_tokens=60)
    assert decode([prompt], sampling=sampling, max_new_tokens=60, prompt_lookup_num_tokens=num_tokens) == plain


@pytest.mark.parametrize("n_new", range(12))
def test_prompt_lookup_ends_where_plain_decoding_does(n_new: int) -> None:
    plain = decode([[4, 5, 6] * 6], max_new_tokens=n_new)
    eos = plain[0].ids[-1] if plain[0].ids else None
    for options in ({"max_new_tokens": n_new}, {"max_new_tokens": 60, "eos_token_id": eos}):
        expected = decode([[4, 5, 6] * 6], **options)
        assert decode([[4, 5, 6] * 6], **options, prompt_lookup_num_tokens=15) == expected


def test_prompt_lookup_yields_every_token_and_lets_the_caller_end() -> None:
    steps = generate([[4, 5, 6] * 6], PARAMS, CONFIG, max_new_tokens=30, prompt_lookup_num_tokens=15)
    for n_steps, (continuation,) in enumerate(steps):
        assert len(continuation.ids) == n_steps
        if n_steps == 7:
            continuation.finish_reason = STOP_STRING
    assert len(continuation.ids) == 7


def test_right_guesses_save_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that counts in a circle of 50: after one round, every guess is right."""
    passes = []

    def circle(ids: Any, *, logits_to_keep: int, cache: Any, **_: Any) -> Array:
        passes.append(len(ids))
        cache.n_seq += len(ids)
        return np.eye(300)[[(token_id + 1) % 50 for token_id in ids[-logits_to_keep:]]]

    monkeypatch.setattr(module, "gpt2", circle)
    config = GPT2Config(vocab_size=300, n_ctx=400, n_embd=32, n_layer=2, n_head=4)
    *_, (continuation,) = generate([[0]], PARAMS, config, max_new_tokens=300, prompt_lookup_num_tokens=15)
    assert continuation.ids == [i % 50 for i in range(1, 301)]
    assert len(passes) < 52 + 3 + 250 / 16 + 1


def test_wrong_guesses_become_rare() -> None:
    lookup = PromptLookup([1, 2, 3, 4], 5)
    n_guesses = 0
    for _ in range(500):
        for token_id in (1, 2, 3):
            lookup.append(token_id)
        if lookup.guess():
            n_guesses += 1
            lookup.learn(0)
    assert 0 < n_guesses < 9
