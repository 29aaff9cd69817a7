"""Sampling against transformers' logits processors, and the draw against the probabilities it should follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numpygpt.arrays import Array
from numpygpt.layers import softmax
from numpygpt.sampling import (
    Sampling,
    apply_repetition_penalty,
    apply_temperature,
    apply_top_k,
    apply_top_p,
    sample,
)

N_VOCAB = 50

# A distribution is drawn as (seed, number of sequences, distinct values): few distinct values make many ties.
batches = st.tuples(st.integers(0, 2**32), st.integers(1, 3), st.sampled_from([2, 5, 1000]))
fast = settings(max_examples=60, deadline=None)


def random_logits(seed: int, n_sequence: int = 1, n_distinct: int = 1000) -> Array:
    """Logits [n_sequence, N_VOCAB] between -9 and 9."""
    return np.random.default_rng(seed).integers(0, n_distinct, (n_sequence, N_VOCAB)) / n_distinct * 18 - 9


def random_ids(seed: int, n_sequence: int, n_seq: int = 12) -> list[list[int]]:
    """Ids of a text so far, with repetitions."""
    ids: list[list[int]] = np.random.default_rng(seed).integers(0, N_VOCAB // 2, (n_sequence, n_seq)).tolist()
    return ids


@pytest.fixture(scope="module")
def processed() -> Callable[..., Array]:
    """What the processors of transformers' generate, built by itself and in its own order, make of logits."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(vocab_size=N_VOCAB, n_positions=16, n_embd=4, n_layer=1, n_head=1)
    model = transformers.GPT2LMHeadModel(config)

    def process(logits: Array, previous_ids: list[list[int]], **options: Any) -> Array:
        wanted = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "repetition_penalty": 1.0} | options
        processors = model._get_logits_processor(transformers.GenerationConfig(**wanted), input_ids_seq_length=1)
        scores: Array = processors(torch.tensor(previous_ids), torch.from_numpy(logits.copy())).numpy()
        return scores

    return process


# transformers compared with


@fast
@given(batch=batches, penalty=st.floats(0.1, 10))
def test_repetition_penalty_is_that_of_transformers(
    processed: Callable[..., Array], batch: tuple[int, int, int], penalty: float
) -> None:
    logits, ids = random_logits(*batch), random_ids(*batch[:2])
    ours = apply_repetition_penalty(logits, ids, penalty)
    np.testing.assert_array_equal(ours, processed(logits, ids, repetition_penalty=penalty))


@fast
@given(batch=batches, temperature=st.floats(1e-3, 1e3))
def test_temperature_is_that_of_transformers(
    processed: Callable[..., Array], batch: tuple[int, int, int], temperature: float
) -> None:
    logits = random_logits(*batch)
    ids = random_ids(*batch[:2])
    np.testing.assert_array_equal(
        apply_temperature(logits, temperature), processed(logits, ids, temperature=temperature)
    )


@fast
@given(batch=batches, top_k=st.integers(1, 2 * N_VOCAB))
def test_top_k_is_that_of_transformers(
    processed: Callable[..., Array], batch: tuple[int, int, int], top_k: int
) -> None:
    logits = random_logits(*batch)
    np.testing.assert_array_equal(apply_top_k(logits, top_k), processed(logits, random_ids(*batch[:2]), top_k=top_k))


@fast
@given(batch=batches, top_p=st.floats(0, 1, exclude_max=True) | st.sampled_from([0.0, 0.25, 0.5, 0.9]))
def test_top_p_is_that_of_transformers(
    processed: Callable[..., Array], batch: tuple[int, int, int], top_p: float
) -> None:
    logits = random_logits(*batch)
    assert_same_filter(apply_top_p(logits, top_p), processed(logits, random_ids(*batch[:2]), top_p=top_p))


@fast
@given(
    batch=batches,
    penalty=st.sampled_from([1.0, 1.2, 0.7]),
    temperature=st.sampled_from([None, 0.3, 1.0, 2.5]),
    top_k=st.sampled_from([None, 0, 1, 7, 1000]),
    top_p=st.sampled_from([None, 0.0, 0.31, 0.77, 1.0]),
)
def test_all_steps_together_are_those_of_transformers(
    processed: Callable[..., Array],
    batch: tuple[int, int, int],
    penalty: float,
    temperature: float | None,
    top_k: int | None,
    top_p: float | None,
) -> None:
    logits, ids = random_logits(*batch), random_ids(*batch[:2])
    given_options = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    options = {name: value for name, value in given_options.items() if value is not None}
    ours = Sampling(do_sample=True, repetition_penalty=penalty, **options).filter(logits, ids)  # type: ignore[arg-type]
    assert_same_filter(ours, processed(logits, ids, repetition_penalty=penalty, **options))


