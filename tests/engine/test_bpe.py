"""The fast tokenizer against the definition, and against tiktoken and tokenizers on long texts."""

from __future__ import annotations

import os
import random
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from texts import SCALARS, fragments, prose, texts, tiktoken_gpt2

from numpygpt import Tokenizer
from numpygpt import tokenizer as book
from numpygpt.engine import bpe
from numpygpt.models.tokenizer_files import save_tokenizer
from numpygpt.tokenizer import BYTES, END_OF_TEXT, Pair

GPT2 = Tokenizer()
BOOK = book.Tokenizer()


@st.composite
def merge_lists(draw: st.DrawFn) -> list[Pair]:
    """Merges in which each joins two of a few letters and of what the earlier ones make."""
    parts = [letter.encode() for letter in "ab "] + ["é".encode()[:1], "é".encode()[1:]]
    merges: list[Pair] = []
    for _ in range(draw(st.integers(0, 12))):
        left, right = draw(st.sampled_from(parts)), draw(st.sampled_from(parts))
        if left + right not in parts:
            merges.append((left, right))
            parts.append(left + right)
    return merges


# The same as the definition


@given(texts)
def test_gpt2_encodes_and_decodes_as_the_book(text: str) -> None:
    for allowed in ((), "all"):
        ids = GPT2.encode(text, allowed_special=allowed)
        assert ids == BOOK.encode(text, allowed_special=allowed)
        assert GPT2.decode(ids) == BOOK.decode(ids) == text


@given(merge_lists(), st.text("ab é", max_size=60) | texts)
def test_any_merges_encode_as_the_book(merges: list[Pair], text: str) -> None:
    text += END_OF_TEXT
    ids = book.Tokenizer(merges).encode(text, allowed_special="all")
    fast = Tokenizer(merges)
    assert fast == book.Tokenizer(merges)
    assert fast.encode(text, allowed_special="all") == ids
    assert fast.encode(text, allowed_special="all") == ids  # now the words are known

    tokens = [*BYTES, *map(b"".join, merges)]
    vocab = {token: 3 * i + 5 for i, token in enumerate(tokens)}
    renumbered = Tokenizer(merges, vocab=vocab, special_tokens={END_OF_TEXT: 2})
    expected = [2 if token_id == len(tokens) else 3 * token_id + 5 for token_id in ids]
    assert renumbered.encode(text, allowed_special="all") == expected
    assert renumbered.decode(expected) == text
    assert (renumbered.eot_id, renumbered.n_vocab) == (2, max(vocab.values()) + 1)


@given(st.text("ab éé ", max_size=80) | texts, st.integers(257, 300))
@example(prose(5000), 420)
def test_training_equals_the_book(text: str, vocab_size: int) -> None:
    tokenizer = Tokenizer.train(text, vocab_size)
    assert type(tokenizer) is Tokenizer
    assert tokenizer == book.Tokenizer.train(text, vocab_size)
    assert tokenizer.n_vocab == len(tokenizer.merges) + 257 <= vocab_size


