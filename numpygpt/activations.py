"""The activations that a `config.json` can ask for: what an MLP does to each of its numbers.

GPT-2's own, the GELU in its tanh form, is `layers.gelu`; the original Transformer's is `layers.relu`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from numpygpt.arrays import Array
from numpygpt.layers import gelu, relu

# erf(x) is about 1 - exp(-x · (ERF[0] + ERF[1] · x + ...)) from 0 to 4, with the least possible maximal error, found
# by Lawson's algorithm.
ERF = (
    1.1283802515,
    0.6365977334,
    0.1029196136,
    -0.0195839611,
    0.0005369345,
    0.0010324009,
    -0.0003088019,
    0.000031440128,
)


def erf(x: Array) -> Array:
    """The error function, the integral of the bell curve exp(-t²) from 0 to x, times 2 / sqrt(π): x [...] -> [...].

    NumPy has none. Python's is called for each number in float64; in float32 a polynomial is within 2e-7 of it.

    >>> erf(np.array([-1.0, 0.0, 1.0])).round(6)
    array([-0.842701,  0.      ,  0.842701])
    """
    if x.dtype != np.float32:
        return np.asarray(np.vectorize(math.erf, otypes=[x.dtype])(x))
    distance = np.minimum(np.abs(x), 4)  # beyond, float32 knows nothing but 1
    exponent = np.zeros_like(x)
    for coefficient in reversed(ERF):
        exponent = (exponent + coefficient) * distance
    return np.asarray(np.copysign(1 - np.exp(-exponent), x))


def gelu_exact(x: Array) -> Array:
    """Gaussian error linear unit as it is defined, x · Φ(x), which some fine-tuned GPT-2s use: x [...] -> [...].

    Source: Hendrycks & Gimpel 2016 (arXiv:1606.08415), section 2.

    >>> gelu_exact(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.1587,  0.    ,  0.8413])
    """
    y: Array = x / 2 * (1 + erf(x / math.sqrt(2)))
    return y


def sigmoid(x: Array) -> Array:
    """Squash to between 0 and 1: 1 / (1 + exp(-x)), as a tanh, which cannot overflow: x [...] -> [...].

    >>> sigmoid(np.array([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])
    """
    y: Array = 0.5 + 0.5 * np.tanh(0.5 * x)
    return y


def silu(x: Array) -> Array:
    """Sigmoid linear unit, also called swish: x [...] -> [...].

    Source: Hendrycks & Gimpel 2016, section 2; Ramachandran et al. 2017 (arXiv:1710.05941).

    >>> silu(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.2689,  0.    ,  0.7311])
    """
    return x * sigmoid(x)


def quick_gelu(x: Array) -> Array:
    """A GELU by a sigmoid, as in CLIP: x [...] -> [...].

    Source: Hendrycks & Gimpel 2016, section 2.

    >>> quick_gelu(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.1542,  0.    ,  0.8458])
    """
    return x * sigmoid(1.702 * x)


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {  # by their names in `transformers`
    "gelu_new": gelu,
    "gelu_fast": gelu,
    "gelu_pytorch_tanh": gelu,
    "gelu": gelu_exact,
    "gelu_python": gelu_exact,
    "quick_gelu": quick_gelu,
    "relu": relu,
    "silu": silu,
    "swish": silu,
    "tanh": np.tanh,
}
