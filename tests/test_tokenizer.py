"""The definition of the tokenizer: on paper, against published ids, and against tiktoken and tokenizers."""

from __future__ import annotations

import json
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from texts import prose, texts, tiktoken_gpt2

from numpygpt.models.tokenizer_files import save_tokenizer
from numpygpt.tokenizer import END_OF_TEXT, Tokenizer, join

GPT2 = Tokenizer()


def test_on_paper() -> None:
    """The example of Wikipedia's article on byte-pair encoding; do it with a pencil.

    aa comes four times (in aaa twice): join it. Then (aa, a) and (a, b) come twice; the greater pair is (aa, a). Then
    (aaa, b) comes twice.
    """
    tokenizer = Tokenizer.train("aaabdaaabac", 256 + 3 + 1)
    assert tokenizer.merges == [(b"a", b"a"), (b"aa", b"a"), (b"aaa", b"b")]
    assert list(tokenizer.merge_steps("aaabdaaabac")) == [
        [b"a", b"a", b"a", b"b", b"d", b"a", b"a", b"a", b"b", b"a", b"c"],
        [b"aa", b"a", b"b", b"d", b"aa", b"a", b"b", b"a", b"c"],
        [b"aaa", b"b", b"d", b"aaa", b"b", b"a", b"c"],
        [b"aaab", b"d", b"aaab", b"a", b"c"],
    ]
    a, c, d = (ord(letter) - ord("!") for letter in "acd")  # the bytes are numbered from "!" on
    assert tokenizer.encode("aaabdaaabac") == [258, d, 258, a, c]
    assert (tokenizer.eot_id, tokenizer.n_vocab) == (259, 260)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        # recorded in poloclub/transformer-explainer, src/constants/examples
        ("Data visualization empowers users to", [6601, 32704, 795, 30132, 2985, 284]),
        ("IEEE VIS conference highlights the", [40, 31909, 50035, 4495, 11330, 262]),
        # the first tokens of the batch in karpathy/llm.c, test_gpt2.c
        ("<|endoftext|>First Citizen:\nBefore we proceed", [50256, 5962, 22307, 25, 198, 8421, 356, 5120]),
        (" speak.\n\n<|endoftext|>All:\n", [2740, 13, 628, 50256, 3237, 25, 198]),
        # as tiktoken cuts them: contractions, white space, scripts, numbers
        (
            "I'll say: DON'T,  we've\n\n  1²½ 2024x ",
            [40, 1183, 910, 25, 23917, 6, 51, 11, 220, 356, 1053, 628, 220, 352, 31185, 23141, 48609, 87, 220],
        ),
        ("naïve e\u0301ſ 中文\u3000", [2616, 38776, 304, 136, 223, 129, 123, 220, 40792, 23877, 229, 5099, 222]),
        ("ಠ_ಠ\t\x85", [156, 110, 254, 62, 156, 110, 254, 197, 126, 227]),
        ("👩\u200d👧 ٣Ⅷ\x00\x1c...", [41840, 102, 447, 235, 41840, 100, 18923, 96, 158, 227, 100, 188, 216, 986]),
    ],
)
def test_published_ids(text: str, ids: list[int]) -> None:
    assert GPT2.encode(text, allowed_special="all") == ids
    assert GPT2.decode(ids) == text


# The same tokens as other libraries


@given(texts)
def test_encoding_equals_tiktoken(text: str) -> None:
    theirs = tiktoken_gpt2()
    assert GPT2.encode(text) == theirs.encode_ordinary(text)
    assert GPT2.encode(text, allowed_special="all") == theirs.encode(text, allowed_special="all")


def test_every_token_is_what_tiktoken_says() -> None:
    theirs = tiktoken_gpt2()
    assert all(GPT2.token_bytes(i) == theirs.decode_single_token_bytes(i) for i in range(50257))


