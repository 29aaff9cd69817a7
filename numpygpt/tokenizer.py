"""Text to token ids and back: the byte-level byte-pair encoding (BPE) of GPT-2.

A text becomes ids in three steps:

1. A regular expression cuts it into *words*: letters, digits or punctuation with the space before them.
2. Each word becomes its UTF-8 bytes, so that any text at all can be written with 256 symbols.
3. Neighbouring parts of a word are joined, the earliest merge of a learned list first, until no merge applies.

Ids 0 to 255 are the bytes, in an order of GPT-2's own, and id 256 + i is what merge i makes: the list of merges
is the whole tokenizer. `<|endoftext|>`, which separates documents, comes last.

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
import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from heapq import heapify, heappop, heappush
from itertools import chain, pairwise
from operator import index, itemgetter
from pathlib import Path
from typing import Any

from numpygpt.files import written_whole

Pair = tuple[bytes, bytes]

END_OF_TEXT = "<|endoftext|>"

# Contractions, letters, digits, everything else, and white space; the last blank of a run goes to the next word.
WORD = r"'(?:[sdmt]|ll|ve|re)| ?[\p{L}]+| ?[\p{N}]+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

# A long text is cut into words a few paragraphs at a time. A line break after a letter always begins a new word.
_BLOCK = re.compile(r".{0,4000}\S(?=\n)|.+", re.DOTALL)


class Tokenizer:
    """A byte-level BPE tokenizer; `Tokenizer()` is GPT-2's.

    Parameters:
        merges: the pairs of byte strings to join, in the order they were learned. GPT-2's if left out.
        vocab: the id of each byte and of each merge's result, for checkpoints that number them in another order.
        special_tokens: the ids of tokens that stand for no text, `<|endoftext|>` among them.

    Raises ValueError where the merges do not build on each other or the ids are not one for each token.

    The first merges of GPT-2's list make a smaller tokenizer whose ids agree with the large one's:

    >>> small = Tokenizer(Tokenizer().merges[:1000])
    >>> small.n_vocab, small.eot_id
    (1257, 1256)
    >>> small.encode(" all that we see or seem")
    [477, 326, 356, 766, 393, 384, 368]
    >>> Tokenizer().encode(" all that we see or seem")
    [477, 326, 356, 766, 393, 1283]
    """

    merges: list[Pair]
    special_tokens: dict[str, int]
    n_vocab: int
    eot_id: int

    def __init__(
        self,
        merges: Sequence[Pair] | None = None,
        *,
        vocab: Mapping[bytes, int] | None = None,
        special_tokens: Mapping[str, int] | None = None,
    ) -> None:
        if merges is None:
            self.merges = list(_gpt2_merges())
        else:
            self.merges = [(left, right) for left, right in merges]
            _check_merges(self.merges)
        tokens = [*_BYTES, *map(b"".join, self.merges)]
        self._ids = dict(zip(tokens, range(len(tokens)), strict=True) if vocab is None else vocab)
        self.special_tokens = dict({END_OF_TEXT: len(tokens)} if special_tokens is None else special_tokens)
        if (merges, vocab, special_tokens) != (None, None, None):
            _check_numbering(tokens, self._ids, self.special_tokens)
        self._ranks = dict(zip(self.merges, range(len(self.merges)), strict=True))
        self._bytes = {token_id: token for token, token_id in self._ids.items()}
        self._bytes |= {token_id: name.encode() for name, token_id in self.special_tokens.items()}
        self._words = _WordCache(self._encode_word)
        self.n_vocab = max(self._bytes) + 1
        self.eot_id = self.special_tokens[END_OF_TEXT]

    def __eq__(self, other: object) -> bool:
        """Whether both make the same ids of every text."""
        if not isinstance(other, Tokenizer):
            return NotImplemented
        return (self.merges, self._ids, self.special_tokens) == (other.merges, other._ids, other.special_tokens)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Tokenizer: {len(self.merges)} merges, {self.n_vocab} tokens>"

    def encode(self, text: str, *, allowed_special: Collection[str] = ()) -> list[int]:
        """Turn a text into token ids.

        Special tokens are found only where `allowed_special` names them (or is "all"), so that a text from a user
        cannot end a document:

        >>> Tokenizer().encode("<|endoftext|>")
        [27, 91, 437, 1659, 5239, 91, 29]
        >>> Tokenizer().encode("<|endoftext|>", allowed_special={"<|endoftext|>"})
        [50256]

        Raises ValueError for a special token that this tokenizer does not have, and for a lone surrogate (half a
        character, which has no UTF-8).
        """
        try:
            if not allowed_special:
                return self._encode_text(text)
            special = self._allowed(allowed_special)
            parts = re.split(f"({'|'.join(map(re.escape, special))})", text)
            return [
                token_id
                for part in parts
                for token_id in ([self.special_tokens[part]] if part in special else self._encode_text(part))
            ]
        except UnicodeEncodeError:
            raise _lone_surrogate(text) from None

    def decode(self, ids: Iterable[int]) -> str:
        """Turn token ids into text; bytes that are not UTF-8 become U+FFFD, the replacement character.

        Raises ValueError for an id outside the vocabulary.
        """
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Turn token ids into the bytes they stand for, which may begin or end inside a character.

        Raises ValueError for an id outside the vocabulary.
        """
        return b"".join(map(self.token_bytes, ids))

    def token_bytes(self, token_id: int) -> bytes:
        """Look up the bytes of one token.

        >>> Tokenizer().token_bytes(50255)
        b' gazed'

        Raises ValueError for an id outside the vocabulary.
        """
        try:
            return self._bytes[index(token_id)]
        except KeyError:
            message = f"token id {token_id} is outside this tokenizer's vocabulary of {self.n_vocab} tokens"
            raise ValueError(message) from None

    def decoder(self) -> IncrementalDecoder:
        """Make a decoder for ids that come one at a time; see `IncrementalDecoder`."""
        return IncrementalDecoder(self)

    def merge_steps(self, word: str | bytes) -> Iterator[list[bytes]]:
        """Watch a word being merged: yield its bytes, then its parts after every merge.

        This is the definition of BPE. `encode` finds the same parts without looking at every pair at each step.

        >>> for parts in Tokenizer().merge_steps("hello"):
        ...     print(b"|".join(parts).decode())
        h|e|l|l|o
        he|l|l|o
        he|ll|o
        hell|o
        hello
        """
        parts = [bytes([byte]) for byte in (word.encode() if isinstance(word, str) else word)]
        yield list(parts)
        while mergeable := [pair for pair in pairwise(parts) if pair in self._ranks]:
            earliest = min(mergeable, key=self._ranks.__getitem__)
            i = list(pairwise(parts)).index(earliest)
            parts[i : i + 2] = [b"".join(earliest)]
            yield list(parts)

    @classmethod
    def train(cls, text: str, vocab_size: int) -> Tokenizer:
        """Learn merges from a text.

        `vocab_size` counts the 256 bytes, the merges and `<|endoftext|>`. The text is cut into words, and no merge
        crosses from one word to the next. The most frequent pair is merged first, even if it is seen only once; of
        pairs equally frequent, the lexicographically greater pair of byte strings. Once every word of the text is a
        single token nothing is left to learn, and the tokenizer stays smaller than `vocab_size`.

        >>> Tokenizer.train("low lower lowest", 261).merges
        [(b'o', b'w'), (b'l', b'ow'), (b'low', b'e'), (b' ', b'lowe')]

        The text `<|endoftext|>` is text like any other here: split documents and join them without it before.
        Raises ValueError for a `vocab_size` below 257 and for a lone surrogate in the text.
        """
        if vocab_size < len(_BYTES) + 1:
            message = f"vocab_size is {vocab_size}; the 256 bytes and {END_OF_TEXT} alone take 257"
            raise ValueError(message)
        try:
            words = {word.encode(): count for word, count in Counter(_words(text)).items()}
        except UnicodeEncodeError:
            raise _lone_surrogate(text) from None
        return cls(_learn_merges(words, vocab_size - len(_BYTES) - 1))

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Tokenizer:
        """Read a tokenizer from a model's folder.

        Reads `merges.txt`, with `vocab.json` and `added_tokens.json` where they exist, or else `tokenizer.json` as
        `transformers` saves it. Special tokens are the added ones and those in `vocab.json` that stand in brackets,
        like `<|endoftext|>` or `[PAD]`.

        Raises FileNotFoundError where neither file is there, and ValueError, naming the file, for one that is
        malformed or asks for another kind of tokenizer.
        """
        folder = Path(folder)
        if (folder / "merges.txt").exists():
            _check_tokenizer_config(folder / "tokenizer_config.json")
            merges, names = _read_merges(folder / "merges.txt")
            vocab, added = _read_ids(folder / "vocab.json"), _read_ids(folder / "added_tokens.json")
        elif (folder / "tokenizer.json").exists():
            merges, names, vocab, added = _read_tokenizer_json(folder / "tokenizer.json")
        else:
            message = f"{folder} holds no tokenizer: neither merges.txt (with vocab.json) nor tokenizer.json is there"
            raise FileNotFoundError(message)
        try:
            ids, special_tokens = _number(names, vocab, added)
            return cls(merges, vocab=ids, special_tokens=special_tokens)
        except ValueError as error:
            raise ValueError(f"{folder}: {error}") from None

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write `vocab.json` and `merges.txt` as OpenAI wrote GPT-2's, into a folder that is made if need be.

        Special tokens besides `<|endoftext|>` are listed in `added_tokens.json` too. Each file replaces an older one
        only once it is complete. Raises OSError where it cannot be written.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        vocab = {_printable(token): token_id for token, token_id in self._ids.items()} | self.special_tokens
        added = {name: token_id for name, token_id in self.special_tokens.items() if name != END_OF_TEXT}
        merges = "".join(f"{_printable(left)} {_printable(right)}\n" for left, right in self.merges)
        files = {
            "vocab.json": json.dumps(dict(sorted(vocab.items(), key=lambda item: item[1]))),
            "merges.txt": f"#version: 0.2\n{merges}",
        }
        if added:
            files["added_tokens.json"] = json.dumps(added)
        for name, text in files.items():
            with written_whole(folder / name) as file:
                file.write(text.encode())
        if not added:
            (folder / "added_tokens.json").unlink(missing_ok=True)

    def _allowed(self, allowed_special: Collection[str]) -> list[str]:
        """List the special tokens to look for in a text, the longest first."""
        if allowed_special == "all":
            allowed_special = self.special_tokens
        elif isinstance(allowed_special, str):
            allowed_special = [allowed_special]
        for name in allowed_special:
            if name not in self.special_tokens:
                have = ", ".join(self.special_tokens)
                raise ValueError(f"{name!r} is not a special token of this tokenizer; it has {have}")
        return sorted(allowed_special, key=len, reverse=True)

    def _encode_text(self, text: str) -> list[int]:
        return list(chain.from_iterable(map(self._words.__getitem__, _words(text))))

    def _encode_word(self, word: str) -> tuple[int, ...]:
        return tuple(map(self._ids.__getitem__, self._merge(word.encode())))

    def _merge(self, word: bytes) -> list[bytes]:
        """Merge a word in O(n log n): pairs wait in a heap, and parts know their neighbours.

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
                continue  # one of the two has been merged with another neighbour since
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


class IncrementalDecoder:
    """Decode ids as they come, holding back bytes until they make a whole character.

    The pieces together are the text that `Tokenizer.decode` makes of all the ids.

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
        """Add one id; return the characters that are now complete.

        Raises ValueError for an id outside the vocabulary.
        """
        return self._utf8.decode(self._tokenizer.token_bytes(token_id))

    def flush(self) -> str:
        """End the text: return what was held back, as U+FFFD where it is no character, and begin anew."""
        rest = self._utf8.decode(b"", final=True)
        self._utf8.reset()
        return rest


