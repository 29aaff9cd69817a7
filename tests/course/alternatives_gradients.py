"""Other right implementations of gradients, losses and the optimizer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def linear_outer(dy: Any, x: Any, weight: Any, bias: Any) -> Any:
    return np.einsum("...o,io->...i", dy, weight), {
        "weight": np.einsum("ti,to->io", x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])),
        "bias": dy.sum(axis=tuple(range(dy.ndim - 1))),
    }


def linear_row_by_row(dy: Any, x: Any, weight: Any, bias: Any) -> Any:
    dweight, dbias = np.zeros(weight.shape), np.zeros(bias.shape)
    for one_x, one_dy in zip(x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1]), strict=True):
        dweight += np.outer(one_x, one_dy)
        dbias += one_dy
    return dy @ weight.T, {"bias": dbias, "weight": dweight}


def linear_tensordot(dy: Any, x: Any, weight: Any, bias: Any) -> Any:
    axes = list(range(x.ndim - 1))
    return np.tensordot(dy, weight, (-1, 1)), {
        "weight": np.tensordot(x, dy, (axes, axes)),
        "bias": np.add.reduce(dy.reshape(-1, len(bias))),
    }


def softmax_gradient_rows(dy: Any, y: Any) -> Any:
    result = np.zeros(y.shape)
    for place in np.ndindex(y.shape[:-1]):
        result[place] = (np.diag(y[place]) - np.outer(y[place], y[place])) @ dy[place]
    return result


def softmax_gradient_expanded(dy: Any, y: Any) -> Any:
    dot = np.einsum("...i,...i->...", dy, y)
    return y * dy - y * dot[..., None]


def softmax_gradient_float64(dy: Any, y: Any) -> Any:
    dy, y = dy.astype(np.float64), y.astype(np.float64)
    return (dy - np.sum(dy * y, -1, keepdims=True)) * y


def layer_norm_jacobian(dy: Any, x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    d = x.shape[-1]
    s = np.sqrt(x.var(axis=-1, keepdims=True) + eps)
    n = (x - x.mean(axis=-1, keepdims=True)) / s
    jacobian = (np.eye(d) - 1 / d - n[..., :, None] * n[..., None, :] / d) / s[..., None]
    dx = np.einsum("...i,...ij->...j", dy * weight, jacobian)
    lead = tuple(range(dy.ndim - 1))
    return dx, {"weight": (dy * n).sum(axis=lead), "bias": dy.sum(axis=lead)}


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


def attention_einsum(dy: Any, saved: Any, q: Any, k: Any, v: Any, scale: float) -> Any:
    p = saved.probabilities
    dp = np.einsum("...id,...jd->...ij", dy, v)
    ds = p * (dp - (dp * p).sum(axis=-1, keepdims=True))
    dq = scale * np.einsum("...ij,...jd->...id", ds, k)
    dk = scale * np.einsum("...ij,...id->...jd", ds, q)
    return dq, dk, np.einsum("...ij,...id->...jd", p, dy)


def attention_softmax_again(dy: Any, saved: Any, q: Any, k: Any, v: Any, scale: float) -> Any:
    p = saved.probabilities.astype(np.float64)
    ds = softmax_gradient_jacobian(dy @ v.swapaxes(-1, -2), p) * scale
    return ds @ k, np.matmul(np.moveaxis(ds, -1, -2), q), np.matmul(np.moveaxis(p, -1, -2), dy)


def softmax_gradient_jacobian(dy: Any, y: Any) -> Any:
    jacobian = y[..., :, None] * (np.eye(y.shape[-1]) - y[..., None, :])
    return np.einsum("...i,...ij->...j", dy, jacobian)


def loss_rows(logits: Any, targets: Any, label_smoothing: float = 0.0) -> Any:
    total, gradient = 0.0, np.zeros(logits.shape)
    for t, target in enumerate(targets):
        if target >= 0:
            row = logits[t].astype(float) - logits[t].max()
            p = np.exp(row) / np.exp(row).sum()
            total += math.log(np.exp(row).sum()) - row[target]
            p[target] -= 1
            gradient[t] = p
    return total, gradient


def loss_onehot(logits: Any, targets: Any, label_smoothing: float = 0.0) -> Any:
    x = logits.astype(np.float64)
    counted = (targets >= 0)[:, None]
    onehot = (np.arange(x.shape[-1]) == targets[:, None]).astype(float)
    log_p = x - np.logaddexp.reduce(x, axis=-1, keepdims=True)
    return float(-(onehot * log_p)[counted[:, 0]].sum()), (np.exp(log_p) - onehot) * counted


def token_gradient_add_at(dy: Any, ids: Any, weight: Any) -> Any:
    dweight = np.zeros_like(weight)
    np.add.at(dweight, ids, dy)
    return {"weight": dweight}


def token_gradient_onehot(dy: Any, ids: Any, weight: Any) -> Any:
    onehot = np.eye(len(weight))[np.ravel(ids)]
    return {"weight": onehot.T @ dy.reshape(-1, dy.shape[-1])}


def relu_gradient_where(dy: Any, x: Any) -> Any:
    return np.where(x > 0, dy, 0)


def relu_gradient_step(dy: Any, x: Any) -> Any:
    return dy * np.heaviside(x, 0)


def update_by_letters(self: Any, tensors: Any, gradients: Any, step: int, lr: float) -> None:
    """In place, the decay first, and both corrections in the step's size."""
    t = step + 1
    for name in tensors:
        g = gradients[name]
        if tensors[name].ndim > 1:
            tensors[name] *= 1 - lr * self.weight_decay
        self.first[name] += (1 - self.beta1) * (g - self.first[name])
        self.second[name] += (1 - self.beta2) * (g**2 - self.second[name])
        root = np.sqrt(self.second[name]) / math.sqrt(1 - self.beta2**t)
        tensors[name] -= lr / (1 - self.beta1**t) * self.first[name] / (root + self.epsilon)


def global_norm_flat(gradients: Any) -> Any:
    return np.linalg.norm(np.concatenate([g.ravel() for g in gradients.values()]))


def global_norm_loop(gradients: Any) -> Any:
    return math.sqrt(math.fsum(float(x) ** 2 for g in gradients.values() for x in g.ravel()))


def clip_by_factor(gradients: Any, norm: float, limit: float) -> Any:
    factor = min(1.0, limit / norm)
    return {name: factor * g for name, g in gradients.items()}


ALTERNATIVES: list[tuple[str, Any]] = [
    ("backward.linear", linear_outer),
    ("backward.linear", linear_row_by_row),
    ("backward.linear", linear_tensordot),
    ("backward.softmax", softmax_gradient_jacobian),
    ("backward.softmax", softmax_gradient_rows),
    ("backward.softmax", softmax_gradient_expanded),
    ("backward.softmax", softmax_gradient_float64),
    ("backward.layer_norm", layer_norm_jacobian),
    ("backward.layer_norm", layer_norm_by_steps),
    ("backward.attention", attention_einsum),
    ("backward.attention", attention_softmax_again),
    ("backward.cross_entropy", loss_rows),
    ("backward.cross_entropy", loss_onehot),
    ("backward.token_embedding", token_gradient_add_at),
    ("backward.token_embedding", token_gradient_onehot),
    ("backward.relu", relu_gradient_where),
    ("backward.relu", relu_gradient_step),
    ("global_norm", global_norm_flat),
    ("global_norm", global_norm_loop),
    ("clip_gradients", clip_by_factor),
]
METHODS: list[tuple[str, Any]] = [("update", update_by_letters)]
