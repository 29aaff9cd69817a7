"""The gradient of cross-entropy, and of the output layer with it, a part of the logits at a time."""

from __future__ import annotations

import numpy as np

from numpygpt.arrays import Array, Ids
from numpygpt.backward import forward

LOGIT_ROWS = 256  # rows of logits that exist at once: the full [n_tokens, n_vocab] would be most of the memory


def cross_entropy(logits: Array, targets: Ids) -> tuple[float, Array]:
    """Pull up the logit of the token that came, push down all others, each by its probability.

        loss = Σ_t (log Σ_j exp(logits_tj) - logits_t,target)   so   dlogits = softmax(logits) - onehot(target)

    logits: [n_rows, n_vocab], overwritten; targets: [n_rows] -> the sum of the losses, dlogits [n_rows, n_vocab]

    A target below 0 counts for nothing: neither loss nor gradient. The loss is returned as well, because its softmax
    is the gradient's.
    """
    counted = np.flatnonzero(targets >= 0)
    forward.softmax(logits)
    likelihood = logits[counted, targets[counted]]
    logits[counted, targets[counted]] -= 1
    if len(counted) < len(targets):
        logits[targets < 0] = 0
    with np.errstate(divide="ignore"):
        return -float(np.log(likelihood).sum(dtype=np.float64)), logits


def output_layer(x: Array, targets: Ids, weight: Array, n_targets: int) -> tuple[float, Array, Array]:
    """The logits, their loss and its gradients, LOGIT_ROWS rows at a time, so that few logits exist at once.

        logits = x · weightᵀ   so   dx = dlogits · weight,   dweight = dlogitsᵀ · x

    x: [n_rows, n_embd], targets: [n_rows], weight: [n_vocab, n_embd] -> Σ loss / n_targets, dx, dweight
    """
    loss, dx, dweight = 0.0, np.empty_like(x), np.zeros_like(weight)
    for start in range(0, len(x), LOGIT_ROWS):
        rows = slice(start, start + LOGIT_ROWS)
        loss_rows, dlogits = cross_entropy(x[rows] @ weight.T, targets[rows])
        loss += loss_rows / n_targets
        dlogits /= n_targets
        dx[rows] = dlogits @ weight
        dweight += dlogits.T @ x[rows]
    return loss, dx, dweight
