"""Every activation that a config can ask for, against formulas of one number at a time, and `transformers`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from numpygpt.activations import ACTIVATIONS, erf, sigmoid
from numpygpt.arrays import Array
from numpygpt.backward.activations import ACTIVATIONS as WITH_GRADIENTS
from numpygpt.engine.kernels import ACTIVATIONS as FAST

GRID = np.concatenate([np.linspace(-12, 12, 4001), [-1e30, -1e4, -100, -1e-30, 0, 1e-30, 100, 1e4, 1e30]])


def tanh_form(x: float) -> float:
    return x / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


def logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


FORMULAS: dict[str, Callable[[float], float]] = {
    **dict.fromkeys(("gelu_new", "gelu_fast", "gelu_pytorch_tanh"), tanh_form),
    **dict.fromkeys(("gelu", "gelu_python"), lambda x: x * math.erfc(-x / math.sqrt(2)) / 2),
    **dict.fromkeys(("silu", "swish"), lambda x: x * logistic(x)),
    "quick_gelu": lambda x: x * logistic(1.702 * x),
    "relu": lambda x: max(x, 0.0),
    "tanh": math.tanh,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-14), (np.float32, 2e-6)])
@pytest.mark.filterwarnings("error")
def test_the_formula(name: str, dtype: type, tolerance: float) -> None:
    """In the book, the engine and the forward pass of training alike."""
    with np.errstate(over="ignore"):  # of x³
        x: Array = GRID[abs(GRID) < 1e9].astype(dtype) if dtype is np.float32 else GRID
        for table in (ACTIVATIONS, FAST, {key: value.forward for key, value in WITH_GRADIENTS.items()}):
            y = table[name](x.copy())
            assert y.dtype == dtype
            expected = [FORMULAS[name](float(value)) for value in x]
            np.testing.assert_allclose(y, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_formula_is_that_of_transformers(name: str) -> None:
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("transformers.activations").ACT2FN[name]
    x: Array = np.linspace(-12, 12, 4001)
    tensor = torch.tensor(x, requires_grad=True)
    y = theirs(tensor)
    np.testing.assert_allclose(ACTIVATIONS[name](x), y.detach().numpy(), atol=1e-8)
    y.sum().backward()
    gradient = WITH_GRADIENTS[name].gradient(np.ones_like(x), x)
    np.testing.assert_allclose(gradient, tensor.grad.numpy(), atol=1e-8)


def test_erf() -> None:
    """Within 2e-7 in float32, wherever one looks, and as exact as Python's in float64."""
    x = np.concatenate([np.linspace(-6, 6, 200_001), np.logspace(-45, 30, 1000), [np.inf, -np.inf, 0.0, -0.0]])
    assert (erf(x) == [math.erf(value) for value in x]).all()
    single = x.astype(np.float32)
    error = abs(erf(single).astype(np.float64) - [math.erf(value) for value in single.astype(np.float64)])
    assert error.max() < 2e-7
    assert erf(single).dtype == np.float32
    special: Any = erf(np.array([np.inf, -np.inf, np.nan, 0.0, -0.0], np.float32))
    np.testing.assert_array_equal(special, np.array([1, -1, np.nan, 0, -0.0], np.float32))
    assert np.signbit(special[-1])


@pytest.mark.filterwarnings("error")
def test_sigmoid_neither_overflows_nor_leaves_0_to_1() -> None:
    y = sigmoid(np.array([-1e30, -200, 0, 200, 1e30], np.float32))
    np.testing.assert_array_equal(y, [0, 0, 0.5, 1, 1])
