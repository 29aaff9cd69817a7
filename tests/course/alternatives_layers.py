"""Other right implementations of embeddings, linear layers, layer norm and activations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from alternatives import other

from numpygpt.layers import gelu, linear


@other("positional_embedding")
@other("token_embedding")
def rows_taken(ids: Any, weight: Any) -> Any:
    return np.take(weight, ids, axis=0)


@other("positional_embedding")
@other("token_embedding")
def rows_by_onehot(ids: Any, weight: Any) -> Any:
    return np.eye(len(weight))[np.asarray(ids)] @ weight


@other("positional_embedding")
@other("token_embedding")
def rows_by_comparison(ids: Any, weight: Any) -> Any:
    onehot = np.asarray(ids)[..., None] == np.arange(weight.shape[0])
    return np.einsum("...v,ve->...e", onehot.astype(weight.dtype), weight)


@other("positional_embedding")
@other("token_embedding")
def rows_by_a_loop(ids: Any, weight: Any) -> Any:
    result = np.empty((*np.shape(ids), weight.shape[1]), weight.dtype)
    for place in np.ndindex(np.shape(ids)):
        result[place] = weight[np.array(ids)[place]]
    return result


@other("positional_embedding")
@other("token_embedding")
def rows_by_recursion(ids: Any, weight: Any) -> Any:
    if np.ndim(ids) == 0:
        return weight[int(ids)]
    return np.stack([rows_by_recursion(one, weight) for one in ids])


@other("linear")
def linear_by_einsum(x: Any, weight: Any, bias: Any = 0.0) -> Any:
    return np.einsum("...i,ij->...j", x, weight) + bias


@other("linear", slow=True)
def linear_by_loops(x: Any, weight: Any, bias: Any = 0.0) -> Any:
    rows = x.reshape(-1, x.shape[-1])
    y = np.zeros((len(rows), weight.shape[1]))
    for t in range(len(rows)):
        for j in range(weight.shape[1]):
            y[t, j] = sum(rows[t] * weight[:, j])
    return y.reshape(*x.shape[:-1], -1) + bias


@other("linear")
def linear_by_tensordot(x: Any, weight: Any, bias: Any = 0.0) -> Any:
    return np.add(np.tensordot(x, weight, axes=1), bias)


@other("linear")
def linear_of_columns(x: Any, weight: Any, bias: Any = 0.0) -> Any:
    """y = (Wᵀ · xᵀ)ᵀ + b, in flat rows."""
    flat = x.reshape(-1, x.shape[-1])
    return (weight.T @ flat.T).T.reshape((*x.shape[:-1], weight.shape[1])) + bias


@other("linear")
def linear_by_a_wider_matrix(x: Any, weight: Any, bias: Any = 0.0) -> Any:
    """Put the bias below the matrix and a 1 behind every vector."""
    below = np.broadcast_to(np.asarray(bias, weight.dtype), weight.shape[1:])[None]
    ones = np.ones((*x.shape[:-1], 1), x.dtype)
    return np.concatenate([x, ones], axis=-1) @ np.concatenate([weight, below])


@other("linear")
def linear_input_by_input(x: Any, weight: Any, bias: Any = 0.0) -> Any:
    y = np.zeros((*x.shape[:-1], weight.shape[-1])) + bias
    for i in range(x.shape[-1]):
        y += x[..., i, None] * weight[i]
    return y


@other("layer_norm")
def norm_in_float64(x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    x = x.astype(np.float64)
    centered = x - np.mean(x, -1, keepdims=True)
    return weight * centered * (np.mean(centered**2, -1, keepdims=True) + eps) ** -0.5 + bias


@other("layer_norm")
def norm_by_sums(x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    n = x.shape[-1]
    mean = x.sum(-1) / n
    variance = (x**2).sum(-1) / n - mean**2  # E[x²] - E[x]²
    return weight * ((x - mean[..., None]) / np.sqrt(variance[..., None] + eps)) + bias


@other("layer_norm")
def norm_row_by_row(x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    y = np.zeros_like(x)
    for place in np.ndindex(x.shape[:-1]):
        row = x[place]
        mean = sum(row) / len(row)
        variance = sum((v - mean) ** 2 for v in row) / len(row)
        y[place] = [(v - mean) / math.sqrt(variance + eps) for v in row]
    return y * weight + bias


@other("layer_norm")
def norm_with_the_last_axis_first(x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    x = np.moveaxis(x, -1, 0)
    normed = (x - x.mean(0)) / np.sqrt(x.var(0) + eps)
    return np.moveaxis(normed, 0, -1) * weight + bias


@other("layer_norm")
def norm_as_one_scale_and_shift(x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    scale = weight / np.sqrt(np.var(x, axis=x.ndim - 1)[..., np.newaxis] + eps)
    return x * scale + (bias - np.mean(x, axis=x.ndim - 1)[..., np.newaxis] * scale)


@other("relu")
def relu_by_where(x: Any) -> Any:
    return np.where(x > 0, x, 0)


@other("relu")
def relu_by_a_mask(x: Any) -> Any:
    y = x.copy()
    y[y < 0] = 0
    return y


@other("relu")
def relu_by_product(x: Any) -> Any:
    return x * (x > 0)


@other("relu")
def relu_by_absolute(x: Any) -> Any:
    return (np.abs(x) + x) / 2


@other("relu")
def relu_by_clip(x: Any) -> Any:
    return np.clip(x, 0, None)


@other("relu", slow=True)
def relu_number_by_number(x: Any) -> Any:
    return np.array([max(0.0, number) for number in x.flat]).reshape(x.shape)


@other("gelu")
def gelu_numpy_scalars(x: Any) -> Any:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


@other("gelu")
def gelu_by_a_logistic(x: Any) -> Any:
    """(1 + tanh(u)) / 2 is 1 / (1 + exp(-2u))."""
    u = 0.7978845608 * x * (1 + 0.044715 * np.square(x))
    return x / (1 + np.exp(-2 * u))


@other("gelu", slow=True)
def gelu_number_by_number(x: Any) -> Any:
    def one(v: float) -> float:
        return 0.5 * v * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3)))

    return np.vectorize(one)(x)


@other("gelu")
def gelu_in_float64(x: Any) -> Any:
    x64 = np.asarray(x, dtype="float64")
    inner = np.sqrt(2.0 / np.pi) * (x64 + 0.044715 * np.power(x64, 3))
    return (0.5 * x64 * (1.0 + np.tanh(inner))).astype(x.dtype)


@other("gelu")
def gelu_by_exponentials(x: Any) -> Any:
    u = np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x * x * x)
    e = np.exp(-2 * np.abs(u))
    tanh = np.sign(u) * (1 - e) / (1 + e)
    return x * (tanh + 1) * 0.5


@other("mlp")
def mlp_written_out(x: Any, c_fc: Any, c_proj: Any) -> Any:
    h = x @ c_fc["weight"] + c_fc["bias"]
    h = 0.5 * h * (1 + np.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h**3)))
    return h @ c_proj["weight"] + c_proj["bias"]


@other("mlp")
def mlp_of_rows(x: Any, c_fc: Any, c_proj: Any) -> Any:
    flat = np.reshape(x, (-1, x.shape[-1]))
    return np.stack([linear(gelu(linear(row, **c_fc)), **c_proj) for row in flat]).reshape(x.shape)


@other("mlp")
def mlp_by_einsum(x: Any, c_fc: Any, c_proj: Any) -> Any:
    hidden = gelu(np.einsum("...e,eh->...h", x, c_fc["weight"], optimize=True) + c_fc["bias"])
    return c_proj["bias"] + np.einsum("...h,he->...e", hidden, c_proj["weight"], optimize=True)


@other("mlp")
def mlp_by_steps(x: Any, c_fc: Any, c_proj: Any) -> Any:
    widened = linear(x=x, weight=c_fc["weight"], bias=c_fc["bias"])
    activated = gelu(widened)
    return linear(x=activated, weight=c_proj["weight"], bias=c_proj["bias"])


@other("mlp")
def mlp_neurons_in_halves(x: Any, c_fc: Any, c_proj: Any) -> Any:
    """A sum over the neurons, one half of them after the other, in float64."""
    y = np.zeros(x.shape) + c_proj["bias"]
    for part in np.array_split(np.arange(len(c_fc["bias"])), 2):
        y += gelu(x @ c_fc["weight"][:, part] + c_fc["bias"][part]) @ c_proj["weight"][part]
    return y