class _WordCache(dict[str, tuple[int, ...]]):
    """The ids of each word, merged when the word is first met.

    Most of a text is words seen before. Forgets all of them now and then and never keeps a very long one, so that
    no text makes it grow beyond some tens of megabytes.
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


def _words(text: str) -> Iterator[str]:
    """Cut a text into the words that BPE merges within."""
    blocks = map(itemgetter(0), _BLOCK.finditer(text))
    return chain.from_iterable(_word_pattern(block.isascii()).findall(block) for block in blocks)


@cache
def _word_pattern(is_ascii: bool) -> Any:
    if is_ascii:  # Python's own `re` knows no \p{L}, but is twice as fast and already imported
        return re.compile(WORD.replace(r"\p{L}", "A-Za-z").replace(r"\p{N}", "0-9"), re.ASCII)
    import regex

    return regex.compile(WORD)


def _lone_surrogate(text: str) -> ValueError:
    position, half = next((i, c) for i, c in enumerate(text) if "\ud800" <= c <= "\udfff")
    return ValueError(f"the text has a lone surrogate, {half!a}, at position {position}; it is not valid Unicode")


# Learning the merges


class _Candidate(tuple[int, Pair]):
    """How often a pair occurs, and the pair; sorts backwards, so that the least in a heap is the greatest."""

    __lt__ = tuple.__gt__


def _learn_merges(words: Mapping[bytes, int], n_merges: int) -> list[Pair]:
    """Learn up to `n_merges` merges from words and how often each occurs.

    The counts of pairs are kept up to date by going only to the words that hold the merged pair. A count never
    grows once its pair exists, so the heap may hold counts that are too high: they are put right when they surface.
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
            parts[w] = _join(parts[w], best)
            for pair in pairwise(parts[w]):
                counts[pair] += frequency[w]
                if merged in pair:
                    where[pair].add(w)
                    created.add(pair)
        for pair in created:
            heappush(heap, _Candidate((counts[pair], pair)))
    return merges


