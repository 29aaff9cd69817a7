"""The gradient of cross-entropy, and of the output layer with it, a part of the logits at a time."""

from __future__ import annotations

import numpy as np

from numpygpt.arrays import Array, Ids

LOGIT_ROWS = 256  # rows of logits that exist at once: the full [n_tokens, n_vocab] would be most of the memory


def cross_entropy(logits: Array, targets: Ids, label_smoothing: float = 0.0) -> tuple[float, Array]:
    """Pull up the logit of the token that came, push down all others, each by its probability.

        loss = Σ_t (log Σ_j exp(logits_tj) - logits_t,target)   so   dlogits = softmax(logits) - onehot(target)

    With label smoothing, a share ε of the target is spread evenly over the vocabulary, so that the model never gains
    by being more than so sure; the n_vocab parts of it stand in the place of the one:

        loss = Σ_t (log Σ_j exp(logits_tj) - (1 - ε) · logits_t,target - ε · mean_j logits_tj)

    logits: [n_rows, n_vocab], overwritten; targets: [n_rows] -> the sum of the losses, dlogits [n_rows, n_vocab]

    A target below 0 counts for nothing: neither loss nor gradient. The loss is returned as well, because its softmax
    is the gradient's.

    Source: Szegedy et al. 2015, "Rethinking the Inception Architecture for Computer Vision" (arXiv:1512.00567),
    section 7, for label smoothing.
    """
    counted = np.flatnonzero(targets >= 0)
    logits -= logits.max(axis=-1, keepdims=True)
    at_target = (1 - label_smoothing) * logits[counted, targets[counted]]
    if label_smoothing:
        at_target += label_smoothing * logits.mean(axis=-1)[counted]
    np.exp(logits, out=logits)
    sums = logits.sum(axis=-1, keepdims=True)
    logits /= sums
    logits[counted, targets[counted]] -= 1 - label_smoothing
    if label_smoothing:
        logits -= label_smoothing / logits.shape[-1]
    if len(counted) < len(targets):
        logits[targets < 0] = 0
    return float((np.log(sums[counted, 0]) - at_target).sum(dtype=np.float64)), logits


def output_layer(
    x: Array, targets: Ids, weight: Array, n_targets: int, bias: Array | float = 0.0, label_smoothing: float = 0.0
) -> tuple[float, Array, Array]:
    """The logits of the rows that count, their loss and its gradients, LOGIT_ROWS rows at a time: few exist at once.

        logits = x · weightᵀ + bias   so   dx = dlogits · weight,   dweight = dlogitsᵀ · x

    x: [n_rows, n_embd], targets: [n_rows], weight: [n_vocab, n_embd] -> Σ loss / n_targets, dx, dweight

    The bias is a constant of the model, [n_vocab], and learns nothing.
    """
    loss, dx, dweight = 0.0, np.zeros_like(x), np.zeros_like(weight)
    counted = np.flatnonzero(targets >= 0)
    for start in range(0, len(counted), LOGIT_ROWS):
        rows = counted[start : start + LOGIT_ROWS]
        logits = x[rows] @ weight.T
        if isinstance(bias, np.ndarray):
            logits += bias
        loss_rows, dlogits = cross_entropy(logits, targets[rows], label_smoothing)
        loss += loss_rows / n_targets
        dlogits /= n_targets
        dx[rows] = dlogits @ weight
        dweight += dlogits.T @ x[rows]
    return loss, dx, dweight
