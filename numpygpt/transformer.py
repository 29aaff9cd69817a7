"""What the original Transformer has and GPT-2 has not: positions by a formula.

Source: Vaswani et al. 2017, "Attention Is All You Need" (arXiv:1706.03762).
"""

from __future__ import annotations

import numpy as np

from numpygpt.arrays import Array


def sinusoidal_encoding(n_seq: int, n_embd: int) -> Array:
    """Return the fixed encoding of positions of the original Transformer, where GPT-2 learns its own.

    -> [n_seq, n_embd]

    Columns come in pairs of one wavelength, from 2π to 10000·2π (section 3.5):

        encoding[pos, 2i]     = sin(pos / 10000^(2i / n_embd))
        encoding[pos, 2i + 1] = cos(pos / 10000^(2i / n_embd))

    >>> sinusoidal_encoding(3, 4).round(3)
    array([[ 0.   ,  1.   ,  0.   ,  1.   ],
           [ 0.841,  0.54 ,  0.01 ,  1.   ],
           [ 0.909, -0.416,  0.02 ,  1.   ]])
    """
    column = np.arange(n_embd)
    angles = np.arange(n_seq)[:, None] / 10000 ** (column // 2 * 2 / n_embd)  # [n_seq, n_embd]
    return np.where(column % 2 == 0, np.sin(angles), np.cos(angles))