def _join(parts: list[bytes], pair: Pair) -> list[bytes]:
    """Join every occurrence of a pair, from left to right.

    >>> _join([b"a", b"a", b"a", b"b"], (b"a", b"a"))
    [b'aa', b'a', b'b']
    """
    joined: list[bytes] = []
    previous = None  # the part before this one, unless it has just been joined
    for part in parts:
        if (previous, part) == pair:
            joined[-1] += part
            previous = None
        else:
            joined.append(part)
            previous = part
    return joined


# The numbering of the tokens


def _alphabet() -> dict[int, str]:
    """Map each byte to the character that stands for it in `vocab.json` and `merges.txt`, in the order of ids.

    Bytes that print as a character of Latin-1 are written as that character; the others, the space among them,
    borrow the characters from U+0100 on.

    >>> _alphabet()[ord("a")], _alphabet()[ord(" ")]
    ('a', 'Ġ')
    """
    plain = [byte for byte in range(256) if chr(byte).isprintable() and byte != ord(" ")]
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + i) for i, byte in enumerate(others)}


_ALPHABET = _alphabet()
_LETTERS = {letter: bytes([byte]) for byte, letter in _ALPHABET.items()}
_BYTES = list(_LETTERS.values())  # in the order of their ids
_BYTE = [bytes([byte]) for byte in range(256)]


