"""Mistakes in `backward/loss.py`."""

from __future__ import annotations

from typing import Any

import numpy as np

from numpygpt import backward
from numpygpt.course.mistakes.registry import mistake


def _loss(logits: Any, targets: Any, label_smoothing: float = 0.0) -> Any:
    return backward.cross_entropy(logits.copy(), targets, label_smoothing)


@mistake("backward.cross_entropy", "Which logit is pulled up?", "Subtract 1 at the target: softmax - onehot.")
def one_forgotten(logits: Any, targets: Any, label_smoothing: float = 0.0) -> Any:
    loss, dlogits = _loss(logits, targets, label_smoothing)
    dlogits[np.flatnonzero(targets >= 0), targets[targets >= 0]] += 1 - label_smoothing
    return loss, dlogits


@mistake("backward.cross_entropy", "Which way is up?", "softmax - onehot, not the other way.")
def sign_flipped(logits: Any, targets: Any, label_smoothing: float = 0.0) -> Any:
    loss, dlogits = _loss(logits, targets, label_smoothing)
    return loss, -dlogits


@mistake("backward.cross_entropy", "Sum or mean?", "The sum of the losses: do not divide by the number of rows.")
def averaged(logits: Any, targets: Any, label_smoothing: float = 0.0) -> Any:
    loss, dlogits = _loss(logits, targets, label_smoothing)
    return loss / len(targets), dlogits / len(targets)


@mistake("backward.cross_entropy", "What of a target below 0?", "It counts for nothing, neither loss nor gradient.")
def padding_counted(logits: Any, targets: Any, label_smoothing: float = 0.0) -> Any:
    return _loss(logits, targets % logits.shape[-1], label_smoothing)


@mistake("backward.cross_entropy", "Is label_smoothing used?", "1 - ε of the target, and ε / n_vocab for every token.")
def smoothing_ignored(logits: Any, targets: Any, label_smoothing: float = 0.0) -> Any:
    return _loss(logits, targets)


@mistake("backward.cross_entropy", "Does the loss know of label_smoothing?", "It does, as its gradient does.")
def smoothing_not_in_the_loss(logits: Any, targets: Any, label_smoothing: float = 0.0) -> Any:
    return _loss(logits, targets)[0], _loss(logits, targets, label_smoothing)[1]


@mistake("backward.cross_entropy", "Does the gradient know of label_smoothing?", "It does, as the loss does.")
def smoothing_not_in_the_gradient(logits: Any, targets: Any, label_smoothing: float = 0.0) -> Any:
    return _loss(logits, targets, label_smoothing)[0], _loss(logits, targets)[1]


@mistake(
    "backward.cross_entropy", "Among how many tokens is ε shared?", "All of them, the target too: ε / n_vocab each."
)
def smoothing_of_the_others(logits: Any, targets: Any, label_smoothing: float = 0.0) -> Any:
    n = logits.shape[-1]
    return _loss(logits, targets, label_smoothing * n / (n - 1))


@mistake("backward.cross_entropy", "Does padding get a gradient?", "None: its rows of dlogits are 0.")
def padding_in_the_gradient(logits: Any, targets: Any, label_smoothing: float = 0.0) -> Any:
    loss, dlogits = _loss(logits, targets, label_smoothing)
    exp = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return loss, np.where(targets[:, None] < 0, exp / exp.sum(axis=-1, keepdims=True), dlogits)


@mistake("backward.cross_entropy", "Which targets count for nothing?", "All below 0, not -100 alone.")
def one_padding_alone(logits: Any, targets: Any, label_smoothing: float = 0.0) -> Any:
    return _loss(logits, np.where(targets == -100, -1, targets % logits.shape[-1]), label_smoothing)


@mistake("backward.cross_entropy", "What is exp(3000)?", "Subtract the row's largest logit first.")
def overflows(logits: Any, targets: Any, label_smoothing: float = 0.0) -> Any:
    exp = np.exp(logits)
    rows, loss = np.flatnonzero(targets >= 0), _loss(logits, targets, label_smoothing)[0]
    dlogits = exp / exp.sum(axis=-1, keepdims=True) - label_smoothing / logits.shape[-1]
    dlogits[rows, targets[rows]] -= 1 - label_smoothing
    dlogits[targets < 0] = 0
    return float(loss if np.isfinite(dlogits).all() else np.nan), dlogits


@mistake("backward.cross_entropy", "What comes first, loss or gradient?", "The loss, then dlogits.")
def gradient_first(logits: Any, targets: Any, label_smoothing: float = 0.0) -> Any:
    return _loss(logits, targets, label_smoothing)[::-1]


@mistake("backward.cross_entropy", "Sum or mean?", "The sum: do not divide by how many targets count.")
def averaged_where_counted(logits: Any, targets: Any, label_smoothing: float = 0.0) -> Any:
    loss, dlogits = _loss(logits, targets, label_smoothing)
    n = int((targets >= 0).sum())
    return loss / n, dlogits / n
