"""Sampling against transformers' logits processors and its definitions, and the draw against its probabilities."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numpygpt.arrays import Array
from numpygpt.layers import softmax
from numpygpt.sampling import Sampling, apply_repetition_penalty, apply_top_k, apply_top_p, sample

N_VOCAB = 50


def random_logits(seed: int, n_sequence: int = 1, n_distinct: int = 1000) -> Array:
    """Logits [n_sequence, N_VOCAB] between -9 and 9; few distinct values make many ties."""
    return np.random.default_rng(seed).integers(0, n_distinct, (n_sequence, N_VOCAB)) / n_distinct * 18 - 9


def choose(sampling: Sampling, logits: Array, seed: int = 0) -> list[int]:
    """The choice for each row of logits, all from one random generator, after a text of the token 0."""
    chosen: list[int] = sampling.choose(
        logits, [[0]] * len(logits), [np.random.default_rng(seed)] * len(logits)
    ).tolist()
    return chosen


# ---- transformers


@cache
def transformers_model() -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=N_VOCAB, n_positions=16, n_embd=4, n_layer=1, n_head=1)
    )


@given(
    seed=st.integers(0, 2**32),
    n_sequence=st.integers(1, 3),
    n_distinct=st.sampled_from([2, 5, 1000]),
    options=st.fixed_dictionaries(
        {},
        optional={
            "repetition_penalty": st.floats(0.1, 10),
            "temperature": st.floats(1e-3, 1e3),
            "top_k": st.integers(0, 2 * N_VOCAB),
            "top_p": st.floats(0, 1),
        },
    ),
)
def test_each_step_and_all_together_are_those_of_transformers(
    seed: int, n_sequence: int, n_distinct: int, options: dict[str, Any]
) -> None:
    """By the processors that transformers' generate builds, in its own order."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    logits = random_logits(seed, n_sequence, n_distinct)
    ids = np.random.default_rng(seed).integers(0, N_VOCAB // 2, (n_sequence, 12))
    wanted = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "repetition_penalty": 1.0} | options
    processors = transformers_model()._get_logits_processor(
        transformers.GenerationConfig(**wanted), input_ids_seq_length=1
    )
    theirs = processors(torch.from_numpy(ids), torch.from_numpy(logits.copy())).numpy()
    ours = Sampling(do_sample=True, **options).filter(logits, list(ids))
    if "top_p" in options:  # which of equally likely tokens are kept is not defined by transformers' sort
        np.testing.assert_array_equal(ours.max(axis=-1), theirs.max(axis=-1))
        ours, theirs = np.sort(ours), np.sort(theirs)
    np.testing.assert_array_equal(ours, theirs)


def test_float32_logits_of_a_whole_vocabulary_are_filtered_as_transformers_filters_them() -> None:
    torch = pytest.importorskip("torch")
    process = pytest.importorskip("transformers.generation.logits_process")
    logits = np.random.default_rng(0).normal(0, 3, (2, 50257)).astype(np.float32)
    ids = np.random.default_rng(1).integers(0, 50257, (2, 100))
    theirs = torch.from_numpy(logits)
    for step in (
        process.RepetitionPenaltyLogitsProcessor(1.3),
        process.TemperatureLogitsWarper(0.7),
        process.TopKLogitsWarper(200),
        process.TopPLogitsWarper(0.9),
    ):
        theirs = step(torch.from_numpy(ids), theirs)
    ours = Sampling(temperature=0.7, top_k=200, top_p=0.9, repetition_penalty=1.3).filter(logits, list(ids))
    assert ours.dtype == np.float32
    np.testing.assert_array_equal(np.isinf(ours), np.isinf(theirs.numpy()))
    np.testing.assert_allclose(softmax(ours), theirs.softmax(-1).numpy(), atol=1e-6)


# ---- The definitions, where no reference is installed


