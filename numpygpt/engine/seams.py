"""Where a long word falls into parts whose tokens do not depend on each other.

Chinese, Japanese and Thai have no blanks: a whole clause is one word, and hardly one occurs twice. But few tokens hold
more than one of their characters. Where no token reaches across the seam between two characters, no merge does, and
what is left and right of it is encoded, and remembered, by itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import pairwise
from operator import add

MAX_PAIRS = 1_000_000  # of characters, remembered


class Seams(dict[str, bool]):
    """Tells of two neighboring characters whether a token may reach from one into the other.

    >>> Seams([b"ab", "中文".encode(), "文".encode()]).cut("中文中中文")
    ['中文', '中', '中文']
    """

    def __init__(self, tokens: Iterable[bytes]) -> None:
        super().__init__()
        self._tokens = tokens

    def cut(self, word: str) -> Sequence[str]:
        """Cut a word at every seam that no token reaches across."""
        if len(self) > MAX_PAIRS:
            self.clear()
        reaches = list(map(self.__getitem__, map(add, word, word[1:])))
        if True not in reaches:
            return word  # each character by itself
        starts = [0, *(i for i, reached in enumerate(reaches, 1) if not reached), len(word)]
        return [word[start:end] for start, end in pairwise(starts)]

    def __missing__(self, pair: str) -> bool:
        left, right = pair[0].encode(), pair[1].encode()
        reaches = len(right) == 1  # not looked into, so that the table of crossings is short
        for before, after in self._crossings.get(left[-1:] + right[:1], ()) if len(right) > 1 else ():
            fits_left = left.endswith(before) or before.endswith(left)
            reaches = reaches or (fits_left and (right.startswith(after) or after.startswith(right)))
        self[pair] = reaches
        return reaches

    @cached_property
    def _crossings(self) -> defaultdict[bytes, list[tuple[bytes, bytes]]]:
        """For two bytes of which the second begins a character of several, the halves of each token around them."""
        crossings: defaultdict[bytes, list[tuple[bytes, bytes]]] = defaultdict(list)
        for token in self._tokens:
            for i in range(1, len(token)):
                if token[i] >= 0xC0:
                    crossings[token[i - 1 : i + 1]].append((token[:i], token[i:]))
        return crossings
