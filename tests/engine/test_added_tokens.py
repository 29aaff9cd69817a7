"""The search for added tokens against that of the `tokenizers` library."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpygpt import Tokenizer
from numpygpt.engine.added_tokens import AddedToken, AddedTokens
from numpygpt.tokenizer import LETTERS

SYMBOLS = st.sampled_from(["a", "b", " ", "<", ">", "é", "\n", "_", "1", "\xa0", "\u200d", "🙂"])
FLAGS = ["special", "normalized", "lstrip", "rstrip", "single_word"]
CONTENTS = st.lists(st.text(SYMBOLS, min_size=1, max_size=4), min_size=1, max_size=5, unique=True)


@given(st.data(), CONTENTS, st.lists(st.sampled_from(FLAGS), max_size=25))
def test_the_search_is_that_of_the_library(data: st.DataObject, contents: list[str], flags: list[str]) -> None:
    tokenizers = pytest.importorskip("tokenizers", reason="compares with the tokenizers library")
    given_flags = [set(flags[i :: len(contents)]) for i in range(len(contents))]
    tokens: list[AddedToken] = []
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE({letter: i for i, letter in enumerate(LETTERS)}, []))
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    for content, chosen in zip(contents, given_flags, strict=True):
        options: dict[str, Any] = {flag: flag in chosen for flag in FLAGS}
        add = theirs.add_special_tokens if options["special"] else theirs.add_tokens
        add([tokenizers.AddedToken(content, **options)])
        tokens.append(AddedToken(content, theirs.token_to_id(content), **options))
    search, words = AddedTokens(tokens), Tokenizer([])
    text = "".join(data.draw(st.lists(SYMBOLS | st.sampled_from(contents), max_size=12)))
    for allowed in ((), contents):
        theirs.encode_special_tokens = not allowed
        try:
            expected = theirs.encode(text).ids
        except BaseException as error:  # a panic: the library cannot do where a token took the blanks of the next
            if "bad split" not in str(error):
                raise
            continue
        ids: list[int] = []
        for piece in search.split(text, allowed):
            ids += [piece] if isinstance(piece, int) else words.encode(piece)
        assert ids == expected


def test_the_leftmost_and_of_those_the_longest() -> None:
    search = AddedTokens(AddedToken(content, i) for i, content in enumerate(["ab", "abc", "bcd", "a", "d e"]))
    assert list(search.split("abcd abd eabx", ())) == [1, "d ", 0, 4, 0, "x"]