def _printable(token: bytes) -> str:
    return token.decode("latin-1").translate(_ALPHABET)


def _check_merges(merges: list[Pair]) -> None:
    """Refuse merges whose parts do not exist when their turn comes, or that make a token a second time."""
    known = set(_BYTES)
    for i, (left, right) in enumerate(merges):
        for part in (left, right):
            if part not in known:
                raise ValueError(f"merge {i} joins {part!r}, which is neither a byte nor made by an earlier merge")
        if left + right in known:
            raise ValueError(f"merge {i} makes {left + right!r}, which an earlier merge makes already")
        known.add(left + right)


def _check_numbering(tokens: list[bytes], ids: Mapping[bytes, int], special_tokens: Mapping[str, int]) -> None:
    """Refuse a vocabulary that does not give every token an id of its own."""
    if missing := [token for token in tokens if token not in ids]:
        kind = "the byte" if len(missing[0]) == 1 else "the result of a merge,"
        raise ValueError(f"the vocabulary lacks {kind} {missing[0]!r}, and {len(missing) - 1} more tokens")
    if len(ids) > len(tokens):
        extra = next(token for token in ids if token not in set(tokens))
        raise ValueError(f"the vocabulary has {extra!r}, which is neither a byte nor the result of a merge")
    if END_OF_TEXT not in special_tokens:
        raise ValueError(f"{END_OF_TEXT} is not among the special tokens {list(special_tokens)}")
    owner: dict[int, bytes | str] = {}
    numbered: list[tuple[bytes | str, int]] = [*ids.items(), *special_tokens.items()]
    for token, token_id in numbered:
        if type(token_id) is not int or token_id < 0:
            raise ValueError(f"the id of {token!r} is {token_id!r}; ids are whole numbers from 0")
        if token_id in owner:
            raise ValueError(f"the id {token_id} is used twice, for {owner[token_id]!r} and for {token!r}")
        owner[token_id] = token
    for name in special_tokens:
        if not name or (_LETTERS.keys() >= set(name) and b"".join(_LETTERS[c] for c in name) in ids):
            raise ValueError(f"the special token {name!r} is empty or written like an ordinary token")


