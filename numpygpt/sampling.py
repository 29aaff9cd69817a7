"""From logits to the next token: greedy, or a draw from a distribution that temperature, top-k and top-p shape.

The steps, their order and their definitions are those of `transformers`' logits processors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numpygpt.arrays import Array
from numpygpt.layers import softmax

COLDEST = 1e-9  # a lower temperature leaves a chance to the likeliest token alone, and logits divided by it overflow
HOTTEST = 1e30  # a higher one makes no difference: all tokens are equally likely


def apply_repetition_penalty(logits: Array, previous_ids: Sequence[ArrayLike], penalty: float) -> Array:
    """Make every token that occurred already less likely: divide its logit by `penalty`, or multiply a negative one.

    logits: [n_sequence, n_vocab], previous_ids: the ids of each sequence so far -> [n_sequence, n_vocab]

    Source: Keskar et al. 2019, "CTRL" (arXiv:1909.05858), section 4.1, which divides; `transformers` multiplies where
    dividing would make a token likelier.

    >>> apply_repetition_penalty(np.array([[2.0, -2.0, 1.0]]), [[0, 1]], penalty=2.0)
    array([[ 1., -4.,  1.]])
    """
    penalized = logits.copy()
    for row, previous in zip(penalized, previous_ids, strict=True):
        ids = np.asarray(previous, dtype=np.intp)
        ids = ids[ids < len(row)]  # the others stand for no token that could be chosen
        seen = row[ids]
        with np.errstate(all="ignore"):  # a result beyond all numbers is as unlikely as can be, or refused later
            row[ids] = np.where(seen < 0, seen * penalty, seen / penalty)
    return penalized


def apply_temperature(logits: Array, temperature: float) -> Array:
    """Divide logits [..., n_vocab] by the temperature: below 1 the likely tokens become likelier, above 1 less so."""
    return logits / temperature


def apply_top_k(logits: Array, top_k: int) -> Array:
    """Keep the `top_k` largest logits, and those equal to the smallest kept; the others become -inf.

    logits: [..., n_vocab] -> [..., n_vocab]. A `top_k` above n_vocab keeps all.

    Source: Fan et al. 2018, "Hierarchical Neural Story Generation" (arXiv:1805.04833), section 5.4.

    >>> apply_top_k(np.array([1.0, 3.0, 2.0]), top_k=2)
    array([-inf,   3.,   2.])
    """
    top_k = min(int(top_k), logits.shape[-1])
    smallest_kept = np.partition(logits, -top_k, axis=-1)[..., -top_k, None]
    return np.where(logits < smallest_kept, -np.inf, logits)


def apply_top_p(logits: Array, top_p: float) -> Array:
    """Keep the likeliest tokens whose probabilities add up to at least `top_p`; the others become -inf.

    logits: [..., n_vocab] -> [..., n_vocab]. The likeliest token is always kept.

    Source: Holtzman et al. 2019, "The Curious Case of Neural Text Degeneration" (arXiv:1904.09751), section 3.1.

    >>> apply_top_p(np.log([0.2, 0.5, 0.3]), top_p=0.6).round(2)
    array([ -inf, -0.69, -1.2 ])
    """
    order = np.argsort(logits, axis=-1, kind="stable")  # from the least likely
    less_likely = np.cumsum(softmax(np.take_along_axis(logits, order, axis=-1)), axis=-1)  # including the token itself
    dropped = less_likely <= 1 - top_p
    dropped[..., -1] = False
    filtered = logits.copy()
    np.put_along_axis(filtered, order, np.where(dropped, -np.inf, np.take_along_axis(logits, order, axis=-1)), axis=-1)
    return filtered


def sample(logits: Array, rng: np.random.Generator) -> NDArray[np.intp]:
    """Draw a token from the distribution of each row: logits [..., n_vocab] -> [...].

    The cumulative probabilities cut the line from 0 to 1 into a piece for every token; a random point falls into one.

    >>> sample(np.log([[0.5, 0.5, 1e-9], [1e-9, 1e-9, 1.0]]), np.random.default_rng(0))
    array([1, 2])
    """
    cumulative = np.cumsum(softmax(logits.astype(np.float64)), axis=-1)
    point = rng.random(cumulative.shape[:-1])[..., None] * cumulative[..., -1:]  # rounding may end short of 1
    return np.asarray((cumulative <= point).sum(axis=-1))


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. The names and meanings are those of `transformers`' generate.

    Greedy, the likeliest token each time, unless `do_sample`. Left at None, `do_sample` is true where a temperature
    (not 0), a top_k or a top_p is given. A temperature of 0 is greedy too, the limit of ever lower ones.

    Raises ValueError for a value that has no meaning, such as a negative one.

    >>> Sampling(temperature=0.8).is_greedy
    False
    >>> Sampling(top_k=-1)
    Traceback (most recent call last):
    ValueError: top_k must be a whole number of at least 1, or 0 for no limit, not -1
    """

    do_sample: bool | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        if self.temperature is not None and not 0 <= self.temperature < np.inf:
            raise ValueError(f"temperature must be a number of at least 0, not {self.temperature}")
        if self.top_k is not None and not (isinstance(self.top_k, (int, np.integer)) and self.top_k >= 0):
            raise ValueError(f"top_k must be a whole number of at least 1, or 0 for no limit, not {self.top_k}")
        if self.top_p is not None and not 0 <= self.top_p <= 1:
            raise ValueError(f"top_p must be a probability from 0 to 1, not {self.top_p}")
        if not 0 < self.repetition_penalty < np.inf:
            raise ValueError(f"repetition_penalty must be a number above 0, not {self.repetition_penalty}")

    @property
    def is_greedy(self) -> bool:
        """Whether the likeliest token is taken each time, so that every run gives the same text."""
        if self.temperature is not None and self.temperature < COLDEST:
            return True
        if self.do_sample is None:
            return (self.temperature, self.top_k, self.top_p) == (None, None, None)
        return not self.do_sample

    def filter(self, logits: Array, previous_ids: Sequence[ArrayLike]) -> Array:
        """Apply the steps that are switched on, in `transformers`' order; logits: [n_sequence, n_vocab] -> the same.

        `previous_ids` holds the ids of each sequence so far, prompt included.
        """
        if self.repetition_penalty != 1:
            logits = apply_repetition_penalty(logits, previous_ids, self.repetition_penalty)
        if self.is_greedy:
            return logits
        if self.temperature is not None:
            logits = apply_temperature(logits, min(self.temperature, HOTTEST))
        if self.top_k:
            logits = apply_top_k(logits, self.top_k)
        if self.top_p is not None and self.top_p < 1:
            logits = apply_top_p(logits, self.top_p)
        return logits

    def choose(
        self, logits: Array, previous_ids: Sequence[ArrayLike], rngs: Sequence[np.random.Generator]
    ) -> NDArray[np.intp]:
        """Choose the next token of each sequence, by a generator of its own: logits [n_sequence, n_vocab] -> ids.

        Raises ValueError where the logits are no numbers: a choice among them would only look like one.
        """
        logits = self.filter(logits, previous_ids)
        if not np.isfinite(logits.max(axis=-1)).all():
            raise ValueError(
                "the logits are not finite numbers; the model's weights are damaged, "
                f"or the repetition_penalty, {self.repetition_penalty}, is out of all proportion"
            )
        if self.is_greedy:
            return np.asarray(logits.argmax(axis=-1))
        return np.array([_sample_kept(row, rng) for row, rng in zip(logits, rngs, strict=True)])


def _sample_kept(logits: Array, rng: np.random.Generator) -> np.intp:
    """Do what `sample` does, of one row, with the tokens alone that have a chance: logits [n_vocab] -> an id."""
    kept = np.flatnonzero(logits > -np.inf)
    return np.intp(kept[sample(logits[kept], rng)])
