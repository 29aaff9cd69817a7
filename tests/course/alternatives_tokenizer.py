"""Other right implementations of `join`, of a word's merges, and of encoding and decoding."""

from __future__ import annotations

import re
from collections import deque
from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np
import regex
from alternatives import other

from numpygpt.tokenizer import WORD, join


@other("join")
def join_by_index(parts: Any, pair: Any) -> Any:
    joined, i = [], 0
    while i < len(parts):
        if i + 1 < len(parts) and parts[i] == pair[0] and parts[i + 1] == pair[1]:
            joined.append(parts[i] + parts[i + 1])
            i += 2
        else:
            joined.append(parts[i])
            i += 1
    return joined


@other("join")
def join_by_recursion(parts: Any, pair: Any) -> Any:
    if len(parts) < 2:
        return list(parts)
    if tuple(parts[:2]) == pair:
        return [pair[0] + pair[1], *join_by_recursion(parts[2:], pair)]
    return [parts[0], *join_by_recursion(parts[1:], pair)]


@other("join")
def join_from_a_queue(parts: Any, pair: Any) -> Any:
    waiting, done = deque(parts), []
    while waiting:
        part = waiting.popleft()
        if part == pair[0] and waiting and waiting[0] == pair[1]:
            part += waiting.popleft()
        done.append(part)
    return done


@other("join")
def join_with_a_flag(parts: Any, pair: Any) -> Any:
    """Return a tuple: as good as a list to whoever reads the parts in order."""
    joined: tuple[bytes, ...] = ()
    skip = False
    for i, part in enumerate(parts):
        if skip:
            skip = False
            continue
        skip = part == pair[0] and list(parts[i + 1 : i + 2]) == [pair[1]]
        joined += (b"".join(pair) if skip else part,)
    return joined


@other("join")
def join_within_a_copy(parts: Any, pair: Any) -> Any:
    parts = list(parts)
    for i in range(len(parts)):
        if parts[i : i + 2] == list(pair):
            parts[i : i + 2] = [pair[0] + pair[1]]
    return parts


@other("merge_steps")
def steps_in_a_list(self: Any, word: Any) -> Any:
    parts = [bytes([b]) for b in (word.encode() if isinstance(word, str) else word)]
    steps = [parts]
    while True:
        ranks = [self._ranks.get(pair, float("inf")) for pair in pairwise(parts)]
        if not ranks or min(ranks) == float("inf"):
            return steps
        parts = join(parts, self.merges[min(ranks)])
        steps.append(parts)


@other("merge_steps")
def steps_as_openai_wrote_them(self: Any, word: Any) -> Any:
    data = word.encode() if isinstance(word, str) else word
    parts = tuple(data[i : i + 1] for i in range(len(data)))
    yield parts
    while len(parts) > 1:
        pairs = set(pairwise(parts))
        first, second = min(pairs, key=lambda pair: self._ranks.get(pair, float("inf")))
        if (first, second) not in self._ranks:
            break
        new: list[bytes] = []
        i = 0
        while i < len(parts):
            try:
                j = parts.index(first, i)
            except ValueError:
                new.extend(parts[i:])
                break
            new.extend(parts[i:j])
            if j < len(parts) - 1 and parts[j + 1] == second:
                new.append(first + second)
                i = j + 2
            else:
                new.append(parts[j])
                i = j + 1
        parts = tuple(new)
        yield parts


@other("merge_steps")
def steps_through_the_list(self: Any, word: Any) -> Any:
    """Take the merges one after the other: what a merge makes is only used by later ones."""
    parts = [bytes([b]) for b in (word.encode() if isinstance(word, str) else word)]
    yield parts
    for pair in self.merges:
        if pair in pairwise(parts):
            parts = join(parts, pair)
            yield parts


@other("merge_steps")
def steps_by_recursion(self: Any, word: Any) -> Any:
    def rest(parts: Any) -> Any:
        yield parts
        ranked = sorted((self._ranks[pair], pair) for pair in pairwise(parts) if pair in self._ranks)
        if ranked:
            yield from rest(join(parts, ranked[0][1]))

    data = word if isinstance(word, bytes) else word.encode("utf-8")
    yield from rest([bytes([b]) for b in data])


