"""Which source word each target word looked at: cross-attention as a picture.

Source: Bahdanau et al. 2014, "Neural Machine Translation by Jointly Learning to Align and Translate"
(arXiv:1409.0473), figure 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

import numpy as np

from numpygpt.arrays import Array
from numpygpt.tokenizer import Tokenizer

SHADES = " ░▒▓█"
CELL, LETTER, FONT = 26, 9.0, 15  # of the SVG, in pixels


@dataclass(frozen=True)
class Alignment:
    """How much each word of a translation looked at each word of its source: weights [n_target, n_source]."""

    source: list[str]
    target: list[str]
    weights: Array

    def __str__(self) -> str:
        """Draw it in characters: a row for every word of the translation, the darker the more it looked."""
        width = max(map(len, self.target), default=0)
        rows = [" " * width + "  " + " ".join(self.source)]
        for word, weights in zip(self.target, self.weights.tolist(), strict=True):
            cells = [shade(weight) * len(name) for weight, name in zip(weights, self.source, strict=True)]
            rows.append(f"{word:>{width}}  {' '.join(cells)}".rstrip())
        return "\n".join(rows)

    def to_svg(self) -> str:
        """Draw it as a picture, the source along the top."""
        left = round(LETTER * max(map(len, self.target), default=0)) + 14
        top = round(LETTER * max(map(len, self.source), default=0)) + 14
        width, height = left + CELL * len(self.source) + 10, top + CELL * len(self.target) + 10
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="{FONT}">',
            f"<title>{escape(' '.join(self.source))} → {escape(' '.join(self.target))}</title>",
            f'<rect width="{width}" height="{height}" fill="white"/>',
        ]
        for column, word in enumerate(self.source):
            x, y = left + CELL * column + CELL / 2 + 5, top - 8
            parts.append(f'<text transform="translate({x} {y}) rotate(-90)">{escape(word)}</text>')
        for row, (word, weights) in enumerate(zip(self.target, self.weights.tolist(), strict=True)):
            y = top + CELL * row
            parts.append(f'<text x="{left - 8}" y="{y + CELL / 2 + 5}" text-anchor="end">{escape(word)}</text>')
            for column, weight in enumerate(weights):
                parts.append(
                    f'<rect x="{left + CELL * column}" y="{y}" width="{CELL - 1}" height="{CELL - 1}" fill="#1f5fa8" '
                    f'fill-opacity="{weight:.3f}" stroke="#ccd"><title>{escape(word)}, '
                    f"{escape(self.source[column])}: {weight:.2f}</title></rect>"
                )
        return "\n".join([*parts, "</svg>"]) + "\n"


def shade(weight: float) -> str:
    """Return the character for a weight from 0 to 1."""
    return SHADES[min(int(weight * len(SHADES)), len(SHADES) - 1)]


def align(source: Sequence[int], target: Sequence[int], weights: Array, tokenizer: Tokenizer) -> Alignment:
    """Turn tokens' weights into words': what a word's tokens are looked at is summed, how they look is averaged.

    source, target: ids, weights: [n_target, n_source], which beyond the ids may have columns for what is no text
    """
    source_words, source_spans = _words(source, tokenizer)
    target_words, target_spans = _words(target, tokenizer)
    by_source = [weights[:, first:end].sum(axis=1) for first, end in source_spans]
    by_word = np.array([[column[first:end].mean() for column in by_source] for first, end in target_spans])
    return Alignment(source_words, target_words, by_word.reshape(len(target_words), len(source_words)))


def _words(ids: Sequence[int], tokenizer: Tokenizer) -> tuple[list[str], list[tuple[int, int]]]:
    """Return the words of some tokens, and from where to where each goes. No token belongs to two words."""
    ends = np.cumsum([0, *(len(tokenizer.token_bytes(token_id)) for token_id in ids)])  # of tokens, in bytes
    words = list(tokenizer.split(tokenizer.decode(ids)))
    borders = np.searchsorted(ends, np.cumsum([0, *(len(word.encode()) for word in words)])).tolist()
    return [word.strip() or word for word in words], list(pairwise(borders))