def assert_same_filter(ours: Array, theirs: Array) -> None:
    """As many tokens kept, of the same logits; which of equally likely ones is not defined by transformers' sort."""
    np.testing.assert_array_equal(np.sort(ours, axis=-1), np.sort(theirs, axis=-1))
    np.testing.assert_array_equal(ours.max(axis=-1), theirs.max(axis=-1))


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


# The definitions, where no reference is installed


def test_top_k_keeps_ties_with_the_smallest_kept() -> None:
    filtered = apply_top_k(np.array([2.0, 1.0, 2.0, 3.0, 0.0]), top_k=2)
    np.testing.assert_array_equal(filtered, [2, -np.inf, 2, 3, -np.inf])


@pytest.mark.parametrize("top_k", [5, 6, 10**30])
def test_top_k_above_the_vocabulary_keeps_all(top_k: int) -> None:
    logits = np.arange(5.0)
    np.testing.assert_array_equal(apply_top_k(logits, top_k), logits)
    np.testing.assert_array_equal(Sampling(top_k=top_k).filter(logits[None], [[0]]), logits[None])


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


def test_repetition_penalty_counts_a_repeated_token_once() -> None:
    penalized = apply_repetition_penalty(np.array([[4.0, -4.0, 4.0]]), [[0, 0, 1, 1, 1]], penalty=2.0)
    np.testing.assert_array_equal(penalized, [[2, -8, 4]])


def test_filters_leave_their_input_alone() -> None:
    logits = random_logits(0)
    before = logits.copy()
    Sampling(temperature=0.5, top_k=5, top_p=0.5, repetition_penalty=2.0).filter(logits, [[1, 2, 3]])
    np.testing.assert_array_equal(logits, before)


# The draw


def test_drawn_frequencies_follow_the_probabilities() -> None:
    probabilities = np.array([0.4, 0.3, 0.15, 0.1, 0.04, 0.01])
    n_draws = 100_000
    logits = np.broadcast_to(np.log(probabilities), (n_draws, 6))
    counts = np.bincount(sample(logits, np.random.default_rng(0)), minlength=6)
    chi_square = ((counts - n_draws * probabilities) ** 2 / (n_draws * probabilities)).sum()
    assert chi_square < 20.5  # 99.9% of fair draws, with 5 degrees of freedom


def test_sampling_draws_from_what_its_filter_leaves() -> None:
    sampling = Sampling(temperature=0.7, top_k=4, top_p=0.9, repetition_penalty=1.5)
    n_draws = 20_000
    logits = np.broadcast_to(random_logits(3) / 6, (n_draws, N_VOCAB))
    ids = [[5, 7, 9]] * n_draws
    probabilities = softmax(sampling.filter(logits[:1], ids[:1]))[0]
    counts = np.bincount(sampling.choose(logits, ids, [np.random.default_rng(0)] * len(ids)), minlength=N_VOCAB)
    assert 1 < np.count_nonzero(probabilities) <= 4
    np.testing.assert_allclose(counts / n_draws, probabilities, atol=0.01)
    assert not counts[probabilities == 0].any()


class Edge(np.random.Generator):
    """A generator whose uniform numbers are the smallest or the largest it could return."""

    def __init__(self, value: float) -> None:
        super().__init__(np.random.PCG64(0))
        self.value = value

    def random(self, size: Any = None, *_: Any) -> Any:  # type: ignore[override]
        return np.full(size, self.value)


@pytest.mark.parametrize("edge", [0.0, 1 - 2**-53])
@given(kept=st.lists(st.booleans(), min_size=1, max_size=20).filter(any), seed=st.integers(0, 1000))
@settings(max_examples=50, deadline=None)
def test_excluded_tokens_are_never_drawn(edge: float, kept: list[bool], seed: int) -> None:
    logits = np.where(kept, np.random.default_rng(seed).normal(0, 5, len(kept)), -np.inf)
    for dtype in (np.float32, np.float64):
        assert kept[sample(logits.astype(dtype), Edge(edge))]


def test_one_row_and_several_are_drawn_alike() -> None:
    logits = random_logits(0, n_sequence=4)
    together = sample(logits, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    assert together.tolist() == [int(sample(row, rng)) for row in logits]


def test_greedy_takes_the_first_of_the_likeliest() -> None:
    logits = np.array([[1.0, 3.0, 3.0], [5.0, 0.0, 5.0]])
    assert Sampling().choose(logits, [[0], [0]], [np.random.default_rng(0)] * 2).tolist() == [1, 0]