def test_training_equals_tokenizers(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    text = prose(200_000, seed=1)  # how ties are broken makes a difference from merge 46 on
    theirs = tokenizers.ByteLevelBPETokenizer()
    theirs.train_from_iterator([text], vocab_size=256 + 46, min_frequency=1, show_progress=False)
    merges = json.loads(theirs._tokenizer.to_str())["model"]["merges"]
    save_tokenizer(Tokenizer.train(text, 257 + 46), tmp_path)
    assert (tmp_path / "merges.txt").read_text(encoding="utf-8").splitlines()[1:] == list(map(" ".join, merges))


# Encoding


def test_special_tokens_only_where_allowed() -> None:
    text = f"one{END_OF_TEXT}two"
    plain = [505, 27, 91, 437, 1659, 5239, 91, 29, 11545]
    assert GPT2.encode(text) == GPT2.encode(text, allowed_special=[]) == plain
    for allowed in ("all", END_OF_TEXT, {END_OF_TEXT}, GPT2.special_tokens):
        assert GPT2.encode(text, allowed_special=allowed) == [505, 50256, 11545]
    assert GPT2.decode([505, 50256, 11545]) == GPT2.decode(plain) == text
    with pytest.raises(ValueError, match=r"'<pad>' is not among the special tokens <\|endoftext\|>"):
        GPT2.encode("text", allowed_special={"<pad>"})


@pytest.mark.parametrize("code", [0xD800, 0xDC80, 0xDFFF])
def test_lone_surrogates_are_refused(code: int) -> None:
    with pytest.raises(ValueError, match=r"'\\ud\w+' in position 19: surrogates"):
        GPT2.encode(f"{END_OF_TEXT}before{chr(code)}after", allowed_special="all")
    with pytest.raises(ValueError, match="in position 6: surrogates"):
        Tokenizer.train(f"before{chr(code)}after", 300)


def test_joining_compares_the_parts_and_not_their_bytes() -> None:
    assert join([b"ab", b"c", b"a", b"bc"], (b"a", b"bc")) == [b"ab", b"c", b"abc"]


def test_no_merge_crosses_two_words() -> None:
    tokenizer = Tokenizer([(b"a", b"!"), (b"a", b"b")])
    assert [tokenizer.token_bytes(i) for i in tokenizer.encode("a!ab")] == [b"a", b"!", b"ab"]


# Decoding


def test_ids_outside_the_vocabulary_are_refused() -> None:
    for bad in (-1, 50257, 10**30):
        for call in (lambda i: GPT2.decode([15496, i]), GPT2.token_bytes, GPT2.decoder().feed):
            with pytest.raises(ValueError, match=f"token id {bad} is outside .* 50257 tokens"):
                call(bad)
    with pytest.raises(TypeError):
        GPT2.decode([1.0])  # type: ignore[list-item]


def test_bytes_that_are_not_text_are_replaced() -> None:
    first, *rest = GPT2.encode("ᚠ")
    assert GPT2.decode_bytes([first, *rest]) == "ᚠ".encode()
    assert GPT2.decode([first]) == GPT2.decode_bytes([first]).decode(errors="replace") == "\ufffd"
    assert GPT2.decode(np.array([first, *rest], np.uint16)) == "ᚠ"


@given(texts)
def test_pieces_are_the_text_and_never_half_a_character(text: str) -> None:
    decoder = GPT2.decoder()
    pieces = [decoder.feed(GPT2.vocab[bytes([byte])]) for byte in text.encode()]
    assert all(map(text.startswith, accumulate(pieces)))
    assert "".join(pieces) == text
    assert decoder.flush() == ""


@given(st.lists(st.integers(0, 50256) | st.integers(94, 255)))
def test_pieces_of_any_ids_are_what_decode_makes_of_them(ids: list[int]) -> None:
    decoder = GPT2.decoder()
    for _ in range(2):  # after its end it begins anew
        assert "".join([*map(decoder.feed, ids), decoder.flush()]) == GPT2.decode(ids)


# Training


def test_training_stops_when_nothing_is_left_to_merge() -> None:
    assert Tokenizer.train("aaaa", 1000).merges == [(b"a", b"a"), (b"aa", b"aa")]
    assert Tokenizer.train("", 1000).n_vocab == 257


def test_training_refuses_a_vocabulary_smaller_than_the_bytes() -> None:
    with pytest.raises(ValueError, match="vocab_size is 256; the 256 bytes"):
        Tokenizer.train("text", 256)


def test_equality_is_that_of_the_ids() -> None:
    assert Tokenizer() == GPT2 == Tokenizer(GPT2.merges)
    assert Tokenizer(GPT2.merges[:10]) != GPT2
    assert GPT2 != "gpt2"
    assert repr(GPT2) == "<Tokenizer: 50000 merges, 50257 tokens>"
