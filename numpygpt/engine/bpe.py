"""Byte-pair encoding, fast: the ids and merges of `numpygpt.tokenizer`, found without looking at every pair again.

Most of a text is words seen before, so their ids are kept; a new word's pairs wait in a heap; and learning counts
only what the last merge has changed.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from heapq import heapify, heappop, heappush
from itertools import chain, pairwise
from operator import itemgetter
from typing import Any

import regex

from numpygpt import tokenizer
from numpygpt.tokenizer import WORD, Pair, join

# A long text is cut into words a few paragraphs at a time. A line break after a letter always begins a new word.
_BLOCK = re.compile(r".{0,4000}\S(?=\n)|.+", re.DOTALL)

_BYTE = [bytes([byte]) for byte in range(256)]


class Tokenizer(tokenizer.Tokenizer):
    """The tokenizer of `numpygpt.tokenizer`, for texts of megabytes.

    >>> text = "Once upon a time"
    >>> Tokenizer().encode(text) == tokenizer.Tokenizer().encode(text)
    True
    """

    def __init__(
        self,
        merges: Sequence[Pair] | None = None,
        *,
        vocab: Mapping[bytes, int] | None = None,
        special_tokens: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(merges, vocab=vocab, special_tokens=special_tokens)
        self._seen = _SeenWords(self._encode_word)

    def _encode_ordinary(self, text: str) -> Iterable[int]:
        return chain.from_iterable(map(self._seen.__getitem__, self._words(text)))

    @staticmethod
    def _words(text: str) -> Iterable[str]:
        blocks = map(itemgetter(0), _BLOCK.finditer(text))
        return chain.from_iterable(_word_pattern(block.isascii()).findall(block) for block in blocks)

    def _encode_word(self, word: str) -> tuple[int, ...]:
        return tuple(map(self.vocab.__getitem__, self._merge(word.encode())))

    def _merge(self, word: bytes) -> list[bytes]:
        """Merge a word in O(n log n): pairs wait in a heap, and parts know their neighbors.

        A merge can be learned only after those that make its parts, so no pair that a merge creates comes earlier in
        the list than the merge itself, and the heap yields the same order as looking for the earliest each time.
        """
        parts = [_BYTE[byte] for byte in word]
        n = len(parts)
        after, before = list(range(1, n + 1)), list(range(-1, n - 1))
        ranks = self._ranks
        heap = [(ranks[pair], i) for i, pair in enumerate(pairwise(parts)) if pair in ranks]
        heapify(heap)
        while heap:
            rank, i = heappop(heap)
            j = after[i]
            if j == n or ranks.get((parts[i], parts[j])) != rank:
                continue  # one of the two has been merged with another neighbor since
            parts[i] += parts[j]
            parts[j] = b""
            after[i] = k = after[j]
            if k < n:
                before[k] = i
                if (rank_right := ranks.get((parts[i], parts[k]))) is not None:
                    heappush(heap, (rank_right, i))
            h = before[i]
            if h >= 0 and (rank_left := ranks.get((parts[h], parts[i]))) is not None:
                heappush(heap, (rank_left, h))
        return list(filter(None, parts))

    @staticmethod
    def _learn_merges(words: Mapping[bytes, int], n_merges: int) -> list[Pair]:
        """Learn merges by going, after each, only to the words that hold its pair.

        A count never grows once its pair exists, so the heap may hold counts that are too high: they are put right
        when they surface.
        """
        parts = [[_BYTE[byte] for byte in word] for word in words]
        frequency = list(words.values())
        counts: Counter[Pair] = Counter()
        where: defaultdict[Pair, set[int]] = defaultdict(set)
        for w, word in enumerate(parts):
            for pair in pairwise(word):
                counts[pair] += frequency[w]
                where[pair].add(w)
        heap = [_Candidate((count, pair)) for pair, count in counts.items()]
        heapify(heap)
        merges: list[Pair] = []
        while heap and len(merges) < n_merges:
            count, best = heappop(heap)
            if count != counts[best]:
                if counts[best]:
                    heappush(heap, _Candidate((counts[best], best)))
                continue
            merges.append(best)
            merged = b"".join(best)
            created: set[Pair] = set()
            for w in where.pop(best):
                for pair in pairwise(parts[w]):
                    counts[pair] -= frequency[w]
                parts[w] = join(parts[w], best)
                for pair in pairwise(parts[w]):
                    counts[pair] += frequency[w]
                    if merged in pair:
                        where[pair].add(w)
                        created.add(pair)
            for pair in created:
                heappush(heap, _Candidate((counts[pair], pair)))
        return merges


class _SeenWords(dict[str, tuple[int, ...]]):
    """The ids of each word, merged when the word is first met.

    Forgets all of them now and then and never keeps a very long one, so that no text makes it grow beyond some tens
    of megabytes.
    """

    max_words = 100_000
    max_letters = 64

    def __init__(self, encode_word: Callable[[str], tuple[int, ...]]) -> None:
        super().__init__()
        self.encode_word = encode_word

    def __missing__(self, word: str) -> tuple[int, ...]:
        ids = self.encode_word(word)
        if len(word) <= self.max_letters:
            if len(self) >= self.max_words:
                self.clear()
            self[word] = ids
        return ids


class _Candidate(tuple[int, Pair]):
    """How often a pair occurs, and the pair; sorts backwards, so that the least in a heap is the greatest."""

    __lt__ = tuple.__gt__


@cache
def _word_pattern(is_ascii: bool) -> Any:
    if is_ascii:  # Python's own `re` knows no \p{L}, but is twice as fast
        return re.compile(WORD.replace(r"\p{L}", "A-Za-z").replace(r"\p{N}", "0-9"), re.ASCII)
    return regex.compile(WORD)
