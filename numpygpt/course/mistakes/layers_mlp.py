"""Mistakes in the parts of `layers.py` that serve each position by itself: layer norm, activations, MLP."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from numpygpt import layers
from numpygpt.course.mistakes.registry import mistake
from numpygpt.layers import gelu, linear, relu


def _normed(x: Any, weight: Any, bias: Any, eps: float, **how: Any) -> Any:
    variance = x.var(axis=-1, keepdims=True, **how)
    return (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(variance + eps) * weight + bias


@mistake("layer_norm", "By how many numbers is the variance divided?", "By n, not by n - 1: no ddof=1.")
def ddof_one(x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    return _normed(x, weight, bias, eps, ddof=1)


@mistake("layer_norm", "Where does eps stand?", "Inside the root: sqrt(variance + eps).")
def eps_outside(x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    std = np.sqrt(x.var(axis=-1, keepdims=True))
    return (x - x.mean(axis=-1, keepdims=True)) / (std + eps) * weight + bias


@mistake("layer_norm", "By what do you divide?", "By the square root of the variance, not by the variance.")
def variance_without_root(x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    return (x - x.mean(axis=-1, keepdims=True)) / (x.var(axis=-1, keepdims=True) + eps) * weight + bias


@mistake("layer_norm", "Are scale and shift used?", "Multiply by weight and add bias at the end.")
def no_scale_and_shift(x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    return _normed(x, 1.0, 0.0, eps)


@mistake("layer_norm", "Is the bias added?", "Add bias at the end.")
def no_shift(x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    return _normed(x, weight, 0.0, eps)


@mistake("layer_norm", "Is eps used?", "Add eps to the variance: a vector of equal numbers divides by 0 without it.")
def no_eps(x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    return _normed(x, weight, bias, 0.0)


@mistake("layer_norm", "Over which numbers is the mean taken?", "Over each vector by itself: axis=-1, keepdims=True.")
def over_all_numbers(x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    return (x - x.mean()) / np.sqrt(x.var() + eps) * weight + bias


@mistake("layer_norm", "Over which axis is the mean taken?", "Over the last one: the first one mixes positions.")
def first_axis(x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps) * weight + bias


@mistake("layer_norm", "What is the mean of the result, before the shift?", "0: subtract the mean of each vector.")
def mean_not_subtracted(x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    return x / np.sqrt(x.var(axis=-1, keepdims=True) + eps) * weight + bias


@mistake("layer_norm", "Is it layer norm or RMS norm?", "The mean is subtracted first; without it, it is RMS norm.")
def rms_norm(x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    return x / np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + eps) * weight + bias


@mistake("layer_norm", "Is weight used?", "Multiply by it before the bias is added.")
def no_scale(x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    return _normed(x, 1.0, bias, eps)


@mistake("layer_norm", "Scale first, or shift?", "Scale, then shift: n · weight + bias.")
def shifted_first(x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    return (_normed(x, 1.0, 0.0, eps) + bias) * weight


@mistake("layer_norm", "Is eps always 1e-5?", "It is an argument: add the eps that comes.")
def eps_as_it_is_by_default(x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    return _normed(x, weight, bias, 1e-5)


@mistake("layer_norm", "Which eps, if none is given?", "1e-5, GPT-2's: vectors of tiny numbers show it.")
def another_default(x: Any, weight: Any, bias: Any, eps: float = 1e-6) -> Any:
    return _normed(x, weight, bias, eps)


@mistake("relu", "What becomes of negative numbers?", "They become 0; abs makes them positive.")
def absolute(x: Any) -> Any:
    return np.abs(x)


@mistake("relu", "Which of the two is larger?", "max(x, 0), not min(x, 0).")
def smaller(x: Any) -> Any:
    return np.minimum(x, 0)


@mistake("relu", "Is it a step?", "Positive numbers keep their size.")
def a_step(x: Any) -> Any:
    return (x > 0).astype(x.dtype)


@mistake("relu", "What becomes of negative numbers?", "Exactly 0: no leak.")
def leaky(x: Any) -> Any:
    return np.where(x > 0, x, x * 0.01)


@mistake("gelu", "Is the root around 2 / π?", "sqrt(2 / π), not 2 / π.")
def no_square_root(x: Any) -> Any:
    return x / 2 * (1 + np.tanh(2 / math.pi * (x + 0.044715 * x**3)))


@mistake("gelu", "Which power?", "x is cubed: x³.")
def squared(x: Any) -> Any:
    return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**2)))


@mistake("gelu", "Is it halved?", "x / 2 · (1 + tanh ...).")
def not_halved(x: Any) -> Any:
    return 2 * gelu(x)


@mistake("gelu", "Which GELU is GPT-2's?", "That is the one by a sigmoid; GPT-2 has the tanh form.")
def by_a_sigmoid(x: Any) -> Any:
    return x / (1 + np.exp(-1.702 * x))


@mistake("gelu", "Which GELU is GPT-2's?", "That is the exact one by erf; GPT-2 was trained with the tanh form.")
def by_erf(x: Any) -> Any:
    return x / 2 * (1 + np.vectorize(math.erf, otypes=[float])(x / math.sqrt(2)))


@mistake("gelu", "Which number multiplies x³?", "0.044715: one zero is missing.")
def a_zero_missing(x: Any) -> Any:
    return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.44715 * x**3)))


@mistake("gelu", "Is x³ in it?", "Yes: tanh(sqrt(2 / π) · (x + 0.044715 · x³)).")
def no_cube(x: Any) -> Any:
    return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * x))


@mistake("gelu", "How large is gelu of a large x?", "Nearly x: 1 + tanh, so that the two halves make one.")
def no_one(x: Any) -> Any:
    return x / 2 * np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))


@mistake("gelu", "What does sqrt(2 / π) multiply?", "The whole bracket: x + 0.044715 · x³.")
def root_times_x_alone(x: Any) -> Any:
    return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * x + 0.044715 * x**3))


@mistake("mlp", "Is the activation used at the beginning?", "No: after the first layer, before the second.")
def activation_first(x: Any, c_fc: Any, c_proj: Any) -> Any:
    return linear(linear(gelu(x), **c_fc), **c_proj)


@mistake("mlp", "Do both layers have a bias?", "Both have: linear(..., **c_proj) adds the second one.")
def no_last_bias(x: Any, c_fc: Any, c_proj: Any) -> Any:
    return gelu(linear(x, **c_fc)) @ c_proj["weight"]


@mistake("mlp", "What happens between the two linear layers?", "The activation, gelu: without it two are one.")
def no_activation(x: Any, c_fc: Any, c_proj: Any) -> Any:
    return linear(linear(x, **c_fc), **c_proj)


@mistake("mlp", "Which activation has GPT-2?", "gelu, not relu.")
def with_relu(x: Any, c_fc: Any, c_proj: Any) -> Any:
    return linear(relu(linear(x, **c_fc)), **c_proj)


@mistake("mlp", "Is the activation used once?", "Only between the layers, not after the second one.")
def activation_twice(x: Any, c_fc: Any, c_proj: Any) -> Any:
    return gelu(layers.mlp(x, c_fc, c_proj))


@mistake("mlp", "Where does the residual belong?", "In transformer_block: the MLP returns its branch alone.")
def adds_x(x: Any, c_fc: Any, c_proj: Any) -> Any:
    return x + layers.mlp(x, c_fc, c_proj)


@mistake("relu", "Has it an upper bound?", "None: only negative numbers are cut.")
def cut_above(x: Any) -> Any:
    return np.clip(x, 0, 1)
