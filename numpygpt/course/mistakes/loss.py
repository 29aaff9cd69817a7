"""Mistakes in `loss.py`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from numpygpt.course.mistakes.registry import mistake
from numpygpt.layers import softmax
from numpygpt.loss import cross_entropy


@mistake("cross_entropy", "Plus or minus?", "A surprise is positive: *minus* the log of the probability.")
def sign_forgotten(logits: Any, targets: Any) -> Any:
    return -cross_entropy(logits, targets)


@mistake(
    "cross_entropy", "What is the log of exp(3000)?", "Subtract the largest logit first; exp overflows without it."
)
def overflows(logits: Any, targets: Any) -> Any:
    at_target = np.take_along_axis(logits, np.asarray(targets)[..., None], axis=-1)[..., 0]
    return np.log(np.exp(logits).sum(axis=-1)) - at_target


@mistake(
    "cross_entropy",
    "What is the log of a probability that rounds to 0?",
    "Do not form it: log Σ exp - logit at the target.",
)
def log_of_softmax(logits: Any, targets: Any) -> Any:
    return -np.log(np.take_along_axis(softmax(logits), np.asarray(targets)[..., None], axis=-1)[..., 0])


@mistake("cross_entropy", "One loss, or one for each position?", "Do not take the mean: return a loss for each.")
def the_mean(logits: Any, targets: Any) -> Any:
    return cross_entropy(logits, targets).mean()


@mistake("cross_entropy", "In which unit?", "Nats: the natural logarithm, np.log.")
def in_bits(logits: Any, targets: Any) -> Any:
    return cross_entropy(logits, targets) / math.log(2)


@mistake("loss", "Per token or per byte?", "Divide by n_tokens.")
def per_byte(self: Any) -> Any:
    return self.nats / self.n_bytes


@mistake("loss", "The sum or the mean?", "Divide by n_tokens.")
def the_sum(self: Any) -> Any:
    return self.nats


@mistake("loss", "Which way does the division go?", "Nats per token: nats / n_tokens.")
def upside_down(self: Any) -> Any:
    return self.n_tokens / self.nats


@mistake("perplexity", "Which base belongs to nats?", "e, not 2: math.exp.")
def base_two(self: Any) -> Any:
    return 2.0 ** (self.nats / self.n_tokens)


@mistake("perplexity", "exp of what?", "Of the *mean* loss, not of the sum.")
def of_the_sum(self: Any) -> Any:
    return math.exp(self.nats)


@mistake("perplexity", "Plus or minus?", "The loss is positive already: exp(loss).")
def negative(self: Any) -> Any:
    return math.exp(-self.nats / self.n_tokens)


@mistake("bits_per_byte", "Bits or nats?", "A bit is log(2) nats: divide by log(2).")
def in_nats(self: Any) -> Any:
    return self.nats / self.n_bytes


@mistake("bits_per_byte", "How many nats is a bit?", "A bit is *less* than a nat, so there are more bits: divide.")
def multiplied(self: Any) -> Any:
    return self.nats * math.log(2) / self.n_bytes


@mistake("bits_per_byte", "Per byte or per token?", "Divide by n_bytes.")
def per_token(self: Any) -> Any:
    return self.nats / math.log(2) / self.n_tokens


@mistake("cross_entropy", "What if the probability is less than ε?", "No ε in the log: log Σ exp - logit is exact.")
def epsilon_in_the_log(logits: Any, targets: Any) -> Any:
    return -np.log(np.take_along_axis(softmax(logits), np.asarray(targets)[..., None], axis=-1)[..., 0] + 1e-9)


@mistake("cross_entropy", "A probability, or its surprise?", "Minus its logarithm.")
def probability(logits: Any, targets: Any) -> Any:
    return np.take_along_axis(softmax(logits), np.asarray(targets)[..., None], axis=-1)[..., 0]


@mistake("cross_entropy", "The largest of which logits?", "Of each row by itself: exp of a row far below is 0.")
def largest_of_all(logits: Any, targets: Any) -> Any:
    logits = logits - logits.max()
    at_target = np.take_along_axis(logits, np.asarray(targets)[..., None], axis=-1)[..., 0]
    return np.log(np.exp(logits).sum(axis=-1)) - at_target


@mistake(
    "cross_entropy", "Is the maximum subtracted everywhere?", "From the target's logit as well: it is the same row."
)
def maximum_left_in_the_target(logits: Any, targets: Any) -> Any:
    at_target = np.take_along_axis(logits, np.asarray(targets)[..., None], axis=-1)[..., 0]
    return np.log(np.exp(logits - logits.max(axis=-1, keepdims=True)).sum(axis=-1)) - at_target


@mistake("loss", "In which unit?", "Nats: do not divide by log(2).")
def bits_per_token(self: Any) -> Any:
    return self.nats / self.n_tokens / math.log(2)


@mistake("perplexity", "Tokens or bytes?", "exp of the loss per token.")
def of_bytes(self: Any) -> Any:
    return math.exp(self.nats / self.n_bytes)


@mistake("perplexity", "exp or log?", "The loss is a logarithm already: exp takes it back.")
def the_loss_itself(self: Any) -> Any:
    return self.nats / self.n_tokens


@mistake("bits_per_byte", "The sum, or a mean?", "Divide by n_bytes.")
def all_bits(self: Any) -> Any:
    return self.nats / math.log(2)


@mistake("bits_per_byte", "Which way does the division go?", "Bits over bytes.")
def bytes_per_bit(self: Any) -> Any:
    return self.n_bytes * math.log(2) / self.nats