@other("merge_steps")
def steps_by_cuts(self: Any, word: Any) -> Any:
    """Keep the places between parts instead of the parts."""
    data = word.encode() if isinstance(word, str) else bytes(word)
    cuts = list(range(len(data) + 1))
    while True:
        parts = [data[a:b] for a, b in pairwise(cuts)]
        yield parts
        found = [(self._ranks[pair], i) for i, pair in enumerate(pairwise(parts)) if pair in self._ranks]
        if not found:
            return
        best, last = min(found)[0], -2
        for i in [i for rank, i in found if rank == best]:
            if i != last + 1:
                cuts.remove(sum(len(part) for part in parts[: i + 1]))
                last = i


def _special(self: Any, allowed: Any) -> Any:
    special = set(self.special_tokens) if allowed == "all" else set(allowed)
    if not special <= set(self.special_tokens):
        raise ValueError(f"{special} are not all special tokens")
    return special


@other("encode")
def encode_with_findall(self: Any, text: str, *, allowed_special: Any = ()) -> Any:
    ids: list[int] = []
    special = _special(self, allowed_special)
    pattern = "|".join(re.escape(token) for token in special) or r"(?!)"
    start = 0
    for match in [*re.finditer(pattern, text), None]:
        for word in regex.findall(WORD, text[start : match.start() if match else None]):
            ids.extend(self.vocab[part] for part in list(self.merge_steps(word))[-1])
        if match:
            ids.append(self.special_tokens[match.group()])
            start = match.end()
    return ids


@other("encode")
def encode_by_recursion(self: Any, text: str, *, allowed_special: Any = ()) -> Any:
    for token in _special(self, allowed_special):
        before, found, after = text.partition(token)
        if found:
            left = encode_by_recursion(self, before, allowed_special=allowed_special)
            return [
                *left,
                self.special_tokens[token],
                *encode_by_recursion(self, after, allowed_special=allowed_special),
            ]
    return [self.vocab[part] for word in self.split(text) for part in deque(self.merge_steps(word), maxlen=1)[0]]


@other("encode")
def encode_with_a_memory(self: Any, text: str, *, allowed_special: Any = ()) -> Any:
    known: dict[str, list[int]] = {}
    result: list[int] = []
    pieces = [text]
    for token in _special(self, allowed_special):
        pieces = [part for piece in pieces for part in re.split(f"({re.escape(token)})", piece)]
    for piece in pieces:
        if piece in _special(self, allowed_special):
            result += [self.special_tokens[piece]]
            continue
        for word in self.split(piece):
            if word not in known:
                for parts in self.merge_steps(word):
                    known[word] = [self.vocab[part] for part in parts]
            result += known[word]
    return result


@other("encode")
def encode_to_an_array(self: Any, text: str, *, allowed_special: Any = ()) -> Any:
    return np.array(encode_with_findall(self, text, allowed_special=allowed_special))


@other("encode")
def encode_one_by_one(self: Any, text: str, *, allowed_special: Any = ()) -> Any:
    special = _special(self, allowed_special)
    while text:
        places = {text.find(token): token for token in special if token in text}
        end = min(places) if places else len(text)
        for word in self.split(text[:end]):
            *_, last = self.merge_steps(word)
            yield from map(self.vocab.get, last)
        if places:
            yield self.special_tokens[places[end]]
        text = text[end + (len(places[end]) if places else 0) :]


@other("decode")
def decode_by_a_table(self: Any, ids: Any) -> Any:
    return b"".join(self._bytes[i] for i in ids).decode("utf-8", "replace")


@other("decode")
def decode_by_the_vocabulary_turned_round(self: Any, ids: Any) -> Any:
    tokens = {i: token for token, i in self.vocab.items()}
    tokens |= {i: token.encode() for token, i in self.special_tokens.items()}
    text = b""
    for i in ids:
        text += tokens[i]
    return text.decode(errors="replace")


@other("decode")
def decode_into_a_bytearray(self: Any, ids: Any) -> Any:
    collected = bytearray()
    for i in ids:
        collected.extend(self.token_bytes(i))
    return collected.decode("utf-8", errors="replace")


@other("decode")
def decode_bit_by_bit(self: Any, ids: Any) -> Any:
    decoder = self.decoder()
    return "".join([*map(decoder.feed, ids), decoder.flush()])


@other("decode")
def decode_by_reduce(self: Any, ids: Any) -> Any:
    return str(reduce(lambda text, i: text + self.token_bytes(i), ids, b""), "utf-8", "replace")