# Files


@cache
def _gpt2_merges() -> tuple[Pair, ...]:
    merges, _ = _read_merges(Path(__file__).parent / "data" / "merges.txt")
    return tuple(merges)


def _read_merges(path: Path) -> tuple[list[Pair], dict[str, bytes]]:
    lines = _read_text(path).rstrip("\n").split("\n")
    first = 1 if lines[0].startswith("#version") or lines == [""] else 0
    return _parse_merges([line.split(" ") for line in lines[first:]], f"{path}, line", first + 1)


def _parse_merges(merges: Sequence[Any], where: str, first: int) -> tuple[list[Pair], dict[str, bytes]]:
    """Turn merges of printable text into pairs of bytes, and name every token in the order of ids.

    `where` and `first` tell the reader of an error which merge is wrong.
    """
    names = dict(_LETTERS)
    pairs: list[Pair] = []
    for number, parts in enumerate(merges, first):
        try:
            left, right = parts
            pair = names[left], names[right]
        except KeyError as error:
            message = f"{where} {number}: {error} is neither a byte nor made by an earlier merge"
            raise ValueError(message) from None
        except (TypeError, ValueError):
            raise ValueError(f"{where} {number}: expected two parts, found {parts!r}") from None
        name = left + right
        if name in names:
            raise ValueError(f"{where} {number}: an earlier merge makes {name!r} already")
        names[name] = pair[0] + pair[1]
        pairs.append(pair)
    return pairs, names


