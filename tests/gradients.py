"""What the tests of gradients share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from numpygpt.arrays import Array

Arrays = dict[str, Array]  # what a function is differentiated by, under names


def assert_close(actual: Array, expected: Array, tolerance: float, name: str = "") -> None:
    """Compare, relative to the largest gradient of the tensor."""
    assert actual.shape == expected.shape, name
    error = np.abs(actual - expected).max() / np.abs(expected).max()
    assert error < tolerance, f"{name}: relative error {error:.2e}"


def central_differences(loss: Callable[[], float], x: Array, h: float = 1e-5) -> Array:
    """Return (loss(x + h) - loss(x - h)) / 2h for every number of x, which loss() reads."""
    gradient = np.empty_like(x)
    for i in np.ndindex(x.shape):
        kept = x[i]
        x[i] = kept + h
        above = loss()
        x[i] = kept - h
        gradient[i] = (above - loss()) / (2 * h)
        x[i] = kept
    return gradient


def draw(shapes: dict[str, tuple[int, ...]], dtype: str, seed: int = 0) -> Arrays:
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}
