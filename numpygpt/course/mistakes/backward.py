"""Mistakes in `backward/layers.py`, but for attention."""

from __future__ import annotations

from typing import Any

import numpy as np

from numpygpt import backward
from numpygpt.course.mistakes.registry import mistake


def _parameters(result: Any, **changes: Any) -> Any:
    dx, gradients = result
    return dx, gradients | changes


@mistake("backward.linear", "How many positions share the weights?", "Sum over all positions: dbias too.")
def bias_not_summed(dy: Any, x: Any, weight: Any, bias: Any) -> Any:
    return _parameters(backward.linear(dy, x, weight, bias), bias=dy)


@mistake("backward.linear", "Sum or mean?", "Gradients of all positions are summed, not averaged.")
def mean_of_positions(dy: Any, x: Any, weight: Any, bias: Any) -> Any:
    dx, gradients = backward.linear(dy, x, weight, bias)
    return dx, {name: gradient / (dy.size // dy.shape[-1]) for name, gradient in gradients.items()}


@mistake("backward.linear", "Which shape has weight?", "[n_in, n_out]: xᵀ · dy, not dyᵀ · x.")
def weight_transposed(dy: Any, x: Any, weight: Any, bias: Any) -> Any:
    dx, gradients = backward.linear(dy, x, weight, bias)
    return dx, gradients | {"weight": gradients["weight"].T}


@mistake("backward.linear", "From n_out back to n_in: which way?", "dx = dy · weightᵀ.")
def dx_not_transposed(dy: Any, x: Any, weight: Any, bias: Any) -> Any:
    return dy @ weight, backward.linear(dy, x, weight, bias)[1]


@mistake("backward.linear", "Does a batch add up too?", "Fold all leading axes into rows before the product.")
def batch_not_summed(dy: Any, x: Any, weight: Any, bias: Any) -> Any:
    gradients = {"weight": x.swapaxes(-1, -2) @ dy, "bias": dy.sum(axis=-2)}
    return dy @ weight.T, gradients


@mistake(
    "backward.linear", "The gradient of the weight, or a new weight?", "The gradient: the optimizer takes the step."
)
def step_taken(dy: Any, x: Any, weight: Any, bias: Any) -> Any:
    dx, gradients = backward.linear(dy, x, weight, bias)
    return dx, gradients | {"weight": weight - gradients["weight"]}


@mistake("backward.linear", "What is the gradient of the bias?", "Σ dy: not 1, for dy is the chain rule's part.")
def bias_of_ones(dy: Any, x: Any, weight: Any, bias: Any) -> Any:
    return _parameters(backward.linear(dy, x, weight, bias), bias=np.ones_like(bias))


@mistake("backward.relu", "What if x is exactly 0?", "Nothing passes: x > 0, not x >= 0.")
def at_zero_too(dy: Any, x: Any) -> Any:
    return dy * (x >= 0)


@mistake("backward.relu", "Which half lets the gradient pass?", "The one that relu kept: where x is positive.")
def the_other_half(dy: Any, x: Any) -> Any:
    return dy * (x < 0)


@mistake("backward.relu", "Where does the gradient pass?", "Where x > 0, and nowhere else.")
def everywhere(dy: Any, x: Any) -> Any:
    return dy.copy()


@mistake("backward.relu", "Is it dy or x that decides?", "x was clipped on the way forward: look at x > 0.")
def by_dy(dy: Any, x: Any) -> Any:
    return dy * (dy > 0)


@mistake("backward.relu", "Where is the chain rule?", "Multiply the slope by dy.")
def no_dy(dy: Any, x: Any) -> Any:
    return (x > 0).astype(x.dtype)


@mistake("backward.relu", "What is the slope of max(x, 0)?", "1, not x.")
def times_x(dy: Any, x: Any) -> Any:
    return dy * np.maximum(x, 0)


def _gelu_slope(x: Any, inner: float = 3.0, second: bool = True, square: bool = True) -> Any:
    c = np.sqrt(2 / np.pi)
    t = np.tanh(c * (x + 0.044715 * x**3))
    rest = (1 - (t * t if square else t)) * c * (1 + inner * 0.044715 * x * x)
    return (1 + t) / 2 + (x / 2 * rest if second else 0)


@mistake(
    "backward.gelu", "How often does x occur in the formula?", "Twice: the product rule adds x / 2 · (1 - t²) · du/dx."
)
def product_rule_forgotten(dy: Any, x: Any) -> Any:
    return dy * _gelu_slope(x, second=False)


@mistake("backward.gelu", "What is the derivative of x³?", "3 · x²: the 3 is missing.")
def three_forgotten(dy: Any, x: Any) -> Any:
    return dy * _gelu_slope(x, inner=1.0)


@mistake("backward.gelu", "What is the derivative of tanh?", "1 - tanh².")
def tanh_not_squared(dy: Any, x: Any) -> Any:
    return dy * _gelu_slope(x, square=False)


@mistake("backward.gelu", "Where is the chain rule?", "Multiply the slope by dy.")
def slope_alone(dy: Any, x: Any) -> Any:
    return _gelu_slope(x)


@mistake("backward.gelu", "What is du/dx multiplied by?", "By c, the root of 2 / π: u = c · (...).")
def root_forgotten(dy: Any, x: Any) -> Any:
    c = np.sqrt(2 / np.pi)
    t = np.tanh(c * (x + 0.044715 * x**3))
    return dy * ((1 + t) / 2 + x / 2 * (1 - t * t) * (1 + 3 * 0.044715 * x * x))


@mistake("backward.gelu", "Is it the curve or its slope?", "The slope: differentiate what `gelu` computes.")
def the_curve_itself(dy: Any, x: Any) -> Any:
    return dy * x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


@mistake("backward.softmax", "Does a score change the other shares?", "Subtract Σ dy · y: all shares sum to 1.")
def diagonal_alone(dy: Any, y: Any) -> Any:
    return dy * y * (1 - y)


@mistake(
    "backward.softmax", "What else do the others lose?", "Subtract the row's sum of dy · y before multiplying by y."
)
def sum_forgotten(dy: Any, y: Any) -> Any:
    return dy * y


@mistake("backward.softmax", "Over which axis is the sum?", "The last one, for each row: axis=-1, keepdims=True.")
def sum_over_all(dy: Any, y: Any) -> Any:
    return y * (dy - (dy * y).sum())


@mistake("backward.softmax", "The sum of what?", "Of dy · y: each dy weighted by its share.")
def sum_of_dy(dy: Any, y: Any) -> Any:
    return y * (dy - dy.sum(axis=-1, keepdims=True))


@mistake("backward.softmax", "Is y softmax's input or its result?", "Its result: no softmax again.")
def softmax_again(dy: Any, y: Any) -> Any:
    exp = np.exp(y)
    return backward.softmax(dy, exp / exp.sum(axis=-1, keepdims=True))


@mistake("backward.softmax", "Which axis makes a row?", "The last one: axis=-1, keepdims=True.")
def column_axis(dy: Any, y: Any) -> Any:
    return y * (dy - (dy * y).sum(axis=-2, keepdims=True)) if y.ndim > 1 else backward.softmax(dy, y)


@mistake("backward.softmax", "What are the differences multiplied by?", "By y: y · (dy - Σ dy · y).")
def not_times_y(dy: Any, y: Any) -> Any:
    return dy - (dy * y).sum(axis=-1, keepdims=True)


def _normed(x: Any, eps: float) -> Any:
    s = np.sqrt(x.var(axis=-1, keepdims=True) + eps)
    return (x - x.mean(axis=-1, keepdims=True)) / s, s


@mistake("backward.layer_norm", "By what was x divided?", "By s: dx is divided by it, too.")
def not_divided(dy: Any, x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    dx, gradients = backward.layer_norm(dy, x, weight, bias, eps)
    return dx * _normed(x, eps)[1], gradients


@mistake("backward.layer_norm", "Is eps always 1e-5?", "It is an argument: add the eps that comes.")
def eps_as_it_is_by_default(dy: Any, x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    return backward.layer_norm(dy, x, weight, bias)


@mistake("backward.layer_norm", "Means or sums?", "Means: mean(dn) and mean(dn · n).")
def sums_subtracted(dy: Any, x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    n, s = _normed(x, eps)
    dn = dy * weight
    dx = (dn - dn.sum(axis=-1, keepdims=True) - n * (dn * n).sum(axis=-1, keepdims=True)) / s
    return dx, backward.layer_norm(dy, x, weight, bias, eps)[1]


@mistake("backward.layer_norm", "What multiplies mean(dn · n)?", "n: each number falls by its own share.")
def last_n_forgotten(dy: Any, x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    n, s = _normed(x, eps)
    dn = dy * weight
    dx = (dn - dn.mean(axis=-1, keepdims=True) - (dn * n).mean(axis=-1, keepdims=True)) / s
    return dx, backward.layer_norm(dy, x, weight, bias, eps)[1]


@mistake("backward.layer_norm", "How many vectors share weight and bias?", "All positions: their gradients are summed.")
def positions_averaged(dy: Any, x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    dx, gradients = backward.layer_norm(dy, x, weight, bias, eps)
    return dx, {name: gradient / (dy.size // dy.shape[-1]) for name, gradient in gradients.items()}


@mistake("backward.layer_norm", "Does the mean depend on x?", "Yes: subtract mean(dn).")
def mean_forgotten(dy: Any, x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    n, s = _normed(x, eps)
    dn = dy * weight
    return (dn - n * (dn * n).mean(axis=-1, keepdims=True)) / s, backward.layer_norm(dy, x, weight, bias, eps)[1]


@mistake("backward.layer_norm", "Does the variance depend on x?", "Yes: subtract n · mean(dn · n).")
def variance_forgotten(dy: Any, x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    _, s = _normed(x, eps)
    dn = dy * weight
    return (dn - dn.mean(axis=-1, keepdims=True)) / s, backward.layer_norm(dy, x, weight, bias, eps)[1]


@mistake("backward.layer_norm", "Do mean and variance depend on x?", "Both do: two terms are missing.")
def as_constants(dy: Any, x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    return dy * weight / _normed(x, eps)[1], backward.layer_norm(dy, x, weight, bias, eps)[1]


@mistake("backward.layer_norm", "What is scaled on the way back?", "dn = dy · weight comes first.")
def weight_forgotten(dy: Any, x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    dx = backward.layer_norm(dy, x, np.ones_like(weight), bias, eps)[0]
    return dx, backward.layer_norm(dy, x, weight, bias, eps)[1]


@mistake("backward.layer_norm", "What did weight multiply?", "The *normed* x: dweight = Σ dy · n.")
def weight_by_x(dy: Any, x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    dweight = (dy * x).reshape(-1, x.shape[-1]).sum(axis=0)
    return _parameters(backward.layer_norm(dy, x, weight, bias, eps), weight=dweight)


@mistake(
    "backward.token_embedding",
    "What if a token occurs twice?",
    "Its gradients add up: dweight[ids] += dy counts one; np.add.at.",
)
def last_one_counts(dy: Any, ids: Any, weight: Any) -> Any:
    dweight = np.zeros_like(weight)
    dweight[ids] += dy
    return {"weight": dweight}


@mistake("backward.token_embedding", "Sum or mean?", "The gradients of all places are summed.")
def mean_of_places(dy: Any, ids: Any, weight: Any) -> Any:
    dweight = backward.token_embedding(dy, ids, weight)["weight"]
    counts = np.bincount(np.ravel(ids), minlength=len(weight))
    return {"weight": dweight / np.maximum(counts, 1)[:, None].astype(dweight.dtype)}


@mistake(
    "backward.token_embedding", "Is the table's own content in its gradient?", "Begin with zeros, not with weight."
)
def weight_included(dy: Any, ids: Any, weight: Any) -> Any:
    return {"weight": weight + backward.token_embedding(dy, ids, weight)["weight"]}


@mistake("backward.positional_embedding", "How many sequences share a position?", "Sum over the batch.")
def batch_ignored(dy: Any, weight: Any) -> Any:
    dweight = np.zeros_like(weight)
    dweight[: dy.shape[-2]] = dy.reshape(-1, *dy.shape[-2:])[0]
    return {"weight": dweight}


@mistake("backward.positional_embedding", "Sum or mean?", "The gradients of all sequences are summed.")
def batch_averaged(dy: Any, weight: Any) -> Any:
    dweight = np.zeros_like(weight)
    dweight[: dy.shape[-2]] = dy.reshape(-1, *dy.shape[-2:]).mean(axis=0)
    return {"weight": dweight}


@mistake(
    "backward.positional_embedding", "Which shape has the gradient?", "The table's: zeros where no position was used."
)
def too_short(dy: Any, weight: Any) -> Any:
    return {"weight": dy.reshape(-1, *dy.shape[-2:]).sum(axis=0)}


@mistake("backward.positional_embedding", "Which rows were used?", "The first n_seq: positions count from 0.")
def last_rows(dy: Any, weight: Any) -> Any:
    dweight = np.zeros_like(weight)
    dweight[-dy.shape[-2] :] = dy.reshape(-1, *dy.shape[-2:]).sum(axis=0)
    return {"weight": dweight}


@mistake("backward.positional_embedding", "Is the table's own content in its gradient?", "Begin with zeros.")
def table_included(dy: Any, weight: Any) -> Any:
    return {"weight": weight + backward.positional_embedding(dy, weight)["weight"]}
