"""Text to token ids and back: the byte-level byte-pair encoding (BPE) of GPT-2.

A text becomes ids in three steps:

1. A regular expression cuts it into *words*: letters, digits or punctuation with the space before them.
2. Each word becomes its UTF-8 bytes, so that any text at all can be written with 256 symbols.
3. Neighboring parts of a word are joined, the earliest merge of a learned list first, until no merge applies.

Ids 0 to 255 are the bytes, in an order of GPT-2's own, and id 256 + i is what merge i makes: the list of merges
is the whole tokenizer. `<|endoftext|>`, which separates documents, comes last. `encode` and `train` here are their
definition; `numpygpt.Tokenizer`, from `engine/bpe.py`, finds the same ids and the same merges faster.

>>> gpt2 = Tokenizer()
>>> gpt2.encode("Hello, world")
[15496, 11, 995]
>>> [gpt2.token_bytes(token_id) for token_id in [15496, 11, 995]]
[b'Hello', b',', b' world']
>>> gpt2.decode([15496, 11, 995])
'Hello, world'

Sources: Radford et al., "Language Models are Unsupervised Multitask Learners" (2019), section 2.2, and
`src/encoder.py` in openai/gpt-2; Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units"
(2016), section 3.2, for learning the merges.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from itertools import pairwise
from operator import index
from pathlib import Path
from typing import TypeVar

import regex

Pair = tuple[bytes, bytes]
T = TypeVar("T", bound="Tokenizer")

END_OF_TEXT = "<|endoftext|>"

# Contractions, letters, digits, everything else, and white space; the last blank of a run goes to the next word.
WORD = r"'(?:[sdmt]|ll|ve|re)| ?[\p{L}]+| ?[\p{N}]+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

# The character that stands for each byte in `vocab.json` and `merges.txt`, in the order of ids. Bytes that print in
# Latin-1 are written as they are; the others borrow the characters from U+0100 on: the space, for one, is "Ġ".
_PLAIN = [byte for byte in range(256) if chr(byte).isprintable() and byte != ord(" ")]
_OTHERS = [byte for byte in range(256) if byte not in _PLAIN]
ALPHABET = {byte: chr(byte) for byte in _PLAIN} | {byte: chr(256 + i) for i, byte in enumerate(_OTHERS)}
LETTERS = {letter: bytes([byte]) for byte, letter in ALPHABET.items()}
BYTES = list(LETTERS.values())


class Tokenizer:
    """A byte-level BPE tokenizer: `merges` are the pairs of byte strings to join, in the order they were learned.

    `Tokenizer()` is GPT-2's, and the first merges of its list make a smaller one whose ids agree with the large one's:

    >>> small = Tokenizer(Tokenizer().merges[:1000])
    >>> small.n_vocab, small.eot_id
    (1257, 1256)
    >>> small.encode(" we see or seem"), Tokenizer().encode(" we see or seem")
    ([356, 766, 393, 384, 368], [356, 766, 393, 1283])
    """

    def __init__(self, merges: Iterable[Pair] | None = None) -> None:
        self.merges = list(_gpt2_merges() if merges is None else merges)
        tokens = [*BYTES, *map(b"".join, self.merges)]
        self.vocab = dict(zip(tokens, range(len(tokens)), strict=True))
        self.special_tokens = {END_OF_TEXT: len(tokens)}
        self.eot_id = len(tokens)
        self.n_vocab = len(tokens) + 1
        self._bytes = dict(enumerate([*tokens, END_OF_TEXT.encode()]))
        self._ranks = dict(zip(self.merges, range(len(self.merges)), strict=True))

    def __eq__(self, other: object) -> bool:
        """Whether both make the same ids of every text."""
        if not isinstance(other, Tokenizer):
            return NotImplemented
        return (self.merges, self.vocab, self.special_tokens) == (other.merges, other.vocab, other.special_tokens)

    def __repr__(self) -> str:
        return f"<Tokenizer: {len(self.merges)} merges, {self.n_vocab} tokens>"

    def encode(self, text: str, *, allowed_special: Collection[str] = ()) -> list[int]:
        """Turn a text into token ids, special tokens only where `allowed_special` names them or is "all".

        So a text from a user cannot end a document:

        >>> Tokenizer().encode("<|endoftext|>")
        [27, 91, 437, 1659, 5239, 91, 29]
        >>> Tokenizer().encode("<|endoftext|>", allowed_special={"<|endoftext|>"})
        [50256]

        Raises ValueError for a special token that this tokenizer lacks and for a lone surrogate (half a character).
        """
        text.encode()  # raises where there is a lone surrogate
        special = self._special(allowed_special)
        pieces = re.split(f"({'|'.join(map(re.escape, special))})", text) if special else [text]
        ids: list[int] = []
        for piece in pieces:
            ids += [self.special_tokens[piece]] if piece in special else self._encode_ordinary(piece)
        return ids

    def _special(self, allowed_special: Collection[str]) -> list[str]:
        """List the special tokens to look for, the longest first."""
        if isinstance(allowed_special, str):
            allowed_special = self.special_tokens if allowed_special == "all" else [allowed_special]
        if unknown := set(allowed_special) - self.special_tokens.keys():
            raise ValueError(f"{min(unknown)!r} is not among the special tokens {', '.join(self.special_tokens)}")
        return sorted(allowed_special, key=len, reverse=True)

    def _encode_ordinary(self, text: str) -> Iterable[int]:
        """Encode a text without special tokens, by the three steps."""
        for word in self.split(text):
            *_, parts = self.merge_steps(word)
            yield from (self.vocab[part] for part in parts)

    @staticmethod
    def split(text: str) -> Iterable[str]:
        """Cut a text into words: step 1."""
        return (match[0] for match in regex.finditer(WORD, text))

    def merge_steps(self, word: str | bytes) -> Iterator[list[bytes]]:
        """Watch a word being merged: yield its bytes, then its parts after every merge.

        >>> for parts in Tokenizer().merge_steps("hello"):
        ...     print(b"|".join(parts).decode())
        h|e|l|l|o
        he|l|l|o
        he|ll|o
        hell|o
        hello
        """
        parts = [bytes([byte]) for byte in (word.encode() if isinstance(word, str) else word)]
        yield parts
        while known := [pair for pair in pairwise(parts) if pair in self._ranks]:
            parts = join(parts, min(known, key=self._ranks.__getitem__))  # the earliest merge
            yield parts

    def decode(self, ids: Iterable[int]) -> str:
        """Turn token ids into text; bytes that are not UTF-8 become U+FFFD, the replacement character."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Turn token ids into the bytes they stand for, which may begin or end inside a character."""
        return b"".join(map(self.token_bytes, ids))

    def token_bytes(self, token_id: int) -> bytes:
        """Look up the bytes of one token; like all decoding, raises ValueError for an id that no token has."""
        try:
            return self._bytes[index(token_id)]
        except KeyError:
            raise ValueError(f"token id {token_id} is outside this vocabulary of {self.n_vocab} tokens") from None

    @property
    def unused_ids(self) -> list[int]:
        """The ids below `n_vocab` that no token has: none here, but some checkpoints leave gaps."""
        return sorted(set(range(self.n_vocab)) - self._bytes.keys()) if len(self._bytes) < self.n_vocab else []

    def decoder(self) -> IncrementalDecoder:
        """Make a decoder for ids that come one at a time; see `IncrementalDecoder`."""
        return IncrementalDecoder(self)

    @classmethod
    def train(cls: type[T], text: str, vocab_size: int) -> T:
        """Learn merges from a text, until there are `vocab_size` tokens: the bytes, the merges and `<|endoftext|>`.

        The most frequent pair of neighbors within a word is merged first, even if it is seen only once; of equals,
        the greater pair of byte strings. Once every word is a single token nothing is left to learn, and the tokenizer
        stays smaller. `<|endoftext|>` in the text is text like any other here.

        >>> Tokenizer.train("low lower lowest", 261).merges
        [(b'o', b'w'), (b'l', b'ow'), (b'low', b'e'), (b' ', b'lowe')]

        Raises ValueError for a `vocab_size` below 257 and for a lone surrogate in the text.
        """
        if vocab_size < len(BYTES) + 1:
            raise ValueError(f"vocab_size is {vocab_size}; the 256 bytes and {END_OF_TEXT} alone take 257")
        text.encode()
        words = {word.encode(): count for word, count in Counter(cls.split(text)).items()}
        return cls(cls._learn_merges(words, vocab_size - len(BYTES) - 1))

    @staticmethod
    def _learn_merges(words: Mapping[bytes, int], n_merges: int) -> list[Pair]:
        """Learn merges from words and how often each occurs: count all pairs, join the most frequent, repeat."""
        parts = {word: [bytes([byte]) for byte in word] for word in words}
        merges: list[Pair] = []
        for _ in range(n_merges):
            counts: Counter[Pair] = Counter()
            for word, frequency in words.items():
                for pair in pairwise(parts[word]):
                    counts[pair] += frequency
            if not counts:
                break
            best = max(counts, key=lambda pair: (counts[pair], pair))
            merges.append(best)
            parts = {word: join(parts[word], best) for word in words}
        return merges


