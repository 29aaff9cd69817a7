"""Byte-pair encoding, fast: the ids and merges of `numpygpt.tokenizer`, found without looking at every pair again.

Most of a text is words seen before, so their ids are kept; a new word's pairs wait in a heap; and learning counts
only what the last merge has changed.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache
from heapq import heapify, heappop, heappush
from itertools import chain, groupby, pairwise
from operator import itemgetter
from typing import Any

import regex

from numpygpt import tokenizer
from numpygpt.engine.added_tokens import AddedToken, AddedTokens
from numpygpt.engine.seams import Seams
from numpygpt.engine.vocabulary import check_ids, checked_merges
from numpygpt.tokenizer import BYTES, END_OF_TEXT, WORD, Pair, join

# A long text is cut into words a few paragraphs at a time. A line break after a letter always begins a new word.
_BLOCK = re.compile(r".{0,4000}\S(?=\n)|.+", re.DOTALL)

_BYTE = [bytes([byte]) for byte in range(256)]


class Tokenizer(tokenizer.Tokenizer):
    """The tokenizer of `numpygpt.tokenizer`, for texts of megabytes and for whatever vocabulary a checkpoint has.

    Parameters:
        merges: the pairs of byte strings to join, in the order they were learned. GPT-2's if left out.
        vocab: the id of each byte and of each merge's result, their order of creation if left out. A byte may lack
            one: it becomes the token `unk_id`, or nothing where that is None, as in the `tokenizers` library.
        special_tokens: the ids of tokens that stand for no text, such as `<|endoftext|>`.
        added_tokens: more of them, and tokens of text that are found before words are cut; see `AddedToken`.
        eot_id, bos_id: the token that ends a text and the one that begins it; both `<|endoftext|>` if left out.
        unk_id, fuse_unk: the token of bytes that lack one, and whether one stands for several of them in a row.
        prefix, suffix: ids that `encode` puts before and behind every text.
        n_rows: of the model's embedding, where tokens were added to the vocabulary alone and cannot be used.

    Raises ValueError where the merges do not build on each other or two tokens have one id.

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
        added_tokens: Iterable[AddedToken] = (),
        eot_id: int | None = None,
        bos_id: int | None = None,
        unk_id: int | None = None,
        fuse_unk: bool = False,
        prefix: Sequence[int] = (),
        suffix: Sequence[int] = (),
        n_rows: int | None = None,
    ) -> None:
        super().__init__(merges if merges is None else checked_merges(merges, may_repeat=vocab is not None))
        self.added_tokens = {token.content: token for token in added_tokens}
        is_gpt2 = not self.added_tokens and (merges, vocab, special_tokens) == (None, None, None)
        self.vocab = self.vocab if vocab is None else dict(vocab)
        self.special_tokens = self.special_tokens if special_tokens is None else dict(special_tokens)
        for name, token_id in self.special_tokens.items():
            self.added_tokens.setdefault(name, AddedToken(name, token_id, special=True))
        self.special_tokens = {name: token.id for name, token in self.added_tokens.items() if token.special}
        if not is_gpt2:
            check_ids(self.merges, self.vocab, self.added_tokens.values())
            self._bytes = {token.id: token.content.encode() for token in self.added_tokens.values()}
            self._bytes |= {token_id: token for token, token_id in self.vocab.items()}
            self.n_vocab = max(self._bytes, default=-1) + 1
        self._n_rows = n_rows
        self._eot_id = self.special_tokens.get(END_OF_TEXT) if eot_id is None else eot_id
        self._bos_id = bos_id
        self.unk_id, self.fuse_unk, self.prefix, self.suffix = unk_id, fuse_unk, list(prefix), list(suffix)
        for token_id in [*self.prefix, *self.suffix, *([] if unk_id is None else [unk_id])]:
            if token_id not in self._bytes:
                raise ValueError(f"the tokenizer puts the id {token_id!r} into texts, which no token has")
        self._missing = b"".join(set(BYTES) - self.vocab.keys())
        self._search = AddedTokens(self.added_tokens.values())
        self._seen = _SeenWords(self._encode_word)
        self._seams = Seams(self.vocab)

    @property
    def eot_id(self) -> int:
        """The token that ends a text. Raises ValueError where there is none."""
        if self._eot_id is None:
            raise ValueError(f"this tokenizer has no {END_OF_TEXT}, and its files name no other eos_token")
        return self._eot_id

    @eot_id.setter
    def eot_id(self, token_id: int) -> None:
        self._eot_id = token_id

    @property
    def bos_id(self) -> int:
        """The token that a text begins with. Raises ValueError where there is none, nor one that ends a text."""
        return self.eot_id if self._bos_id is None else self._bos_id

    @property
    def roles(self) -> dict[str, int]:
        """The ids of what `transformers` calls `bos_token` and `eos_token`, as far as there are such."""
        ids = {"bos_token": self._bos_id, "eos_token": self._eot_id}
        return {role: token_id for role, token_id in ids.items() if token_id is not None}

    @property
    def is_plain(self) -> bool:
        """Whether there is no more to it than merges, the ids of their results, and a `<|endoftext|>`."""
        plain = [AddedToken(END_OF_TEXT, self.special_tokens.get(END_OF_TEXT, -1), special=True)]
        return list(self.added_tokens.values()) == plain and self._extras == (None, self.eot_id, None, False, [], [])

    @property
    def _extras(self) -> tuple[object, ...]:
        return self._bos_id, self._eot_id, self.unk_id, self.fuse_unk, self.prefix, self.suffix

    def __eq__(self, other: object) -> bool:
        """Whether both make the same ids of every text."""
        if not isinstance(other, Tokenizer):
            return self.is_plain and super().__eq__(other)
        mine, others = (self.added_tokens, self._extras), (other.added_tokens, other._extras)
        return mine == others and super().__eq__(other)

    __hash__ = None  # type: ignore[assignment]

    def encode(self, text: str, *, allowed_special: Collection[str] = (), add_special_tokens: bool = True) -> list[int]:
        """Do what the book's `encode` does, and put before and behind the text what the checkpoint wants there.

        `add_special_tokens=False` leaves that away. Raises ValueError also for a token that the model cannot read.
        """
        text.encode()
        allowed = self._special(allowed_special)
        ids = [*self.prefix] if add_special_tokens else []
        for piece in self._search.split(text, allowed) if allowed or self._search.has_text else [text]:
            ids += [piece] if isinstance(piece, int) else self._encode_ordinary(piece)
        ids += self.suffix if add_special_tokens else []
        if self._n_rows is not None and (beyond := [token_id for token_id in ids if token_id >= self._n_rows]):
            raise ValueError(
                f"the text has the token {self.decode(beyond[:1])!r} with the id {beyond[0]}, but the model knows ids "
                f"below {self._n_rows}: it was added to the tokenizer and never to the model"
            )
        return ids

    def _encode_ordinary(self, text: str) -> Iterable[int]:
        return chain.from_iterable(map(self._seen.__getitem__, self.split(text)))

    @staticmethod
    def split(text: str) -> Iterable[str]:
        """Cut a text into words, a few paragraphs at a time."""
        blocks = map(itemgetter(0), _BLOCK.finditer(text))
        return chain.from_iterable(_word_pattern(block.isascii()).findall(block) for block in blocks)

    def _encode_word(self, word: str) -> tuple[int, ...]:
        if not self._missing and not word.isascii():
            segments = self._seams.cut(word)
            if len(segments) > 1:
                return tuple(chain.from_iterable(map(self._seen.__getitem__, segments)))
        data = word.encode()
        if self.unk_id is None:
            data = data.translate(None, self._missing)
        elif self._missing:
            ids: list[int] = []
            for is_missing, run in groupby(data, self._missing.__contains__):
                part = bytes(run)
                ids += [self.unk_id] * (1 if self.fuse_unk else len(part)) if is_missing else self._ids(part)
            return tuple(ids)
        return tuple(self._ids(data))

    def _ids(self, word: bytes) -> Iterable[int]:
        return map(self.vocab.__getitem__, self._merge(word))

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
