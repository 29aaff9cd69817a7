"""The whole model against `transformers`: its committed results everywhere, itself where it is installed."""

from __future__ import annotations

import dataclasses
import tracemalloc
from typing import Any

import numpy as np
import pytest
from random_models import OPTIONS, random_ids, random_params, transformers_model

from numpygpt import GPT2, GPT2Config, layers, pad_left
from numpygpt.arrays import Array, Params
from numpygpt.engine import forward, gpt2, kernels, transformer_block
from numpygpt.engine.kernels import ACTIVATIONS, layer_norm

TINY = GPT2Config(vocab_size=97, n_ctx=200, n_embd=24, n_layer=3, n_head=3)
# The official shapes. Layers of the two large ones are left out: each is the same arithmetic at the same width.
OFFICIAL = {
    "gpt2": GPT2Config(),
    "gpt2-medium": GPT2Config(n_embd=1024, n_layer=24, n_head=16),
    "gpt2-large": GPT2Config(n_embd=1280, n_layer=6, n_head=20),
    "gpt2-xl": GPT2Config(n_embd=1600, n_layer=4, n_head=25),
}


def hidden_states(ids: Any, params: Params, config: GPT2Config) -> list[Array]:
    """The residual stream before the first block and after each, the last one normalized as `transformers` does."""
    states = [forward.residual_stream(ids, params["wte"], params["wpe"], [], config=config)]
    for layer, block in enumerate(params["h"]):
        options: dict[str, Any] = {
            "n_head": config.n_head,
            "eps": config.layer_norm_epsilon,
            "activation": ACTIVATIONS[config.activation_function],
            "scale": config.attention_scale(layer),
        }
        states.append(transformer_block(states[-1], **block, **options))
    states[-1] = layer_norm(states[-1], **params["ln_f"], eps=config.layer_norm_epsilon)
    return states


def assert_equals_transformers(config: GPT2Config, lengths: list[int], dtype: type, tolerance: float) -> None:
    params = random_params(config, scale=0.02 if config.n_embd > 500 else 0.2, dtype=dtype)
    theirs = transformers_model(config, params)
    torch = pytest.importorskip("torch")
    for n_seq in lengths:
        ids = random_ids(config, n_seq)
        with torch.no_grad():
            output = theirs(torch.from_numpy(ids)[None], output_hidden_states=True)
        np.testing.assert_allclose(gpt2(ids, **params, config=config), output.logits[0].numpy(), rtol=0, atol=tolerance)
        for ours, state in zip(hidden_states(ids, params, config), output.hidden_states, strict=True):
            np.testing.assert_allclose(ours, state[0].numpy(), rtol=0, atol=tolerance)


def test_logits_are_the_committed_ones_of_transformers(tiny: GPT2, expected: dict[str, Array]) -> None:
    np.testing.assert_allclose(tiny.logits(expected["ids"]), expected["logits"], rtol=0, atol=1e-4)


