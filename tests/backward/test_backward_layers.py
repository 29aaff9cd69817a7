"""The hand-written gradients against central differences in float64 and PyTorch's autograd in float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gradient_cases import CASES
from gradients import assert_close, central_differences, draw

from numpygpt import layers
from numpygpt.backward import forward
from numpygpt.backward import layers as backward_layers

SHAPES = [(3,), (5,), (2, 3), (2, 3, 5)]  # of the leading axes


@pytest.fixture(autouse=True)
def _several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let sequences of five tokens be cut as long ones are."""
    monkeypatch.setattr(backward_layers, "QUERY_BLOCK", 2)


@pytest.mark.parametrize("lead", SHAPES, ids=str)
@pytest.mark.parametrize("make_case", CASES)
def test_gradient_equals_central_differences(make_case: Any, lead: tuple[int, ...]) -> None:
    case = make_case()
    arrays = draw(case.shapes(lead), "float64")
    y = case.forward(arrays)
    dy = np.random.default_rng(1).standard_normal(y.shape)
    gradients = case.gradient(dy, arrays)
    assert gradients.keys() == arrays.keys()
    for name, x in arrays.items():
        if x.size <= 100:
            expected = central_differences(lambda: float(np.sum(dy * case.forward(arrays))), x)
            assert_close(gradients[name], expected, 1e-6, name)


@pytest.mark.parametrize("lead", SHAPES, ids=str)
@pytest.mark.parametrize("make_case", CASES)
def test_gradient_equals_autograd(make_case: Any, lead: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    case = make_case()
    arrays = draw(case.shapes(lead), "float32")
    tensors = {name: torch.tensor(x, requires_grad=True) for name, x in arrays.items()}
    y = case.torch(tensors)
    dy = np.random.default_rng(1).standard_normal(tuple(y.shape)).astype("float32")
    y.backward(torch.tensor(dy))
    for name, gradient in case.gradient(dy, arrays).items():
        assert gradient.dtype == np.float32
        assert_close(gradient, tensors[name].grad.numpy(), 1e-4, name)


def test_relu_lets_nothing_pass_at_0() -> None:
    x = np.array([-1.0, -0.0, 0.0, 1.0])
    np.testing.assert_array_equal(backward_layers.relu(np.full(4, 5.0), x), [0, 0, 0, 5])


def test_same_names_in_the_same_order() -> None:
    """Every public function of the forward pass that has parameters or inputs to differentiate has its gradient."""
    without = {"causal_mask"}  # a constant
    names = [name for name, item in vars(layers).items() if getattr(item, "__module__", "") == layers.__name__]
    forward = [name for name in names if callable(getattr(layers, name)) and name not in without]
    mirrored = [name for name in vars(backward_layers) if name in forward]
    assert mirrored == forward


def test_the_forward_passes_equal_the_books() -> None:
    arrays = draw({"x": (3, 5), "weight": (5, 7), "bias": (7,)}, "float64")
    x = arrays["x"] * 3 + 1
    np.testing.assert_allclose(forward.gelu(x), layers.gelu(x), atol=1e-12)
    np.testing.assert_allclose(forward.linear(x, arrays["weight"], arrays["bias"]), layers.linear(**arrays | {"x": x}))
    norm = (arrays["weight"][:, 0], arrays["weight"][:, 1], 0.1)
    np.testing.assert_allclose(forward.layer_norm(x, *norm), layers.layer_norm(x, *norm), atol=1e-12)
    np.testing.assert_allclose(forward.softmax(x.copy()), layers.softmax(x), atol=1e-12)
