"""Mistakes in `tokenizer.py`."""

from __future__ import annotations

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


@mistake("join", "What of the last part?", "It has no right neighbor, and stays: append it behind the loop.")
def last_lost(parts: Any, pair: Any) -> Any:
    joined = join(parts, pair)
    return joined[:-1] if joined and list(parts)[-1] == joined[-1] else joined


@mistake("join", "What if the last part was joined?", "It is in the result already: append it only if it is left.")
def last_twice(parts: Any, pair: Any) -> Any:
    parts = list(parts)
    joined = join(parts, pair)
    return joined if joined[-1:] == parts[-1:] else [*joined, parts[-1]]


@mistake("join", "Which part of the pair comes first?", "Left, then right: b, a is not the pair a, b.")
def either_order(parts: Any, pair: Any) -> Any:
    joined: list[bytes] = []
    for part in parts:
        if joined and (joined[-1], part) in (tuple(pair), tuple(pair)[::-1]):
            joined[-1] = joined[-1] + part
        else:
            joined.append(part)
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


def _steps(self: Any, word: Any, merge: Any) -> Any:
    parts = [bytes([b]) for b in (word.encode() if isinstance(word, str) else word)]
    yield parts
    while known := [pair for pair in pairwise(parts) if pair in self._ranks]:
        parts = merge(parts, min(known, key=self._ranks.__getitem__))
        yield parts


@mistake("merge_steps", "How often may a pair occur in a word?", "One merge joins all its occurrences: call `join`.")
def one_occurrence(self: Any, word: Any) -> Any:
    yield from _steps(self, word, first_alone)


@mistake("merge_steps", "Can a part belong to two pairs?", "It is joined once, from left to right: call `join`.")
def overlapping_joined(self: Any, word: Any) -> Any:
    yield from _steps(self, word, overlapping)


@mistake("merge_steps", "What of a pair that overlaps itself, as in -----?", "From left to right: --, --, -.")
def joined_from_the_right(self: Any, word: Any) -> Any:
    yield from _steps(self, word, from_the_right)


@mistake("merge_steps", "Is the last merge shown?", "Yield after every merge, the last one too.")
def last_step_missing(self: Any, word: Any) -> Any:
    steps = list(Tokenizer.merge_steps(self, word))
    yield from steps[:-1] or steps


@mistake("merge_steps", "How many steps are yielded?", "The parts after every merge, not those at the end alone.")
def only_the_end(self: Any, word: Any) -> Any:
    yield list(Tokenizer.merge_steps(self, word))[-1]


@mistake("encode", "What if the tokenizer lacks an allowed special token?", "Raise a ValueError: do not pass it over.")
def unknown_special_passed_over(self: Any, text: str, *, allowed_special: Any = ()) -> Any:
    known = self.special_tokens if allowed_special == "all" else self.special_tokens.keys() & set(allowed_special)
    return Tokenizer.encode(self, text, allowed_special=set(known))


@mistake(
    "encode", "Which bytes stand for half a character?", "None: a lone surrogate is a ValueError; encode() raises it."
)
def half_a_character_replaced(self: Any, text: str, *, allowed_special: Any = ()) -> Any:
    whole = text.encode("utf-8", errors="replace").decode()
    return Tokenizer.encode(self, whole, allowed_special=allowed_special)


@mistake("encode", 'What does "all" allow?', "Every special token of the tokenizer: self.special_tokens.")
def all_means_none(self: Any, text: str, *, allowed_special: Any = ()) -> Any:
    return Tokenizer.encode(self, text, allowed_special=() if allowed_special == "all" else allowed_special)


@mistake("encode", "May a text have capital letters?", "Yes: they are other bytes, and other tokens.")
def lower_case(self: Any, text: str, *, allowed_special: Any = ()) -> Any:
    return Tokenizer.encode(self, text.lower(), allowed_special=allowed_special)


@mistake("encode", "What of a special token that is allowed?", "Its id stands among the others: do not drop it.")
def special_dropped(self: Any, text: str, *, allowed_special: Any = ()) -> Any:
    ids = Tokenizer.encode(self, text, allowed_special=allowed_special)
    return [token_id for token_id in ids if token_id not in self.special_tokens.values()]


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


@mistake("decode", "Is a byte a character?", "é is two bytes: decode them as UTF-8.")
def byte_by_byte(self: Any, ids: Any) -> Any:
    return self.decode_bytes(ids).decode("latin-1")


@mistake("decode", "What does <|endoftext|> become?", "A text like any other token's: it is not dropped.")
def special_dropped_again(self: Any, ids: Any) -> Any:
    return Tokenizer.decode(self, [i for i in ids if i != self.eot_id])


@mistake("decode", "Are there blanks between tokens?", "The space is part of the token: join them with nothing.")
def with_blanks(self: Any, ids: Any) -> Any:
    return " ".join(self.token_bytes(i).decode("utf-8", errors="replace") for i in ids)