def test_top_k_keeps_ties_with_the_smallest_kept() -> None:
    filtered = apply_top_k(np.array([2.0, 1.0, 2.0, 3.0, 0.0]), top_k=2)
    np.testing.assert_array_equal(filtered, [2, -np.inf, 2, 3, -np.inf])


@pytest.mark.parametrize("top_k", [0, 5, 6, 10**30, np.uint8(5)])
def test_a_top_k_of_0_or_above_the_vocabulary_keeps_all(top_k: Any) -> None:
    logits = np.arange(5.0)[None]
    np.testing.assert_array_equal(Sampling(top_k=top_k).filter(logits, [[0]]), logits)


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [(0.0, [1]), (0.3, [1]), (0.5, [1]), (0.51, [1, 2]), (0.8, [1, 2]), (0.9, [0, 1, 2]), (1.0, [0, 1, 2])],
)
def test_top_p_keeps_the_fewest_that_reach_it(top_p: float, kept: list[int]) -> None:
    filtered = apply_top_p(np.log([0.1875, 0.5, 0.3125]), top_p)
    assert np.flatnonzero(np.isfinite(filtered)).tolist() == kept


def test_top_p_keeps_the_last_of_equals_on_every_machine() -> None:
    logits = np.random.default_rng(0).integers(0, 3, 1000).astype(float)
    kept = np.flatnonzero(np.isfinite(apply_top_p(logits, top_p=0.4)))
    by_logit_then_id = sorted(range(1000), key=lambda token_id: logits[token_id])
    assert kept.tolist() == sorted(by_logit_then_id[-len(kept) :])


def test_repetition_penalty_is_for_the_tokens_of_each_row() -> None:
    penalized = apply_repetition_penalty(np.array([[4.0, 4.0, 4.0], [4.0, 4.0, 4.0]]), [[0], [2, 1]], penalty=2.0)
    np.testing.assert_array_equal(penalized, [[2.0, 4.0, 4.0], [4.0, 2.0, 2.0]])


def test_repetition_penalty_counts_a_repeated_token_once() -> None:
    penalized = apply_repetition_penalty(np.array([[4.0, -4.0, 4.0]]), [[0, 0, 1, 1, 1]], penalty=2.0)
    np.testing.assert_array_equal(penalized, [[2, -8, 4]])


@pytest.mark.parametrize(
    "step", [{"temperature": 0.5}, {"top_k": 5}, {"top_p": 0.5}, {"temperature": 1, "repetition_penalty": 2.0}], ids=str
)
def test_no_step_changes_its_input(step: dict[str, Any]) -> None:
    logits = random_logits(0)
    Sampling(**step).filter(logits, [[1, 2, 3]])
    np.testing.assert_array_equal(logits, random_logits(0))


# ---- The draw


def test_drawn_frequencies_follow_the_probabilities() -> None:
    probabilities = np.array([0.4, 0.3, 0.15, 0.1, 0.04, 0.01])
    n_draws = 100_000
    logits = np.broadcast_to(np.log(probabilities), (n_draws, 6))
    counts = np.bincount(sample(logits, np.random.default_rng(0)), minlength=6)
    chi_square = ((counts - n_draws * probabilities) ** 2 / (n_draws * probabilities)).sum()
    assert chi_square < 20.5  # 99.9% of fair draws, with 5 degrees of freedom


def test_sampling_draws_from_what_its_steps_leave() -> None:
    """Step by step: token 0 is penalized to 1.5, all are doubled, top-k drops token 0, and top-p token 3."""
    sampling = Sampling(temperature=0.5, top_k=3, top_p=0.75, repetition_penalty=2.0)
    logits = np.broadcast_to([3.0, 2.0, 1.6, 1.55], (20_000, 4))
    np.testing.assert_allclose(sampling.filter(logits[:1], [[0]]), [[-np.inf, 4, 3.2, -np.inf]])
    frequencies = np.bincount(choose(sampling, logits), minlength=4) / len(logits)
    np.testing.assert_allclose(frequencies, [0, 0.69, 0.31, 0], atol=0.01)


