"""Tokens that were added to a vocabulary: found in a text as they are written, before it is cut into words.

Source: `AddedVocabulary` in https://github.com/huggingface/tokenizers, whose ids these are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import regex

_WORD = r"[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]"
_BLANKS_BEFORE = regex.compile(r"(?r)\p{White_Space}+")  # (?r): from the end backwards
_BLANKS_AFTER = regex.compile(r"\p{White_Space}+")
_WORD_BEFORE = regex.compile(f"(?r){_WORD}")
_WORD_AFTER = regex.compile(_WORD)


@dataclass(frozen=True)
class AddedToken:
    """A token that is found as it is written, with the names that `tokenizer.json` gives to what decides where.

    - `special`: it stands for no text, such as the end of one, and is found only where it is allowed
    - `normalized`: it is looked for in the second pass, in what the first has left
    - `lstrip`, `rstrip`: it takes the blanks before it, or behind it, with it
    - `single_word`: not found where a letter or digit stands beside it
    """

    content: str
    id: int
    special: bool = False
    normalized: bool = False
    lstrip: bool = False
    rstrip: bool = False
    single_word: bool = False


class AddedTokens:
    """A search for added tokens: in two passes, in each the leftmost, and of those the longest.

    >>> search = AddedTokens([AddedToken("cat", 300, single_word=True), AddedToken("<b>", 301, rstrip=True)])
    >>> list(search.split("a cat, <b> cats", allowed=()))
    ['a ', 300, ', ', 301, 'cats']
    """

    def __init__(self, tokens: Iterable[AddedToken]) -> None:
        tokens = sorted(tokens, key=lambda token: len(token.content), reverse=True)
        passes = [{token.content: token for token in tokens if token.normalized == late} for late in (False, True)]
        self._passes = [(regex.compile("|".join(map(regex.escape, each))), each) for each in passes if each]
        self.has_text = any(not token.special for token in tokens)  # which are always looked for

    def split(self, text: str, allowed: Collection[str]) -> Iterator[str | int]:
        """Cut a text into pieces of text and the ids of what is found: special tokens only if `allowed` names them.

        One that is found but not allowed, or within a word, is text: no shorter one is looked for in its place.
        """
        pieces: Iterable[str | int] = [text] if text else []
        for pattern, tokens in self._passes:
            pieces = [
                part
                for piece in pieces
                for part in (_split(piece, pattern, tokens, allowed) if isinstance(piece, str) else [piece])
            ]
        return iter(pieces)


def _split(text: str, pattern: Any, tokens: dict[str, AddedToken], allowed: Collection[str]) -> Iterator[str | int]:
    done = 0
    for match in pattern.finditer(text):
        token, start, end = tokens[match[0]], match.start(), match.end()
        if token.special and token.content not in allowed:
            continue
        if token.single_word and (_WORD_BEFORE.match(text, 0, start) or _WORD_AFTER.match(text, end)):
            continue
        if token.lstrip and (blanks := _BLANKS_BEFORE.match(text, 0, start)):
            start = blanks.start()
        start = max(start, done) if token.lstrip else start
        if token.rstrip and (blanks := _BLANKS_AFTER.match(text, end)):
            end = blanks.end()
        if done < start:
            yield text[done:start]
        if start < end:  # otherwise the token before it took its blanks
            yield token.id
        done = end
    if done < len(text):
        yield text[done:]
