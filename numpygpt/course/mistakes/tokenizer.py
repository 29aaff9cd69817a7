"""Mistakes in `tokenizer.py`."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

from numpygpt.course.mistakes.registry import mistake
from numpygpt.tokenizer import Tokenizer, join


@mistake("join", "How often may the pair occur?", "Join every occurrence, not the first alone.")
def first_alone(parts: Any, pair: Any) -> Any:
    parts = list(parts)
    for i in range(len(parts) - 1):
        if (parts[i], parts[i + 1]) == pair:
            return [*parts[:i], pair[0] + pair[1], *parts[i + 2 :]]
    return parts


@mistake("join", "What of a, a, a with the pair a, a?", "From left to right: aa, a. Yours begins at the end.")
def from_the_right(parts: Any, pair: Any) -> Any:
    joined: list[bytes] = []
    for part in reversed(list(parts)):
        if part == pair[0] and joined and joined[0] == pair[1]:
            joined[0] = part + joined[0]
        else:
            joined.insert(0, part)
    return joined


@mistake("join", "Can a part belong to two pairs?", "After a join, go on behind both parts.")
def overlapping(parts: Any, pair: Any) -> Any:
    parts, joined, i = list(parts), [], 0
    while i < len(parts):
        if tuple(parts[i : i + 2]) == tuple(pair):
            joined.append(pair[0] + pair[1])
        elif not (i and (parts[i - 1], parts[i]) == tuple(pair)):
            joined.append(parts[i])
        i += 1
    return joined


@mistake("join", "Is it the parts or their bytes that must match?", "Compare both parts with the pair, not their join.")
def by_bytes(parts: Any, pair: Any) -> Any:
    parts, joined, i = list(parts), [], 0
    while i < len(parts):
        two = b"".join(parts[i : i + 2])
        whole = len(parts[i : i + 2]) == 2 and two == pair[0] + pair[1]
        joined.append(two if whole else parts[i])
        i += 2 if whole else 1
    return joined


@mistake("merge_steps", "Which merge comes first?", "The *earliest of the list* (lowest rank), not the leftmost pair.")
def left_to_right(self: Any, word: Any) -> Any:
    parts = [bytes([b]) for b in (word.encode() if isinstance(word, str) else word)]
    yield parts
    while known := [pair for pair in pairwise(parts) if pair in self._ranks]:
        parts = join(parts, known[0])
        yield parts


@mistake("merge_steps", "Which merge comes first?", "The lowest rank was learned first: min, not max.")
def latest_first(self: Any, word: Any) -> Any:
    parts = [bytes([b]) for b in (word.encode() if isinstance(word, str) else word)]
    yield parts
    while known := [pair for pair in pairwise(parts) if pair in self._ranks]:
        parts = join(parts, max(known, key=self._ranks.__getitem__))
        yield parts


@mistake("merge_steps", "What is yielded first?", "The single bytes, before any merge.")
def bytes_not_yielded(self: Any, word: Any) -> Any:
    yield from list(Tokenizer.merge_steps(self, word))[1:]


@mistake("merge_steps", "What does one byte of é mean?", "Bytes, not characters: word.encode() first.")
def characters(self: Any, word: Any) -> Any:
    parts = [character.encode() for character in word]
    yield parts
    while known := [pair for pair in pairwise(parts) if pair in self._ranks]:
        parts = join(parts, min(known, key=self._ranks.__getitem__))
        yield parts


@mistake("merge_steps", "What becomes of the parts that were yielded?", "Yield a new list each time: one list changes.")
def one_list(self: Any, word: Any) -> Any:
    parts: list[bytes] = []
    for step in Tokenizer.merge_steps(self, word):
        parts[:] = step
        yield parts


@mistake("encode", "May a merge cross two words?", "Split the text into words first; each is merged by itself.")
def not_split(self: Any, text: str, *, allowed_special: Any = ()) -> Any:
    if allowed_special:
        return Tokenizer.encode(self, text, allowed_special=allowed_special)
    *_, parts = self.merge_steps(text)
    return [self.vocab[part] for part in parts]


@mistake(
    "encode", "When is <|endoftext|> one token?", "Only where allowed_special names it: elsewhere it is plain text."
)
def special_always(self: Any, text: str, *, allowed_special: Any = ()) -> Any:
    return Tokenizer.encode(self, text, allowed_special="all")


@mistake(
    "encode", "Does allowed_special do anything?", "Cut the text at the allowed special tokens and give them their ids."
)
def special_never(self: Any, text: str, *, allowed_special: Any = ()) -> Any:
    return Tokenizer.encode(self, text)


@mistake("encode", "Do merges happen?", "Merge each word; single bytes are only the beginning.")
def bytes_alone(self: Any, text: str, *, allowed_special: Any = ()) -> Any:
    return [self.vocab[bytes([byte])] for byte in text.encode()]


@mistake("decode", "Is every token whole characters?", "Join the bytes of all tokens first, then decode them once.")
def token_by_token(self: Any, ids: Any) -> Any:
    return "".join(self.token_bytes(i).decode("utf-8", errors="replace") for i in ids)


@mistake("decode", "What of bytes that are no UTF-8?", "They become U+FFFD: errors='replace'.")
def strict_decoding(self: Any, ids: Any) -> Any:
    return self.decode_bytes(ids).decode()


@mistake("decode", "What of bytes that are no UTF-8?", "They become U+FFFD and are not dropped: errors='replace'.")
def ignored_bytes(self: Any, ids: Any) -> Any:
    return self.decode_bytes(ids).decode("utf-8", errors="ignore")


@mistake("decode", "Are there blanks between tokens?", "The space is part of the token: join them with nothing.")
def with_blanks(self: Any, ids: Any) -> Any:
    return " ".join(self.token_bytes(i).decode("utf-8", errors="replace") for i in ids)


def _learned(cls: Any, words: Any, n_merges: int, better: Any) -> Any:
    parts = {word: [bytes([b]) for b in word] for word in words}
    merges: Any = []
    for _ in range(n_merges):
        counts: Counter[Any] = Counter()
        for word, frequency in words.items():
            for pair in pairwise(parts[word]):
                counts[pair] += frequency
        if not counts:
            break
        merges.append(max(counts, key=lambda pair: better(counts, pair)))
        parts = {word: join(parts[word], merges[-1]) for word in words}
    return cls(merges)


def _words(text: str) -> Any:
    return {word.encode(): count for word, count in Counter(Tokenizer.split(text)).items()}


@mistake("train", "Which of two equally frequent pairs?", "The *greater* pair of byte strings.")
def first_of_equals(cls: Any, text: str, vocab_size: int) -> Any:
    return _learned(cls, _words(text), vocab_size - 257, lambda counts, pair: counts[pair])


@mistake("train", "How often does a word count?", "As often as it stands in the text: add its frequency.")
def words_once(cls: Any, text: str, vocab_size: int) -> Any:
    words = dict.fromkeys(_words(text), 1)
    return _learned(cls, words, vocab_size - 257, lambda counts, pair: (counts[pair], pair))


@mistake(
    "train", "How many tokens are there before any merge?", "256 bytes *and* <|endoftext|>: vocab_size - 257 merges."
)
def one_too_many(cls: Any, text: str, vocab_size: int) -> Any:
    return _learned(cls, _words(text), vocab_size - 256, lambda counts, pair: (counts[pair], pair))


@mistake("train", "May a merge cross two words?", "Count pairs within words: split the text first.")
def across_words(cls: Any, text: str, vocab_size: int) -> Any:
    return _learned(cls, {text.encode(): 1}, vocab_size - 257, lambda counts, pair: (counts[pair], pair))
