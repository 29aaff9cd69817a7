"""The picture of cross-attention: words from tokens, in characters and as SVG."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpygpt.alignment import Alignment, align, shade
from numpygpt.tokenizer import Tokenizer

TOKENIZER = Tokenizer(Tokenizer().merges[:200])


@given(st.text(max_size=30), st.text(max_size=30), st.integers(0, 100))
def test_every_word_gets_the_weights_of_its_tokens(source: str, target: str, seed: int) -> None:
    ids = TOKENIZER.encode(source), TOKENIZER.encode(target)
    weights = np.random.default_rng(seed).dirichlet(np.ones(len(ids[0]) + 1), len(ids[1]))
    alignment = align(*ids, weights, TOKENIZER)
    assert alignment.source == [word.strip() or word for word in TOKENIZER.split(source)]
    assert alignment.weights.shape == (len(alignment.target), len(alignment.source))
    np.testing.assert_allclose(alignment.weights.sum(axis=1) <= 1 + 1e-12, True)
    tokens = [TOKENIZER.encode(word) for word in TOKENIZER.split(target)]
    rows = np.split(weights[:, : len(ids[0])].sum(axis=1), np.cumsum([len(word) for word in tokens]))
    np.testing.assert_allclose(alignment.weights.sum(axis=1), [row.mean() for row in rows[:-1]], atol=1e-12)


def test_the_picture_in_characters() -> None:
    alignment = Alignment(["the", "cat"], ["le", "chat"], np.array([[0.9, 0.1], [0.3, 0.65]]))
    assert str(alignment) == "      the cat\n  le  ███\nchat  ░░░ ▓▓▓"
    assert [shade(weight) for weight in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)] == [" ", "░", "▒", "▓", "█", "█"]


def test_the_svg_names_what_it_shows_and_escapes_it() -> None:
    alignment = Alignment(["<a>", "&"], ['"b"'], np.array([[0.25, 0.75]]))
    root = ElementTree.fromstring(alignment.to_svg())
    name = "{http://www.w3.org/2000/svg}"
    texts = [element.text for element in root.iter(f"{name}text")]
    assert texts == ["<a>", "&", '"b"']
    titles = [element.text for element in root.iter(f"{name}title")]
    assert titles == ['<a> & → "b"', '"b", <a>: 0.25', '"b", &: 0.75']
    opacities = [element.get("fill-opacity") for element in root.iter(f"{name}rect")]
    assert opacities == [None, "0.250", "0.750"]


def test_nothing_aligns_with_nothing() -> None:
    empty = align([], [], np.zeros((0, 1)), TOKENIZER)
    assert str(empty).strip() == ""
    with pytest.raises(ValueError, match="outside this vocabulary"):
        align([9999], [], np.zeros((0, 1)), TOKENIZER)
