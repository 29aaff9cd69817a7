"""The text of tokens that arrive one by one: whole characters, stop strings, and why it ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_models import random_params

from numpygpt import GPT2, GPT2Config, Tokenizer
from numpygpt.sampling import Sampling
from numpygpt.stream import ENDED, MAX_NEW_TOKENS, STOP_STRING, TextStream

TOKENIZER = Tokenizer(Tokenizer().merges[:43])
WIDE = GPT2(  # room for long texts, and quick
    GPT2Config(vocab_size=300, n_ctx=2000, n_embd=4, n_layer=1, n_head=1),
    random_params(GPT2Config(vocab_size=300, n_ctx=2000, n_embd=4, n_layer=1, n_head=1)),
    TOKENIZER,
)

BYTE_IDS = {TOKENIZER.token_bytes(token_id)[0]: token_id for token_id in range(256)}
Script = Callable[[dict[str, str | list[int]]], None]


def byte_ids(text: str) -> list[int]:
    """One token for every byte."""
    return [BYTE_IDS[byte] for byte in text.encode()]


def follow(patch: pytest.MonkeyPatch, continuations: Mapping[str, str | list[int]]) -> None:
    """Make the real decode loop continue prompts with chosen texts (or ids) and then `<|endoftext|>`."""
    scripts = {
        tuple(TOKENIZER.encode(prompt)): TOKENIZER.encode(text) if isinstance(text, str) else text
        for prompt, text in continuations.items()
    }

    def choose(self: Sampling, logits: Any, previous_ids: list[list[int]], rngs: Any) -> Any:
        chosen = []
        for ids in previous_ids:
            (prompt,) = (prompt for prompt in scripts if tuple(ids[: len(prompt)]) == prompt)
            chosen.append([*scripts[prompt], TOKENIZER.eot_id][len(ids) - len(prompt)])
        return np.array(chosen)

    patch.setattr(Sampling, "choose", choose)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    return partial(follow, monkeypatch)


def last(steps: Any) -> list[TextStream]:
    *_, texts = steps
    result: list[TextStream] = texts
    return result


def test_texts_of_a_batch_end_each_for_its_own_reason(script: Script) -> None:
    script({"1": "one.", "2": "two, stop. And more", "3": "three " * 9})
    texts = last(WIDE.grow(["1", "2", "3"], 12, stop_strings=" stop"))
    assert [text.text for text in texts] == ["one.", "two,", TOKENIZER.decode(TOKENIZER.encode("three " * 9)[:12])]
    assert [text.finish_reason for text in texts] == [ENDED, STOP_STRING, MAX_NEW_TOKENS]


# Pieces of characters


@settings(max_examples=40, deadline=None)
@given(text=st.text(max_size=30), whole_bytes=st.booleans())
def test_pieces_are_whole_characters_of_any_text(text: str, whole_bytes: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        follow(patch, {">": byte_ids(text) if whole_bytes else text})
        pieces = list(WIDE.stream(">", 1000))
        assert WIDE.generate(">", 1000) == text
    assert "".join(pieces) == text
    assert text.count("\ufffd") == "".join(pieces).count("\ufffd")
    if whole_bytes:
        assert pieces == list(text)


def test_a_character_that_is_never_completed_is_replaced_at_the_end(script: Script) -> None:
    script({">": byte_ids("a🙂b")})
    assert list(WIDE.stream(">", 4)) == ["a", "\ufffd"]
    assert WIDE.generate(">", 4) == "a\ufffd"
    assert WIDE.generate(">", 5) == "a🙂"


# Stop strings


@pytest.mark.parametrize(
    ("text", "stops", "expected"),
    [
        ("one two three", "two", "one "),
        ("one two three", ["three", "two"], "one "),
        ("one two three", ["four"], "one two three"),
        ("one two three", [], "one two three"),
        ("one two three", "one", ""),
        ("one two three", "e", "on"),
        ("line\nline\n\nend", "\n\n", "line\nline"),
        ("aaab", "aab", "a"),
        ("abcabd", "abd", "abc"),
        ("ababac", ["abac"], "ab"),
        ("xabcd", ["bc", "abcd"], "xa"),  # the first to be complete
        ("xabcd", ["c", "abc"], "x"),  # complete together: the longer began first
        ("a🙂b", "🙂", "a"),
        ("a🙂b", "🙃", "a🙂b"),
        ("half a sto", "stop", "half a sto"),
        ("stop", "stop", ""),
    ],
)
def test_the_text_ends_before_a_stop_string(script: Script, text: str, stops: str | list[str], expected: str) -> None:
    script({">": byte_ids(text)})
    assert WIDE.generate(">", 100, stop_strings=stops) == expected
    assert "".join(WIDE.stream(">", 100, stop_strings=stops)) == expected
    (grown,) = last(WIDE.grow([">"], 100, stop_strings=stops))
    assert grown.finish_reason == (ENDED if expected == text else STOP_STRING)


def test_a_token_may_hold_the_end_of_a_stop_string_and_more(script: Script) -> None:
    tokens = [TOKENIZER.encode(part) for part in (" in", " the", "ion")]
    assert [len(token) for token in tokens] == [1, 1, 1]
    script({">": [token_id for token in tokens for token_id in token]})
    assert WIDE.generate(">", stop_strings="n t") == " i"
    assert WIDE.generate(">", stop_strings="in thei") == " "


def test_no_token_is_computed_after_a_stop_string(script: Script) -> None:
    script({">": byte_ids("abcdef")})
    (text,) = last(WIDE.grow([">"], stop_strings="bc"))
    assert text.n_tokens == 3


def test_a_stop_string_at_the_last_token_is_the_reason(script: Script) -> None:
    script({">": byte_ids("abcdef")})
    (text,) = last(WIDE.grow([">"], 3, stop_strings="c"))
    assert (text.text, text.finish_reason) == ("ab", STOP_STRING)


def test_only_what_may_begin_a_stop_string_is_held_back(script: Script) -> None:
    script({">": byte_ids("ab the end. then")})
    pieces = [texts[0].piece for texts in WIDE.grow([">"], stop_strings=["then", "b"])]
    assert pieces == ["", "a", ""]
    pieces = [texts[0].piece for texts in WIDE.grow([">"], stop_strings="then!")]
    assert pieces == ["", *"ab ", "", "", "", "the ", *"end. ", "", "", "", "", "then"]


def test_held_back_text_comes_when_the_text_ends_at_max_new_tokens(script: Script) -> None:
    script({">": byte_ids("ab the end")})
    assert list(WIDE.stream(">", 6, stop_strings="then")) == ["a", "b", " ", "the"]


@settings(max_examples=60, deadline=None)
@given(text=st.text("ab ", max_size=30), stops=st.lists(st.text("ab ", min_size=1, max_size=4), max_size=3))
def test_stop_strings_follow_their_definition(text: str, stops: Sequence[str]) -> None:
    """Reading letter by letter, the text ends as soon as a stop string is complete, before the longest such."""
    expected = text
    for end in range(len(text) + 1):
        complete = [len(stop) for stop in stops if text[:end].endswith(stop)]
        if complete:
            expected = text[: end - max(complete)]
            break
    with pytest.MonkeyPatch.context() as patch:
        follow(patch, {">": byte_ids(text)})
        assert WIDE.generate(">", 100, stop_strings=stops) == expected
        assert "".join(WIDE.stream(">", 100, stop_strings=stops)) == expected
        follow(patch, {">": text})
        in_longer_tokens = str(WIDE.generate(">", 100, stop_strings=stops))
    assert text.startswith(in_longer_tokens)
    assert not any(stop in in_longer_tokens for stop in stops)
