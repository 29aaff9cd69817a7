"""Beam search against all texts there are, and against `transformers`."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_models import REFERENCE
from random_transformers import ending_transformer, random_pairs

from numpygpt.arrays import Array
from numpygpt.beam_search import beam_search
from numpygpt.engine.translate import translate
from numpygpt.layers import softmax
from numpygpt.without_engine import translate as book_translate

END = 2


def table_model(seed: int) -> tuple[dict[tuple[int, ...], Array], int]:
    """The log-probabilities of the next of three tokens after every text of up to three, the last of them the end."""
    rng = np.random.default_rng(seed)
    texts = [text for length in range(4) for text in itertools.product((0, 1), repeat=length)]
    return {text: np.log(softmax(rng.normal(size=3) * 2)) for text in texts}, 4


@settings(max_examples=50)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.7, 1.0, 2.0]))
def test_with_all_beginnings_in_view_it_finds_the_best_text(seed: int, length_penalty: float) -> None:
    table, longest = table_model(seed)

    def score(text: tuple[int, ...]) -> float:
        tokens = [*text, END] if len(text) < longest - 1 else list(text)  # the last end is forced, and costs nothing
        total = float(sum(table[text[:i]][token] for i, token in enumerate(tokens)))
        return total / float((len(text) + 1) ** length_penalty)

    found = beam_search(
        lambda beams: np.array([table[tuple(ids)] for ids in beams]),
        num_beams=len(table),
        eos_token_id=END,
        max_new_tokens=longest,
        length_penalty=length_penalty,
    )
    best = max(table, key=score)
    assert score(tuple(found)) == pytest.approx(score(best), abs=1e-12)


def test_one_beam_is_the_greedy_choice() -> None:
    for seed in range(30):
        table, longest = table_model(seed)
        text: list[int] = []
        while len(text) < longest - 1 and (token := int(table[tuple(text)].argmax())) != END:
            text.append(token)
        found = beam_search(
            lambda beams, table=table: np.array([table[tuple(ids)] for ids in beams]),  # type: ignore[misc]
            num_beams=1,
            eos_token_id=END,
            max_new_tokens=longest,
        )
        assert found == text


@pytest.mark.parametrize("case", json.loads((REFERENCE / "translations.json").read_text()), ids=str)
def test_finds_the_texts_that_transformers_found(case: dict[str, Any]) -> None:
    config, params = ending_transformer(case["seed"])
    source, _, _ = random_pairs(config, [(3, 2), (9, 2), (5, 2)], case["seed"])
    rows = [row[row != config.pad_token_id].tolist() for row in source]
    options: Any = {"num_beams": case["num_beams"], "length_penalty": case["length_penalty"], "max_length": 12}
    assert translate(rows, params, config, **options) == case["ids"]
    assert translate(rows[1:2], params, config, **options) == case["ids"][1:2]
    assert book_translate(rows, params, config, **options) == case["ids"]


def test_nothing_to_translate() -> None:
    config, params = ending_transformer(0)
    assert translate([], params, config) == []
    with pytest.raises(ValueError, match="no token ids in the source: give at least one"):
        translate([[]], params, config)
    assert translate([[3, config.eos_token_id]], params, config, max_length=1) == [[]]
