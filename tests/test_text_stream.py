"""The text of tokens that arrive one by one: whole characters, stop strings, and why it ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_folders import TOKENIZER
from random_models import random_params

from numpygpt import GPT2, GPT2Config
from numpygpt.sampling import Sampling
from numpygpt.stream import ENDED, MAX_NEW_TOKENS, STOP_STRING

CONFIG = GPT2Config(vocab_size=300, n_ctx=2000, n_embd=4, n_layer=1, n_head=1)  # room for long texts, and quick
WIDE = GPT2(CONFIG, random_params(CONFIG), TOKENIZER)
BYTE_IDS = {TOKENIZER.token_bytes(token_id)[0]: token_id for token_id in range(256)}


def byte_ids(text: str) -> list[int]:
    """One token for every byte."""
    return [BYTE_IDS[byte] for byte in text.encode()]


@contextmanager
def written(continuations: Mapping[str, list[int]]) -> Iterator[None]:
    """Make the real decode loop continue prompts with chosen ids and then `<|endoftext|>`."""
    scripts = {tuple(TOKENIZER.encode(prompt)): [*ids, TOKENIZER.eot_id] for prompt, ids in continuations.items()}

    def choose(self: Sampling, logits: Any, previous_ids: list[list[int]], rngs: Any) -> Any:
        chosen = []
        for ids in previous_ids:
            (prompt,) = (prompt for prompt in scripts if tuple(ids[: len(prompt)]) == prompt)
            chosen.append(scripts[prompt][len(ids) - len(prompt)])
        return np.array(chosen)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sampling, "choose", choose)
        yield


def ended(ids: list[int], max_new_tokens: int = 1000, stops: str | Sequence[str] = ()) -> tuple[list[str], str, int]:
    """The pieces of a text of chosen ids, which are also what `generate` returns; why it ended, and its tokens."""
    with written({">": ids}):
        pieces = list(WIDE.stream(">", max_new_tokens, stop_strings=stops))
        *_, (text,) = WIDE.grow([">"], max_new_tokens, stop_strings=stops)
    assert "".join(pieces) == text.text
    return pieces, str(text.finish_reason), text.n_tokens


def test_texts_of_a_batch_end_each_for_its_own_reason() -> None:
    scripts = {"1": "one.", "2": "two, stop. And more", "3": "three " * 9}
    with written({prompt: TOKENIZER.encode(text) for prompt, text in scripts.items()}):
        *_, texts = WIDE.grow(list(scripts), 12, stop_strings=" stop")
    assert [text.text for text in texts] == ["one.", "two,", TOKENIZER.decode(TOKENIZER.encode("three " * 9)[:12])]
    assert [text.finish_reason for text in texts] == [ENDED, STOP_STRING, MAX_NEW_TOKENS]


@settings(max_examples=40)
@given(st.text(max_size=30))
def test_pieces_are_whole_characters_of_any_text(text: str) -> None:
    assert ended(byte_ids(text))[0] == list(text)
    assert "".join(ended(TOKENIZER.encode(text))[0]) == text


def test_a_character_that_is_never_completed_is_replaced_at_the_end() -> None:
    assert ended(byte_ids("a🙂b"), 4) == (["a", "\ufffd"], MAX_NEW_TOKENS, 4)
    assert ended(byte_ids("a🙂b"), 5) == (["a", "🙂"], MAX_NEW_TOKENS, 5)


# ---- Stop strings


@pytest.mark.parametrize(
    ("text", "stops", "expected"),
    [
        ("one two three", "two", "one "),
        ("one two three", ["three", "two"], "one "),
        ("one two three", ["four"], "one two three"),
        ("line\nline\n\nend", "\n\n", "line\nline"),
        ("ababac", ["abac"], "ab"),
        ("xabcd", ["bc", "abcd"], "xa"),  # the first to be complete
        ("xabcd", ["c", "abc"], "x"),  # complete together: the longer began first
        ("a🙂b", "🙂", "a"),
        ("a🙂b", "🙃", "a🙂b"),
        ("half a sto", "stop", "half a sto"),
        ("stop", "stop", ""),
    ],
)
def test_the_text_ends_before_a_stop_string(text: str, stops: str | list[str], expected: str) -> None:
    pieces, reason, _ = ended(byte_ids(text), stops=stops)
    assert ("".join(pieces), reason) == (expected, ENDED if expected == text else STOP_STRING)


def test_a_token_may_hold_the_end_of_a_stop_string_and_more() -> None:
    ids = [token_id for part in (" in", " the", "ion") for token_id in TOKENIZER.encode(part)]
    assert len(ids) == 3
    assert "".join(ended(ids, stops="n t")[0]) == " i"
    assert "".join(ended(ids, stops="in thei")[0]) == " "


def test_no_token_is_computed_after_a_stop_string_which_is_the_reason_at_the_last_token_too() -> None:
    assert ended(byte_ids("abcdef"), stops="bc") == (["a"], STOP_STRING, 3)
    assert ended(byte_ids("abcdef"), 3, stops="c") == (["a", "b"], STOP_STRING, 3)


def test_only_what_may_begin_a_stop_string_is_held_back_and_comes_when_the_text_ends() -> None:
    with written({">": byte_ids("ab the end. then")}):
        pieces = [texts[0].piece for texts in WIDE.grow([">"], stop_strings="then!")]
    assert pieces == ["", *"ab ", "", "", "", "the ", *"end. ", "", "", "", "", "then"]
    assert ended(byte_ids("ab the end"), 6, stops="then")[0] == ["a", "b", " ", "the"]


@settings(max_examples=60)
@given(text=st.text("ab ", max_size=30), stops=st.lists(st.text("ab ", min_size=1, max_size=4), max_size=3))
def test_stop_strings_follow_their_definition(text: str, stops: list[str]) -> None:
    """Reading letter by letter, the text ends as soon as a stop string is complete, before the longest such."""
    expected = text
    for end in range(len(text) + 1):
        complete = [len(stop) for stop in stops if text[:end].endswith(stop)]
        if complete:
            expected = text[: end - max(complete)]
            break
    assert "".join(ended(byte_ids(text), stops=stops)[0]) == expected
    in_longer_tokens = "".join(ended(TOKENIZER.encode(text), stops=stops)[0])
    assert text.startswith(in_longer_tokens)
    assert not any(stop in in_longer_tokens for stop in stops)
