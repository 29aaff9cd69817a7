"""The gradient of every function in `activations.py`, and which gradient belongs to which activation."""

from __future__ import annotations

import math

import numpy as np

from numpygpt import activations, layers
from numpygpt.activations import erf, sigmoid
from numpygpt.arrays import Array
from numpygpt.backward import forward
from numpygpt.backward.layers import Activation, gelu, relu


def gelu_exact(dy: Array, x: Array) -> Array:
    """Multiply by the slope of the curve.

        y = x · Φ(x)   so   dy/dx = Φ(x) + x · φ(x),   φ(x) = exp(-x² / 2) / sqrt(2π)

    dy, x: [...] -> dx [...]
    """
    slope = (1 + erf(x / math.sqrt(2))) / 2 + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    return dy * slope


def silu(dy: Array, x: Array) -> Array:
    """Multiply by the slope of the curve.

        y = x · s,   s = sigmoid(x),   ds/dx = s · (1 - s)   so   dy/dx = s + x · s · (1 - s)

    dy, x: [...] -> dx [...]
    """
    s = sigmoid(x)
    slope: Array = s + x * s * (1 - s)
    return dy * slope


def quick_gelu(dy: Array, x: Array) -> Array:
    """Multiply by the slope of the curve, that of `silu` at c · x, for y = silu(c · x) / c, c = 1.702.

    dy, x: [...] -> dx [...]
    """
    return silu(dy, 1.702 * x)


def tanh(dy: Array, x: Array) -> Array:
    """Multiply by the slope of the curve, dy/dx = 1 - tanh(x)²: dy, x [...] -> dx [...]."""
    slope: Array = 1 - np.tanh(x) ** 2
    return dy * slope


GRADIENTS = {
    layers.gelu: gelu,
    activations.gelu_exact: gelu_exact,
    activations.quick_gelu: quick_gelu,
    layers.relu: relu,
    activations.silu: silu,
    np.tanh: tanh,
}
ACTIVATIONS = {
    name: Activation(forward.gelu if function is layers.gelu else function, GRADIENTS[function])
    for name, function in activations.ACTIVATIONS.items()
}
