"""A translation as the page shows it, against the translator's own methods."""

from __future__ import annotations

import numpy as np
import pytest
from look_pages import data_of, unpack

from numpygpt import Tokenizer
from numpygpt.alignment import align
from numpygpt.look import __main__ as command
from numpygpt.look.page import look_at_translation
from numpygpt.look.translation import view
from numpygpt.transformer import transformer
from numpygpt.transformer_config import TransformerConfig, initialize
from numpygpt.translator import Translator

TEXT = "Where is the old red boat?"


@pytest.fixture(scope="module")
def translator() -> Translator:
    """A translator of random weights, which ends its texts by luck or by their length."""
    special = {"</s>": 299, "<pad>": 300, "<s>": 301}
    tokenizer = Tokenizer(Tokenizer().merges[:43], special_tokens=special, eot_id=299, suffix=[299])
    config = TransformerConfig(vocab_size=302, d_model=16, max_position_embeddings=40, decoder_layers=2)
    return Translator(config, initialize(config, seed=2), tokenizer)


def test_the_translation_is_the_translators(translator: Translator) -> None:
    seen = view(translator, TEXT)
    assert seen["source_ids"] == translator.tokenizer.encode(seen["text"])
    assert translator.tokenizer.decode(seen["ids"]).strip() == translator.translate(TEXT)


def test_the_last_layers_mean_is_the_alignment(translator: Translator) -> None:
    seen = view(translator, TEXT)
    patterns = unpack(seen["attention"]["patterns"])  # [n_layer, n_head, n_target, n_source]
    ours = align(seen["source_ids"][:-1], seen["ids"], patterns[-1].mean(axis=0), translator.tokenizer)
    theirs = translator.align(TEXT)
    assert (ours.source, ours.target) == (theirs.source, theirs.target)
    np.testing.assert_allclose(ours.weights, theirs.weights, atol=0.02)


def test_logits_are_those_from_which_each_token_was_chosen(translator: Translator) -> None:
    seen = view(translator, TEXT)
    ids = [translator.config.decoder_start_token_id, *seen["ids"][:-1]]
    expected = transformer(seen["source_ids"], ids, **translator.params, n_head=4, pad_token_id=300)
    logits = unpack(seen["logits"])
    assert np.isneginf(logits[:, 300]).all()
    kept = np.arange(302) != 300
    np.testing.assert_allclose(logits[:, kept], expected[:, kept], atol=1e-4)


def test_entropy(translator: Translator) -> None:
    seen = view(translator, TEXT)["attention"]
    row = unpack(seen["patterns"])[1, 2, 0]
    assert unpack(seen["entropy"])[1, 2, 0] == pytest.approx(-sum(p * np.log2(p) for p in row if p), rel=0.02)


def test_the_page_holds_it(translator: Translator) -> None:
    html = translator.look(TEXT).html
    assert html == look_at_translation(translator, TEXT).html
    assert data_of(html)["view"] == view(translator, TEXT)


def test_refusals(translator: Translator, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="the text is empty"):
        view(translator, "  ")
    with pytest.raises(ValueError, match="more than the 40 positions"):
        view(translator, "word " * 50)
    for arguments in (["--translate", "--model", "/nowhere", "a"], ["--translate", "a", "--serve"]):
        with pytest.raises(SystemExit) as ended:
            command.main(arguments)
        assert ended.value.code == 2
        assert capsys.readouterr().err.count("\n") == 1
