"""Other right implementations of the gradients of attention and of the loss."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from alternatives import other
from alternatives_gradients import softmax_gradient_jacobian


@other("backward.attention")
def attention_einsum(dy: Any, saved: Any, q: Any, k: Any, v: Any, scale: float) -> Any:
    p, mask = saved.probabilities, 1.0 if saved.mask is None else saved.mask
    dp = np.einsum("...id,...jd->...ij", dy, v) * mask
    ds = p * (dp - (dp * p).sum(axis=-1, keepdims=True))
    dq = scale * np.einsum("...ij,...jd->...id", ds, k)
    dk = scale * np.einsum("...ij,...id->...jd", ds, q)
    return dq, dk, np.einsum("...ij,...id->...jd", p * mask, dy)


@other("backward.attention")
def attention_softmax_again(dy: Any, saved: Any, q: Any, k: Any, v: Any, scale: float) -> Any:
    p = kept = saved.probabilities.astype(np.float64)
    dp = dy @ v.swapaxes(-1, -2)
    if saved.mask is not None:
        kept, dp = p * saved.mask, dp * saved.mask
    ds = softmax_gradient_jacobian(dp, p) * scale
    return ds @ k, np.matmul(np.moveaxis(ds, -1, -2), q), np.matmul(np.moveaxis(kept, -1, -2), dy)


@other("backward.attention")
def attention_of_the_output(dy: Any, saved: Any, q: Any, k: Any, v: Any, scale: float) -> Any:
    """With the sum over n_dim, as the docstring's last line has it; three arrays of one shape make one."""
    p, mask, y = saved
    dp = np.matmul(dy, np.swapaxes(v, -2, -1))
    if mask is None:
        mask = np.ones_like(p)
    ds = p * (dp * mask - np.einsum("...d,...d->...", dy, y)[..., None])
    grads = [scale * (ds @ k), scale * (np.swapaxes(ds, -2, -1) @ q), np.swapaxes(p * mask, -2, -1) @ dy]
    return np.array(grads) if len({g.shape for g in grads}) == 1 else grads


@other("backward.attention")
def attention_query_by_query(dy: Any, saved: Any, q: Any, k: Any, v: Any, scale: float) -> Any:
    dq, dk, dv = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v)
    for place in np.ndindex(q.shape[:-1]):
        head, p = place[:-1], saved.probabilities[place]
        mask = 1.0 if saved.mask is None else saved.mask[place]
        dp = (v[head] @ dy[place]) * mask
        ds = p * (dp - dp @ p) * scale
        dq[place] = ds @ k[head]
        dk[head] += np.outer(ds, q[place])
        dv[head] += np.outer(p * mask, dy[place])
    return dq, dk, dv


@other("backward.attention")
def attention_one_head_at_a_time(dy: Any, saved: Any, q: Any, k: Any, v: Any, scale: float) -> Any:
    if q.ndim > 2:
        parts = [
            attention_one_head_at_a_time(
                dy[i],
                saved._replace(
                    probabilities=saved.probabilities[i], mask=None if saved.mask is None else saved.mask[i]
                ),
                q[i],
                k[i],
                v[i],
                scale,
            )
            for i in range(len(q))
        ]
        return tuple(np.stack(each) for each in zip(*parts, strict=True))
    p = saved.probabilities
    kept = p if saved.mask is None else p * saved.mask
    dp = dy @ v.T if saved.mask is None else dy @ v.T * saved.mask
    ds = p * dp - p * (p * dp).sum(1)[:, None]
    return ds @ k * scale, ds.T @ q * scale, kept.T @ dy


@other("backward.cross_entropy")
def loss_rows(logits: Any, targets: Any, label_smoothing: float = 0.0) -> Any:
    total, gradient = 0.0, np.zeros(logits.shape)
    for t, target in enumerate(targets):
        if target >= 0:
            row = logits[t].astype(float) - logits[t].max()
            p = np.exp(row) / np.exp(row).sum()
            log_sum = math.log(np.exp(row).sum())
            total += log_sum - (1 - label_smoothing) * row[target] - label_smoothing * row.mean()
            p[target] -= 1 - label_smoothing
            gradient[t] = p - label_smoothing / len(row)
    return total, gradient


@other("backward.cross_entropy")
def loss_onehot(logits: Any, targets: Any, label_smoothing: float = 0.0) -> Any:
    x = logits.astype(np.float64)
    counted = (targets >= 0)[:, None]
    onehot = (np.arange(x.shape[-1]) == targets[:, None]).astype(float)
    wanted = (1 - label_smoothing) * onehot + label_smoothing / x.shape[-1]
    log_p = x - np.logaddexp.reduce(x, axis=-1, keepdims=True)
    return float(-(wanted * log_p)[counted[:, 0]].sum()), (np.exp(log_p) - wanted) * counted


@other("backward.cross_entropy")
def loss_of_the_counted_rows(logits: Any, targets: Any, label_smoothing: float = 0.0) -> Any:
    """A list instead of a tuple, and the loss as an array of no axes."""
    rows = np.where(targets >= 0)[0]
    wanted = np.full((len(rows), logits.shape[1]), label_smoothing / logits.shape[1])
    wanted[np.arange(len(rows)), targets[rows]] += 1 - label_smoothing
    x = logits[rows] - logits[rows].max(axis=1, keepdims=True)
    log_p = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
    gradient = np.zeros_like(logits)
    gradient[rows] = np.exp(log_p) - wanted
    return [np.asarray(-np.sum(wanted * log_p)), gradient]


@other("backward.cross_entropy")
def loss_overwriting(logits: Any, targets: Any, label_smoothing: float = 0.0) -> Any:
    """In the logits' own memory, as the docstring allows."""
    n = logits.shape[-1]
    logits -= logits.max(-1, keepdims=True)
    log_sums = np.log(np.exp(logits).sum(-1))
    loss = 0.0
    for t, target in enumerate(targets):
        if target >= 0:
            loss += log_sums[t] - (1 - label_smoothing) * logits[t, target] - label_smoothing * logits[t].mean()
    np.exp(logits - log_sums[:, None], out=logits)
    logits -= label_smoothing / n
    for t, target in enumerate(targets):
        if target < 0:
            logits[t] = 0
        else:
            logits[t, target] -= 1 - label_smoothing
    return loss, logits


@other("backward.cross_entropy")
def loss_of_the_padded(logits: Any, targets: Any, label_smoothing: float = 0.0) -> Any:
    """Take any token for what counts for nothing, and multiply by 0 afterwards."""
    weight = np.where(targets < 0, 0.0, 1.0)
    safe = np.maximum(targets, 0)
    log_p = logits - np.logaddexp.reduce(logits.astype(np.float64), axis=1)[:, None]
    likelihood = (1 - label_smoothing) * log_p[np.arange(len(safe)), safe] + label_smoothing * log_p.mean(1)
    gradient = np.exp(log_p) - label_smoothing / logits.shape[1]
    np.add.at(gradient, (np.arange(len(safe)), safe), label_smoothing - 1)
    return -(weight * likelihood).sum(), weight[:, None] * gradient