class IncrementalDecoder:
    """Decode ids as they come, holding back bytes until they make a whole character; in all, what `decode` makes.

    >>> tokenizer = Tokenizer()
    >>> decoder = tokenizer.decoder()
    >>> [decoder.feed(token_id) for token_id in tokenizer.encode("a cat: 🐈")]
    ['a', ' cat', ':', ' ', '', '🐈']
    >>> decoder.flush()
    ''
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def feed(self, token_id: int) -> str:
        """Add one id; return the characters that are now complete."""
        return self._utf8.decode(self._tokenizer.token_bytes(token_id))

    def flush(self) -> str:
        """End the text: return what was held back, as U+FFFD where it is no character, and begin anew."""
        return self._utf8.decode(b"", final=True)


def join(parts: Iterable[bytes], pair: Pair) -> list[bytes]:
    """Join every occurrence of a pair, from left to right.

    >>> join([b"a", b"a", b"a", b"b"], (b"a", b"a"))
    [b'aa', b'a', b'b']
    """
    left, right = pair
    joined: list[bytes] = []
    for part in parts:
        if part == right and joined and joined[-1] == left:
            joined[-1] += part
        else:
            joined.append(part)
    return joined


@cache
def _gpt2_merges() -> list[Pair]:
    """Read GPT-2's merges: after a first line, a pair of tokens a line, in printable characters."""
    tokens = dict(LETTERS)
    merges = []
    for line in (Path(__file__).parent / "data" / "merges.txt").read_text(encoding="utf-8").splitlines()[1:]:
        left, right = line.split(" ")
        merges.append((tokens[left], tokens[right]))
        tokens[left + right] = tokens[left] + tokens[right]
    return merges
