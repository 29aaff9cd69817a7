"""Sentences as a translator reads them: the same in training and in use."""

from __future__ import annotations

import unicodedata

import regex

PLAIN = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u00b4`", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"),
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u00ad"),  # of no width
        "\u2026": "...",
    }
)
_BLANKS = regex.compile(r"\s+")
_SHORT = r"(?<!\b(?:Mr|Mrs|Ms|Dr|Mt|St|Prof|[A-HJ-Z])|\.\p{L})"  # no abbreviation, no initial, no "a.m" before the dot
_SENTENCE = regex.compile(rf".+?(?:(?:[!?]|{_SHORT}\.)+[\"')\]»]*(?=\s|$)|$)\s*", regex.DOTALL)


def normalize(text: str) -> str:
    """Return a text in the one form of characters, quotes, dashes and blanks that training has shown.

    >>> print(normalize(" It’s   “fine” … "))
    It's "fine" ...
    """
    composed = unicodedata.normalize("NFC", text.translate(PLAIN))  # which a character of no width may have kept apart
    return _BLANKS.sub(" ", composed.translate(PLAIN)).strip()


def normalize_case(text: str) -> str:
    """Begin with a capital, and write what is in capitals throughout in small letters.

    >>> normalize_case("where is the station?"), normalize_case("STOP THAT!"), normalize_case("OK.")
    ('Where is the station?', 'Stop that!', 'OK.')
    """
    if text.isupper() and " " in text:
        text = text.lower()
    capital = text[:1].upper()
    return capital + text[1:] if len(capital) == 1 else text  # "ß" has none of its own


def split_sentences(text: str) -> list[str]:
    """Cut a text where sentences end.

    >>> split_sentences('He said: "Go!" I went. Why?')
    ['He said: "Go!"', 'I went.', 'Why?']
    >>> split_sentences("At 7 a.m. Mr. Smith left. Why?")
    ['At 7 a.m. Mr. Smith left.', 'Why?']
    """
    return [sentence.strip() for sentence in _SENTENCE.findall(text) if sentence.strip()]
