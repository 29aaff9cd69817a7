"""Other right implementations of the gradients of layers and of the loss."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from alternatives import other


@other("backward.linear")
def linear_outer(dy: Any, x: Any, weight: Any, bias: Any) -> Any:
    return np.einsum("...o,io->...i", dy, weight), {
        "weight": np.einsum("ti,to->io", x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])),
        "bias": dy.sum(axis=tuple(range(dy.ndim - 1))),
    }


@other("backward.linear")
def linear_row_by_row(dy: Any, x: Any, weight: Any, bias: Any) -> Any:
    dweight, dbias = np.zeros(weight.shape), np.zeros(bias.shape)
    for one_x, one_dy in zip(x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1]), strict=True):
        dweight += np.outer(one_x, one_dy)
        dbias += one_dy
    return dy @ weight.T, {"bias": dbias, "weight": dweight}


@other("backward.linear")
def linear_tensordot(dy: Any, x: Any, weight: Any, bias: Any) -> Any:
    axes = list(range(x.ndim - 1))
    return np.tensordot(dy, weight, (-1, 1)), {
        "weight": np.tensordot(x, dy, (axes, axes)),
        "bias": np.add.reduce(dy.reshape(-1, len(bias))),
    }


@other("backward.softmax")
def softmax_gradient_rows(dy: Any, y: Any) -> Any:
    result = np.zeros(y.shape)
    for place in np.ndindex(y.shape[:-1]):
        result[place] = (np.diag(y[place]) - np.outer(y[place], y[place])) @ dy[place]
    return result


@other("backward.softmax")
def softmax_gradient_expanded(dy: Any, y: Any) -> Any:
    dot = np.einsum("...i,...i->...", dy, y)
    return y * dy - y * dot[..., None]


@other("backward.softmax")
def softmax_gradient_float64(dy: Any, y: Any) -> Any:
    dy, y = dy.astype(np.float64), y.astype(np.float64)
    return (dy - np.sum(dy * y, -1, keepdims=True)) * y


@other("backward.layer_norm")
def layer_norm_jacobian(dy: Any, x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    d = x.shape[-1]
    s = np.sqrt(x.var(axis=-1, keepdims=True) + eps)
    n = (x - x.mean(axis=-1, keepdims=True)) / s
    jacobian = (np.eye(d) - 1 / d - n[..., :, None] * n[..., None, :] / d) / s[..., None]
    dx = np.einsum("...i,...ij->...j", dy * weight, jacobian)
    lead = tuple(range(dy.ndim - 1))
    return dx, {"weight": (dy * n).sum(axis=lead), "bias": dy.sum(axis=lead)}


@other("backward.layer_norm")
def layer_norm_by_steps(dy: Any, x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    """Through variance and mean one after the other, as the first papers on batch norm write it."""
    d, x, lead = x.shape[-1], x.astype(np.float64), tuple(range(dy.ndim - 1))
    centered = x - x.mean(axis=-1, keepdims=True)
    root = 1 / np.sqrt((centered**2).mean(axis=-1, keepdims=True) + eps)
    dn = dy * weight
    dvariance = (dn * centered).sum(axis=-1, keepdims=True) * -0.5 * root**3
    dcentered = dn * root + 2 / d * centered * dvariance
    gradients = {"weight": (dy * centered * root).sum(axis=lead), "bias": dy.sum(axis=lead)}
    return dcentered - dcentered.mean(axis=-1, keepdims=True), gradients


@other("backward.softmax")
def softmax_gradient_jacobian(dy: Any, y: Any) -> Any:
    jacobian = y[..., :, None] * (np.eye(y.shape[-1]) - y[..., None, :])
    return np.einsum("...i,...ij->...j", dy, jacobian)


@other("backward.token_embedding")
def token_gradient_add_at(dy: Any, ids: Any, weight: Any) -> Any:
    dweight = np.zeros_like(weight)
    np.add.at(dweight, ids, dy)
    return {"weight": dweight}


@other("backward.token_embedding")
def token_gradient_onehot(dy: Any, ids: Any, weight: Any) -> Any:
    onehot = np.eye(len(weight))[np.ravel(ids)]
    return {"weight": onehot.T @ dy.reshape(-1, dy.shape[-1])}


@other("backward.relu")
def relu_gradient_where(dy: Any, x: Any) -> Any:
    return np.where(x > 0, dy, 0)


@other("backward.relu")
def relu_gradient_step(dy: Any, x: Any) -> Any:
    return dy * np.heaviside(x, 0)


@other("backward.linear")
def linear_gradient_by_a_wider_matrix(dy: Any, x: Any, weight: Any, bias: Any) -> Any:
    """The bias is the row of weights of an input that is always 1."""
    rows = np.concatenate([x.reshape(-1, x.shape[-1]), np.ones((x[..., 0].size, 1), x.dtype)], axis=1)
    wide = rows.T @ dy.reshape(-1, dy.shape[-1])
    return dy @ weight.T, {"weight": wide[:-1], "bias": wide[-1]}


@other("backward.linear")
def linear_gradient_one_sequence_at_a_time(dy: Any, x: Any, weight: Any, bias: Any) -> Any:
    if x.ndim == 2:
        return [(weight @ dy.T).T, {"weight": np.dot(x.T, dy), "bias": np.ones(len(dy), dy.dtype) @ dy}]
    parts = [linear_gradient_one_sequence_at_a_time(*pair, weight, bias) for pair in zip(dy, x, strict=True)]
    sums = {name: sum(part[1][name] for part in parts) for name in ("weight", "bias")}
    return np.array([part[0] for part in parts]), sums


@other("backward.relu")
def relu_gradient_within_a_copy(dy: Any, x: Any) -> Any:
    dx = dy.copy()
    dx[x <= 0] = 0.0
    return dx


@other("backward.relu")
def relu_gradient_of_the_maximum(dy: Any, x: Any) -> Any:
    return (np.maximum(x, 0) > 0).astype(dy.dtype) * dy


@other("backward.relu")
def relu_gradient_by_sign(dy: Any, x: Any) -> Any:
    return np.multiply(dy, (np.sign(x) + np.abs(np.sign(x))) / 2)


@other("backward.gelu")
def gelu_gradient_as_written(dy: Any, x: Any) -> Any:
    c = math.sqrt(2 / math.pi)
    t = np.tanh(c * (x + 0.044715 * x**3))
    return dy * ((1 + t) / 2 + x / 2 * (1 - t**2) * c * (1 + 3 * 0.044715 * x**2))


@other("backward.gelu")
def gelu_gradient_with_cosh(dy: Any, x: Any) -> Any:
    """1 - tanh² is 1 / cosh²."""
    u = np.sqrt(2 / np.pi) * (x + 0.044715 * np.power(x, 3))
    slope = np.sqrt(2 / np.pi) * (1 + 0.134145 * np.power(x, 2))
    return dy * (0.5 * (1 + np.tanh(u)) + 0.5 * x * slope / np.cosh(u) ** 2)


@other("backward.gelu")
def gelu_gradient_by_a_logistic(dy: Any, x: Any) -> Any:
    """y = x · σ(2u), σ' = σ · (1 - σ)."""
    c = np.sqrt(2 / np.pi)
    s = 1 / (1 + np.exp(-2 * c * (x + 0.044715 * x**3)))
    return dy * (s + x * s * (1 - s) * 2 * c * (1 + 0.134145 * x * x))