def _number(
    names: dict[str, bytes], vocab: dict[str, int] | None, added: dict[str, int] | None
) -> tuple[dict[bytes, int], dict[str, int]]:
    """Find the id of every token by its name, and the special tokens.

    Special tokens are those that were added, and whatever in `vocab` is neither a byte nor a merge's result but
    stands in brackets. Without them it is more likely that merges are missing.
    """
    added = added or {}
    if vocab is None:
        vocab = {name: i for i, name in enumerate([*names, END_OF_TEXT])}
    ids = {token: vocab[name] for name, token in names.items() if name in vocab}
    special_tokens = {name: token_id for name, token_id in vocab.items() if name not in names}
    for name in special_tokens:
        if name not in added and not re.fullmatch(r"<.*>|\[.*\]", name):
            raise ValueError(f"{name!r} has an id, but no merge makes it and it is not among the added tokens")
    for name, token_id in added.items():
        if special_tokens.setdefault(name, token_id) != token_id:
            raise ValueError(f"{name!r} has two ids, {special_tokens[name]} and {token_id}")
    return ids, special_tokens


# What decides the tokens in `tokenizer.json`, and the values with which they are GPT-2's.
_NOTHING: tuple[object, ...] = (None, False, "", {})
_SETTINGS: dict[str, tuple[object, ...]] = {
    "model.type": ("BPE",),
    "model.dropout": _NOTHING,
    "model.continuing_subword_prefix": _NOTHING,
    "model.end_of_word_suffix": _NOTHING,
    "model.byte_fallback": _NOTHING,
    "model.ignore_merges": _NOTHING,
    "normalizer": _NOTHING,
    "pre_tokenizer.type": ("ByteLevel",),
    "pre_tokenizer.add_prefix_space": (False,),
    "pre_tokenizer.use_regex": (True, None),
    "post_processor.type": ("ByteLevel", "TemplateProcessing", None),
    "post_processor.special_tokens": _NOTHING,
}


def _read_tokenizer_json(
    path: Path,
) -> tuple[list[Pair], dict[str, bytes], dict[str, int], dict[str, int]]:
    data = _read_json(path)
    for setting, allowed in _SETTINGS.items():
        value = data
        for key in setting.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if value not in allowed:
            raise ValueError(f"{path}: {setting} is {value!r}, which is not GPT-2's byte-level BPE")
    merges = data["model"].get("merges")
    added = data.get("added_tokens") or []
    if not isinstance(merges, list) or not isinstance(added, list):
        raise ValueError(f"{path}: model.merges and added_tokens must be lists")
    merges = [merge.split(" ") if isinstance(merge, str) else merge for merge in merges]
    try:
        added_ids = {token["content"]: token["id"] for token in added}
    except (KeyError, TypeError):
        raise ValueError(f"{path}: an entry of added_tokens lacks its content or its id") from None
    vocab = _check_ids(data["model"].get("vocab"), path)
    return *_parse_merges(merges, f"{path}, merge", 0), vocab, _check_ids(added_ids, path)


def _check_tokenizer_config(path: Path) -> None:
    config = _read_json(path) if path.exists() else {}
    if isinstance(config, dict) and config.get("add_prefix_space"):
        raise ValueError(f"{path}: add_prefix_space is true, which is not GPT-2's byte-level BPE")


def _read_ids(path: Path) -> dict[str, int] | None:
    return _check_ids(_read_json(path), path) if path.exists() else None


def _check_ids(data: Any, path: Path) -> dict[str, int]:
    if not isinstance(data, dict):
        raise ValueError(f"{path}: expected an object that gives each token its id, found {type(data).__name__}")
    for name, token_id in data.items():
        if type(token_id) is not int or token_id < 0:
            raise ValueError(f"{path}: the id of {name!r} is {token_id!r}; ids are whole numbers from 0")
    return data


def _read_json(path: Path) -> Any:
    text = _read_text(path)
    try:
        return json.loads(text, object_pairs_hook=_no_repeats)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not valid JSON: {error}") from None


def _no_repeats(items: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(items)
    if len(data) < len(items):
        name = Counter(name for name, _ in items).most_common(1)[0][0]
        raise ValueError(f"{name!r} occurs twice")
    return data


def _read_text(path: Path) -> str:
    data = path.read_bytes()
    try:
        return data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}, line {line}: byte {data[error.start]:#04x} is not UTF-8 text") from None
