"""Other right implementations of learning the merges of a tokenizer."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

from alternatives import other

from numpygpt.tokenizer import join


def _room(vocab_size: int) -> int:
    if vocab_size < 257:
        raise ValueError(f"{vocab_size} is too small")
    return vocab_size - 257


@other("train")
def train_on_every_word(cls: Any, text: str, vocab_size: int) -> Any:
    """Keep each occurrence of a word, and count them all."""
    words = [[bytes([b]) for b in word.encode()] for word in cls.split(text)]
    merges: list[Any] = []
    while len(merges) < _room(vocab_size):
        counts = Counter(pair for word in words for pair in pairwise(word))
        if not counts:
            break
        most = max(counts.values())
        merges.append(max(pair for pair, count in counts.items() if count == most))
        words = [join(word, merges[-1]) for word in words]
    return cls(merges)


@other("train")
def train_with_sort(cls: Any, text: str, vocab_size: int) -> Any:
    parts = {word: [bytes([b]) for b in word.encode()] for word in cls.split(text)}
    frequency, merges = Counter(cls.split(text)), []
    for _ in range(_room(vocab_size)):
        counts: dict[Any, int] = defaultdict(int)
        for word in parts:
            for i in range(len(parts[word]) - 1):
                counts[parts[word][i], parts[word][i + 1]] += frequency[word]
        ranked = sorted((count, pair) for pair, count in counts.items())
        if ranked:
            merges.append(ranked[-1][1])
            parts = {word: join(old, merges[-1]) for word, old in parts.items()}
    return cls(merges)


@other("train")
def train_on_numbers(cls: Any, text: str, vocab_size: int) -> Any:
    """Work with ids, and with the bytes of each only to compare equals and at the end."""
    tokens = [bytes([b]) for b in range(256)]
    words, merges = Counter(tuple(word.encode()) for word in cls.split(text)), []
    while len(tokens) - 256 < _room(vocab_size):
        counts: Counter[Any] = Counter()
        for word, n in words.items():
            for pair in pairwise(word):
                counts[pair] += n
        if not counts:
            break
        a, b = max(counts, key=lambda pair: (counts[pair], tokens[pair[0]], tokens[pair[1]]))
        merges.append((tokens[a], tokens[b]))
        tokens.append(tokens[a] + tokens[b])
        joined: Counter[Any] = Counter()
        for word, n in words.items():
            new: list[int] = []
            for i in word:
                if new and (new[-1], i) == (a, b):
                    new[-1] = len(tokens) - 1
                else:
                    new.append(i)
            joined[tuple(new)] += n
        words = joined
    return cls(merges)


@other("train")
def train_as_in_the_paper(cls: Any, text: str, vocab_size: int) -> Any:
    """Sennrich's program: symbols between blanks, here in hexadecimal, and a regular expression that joins."""
    words = {word.encode().hex(" "): n for word, n in Counter(cls.split(text)).items()}
    merges: list[Any] = []
    for _ in range(_room(vocab_size)):
        counts: Counter[Any] = Counter()
        for word, n in words.items():
            for a, b in pairwise(word.split()):
                counts[a, b] += n
        if not counts:
            break
        best = max(counts, key=lambda pair: (counts[pair], bytes.fromhex(pair[0]), bytes.fromhex(pair[1])))
        pattern = re.compile(rf"(?<!\S){best[0]} {best[1]}(?!\S)")
        words = {pattern.sub("".join(best), word): n for word, n in words.items()}
        merges.append(tuple(map(bytes.fromhex, best)))
    return cls(merges)


@other("train")
def train_by_recursion(cls: Any, text: str, vocab_size: int) -> Any:
    """Learn one merge fewer, then look at what the tokenizer makes of each word."""
    if not _room(vocab_size):
        text.encode()
        return cls([])
    smaller = train_by_recursion(cls, text, vocab_size - 1)
    counts: Counter[Any] = Counter()
    for word, n in Counter(cls.split(text)).items():
        *_, parts = smaller.merge_steps(word)
        for pair in pairwise(parts):
            counts[pair] += n
    if not counts:
        return smaller
    return cls([*smaller.merges, max(counts, key=lambda pair: (counts[pair], pair))])