class Edge(np.random.Generator):
    """A generator whose uniform numbers are the smallest or the largest it could return."""

    def __init__(self, value: float) -> None:
        super().__init__(np.random.PCG64(0))
        self.value = value

    def random(self, size: Any = None, *_: Any) -> Any:  # type: ignore[override]
        return np.full(size, self.value)


@pytest.mark.parametrize("edge", [0.0, 1 - 2**-53])
@given(kept=st.lists(st.booleans(), min_size=1, max_size=20).filter(any), seed=st.integers(0, 1000))
@settings(max_examples=50)
def test_excluded_tokens_are_never_drawn(edge: float, kept: list[bool], seed: int) -> None:
    logits = np.where(kept, np.random.default_rng(seed).normal(0, 5, len(kept)), -np.inf)
    for dtype in (np.float32, np.float64):
        assert kept[sample(logits.astype(dtype), Edge(edge))]


def test_one_row_and_several_are_drawn_alike() -> None:
    logits = random_logits(0, n_sequence=4)
    rng = np.random.default_rng(5)
    rows = [int(sample(row, rng)) for row in logits]
    assert sample(logits, np.random.default_rng(5)).tolist() == rows
    assert choose(Sampling(do_sample=True), logits, seed=5) == rows


# ---- What the options mean, and which values mean nothing


@pytest.mark.parametrize(
    ("options", "is_greedy"),
    [
        ({}, True),
        ({"repetition_penalty": 1.2}, True),
        ({"temperature": 1.0}, False),
        ({"top_k": 0}, False),
        ({"top_p": 1.0}, False),
        ({"temperature": 0.0, "top_k": 5, "top_p": 0.5}, True),
        ({"do_sample": True}, False),
        ({"do_sample": True, "temperature": 0}, True),
        ({"do_sample": False, "temperature": 0.7, "top_k": 5}, True),
    ],
)
def test_when_the_choice_is_greedy(options: dict[str, Any], is_greedy: bool) -> None:
    logits = random_logits(1) / 20
    assert Sampling(**options).is_greedy is is_greedy
    assert ({choose(Sampling(**options), logits, seed)[0] for seed in range(30)} == {logits.argmax()}) is is_greedy


def test_greedy_takes_the_first_of_the_likeliest() -> None:
    assert choose(Sampling(), np.array([[1.0, 3.0, 3.0], [5.0, 0.0, 5.0]])) == [1, 0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("temperature", [1e-6, 1e-12, 1e-40, 5e-324])
def test_a_very_low_temperature_is_greedy_without_a_warning(temperature: float, dtype: type) -> None:
    logits: Array = random_logits(2, n_sequence=3).astype(dtype) * 10
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert choose(Sampling(temperature=temperature), logits) == logits.argmax(axis=-1).tolist()


def test_a_very_high_temperature_draws_every_token() -> None:
    logits = np.broadcast_to(random_logits(0).astype(np.float32), (2000, N_VOCAB))
    assert set(choose(Sampling(temperature=1e300), logits)) == set(range(N_VOCAB))


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(top_k=3)])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_not_numbers_are_an_error_and_no_text(sampling: Sampling, bad: float) -> None:
    logits = random_logits(0, n_sequence=2)
    logits[1, 4] = bad
    with pytest.raises(ValueError, match="logits"):
        choose(sampling, logits)


BEYOND = [-1, -0.5, float("nan"), float("inf"), -float("inf")]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, value) for name in ("temperature", "top_k", "top_p", "repetition_penalty") for value in BEYOND],
        ("top_k", 2.5),
        ("top_k", "5"),
        ("top_p", 1.01),
        ("repetition_penalty", 0),
    ],
)
def test_a_value_without_meaning_is_an_error_that_names_it(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be .*, not {value!s}$"):
        Sampling(**{name: value})
