"""Dropout, which only training has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from numpygpt.arrays import Array


@dataclass
class Dropout:
    """Sets numbers to 0 at random while training, so that no part of the model relies on one other part.

    Each number survives with probability 1 - p and is then divided by 1 - p, which keeps the expected value.

    Source: Srivastava et al. 2014, "Dropout: A Simple Way to Prevent Neural Networks from Overfitting" (JMLR 15).
    """

    p: float = 0.0
    rng: np.random.Generator | None = None

    def mask(self, x: Array) -> Array | None:
        """Return what x is to be multiplied by, forward and backward: 0 or 1 / (1 - p); None if all survive.

        x: [...] -> [...]
        """
        if self.p == 0:
            return None
        if self.rng is None:
            raise ValueError("dropout needs a random generator: Dropout(p, np.random.default_rng(seed))")
        kept = self.rng.integers(0, 2**16, x.shape, np.uint16) >= round(self.p * 2**16)  # quicker than floats
        return np.multiply(kept, 1 / (1 - self.p), dtype=x.dtype)


def dropout(dy: Array, mask: Array | None) -> Array:
    """Multiply by the mask, the same forward and backward: y = x · mask so dx = dy · mask.

    dy, mask: [...] -> dx [...]
    """
    return dy if mask is None else dy * mask
