"""Text in the form that a translator was trained on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from numpygpt.sentences import normalize, normalize_case, split_sentences


@given(st.text())
def test_normalizing_twice_changes_nothing_more(text: str) -> None:
    once = normalize(text)
    assert normalize(once) == once
    assert once == once.strip()
    assert "  " not in once
    assert "\n" not in once


def test_quotes_dashes_dots_and_blanks_become_plain() -> None:
    assert normalize("\ufeffIt\u2019s \u201cfine\u201d \u2013\u00a0really\u2026\u200b\n") == 'It\'s "fine" - really...'
    assert normalize("cafe\u0301") == normalize("cafe\u200b\u0301") == "caf\u00e9"
    assert normalize("\u1fef") == "'"
    assert normalize(" \t\n") == ""


def test_case() -> None:
    assert normalize_case("i am here. OK?") == "I am here. OK?"
    assert normalize_case("WHERE ARE YOU?") == "Where are you?"
    assert normalize_case("NASA") == "NASA"
    assert normalize_case("\u00e9t\u00e9") == "\u00c9t\u00e9"
    assert normalize_case("") == ""
    assert normalize_case("ß 0") == "ß 0"


@given(st.lists(st.sampled_from(["Go!", 'He said: "No."', "It costs 3.50 euros.", "Why? ", "And then"]), max_size=6))
def test_sentences_are_cut_at_their_ends_and_nothing_is_lost(sentences: list[str]) -> None:
    text = " ".join(sentences)
    parts = split_sentences(text)
    assert " ".join(" ".join(parts).split()) == " ".join(text.split())
    assert all(part[-1] in '.!?"' for part in parts[:-1])


def test_a_number_does_not_end_a_sentence() -> None:
    assert split_sentences("It costs 3.50 euros. Why?") == ["It costs 3.50 euros.", "Why?"]
    assert split_sentences("  ") == []


def test_an_abbreviation_does_not_end_a_sentence() -> None:
    parts = ["The top of Mt. Fuji.", "Dr. No met J. Bond at 7 p.m. sharp.", "It was I.", "Wait...", "What?!", "No."]
    assert split_sentences(" ".join(parts)) == parts
