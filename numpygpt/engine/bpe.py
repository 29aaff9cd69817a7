"""Byte-pair encoding, fast: the ids and merges of `numpygpt.tokenizer`, found without looking at every pair again.

Most of a text is words seen before, so their ids are kept; a new word's pairs wait in a heap; and learning counts
only what the last merge has changed.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from heapq import heapify, heappop, heappush
from itertools import chain, pairwise
from operator import itemgetter
from typing import Any

import regex

from numpygpt import tokenizer
from numpygpt.tokenizer import BYTES, END_OF_TEXT, LETTERS, WORD, Pair, join

# A long text is cut into words a few paragraphs at a time. A line break after a letter always begins a new word.
_BLOCK = re.compile(r".{0,4000}\S(?=\n)|.+", re.DOTALL)

_BYTE = [bytes([byte]) for byte in range(256)]


class Tokenizer(tokenizer.Tokenizer):
    """The tokenizer of `numpygpt.tokenizer`, for texts of megabytes and for checkpoints that number tokens otherwise.

    Parameters:
        merges: the pairs of byte strings to join, in the order they were learned. GPT-2's if left out.
        vocab: the id of each byte and of each merge's result. Their order of creation if left out.
        special_tokens: the ids of tokens that stand for no text, `<|endoftext|>` among them.

    Raises ValueError where the merges do not build on each other or the ids are not one for each token.

    >>> text = "Once upon a time"
    >>> Tokenizer().encode(text) == tokenizer.Tokenizer().encode(text)
    True
    """

    def __init__(
        self,
        merges: Iterable[Pair] | None = None,
        *,
        vocab: Mapping[bytes, int] | None = None,
        special_tokens: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(merges if merges is None else _checked(merges))
        if (merges, vocab, special_tokens) != (None, None, None):
            tokens = list(self.vocab)
            self.vocab = dict(self.vocab if vocab is None else vocab)
            self.special_tokens = dict(self.special_tokens if special_tokens is None else special_tokens)
            _check_ids(tokens, self.vocab, self.special_tokens)
            self._bytes = {token_id: token for token, token_id in self.vocab.items()}
            self._bytes |= {token_id: name.encode() for name, token_id in self.special_tokens.items()}
            self.n_vocab = max(self._bytes) + 1
            self.eot_id = self.special_tokens[END_OF_TEXT]
        self._seen = _SeenWords(self._encode_word)

    def _encode_ordinary(self, text: str) -> Iterable[int]:
        return chain.from_iterable(map(self._seen.__getitem__, self.split(text)))

    @staticmethod
    def split(text: str) -> Iterable[str]:
        """Cut a text into words, a few paragraphs at a time."""
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


def _checked(merges: Iterable[Pair]) -> Iterator[Pair]:
    """Refuse merges whose parts do not exist when their turn comes, or that make a token a second time."""
    known = set(BYTES)
    for i, (left, right) in enumerate(merges):
        if unknown := [part for part in (left, right) if part not in known]:
            raise ValueError(f"merge {i} joins {unknown[0]!r}, which is neither a byte nor made by an earlier merge")
        if left + right in known:
            raise ValueError(f"merge {i} makes {left + right!r}, which an earlier merge makes already")
        known.add(left + right)
        yield left, right


def _check_ids(tokens: list[bytes], vocab: Mapping[bytes, int], special_tokens: Mapping[str, int]) -> None:
    """Refuse a vocabulary that does not give every token an id of its own."""
    owners: dict[int, object] = {}
    for token, token_id in chain[tuple[object, int]](vocab.items(), special_tokens.items()):
        if type(token_id) is not int or token_id < 0:
            raise ValueError(f"the id of {token!r} is {token_id!r}; ids are whole numbers from 0")
        if token_id in owners:
            raise ValueError(f"the id {token_id} is used twice, for {owners[token_id]!r} and for {token!r}")
        owners[token_id] = token
    if missing := [token for token in tokens if token not in vocab]:
        raise ValueError(f"the vocabulary lacks {missing[0]!r} and {len(missing) - 1} more of the bytes and merges")
    if extra := vocab.keys() - set(tokens):
        raise ValueError(f"the vocabulary has {min(extra)!r}, which is neither a byte nor made by a merge")
    if END_OF_TEXT not in special_tokens:
        raise ValueError(f"{END_OF_TEXT} is not among the special tokens {list(special_tokens)}")
    for name in special_tokens:
        if not name or (set(name) <= LETTERS.keys() and b"".join(map(LETTERS.__getitem__, name)) in vocab):
            raise ValueError(f"the special token {name!r} is empty or written like an ordinary token")
