"""Other right implementations of the loss of a text, in three units."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from alternatives import other


@other("cross_entropy")
def cross_entropy_by_loop(logits: Any, targets: Any) -> Any:
    flat, wanted = logits.reshape(-1, logits.shape[-1]).astype(float), np.ravel(targets)
    losses = []
    for row, target in zip(flat, wanted, strict=True):
        top = row.max()
        losses.append(top + math.log(sum(math.exp(value - top) for value in row)) - row[target])
    return np.array(losses).reshape(np.shape(targets))


@other("cross_entropy")
def cross_entropy_by_logaddexp(logits: Any, targets: Any) -> Any:
    flat = logits.reshape(-1, logits.shape[-1])
    picked = flat[np.arange(len(flat)), np.ravel(targets)]
    return (np.logaddexp.reduce(flat, axis=-1) - picked).reshape(logits.shape[:-1])


@other("cross_entropy")
def cross_entropy_by_onehot(logits: Any, targets: Any) -> Any:
    x = logits - np.max(logits, -1)[..., None]
    log_p = x - np.log(np.sum(np.exp(x), -1))[..., None]
    onehot = np.eye(logits.shape[-1])[targets]
    return -np.sum(onehot * log_p, axis=-1)


@other("cross_entropy")
def cross_entropy_by_recursion(logits: Any, targets: Any) -> Any:
    """Of one row a Python number, which is as good as an array of no axes."""
    if logits.ndim > 1:
        return np.array([cross_entropy_by_recursion(row, target) for row, target in zip(logits, targets, strict=True)])
    top = float(logits.max())
    return math.log(float(np.exp(logits.astype(float) - top).sum())) + top - float(logits[int(targets)])


@other("cross_entropy")
def cross_entropy_of_differences(logits: Any, targets: Any) -> Any:
    """log Σ exp(x_j - x_target)."""
    x = logits.astype(np.float64)
    at = np.take_along_axis(x, np.expand_dims(np.asarray(targets), -1), -1)
    return np.logaddexp.reduce(x - at, axis=-1)


@other("loss")
def loss_in_numpy(self: Any) -> Any:
    return np.divide(self.nats, self.n_tokens)


@other("loss")
def loss_by_the_inverse(self: Any) -> Any:
    return (1.0 / self.n_tokens) * self.nats


@other("loss")
def loss_in_float32(self: Any) -> Any:
    return np.float32(self.nats) / np.float32(self.n_tokens)


@other("loss")
def loss_from_its_logarithm(self: Any) -> Any:
    return math.exp(math.log(self.nats) - math.log(self.n_tokens))


@other("loss")
def loss_as_an_array(self: Any) -> Any:
    return np.asarray(self.nats / float(self.n_tokens))


@other("perplexity")
def perplexity_in_numpy(self: Any) -> Any:
    return np.exp(self.loss)


@other("perplexity")
def perplexity_as_a_power(self: Any) -> Any:
    return math.e**self.loss


@other("perplexity")
def perplexity_from_the_totals(self: Any) -> Any:
    return math.exp(self.nats / self.n_tokens)


@other("perplexity")
def perplexity_as_a_root(self: Any) -> Any:
    """The geometric mean of 1 / p."""
    return math.exp(self.nats / self.n_tokens / 2) ** 2


@other("perplexity")
def perplexity_by_bits(self: Any) -> Any:
    return 2 ** (self.loss / math.log(2))


@other("bits_per_byte")
def bits_by_log2(self: Any) -> Any:
    return self.nats * math.log2(math.e) / self.n_bytes


@other("bits_per_byte")
def bits_from_the_loss(self: Any) -> Any:
    return self.loss * self.n_tokens / (self.n_bytes * np.log(2))


@other("bits_per_byte")
def bits_from_the_perplexity(self: Any) -> Any:
    return math.log2(self.perplexity) * (self.n_tokens / self.n_bytes)


@other("bits_per_byte")
def bits_in_two_steps(self: Any) -> Any:
    nats_per_byte = self.nats / self.n_bytes
    return nats_per_byte / 0.6931471805599453


@other("bits_per_byte")
def bits_of_a_power(self: Any) -> Any:
    return np.log2(np.exp(self.nats / self.n_bytes))