@other("backward.gelu")
def gelu_gradient_by_differences(dy: Any, x: Any) -> Any:
    """Central differences in float64: no derivation, but as many digits as are asked for."""
    x, step = x.astype(np.float64), 1e-5

    def gelu(x: Any) -> Any:
        return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))

    return dy * (gelu(x + step) - gelu(x - step)) / (2 * step)


@other("backward.gelu")
def gelu_gradient_number_by_number(dy: Any, x: Any) -> Any:
    def slope(v: float) -> float:
        t = math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3))
        return (1 + t) / 2 + v / 2 * (1 - t * t) * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * v**2)

    return np.reshape([d * slope(float(v)) for d, v in zip(dy.ravel(), x.ravel(), strict=True)], x.shape)


@other("backward.layer_norm")
def layer_norm_gradient_in_sums(dy: Any, x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    """As kernels have it: dx = (d · dn - Σ dn - n · Σ dn · n) / (d · s)."""
    d = x.shape[-1]
    s = np.sqrt(np.var(x, -1, keepdims=True) + eps)
    n, dn = (x - np.mean(x, -1, keepdims=True)) / s, dy * weight
    dx = (d * dn - dn.sum(-1, keepdims=True) - n * (dn * n).sum(-1, keepdims=True)) / (d * s)
    return dx, {"weight": np.einsum("ti,ti->i", *(a.reshape(-1, d) for a in (dy, n))), "bias": dy.reshape(-1, d).sum(0)}


@other("backward.layer_norm")
def layer_norm_gradient_row_by_row(dy: Any, x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    dx, dweight, dbias = np.zeros_like(x), np.zeros_like(weight), np.zeros_like(bias)
    for place in np.ndindex(x.shape[:-1]):
        row, gradient = x[place], dy[place]
        s = math.sqrt(row.var() + eps)
        n = (row - row.mean()) / s
        dn = gradient * weight
        dx[place] = (dn - dn.mean() - n * (dn * n).mean()) / s
        dweight += gradient * n
        dbias += gradient
    return dx, {"bias": dbias, "weight": dweight}


@other("backward.layer_norm")
def layer_norm_gradient_in_float64(dy: Any, x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    """A row's projection: what changes mean or length of n is taken out of dn."""
    rows, drows = x.reshape(-1, x.shape[-1]).astype(float), dy.reshape(-1, x.shape[-1]).astype(float)
    s = (rows.var(1) + eps) ** 0.5
    n = (rows.T - rows.mean(1)).T / s[:, None]
    dn = drows * weight
    dn = dn - dn.mean(1)[:, None] - n * ((n * dn).mean(1))[:, None]
    return (dn / s[:, None]).reshape(x.shape), {"weight": (drows * n).sum(0), "bias": drows.sum(0)}


@other("backward.softmax")
def softmax_gradient_of_the_log(dy: Any, y: Any) -> Any:
    """Through log y: g = dy · y, dx = g - y · Σ g."""
    g = np.multiply(dy, y)
    return g - y * np.sum(g, axis=y.ndim - 1)[..., np.newaxis]


@other("backward.token_embedding")
def token_gradient_in_a_loop(dy: Any, ids: Any, weight: Any) -> Any:
    dweight = np.zeros(weight.shape)
    for place, token in np.ndenumerate(ids):
        dweight[token] += dy[place]
    return {"weight": dweight}


@other("backward.token_embedding")
def token_gradient_token_by_token(dy: Any, ids: Any, weight: Any) -> Any:
    return {"weight": np.array([dy[ids == token].sum(axis=0) for token in range(len(weight))])}


@other("backward.token_embedding")
def token_gradient_by_bincount(dy: Any, ids: Any, weight: Any) -> Any:
    flat, columns = ids.ravel(), dy.reshape(-1, weight.shape[1]).T
    return {"weight": np.stack([np.bincount(flat, column, len(weight)) for column in columns], axis=1)}


@other("backward.positional_embedding")
def position_gradient_by_axes(dy: Any, weight: Any) -> Any:
    dweight = np.zeros(weight.shape, dtype=dy.dtype)
    dweight[: dy.shape[-2], :] += dy.sum(axis=tuple(range(dy.ndim - 2)))
    return {"weight": dweight}


@other("backward.positional_embedding")
def position_gradient_by_padding(dy: Any, weight: Any) -> Any:
    while dy.ndim > 2:
        dy = np.add.reduce(dy)
    return {"weight": np.pad(dy, [(0, len(weight) - len(dy)), (0, 0)])}


@other("backward.positional_embedding")
def position_gradient_by_einsum(dy: Any, weight: Any) -> Any:
    zeros = np.zeros((weight.shape[0] - dy.shape[-2], weight.shape[1]))
    return {"weight": np.concatenate([np.einsum("bte->te", dy.reshape(-1, *dy.shape[-2:])), zeros])}


@other("backward.positional_embedding")
def position_gradient_in_a_loop(dy: Any, weight: Any) -> Any:
    dweight = np.zeros_like(weight)
    for sequence in dy.reshape((-1, *dy.shape[-2:])):
        for t in range(len(sequence)):
            dweight[t] += sequence[t]
    return {"weight": dweight}


@other("backward.positional_embedding")
def position_gradient_by_add_at(dy: Any, weight: Any) -> Any:
    dweight = 0 * weight
    np.add.at(dweight, np.broadcast_to(np.arange(dy.shape[-2]), dy.shape[:-1]), dy)
    return {"weight": dweight}
