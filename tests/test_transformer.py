"""The original Transformer's own parts against their formulas, and the whole against `transformers`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from random_models import REFERENCE
from random_transformers import SHAPES, marian_logits, marian_model, random_pairs, random_transformer

from numpygpt import sinusoidal_encoding
from numpygpt.arrays import flatten, unflatten
from numpygpt.layers import MASKED
from numpygpt.safetensors import load_file
from numpygpt.transformer import decoder_layer, embed, encoder_layer, padding_mask, sines_first, transformer
from numpygpt.transformer_config import TransformerConfig, initialize, parameter_shapes

LENGTHS = [(7, 5), (2, 9), (4, 1)]


@pytest.mark.parametrize(("n_seq", "n_embd"), [(1, 2), (50, 16), (3, 5)])
def test_sinusoidal_encoding_is_the_formula(n_seq: int, n_embd: int) -> None:
    encoding = sinusoidal_encoding(n_seq, n_embd)
    assert encoding.shape == (n_seq, n_embd)
    for pos in range(n_seq):
        for column in range(n_embd):
            angle = pos / 10000 ** ((column - column % 2) / n_embd)
            assert encoding[pos, column] == pytest.approx((math.cos if column % 2 else math.sin)(angle), abs=1e-12)


def test_sinusoidal_encoding_turns_a_shift_into_a_rotation() -> None:
    """A step of k positions is the same linear map everywhere (Vaswani et al. 2017, section 3.5)."""
    encoding = sinusoidal_encoding(30, 4)
    shift = np.linalg.lstsq(encoding[:20], encoding[7:27], rcond=None)[0]
    np.testing.assert_allclose(encoding[2:22] @ shift, encoding[9:29], atol=1e-9)


def test_the_padding_mask_hides_the_padding_alone() -> None:
    mask = padding_mask([[4, 9, 9], [9, 4, 4]], pad_token_id=9)
    assert mask.shape == (2, 1, 1, 3)
    np.testing.assert_array_equal(mask.reshape(2, 3), np.array([[0, MASKED, MASKED], [MASKED, 0, 0]], np.float32))


def test_padding_changes_nothing() -> None:
    config, params = random_transformer()
    source, read, targets = random_pairs(config, LENGTHS)
    batch = transformer(source, read, **params, n_head=3, pad_token_id=config.pad_token_id)
    for row, (a, b) in enumerate(LENGTHS):
        alone = transformer(source[row, :a], read[row, :b], **params, n_head=3, pad_token_id=config.pad_token_id)
        np.testing.assert_allclose(batch[row, :b], alone, atol=1e-10)
    assert (targets >= 0).sum() == 15


def test_the_future_of_the_target_does_not_change_its_past_but_all_of_the_source_counts() -> None:
    config, params = random_transformer()
    source, read, _ = random_pairs(config, [(6, 6)])
    kwargs: Any = {**params, "n_head": 3, "pad_token_id": config.pad_token_id}
    before = transformer(source, read, **kwargs)
    later = read.copy()
    later[0, 4] = 3
    changed = np.abs(transformer(source, later, **kwargs) - before).max(axis=(0, 2))
    assert (changed[:4] == 0).all()
    assert (changed[4:] > 1e-6).all()
    other = source.copy()
    other[0, 4] = 3
    assert (np.abs(transformer(other, read, **kwargs) - before).max(axis=(0, 2)) > 1e-6).all()


def test_equals_what_transformers_computed() -> None:
    """Logits and hidden states of `tests/reference/make_transformer.py`, in float32."""
    expected = load_file(REFERENCE / "transformer.safetensors")
    config, params = random_transformer(dtype=np.float32)
    source, read, _ = random_pairs(config, LENGTHS)
    logits = transformer(source, read, **params, n_head=3, pad_token_id=config.pad_token_id)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, expected["logits"], atol=1e-4)


@pytest.mark.parametrize("option", SHAPES[:4], ids=str)
def test_every_layer_equals_transformers(option: dict[str, Any]) -> None:
    heads = {"decoder_attention_heads": option.get("encoder_attention_heads", 3)}  # one number in the book
    config, params = random_transformer(**option | heads)
    source, read, _ = random_pairs(config, LENGTHS)
    theirs = marian_logits(marian_model(config, params), config, source, read, output_hidden_states=True)
    n_head, mask = config.encoder_attention_heads, padding_mask(source, config.pad_token_id)
    shared = params["model"]["shared"]["weight"]
    seen, x = [embed(source, shared)], embed(source, shared)
    for layer in params["model"]["encoder"]["layers"]:
        x = encoder_layer(x, **layer, n_head=n_head, mask=mask)
        seen.append(x)
    memory, x = x, embed(read, shared)
    seen.append(x)
    for layer in params["model"]["decoder"]["layers"]:
        x = decoder_layer(x, memory, **layer, n_head=n_head, memory_mask=mask)
        seen.append(x)
    expected = [*theirs.encoder_hidden_states, *theirs.decoder_hidden_states]
    for ours, hidden in zip(seen, expected, strict=True):
        np.testing.assert_allclose(ours, hidden.detach().numpy(), atol=1e-10)
    logits = transformer(source, read, **params, n_head=n_head, pad_token_id=config.pad_token_id)
    np.testing.assert_allclose(logits, theirs.logits.detach().numpy(), atol=1e-10)


def test_the_positions_are_marians() -> None:
    marian = pytest.importorskip("transformers.models.marian.modeling_marian")
    theirs = marian.MarianSinusoidalPositionalEmbedding(9, 6).create_weight()
    np.testing.assert_allclose(sines_first(9, 6), theirs.numpy(), atol=1e-6)


def test_the_config_fills_in_what_is_left_out_and_refuses_nonsense() -> None:
    config = TransformerConfig(vocab_size=100, d_model=8, encoder_attention_heads=2, encoder_ffn_dim=5)
    assert (config.decoder_attention_heads, config.decoder_ffn_dim) == (2, 5)
    assert (config.eos_token_id, config.pad_token_id, config.decoder_start_token_id) == (97, 98, 99)
    mistakes: list[tuple[dict[str, Any], str]] = [
        ({"vocab_size": 0}, "vocab_size must be a whole number above 0, not 0"),
        ({"d_model": 2.0}, r"d_model must be a whole number above 0, not 2\.0"),
        ({"d_model": 9, "encoder_attention_heads": 3}, "d_model must be even"),
        ({"d_model": 8, "decoder_attention_heads": 3}, "d_model 8 is not a multiple of decoder_attention_heads 3"),
        ({"eos_token_id": 100}, "eos_token_id must be a token id from 0 to 99, not 100"),
        ({"activation_function": "sine"}, "activation_function 'sine' is not supported; known: "),
    ]
    for options, message in mistakes:
        with pytest.raises(ValueError, match=message):
            TransformerConfig(**{"vocab_size": 100, **options})
    with pytest.raises(ValueError, match="the source has 129 tokens, more than the 128 positions"):
        config.check_ids([0] * 129, "the source")
    with pytest.raises(ValueError, match="token id 100 is outside the vocabulary of 100 tokens"):
        config.check_ids([100])
    with pytest.raises(TypeError, match="must be integers, not float64"):
        config.check_ids([1.0])


def test_the_weights_to_begin_with_keep_the_variance() -> None:
    config = TransformerConfig(vocab_size=300, d_model=64)
    params = initialize(config, seed=1)
    assert {name: x.shape for name, x in flatten(params).items()} == parameter_shapes(config)
    fc1 = params["model"]["encoder"]["layers"][0]["fc1"]["weight"]
    assert np.abs(fc1).max() <= math.sqrt(6 / (64 + 256))
    assert fc1.std() == pytest.approx(math.sqrt(2 / (64 + 256)), rel=0.05)
    assert np.linalg.norm(params["model"]["shared"]["weight"], axis=1).mean() == pytest.approx(1, rel=0.05)
    again, other = initialize(config, seed=1), initialize(config, seed=2)
    np.testing.assert_array_equal(again["model"]["shared"]["weight"], params["model"]["shared"]["weight"])
    assert not np.array_equal(other["model"]["shared"]["weight"], params["model"]["shared"]["weight"])
    assert unflatten(flatten(params)).keys() == params.keys()