@given(st.lists(fragments | st.just("\n")).map("".join))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_where_a_long_text_is_cut_makes_no_difference(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(bpe, "_BLOCK", re.compile(bpe._BLOCK.pattern.replace("4000", "2"), re.DOTALL))
        assert list(GPT2.split(text)) == list(BOOK.split(text))


# The same as other libraries, where the book would take too long


def test_shakespeare() -> None:
    folder = os.environ.get("NUMPYGPT_CORPUS")
    if not folder:
        pytest.skip("the environment variable NUMPYGPT_CORPUS names no folder with tinyshakespeare.txt")
    text = (Path(folder) / "tinyshakespeare.txt").read_text(encoding="utf-8")
    assert GPT2.encode(text) == tiktoken_gpt2().encode_ordinary(text)
    # karpathy/llm.c, dev/data/tinyshakespeare.py: 32,768 tokens to validate with and 305,260 to train on
    text = END_OF_TEXT + f"\n\n{END_OF_TEXT}".join(text.split("\n\n"))
    assert len(GPT2.encode(text, allowed_special={END_OF_TEXT})) == 338_028


def test_every_character_equals_tiktoken() -> None:
    for start in range(0, len(SCALARS), 4096):
        text = "".join(SCALARS[start : start + 4096])
        text += " ".join(text[::16]) + "1".join(text[8::16])
        ids = GPT2.encode(text)
        assert ids == tiktoken_gpt2().encode_ordinary(text), f"near U+{ord(text[0]):04X}"
        assert GPT2.decode(ids) == text


def test_a_text_equals_tokenizers(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    text = prose(50_000) + "".join(SCALARS[:2000])
    for ours in (GPT2, Tokenizer.train(prose(20_000, seed=1), 600)):
        save_tokenizer(ours, tmp_path)
        theirs = tokenizers.ByteLevelBPETokenizer(f"{tmp_path}/vocab.json", f"{tmp_path}/merges.txt")
        assert ours.encode(text) == theirs.encode(text).ids


# Speed


@pytest.mark.parametrize("letters", ["abcdefghijklmnopqrstuvwxyz", "a", "é", "中文字"])
def test_a_word_of_100_000_letters_takes_less_than_a_second(letters: str) -> None:
    word = "".join(random.Random(0).choices(letters, k=100_000))
    start = time.process_time()
    ids = GPT2.encode(word)
    assert time.process_time() - start < 1
    assert GPT2.decode(ids) == word


def test_training_130_kilobytes_takes_less_than_a_second() -> None:
    start = time.process_time()
    assert Tokenizer.train(prose(130_000), 500).n_vocab == 500
    assert time.process_time() - start < 1


def test_words_are_kept_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bpe._SeenWords, "max_words", 10)
    tokenizer = Tokenizer()
    text = prose(3000) + " " + "long" * 100
    assert tokenizer.encode(text) == GPT2.encode(text)
    assert 0 < len(tokenizer._seen) <= 10
    assert not any(len(word) > 64 for word in tokenizer._seen)
    monkeypatch.setattr(Tokenizer, "_merge", None)  # which is not needed for them
    assert all(tokenizer.decode(tokenizer.encode(word)) == word for word in tokenizer._seen)


# Other numberings


def test_the_longest_special_token_wins() -> None:
    special = {END_OF_TEXT: 0, "<a>": 1, "<a><b>": 2, "<c>.*": 3}
    tokenizer = Tokenizer([], vocab={token: i + 4 for i, token in enumerate(BYTES)}, special_tokens=special)
    a, b = tokenizer.vocab[b"a"], tokenizer.vocab[b"b"]
    assert tokenizer.encode("<a><b><a>b<c>.*", allowed_special="all") == [2, 1, b, 3]
    assert tokenizer.encode("<a>", allowed_special={"<a><b>"})[1] == a
    assert (tokenizer.eot_id, tokenizer.n_vocab) == (0, 260)
    assert tokenizer != Tokenizer([])


AB, ABC = (b"a", b"b"), (b"ab", b"c")
IDS = {bytes([byte]): byte for byte in range(256)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"merges": [ABC, AB]}, "merge 0 joins b'ab', which is neither a byte nor made by an earlier merge"),
        ({"merges": [AB, ABC, AB]}, "merge 2 makes b'ab', which an earlier merge makes already"),
        ({"merges": [("a", "b")]}, "merge 0 joins 'a', which is neither"),
        ({"merges": [AB], "vocab": IDS}, "lacks b'ab' and 0 more of what the merges use"),
        ({"merges": [AB], "vocab": {b"ab": 0}}, "lacks b'a' and 1 more"),
        ({"merges": [], "vocab": IDS | {b"a": 7}}, r"id 7 is used twice, for b'\\x07' and for b'a'"),
        ({"merges": [], "special_tokens": {END_OF_TEXT: 3}}, "id 3 is used twice, for b'\\$' and for '<"),
        ({"merges": [], "special_tokens": {END_OF_TEXT: -1}}, "id of '<.*' is -1; ids are whole numbers"),
        ({"merges": [], "special_tokens": {END_OF_TEXT: 256.0}}, "is 256.0; ids are whole numbers"),
        ({"merges": [AB], "special_tokens": {END_OF_TEXT: 257, "ab": 258}}, "'ab' has two ids, 256 and 258"),
        ({"merges": [], "special_tokens": {END_OF_TEXT: 256, "": 257}}, "an added token is empty"),
    ],
)
def test_inconsistent_tokenizers_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        Tokenizer(**arguments)
    assert "\n" not in str(caught.value)
