"""What the options of `Sampling` mean, and which values mean nothing."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from numpygpt.arrays import Array
from numpygpt.sampling import Sampling

N_VOCAB = 50


def random_logits(seed: int, n_sequence: int = 1) -> Array:
    """Logits [n_sequence, N_VOCAB] between -9 and 9."""
    return np.random.default_rng(seed).random((n_sequence, N_VOCAB)) * 18 - 9


@pytest.mark.parametrize(
    ("options", "is_greedy"),
    [
        ({}, True),
        ({"repetition_penalty": 1.2}, True),
        ({"temperature": 1.0}, False),
        ({"top_k": 0}, False),
        ({"top_p": 1.0}, False),
        ({"temperature": 0}, True),
        ({"temperature": 0.0, "top_k": 5, "top_p": 0.5}, True),
        ({"do_sample": True}, False),
        ({"do_sample": True, "temperature": 0}, True),
        ({"do_sample": False, "temperature": 0.7, "top_k": 5}, True),
    ],
)
def test_when_the_choice_is_greedy(options: dict[str, Any], is_greedy: bool) -> None:
    sampling = Sampling(**options)
    assert sampling.is_greedy is is_greedy
    chosen = {int(sampling.choose(random_logits(1) / 20, [[0]], [np.random.default_rng(s)])[0]) for s in range(30)}
    assert (chosen == {int(random_logits(1).argmax())}) is is_greedy


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("temperature", [1e-6, 1e-12, 1e-40, 5e-324])
def test_a_very_low_temperature_is_greedy_without_a_warning(temperature: float, dtype: type) -> None:
    logits: Array = random_logits(2, n_sequence=3).astype(dtype) * 10
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chosen = Sampling(temperature=temperature).choose(logits, [[0]] * 3, [np.random.default_rng(0)] * 3)
    assert chosen.tolist() == logits.argmax(axis=-1).tolist()


def test_a_very_high_temperature_draws_every_token() -> None:
    logits = np.broadcast_to(random_logits(0).astype(np.float32), (2000, N_VOCAB))
    chosen = Sampling(temperature=1e30).choose(logits, [[0]] * 2000, [np.random.default_rng(0)] * 2000)
    assert set(chosen.tolist()) == set(range(N_VOCAB))


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(top_k=3)])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_not_numbers_are_an_error_and_no_text(sampling: Sampling, bad: float) -> None:
    logits = random_logits(0, n_sequence=2)
    logits[1, 4] = bad
    with pytest.raises(ValueError, match="logits"):
        sampling.choose(logits, [[0], [0]], [np.random.default_rng(0)] * 2)


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


@pytest.mark.parametrize("kind", [int, np.int64, np.uint8])
def test_every_kind_of_whole_number_does_for_top_k(kind: type) -> None:
    filtered = Sampling(top_k=kind(2)).filter(np.array([[1.0, 2.0, 3.0]]), [[0]])
    np.testing.assert_array_equal(filtered, [[-np.inf, 2, 3]])