def test_hidden_states_are_the_committed_ones_of_transformers(tiny: GPT2, expected: dict[str, Array]) -> None:
    states = hidden_states(expected["ids"], tiny.params, tiny.config)
    np.testing.assert_allclose(np.stack(states), expected["hidden_states"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("option", OPTIONS, ids=str)
def test_equals_transformers_in_float32(option: dict[str, Any]) -> None:
    assert_equals_transformers(dataclasses.replace(TINY, **option), [1, 2, 64, 200], np.float32, 1e-4)


def test_equals_transformers_in_float64() -> None:
    assert_equals_transformers(TINY, [1, 2, 64, 200], np.float64, 1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("name", OFFICIAL)
def test_equals_transformers_at_the_official_shapes(name: str) -> None:
    assert_equals_transformers(OFFICIAL[name], [1, 2, 64, 1000, 1024], np.float32, 1e-4)


@pytest.mark.slow
def test_equals_transformers_at_the_official_shape_in_float64() -> None:
    assert_equals_transformers(GPT2Config(n_layer=4), [1, 1024], np.float64, 1e-10)


def test_a_batch_is_its_sequences(tiny: GPT2, expected: dict[str, Array]) -> None:
    one_by_one = [tiny.logits(ids) for ids in expected["ids"]]
    np.testing.assert_allclose(tiny.logits(expected["ids"]), one_by_one, atol=1e-5)


@pytest.mark.parametrize("n", [1, 3, 64])
def test_logits_to_keep_are_the_last(tiny: GPT2, expected: dict[str, Array], n: int) -> None:
    logits = tiny.logits(expected["ids"], logits_to_keep=n)
    np.testing.assert_allclose(logits, expected["logits"][:, -n:], rtol=0, atol=1e-4)


def test_prompts_of_different_lengths_make_a_batch(tiny: GPT2) -> None:
    prompts = [[5, 6, 7, 8, 9], [3], [400, 2, 2]]
    ids, n_pad = pad_left(prompts)
    together = gpt2(ids, **tiny.params, config=tiny.config, n_pad=n_pad)
    for row, prompt in zip(together, prompts, strict=True):
        np.testing.assert_allclose(row[-len(prompt) :], tiny.logits(prompt), atol=1e-4)


@pytest.mark.parametrize("ids", [[], [[]]])
def test_no_ids_are_an_error(tiny: GPT2, ids: Any) -> None:
    with pytest.raises(ValueError, match="no token ids"):
        tiny.logits(np.array(ids, dtype=int))


@pytest.mark.parametrize("bad", [512, -1, 2**40])
def test_what_is_no_id_of_the_vocabulary_is_an_error(tiny: GPT2, bad: int) -> None:
    with pytest.raises(ValueError, match=f"token id {bad} is outside the vocabulary of 512 tokens"):
        tiny.logits([0, bad])


def test_what_is_no_count_or_no_id_is_an_error(tiny: GPT2) -> None:
    with pytest.raises(ValueError, match="logits_to_keep must be at least 0, not -1"):
        tiny.logits([1, 2], logits_to_keep=-1)
    with pytest.raises(TypeError, match="token ids must be integers"):
        tiny.logits("Once upon a time")
    with pytest.raises(TypeError, match="token ids must be integers, not float64"):
        tiny.logits([0.0, 1.0])


def test_more_ids_than_the_context_window_are_an_error(tiny: GPT2) -> None:
    with pytest.raises(ValueError, match="65 tokens do not fit the context window of 64"):
        tiny.logits([0] * 65)


def test_multi_head_attention_does_not_hold_all_scores_at_once() -> None:
    n_seq, n_head = 2048, 4
    config = GPT2Config(vocab_size=2, n_ctx=2, n_embd=32, n_layer=1, n_head=n_head)
    x = np.random.default_rng(0).standard_normal((n_seq, 32), np.float32)
    tracemalloc.start()
    kernels.multi_head_attention(x, **random_params(config)["h"][0]["attn"], n_head=n_head, causal=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < n_head * n_seq * n_seq * 4 / 4


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [*[(n,) for n in range(1, 20)], (3, 5), (2, 1, 7), ()])
def test_linear_is_the_books_for_any_number_of_rows(shape: tuple[int, ...], dtype: type) -> None:
    """Also without a bias, and of a matrix that is stored column by column."""
    rng = np.random.default_rng(len(shape))
    x: Array = rng.standard_normal((*shape, 30)).astype(dtype)
    weight: Array = rng.standard_normal((30, 50)).astype(dtype)
    bias: Array = rng.standard_normal(50).astype(dtype)
    expected = layers.linear(x, weight, bias)
    for matrix in (weight, np.asfortranarray(weight)):
        y = kernels.linear(x, matrix, bias)
        assert y.shape == (*shape, 50)
        assert y.dtype == dtype
        np.testing.assert_allclose(y, expected, rtol=0, atol=1e-4 if dtype == np.float32 else 1e-12)
        np.testing.assert_allclose(kernels.linear(x, matrix), expected - bias, rtol=0, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n_in", "n_out"), [(300, 2 * kernels.COLUMNS + 264), (300, 3 * kernels.COLUMNS), (900, 600)])
def test_several_rows_by_blocks_of_a_large_matrix(n_in: int, n_out: int, dtype: type) -> None:
    """Whole blocks with a rest, whole blocks alone, and less than one."""
    rng = np.random.default_rng(n_out)
    weight: Array = rng.standard_normal((n_out, n_in)).astype(dtype).T
    bias: Array = rng.standard_normal(n_out).astype(dtype)
    for shape in (3,), (4,), (2, 8), (31,), (32,), (33,):
        x: Array = rng.standard_normal((*shape, n_in)).astype(dtype)
        y = kernels.linear(x, weight, bias)
        assert y.dtype == dtype
        assert y.flags.c_contiguous
        np.testing.assert_allclose(
            y, layers.linear(x, weight, bias), rtol=0, atol=1e-3 if dtype == np.float32 else 1e-11
        )
