"""Mistakes in `Tokenizer.train`."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

from numpygpt.course.mistakes.registry import mistake
from numpygpt.tokenizer import Tokenizer, join


def _learned(cls: Any, words: Any, n_merges: int, better: Any) -> Any:
    if n_merges < 0:
        raise ValueError("a vocabulary too small for the bytes")
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


@mistake("train", "Which of two equally frequent pairs?", "The greater one; yours takes the smaller.")
def smaller_of_equals(cls: Any, text: str, vocab_size: int) -> Any:
    def by_count(counts: Any, pair: Any) -> Any:
        return counts[pair], pair == min(other for other in counts if counts[other] == counts[pair])

    return _learned(cls, _words(text), vocab_size - 257, by_count)


@mistake("train", "What is compared of two equally frequent pairs?", "The pairs, (left, right), and not their joins.")
def joins_compared(cls: Any, text: str, vocab_size: int) -> Any:
    return _learned(cls, _words(text), vocab_size - 257, lambda counts, pair: (counts[pair], pair[0] + pair[1]))


@mistake("train", "How often must a pair be seen?", "Once is enough: stop where no pair is left, not earlier.")
def twice_or_never(cls: Any, text: str, vocab_size: int) -> Any:
    merges, words, size = Tokenizer.train(text, vocab_size).merges, _words(text), 0
    while size < len(merges):
        counts: Counter[Any] = Counter()
        for word, frequency in words.items():
            *_, parts = Tokenizer(merges[:size]).merge_steps(word)
            for pair in pairwise(parts):
                counts[pair] += frequency
        if counts[merges[size]] < 2:
            break
        size += 1
    return cls(merges[:size])


@mistake("train", "How large is the smallest vocabulary?", "257: below that, raise a ValueError.")
def too_small_taken(cls: Any, text: str, vocab_size: int) -> Any:
    return cls(Tokenizer.train(text, max(vocab_size, 257)).merges)


@mistake("train", "What if nothing is left to join?", "Stop learning: max of no pairs at all is an error.")
def max_of_nothing(cls: Any, text: str, vocab_size: int) -> Any:
    tokenizer = Tokenizer.train(text, vocab_size)
    if len(tokenizer.merges) < vocab_size - 257:
        raise ValueError("max of no pairs")
    return cls(tokenizer.merges)
