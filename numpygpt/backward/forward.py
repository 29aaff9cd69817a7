"""The book's layers in place, for the forward passes of training: with new arrays each step would wait for memory."""

from __future__ import annotations

import math

import numpy as np

from numpygpt.arrays import Array


def layer_norm(x: Array, weight: Array, bias: Array, eps: float = 1e-5) -> Array:
    """`layers.layer_norm`, in place: x [..., n_embd] -> [..., n_embd]."""
    y: Array = x - x.mean(axis=-1, keepdims=True)
    y /= np.sqrt(np.square(y).mean(axis=-1, keepdims=True) + eps)
    y *= weight
    y += bias
    return y


def gelu(x: Array) -> Array:
    """`layers.gelu`, in place: x [...] -> [...]."""
    y = x * (math.sqrt(2 / math.pi) * 0.044715)
    y *= x
    y += math.sqrt(2 / math.pi)
    y *= x
    np.tanh(y, out=y)
    y += 1
    y *= x
    y *= 0.5
    return y


def softmax(x: Array) -> Array:
    """`layers.softmax`, written over x: x [..., n] -> [..., n]."""
    x -= x.max(axis=-1, keepdims=True)
    np.exp(x, out=x)
    x /= x.sum(axis=-1, keepdims=True)
    return x


def linear(x: Array, weight: Array, bias: Array) -> Array:
    """`layers.linear`, as one product of all rows: x [..., n_in] -> [..., n_out]."""
    y = x.reshape(-1, x.shape[-1]) @ weight
    y += bias
    return y.reshape(*x.shape[:-1], weight.shape[-1])
