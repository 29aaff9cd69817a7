"""The original Transformer's own parts against their formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest

from numpygpt import sinusoidal_encoding


@pytest.mark.parametrize(("n_seq", "n_embd"), [(1, 2), (50, 16), (3, 5)])
def test_sinusoidal_encoding_is_the_formula(n_seq: int, n_embd: int) -> None:
    encoding = sinusoidal_encoding(n_seq, n_embd)
    assert encoding.shape == (n_seq, n_embd)
    for pos in range(n_seq):
        for column in range(n_embd):
            angle = pos / 10000 ** ((column - column % 2) / n_embd)
            assert encoding[pos, column] == pytest.approx((math.cos if column % 2 else math.sin)(angle), abs=1e-12)


def test_sinusoidal_encoding_turns_a_shift_into_a_rotation() -> None:
    """A step of k positions is the same linear map everywhere (Vaswani et al. 2017, section 3.5)."""
    encoding = sinusoidal_encoding(30, 4)
    shift = np.linalg.lstsq(encoding[:20], encoding[7:27], rcond=None)[0]
    np.testing.assert_allclose(encoding[2:22] @ shift, encoding[9:29], atol=1e-9)
