"""The gradient of cross-entropy: what it returns, and which rows count."""

from __future__ import annotations

import numpy as np
import pytest
from gradients import assert_close, central_differences

from numpygpt import backward
from numpygpt.arrays import Array
from numpygpt.loss import cross_entropy

TARGETS = np.array([1, -100, 4, -1])


def logits() -> Array:
    return np.random.default_rng(0).standard_normal((4, 5)) * 2


def test_the_loss_is_the_sum_over_the_rows_that_count() -> None:
    loss, _ = backward.cross_entropy(logits(), TARGETS)
    counted = TARGETS >= 0
    assert loss == pytest.approx(cross_entropy(logits()[counted], TARGETS[counted]).sum(), rel=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_gradient_equals_central_differences(smoothing: float) -> None:
    x = logits()
    _, gradient = backward.cross_entropy(x.copy(), TARGETS, smoothing)
    expected = central_differences(lambda: backward.cross_entropy(x.copy(), TARGETS, smoothing)[0], x)
    assert_close(gradient, expected, 1e-6)
    np.testing.assert_array_equal(gradient[TARGETS < 0], 0)


def test_the_target_is_pulled_up_and_the_others_are_pushed_down() -> None:
    _, gradient = backward.cross_entropy(np.log([[1.0, 3.0]]), np.array([1]))
    np.testing.assert_allclose(gradient, [[0.25, -0.25]])


def test_a_share_of_the_target_is_spread_over_all_tokens() -> None:
    """Of two tokens with ε = 0.2, each gets 0.1, and the target 0.8 besides."""
    loss, gradient = backward.cross_entropy(np.log([[1.0, 3.0]]), np.array([1]), label_smoothing=0.2)
    assert loss == pytest.approx(-0.1 * np.log(0.25) - 0.9 * np.log(0.75))
    np.testing.assert_allclose(gradient, [[0.15, -0.15]])


def test_logits_in_the_thousands_overflow_nowhere() -> None:
    loss, gradient = backward.cross_entropy(np.array([[3000.0, -3000.0]], np.float32), np.array([1]))
    assert loss == pytest.approx(6000)
    np.testing.assert_array_equal(gradient, [[1, -1]])
