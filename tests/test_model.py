"""The whole model against `transformers`: its committed results everywhere, itself where it is installed."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from models import random_params, transformers_model

from numpygpt import GPT2, GPT2Config, KVCache, checkpoint, gpt2, layer_norm, pad_left, transformer_block
from numpygpt.layers import Array, positional_embedding, token_embedding
from numpygpt.model import ACTIVATIONS, Params, parameter_shapes

TINY = GPT2Config(vocab_size=97, n_ctx=200, n_embd=24, n_layer=3, n_head=3)
# The official shapes. Layers of the two large ones are left out: each is the same arithmetic at the same width.
OFFICIAL = {
    "gpt2": GPT2Config(),
    "gpt2-medium": GPT2Config(n_embd=1024, n_layer=24, n_head=16),
    "gpt2-large": GPT2Config(n_embd=1280, n_layer=6, n_head=20),
    "gpt2-xl": GPT2Config(n_embd=1600, n_layer=4, n_head=25),
}


def random_ids(config: GPT2Config, *shape: int) -> Any:
    return np.random.default_rng(1).integers(0, config.vocab_size, shape)


def hidden_states(ids: Any, params: Params, config: GPT2Config) -> list[Array]:
    """The residual stream before the first block and after each, the last one normalised as `transformers` does."""
    positions = np.arange(np.shape(ids)[-1])
    states = [token_embedding(ids, **params["wte"]) + positional_embedding(positions, **params["wpe"])]
    for layer, block in enumerate(params["h"]):
        activation = ACTIVATIONS[config.activation_function]
        scale = config.attention_scale(layer)
        eps = config.layer_norm_epsilon
        states.append(
            transformer_block(states[-1], **block, n_head=config.n_head, eps=eps, activation=activation, scale=scale)
        )
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


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"n_embd": 8, "n_head": 1, "n_layer": 1},
        {"n_embd": 64, "n_head": 16},
        {"n_inner": 40},
        {"activation_function": "gelu"},
        {"activation_function": "gelu_pytorch_tanh"},
        {"activation_function": "gelu_fast"},
        {"layer_norm_epsilon": 1e-3},
        {"scale_attn_weights": False},
        {"scale_attn_by_inverse_layer_idx": True},
        {"tie_word_embeddings": False},
    ],
    ids=str,
)
def test_equals_transformers_in_float32(change: dict[str, Any]) -> None:
    assert_equals_transformers(dataclasses.replace(TINY, **change), [1, 2, 64, 200], np.float32, 1e-4)


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


@pytest.mark.parametrize("chunks", [[1] * 64, [64], [1, 63], [40, 1, 1, 22], [7] * 9 + [1]], ids=len)
def test_any_chunks_through_the_cache_give_the_same_logits(
    tiny: GPT2, expected: dict[str, Array], chunks: list[int]
) -> None:
    cache = KVCache(tiny.config, batch_shape=(2,))
    parts = np.split(expected["ids"], np.cumsum(chunks)[:-1], axis=-1)
    logits = [gpt2(part, **tiny.params, config=tiny.config, cache=cache) for part in parts]
    np.testing.assert_allclose(np.concatenate(logits, axis=-2), expected["logits"], rtol=0, atol=1e-4)
    assert cache.n_seq == 64


def test_chunks_of_a_long_prompt_give_the_same_logits() -> None:
    """Longer than a block of queries, in chunks that do not line up with the blocks."""
    params, ids = random_params(TINY), random_ids(TINY, 200)
    cache = KVCache(TINY)
    parts = [gpt2(part, **params, config=TINY, cache=cache) for part in np.split(ids, [150, 190])]
    np.testing.assert_allclose(np.concatenate(parts), gpt2(ids, **params, config=TINY), atol=1e-4)


def test_logits_to_keep_are_the_last(tiny: GPT2, expected: dict[str, Array]) -> None:
    for n in (1, 3, 64):
        logits = gpt2(expected["ids"], **tiny.params, config=tiny.config, logits_to_keep=n)
        np.testing.assert_allclose(logits, expected["logits"][:, -n:], rtol=0, atol=1e-4)


def test_prompts_of_different_lengths_make_a_batch(tiny: GPT2) -> None:
    prompts = [[5, 6, 7, 8, 9], [3], [400, 2, 2]]
    ids, n_pad = pad_left(prompts)
    together = gpt2(ids, **tiny.params, config=tiny.config, n_pad=n_pad)
    for row, prompt in zip(together, prompts, strict=True):
        np.testing.assert_allclose(row[-len(prompt) :], tiny.logits(prompt), atol=1e-4)


def test_a_padded_batch_decodes_from_the_cache(tiny: GPT2) -> None:
    prompts = [[5, 6, 7, 8, 9], [3]]
    ids, n_pad = pad_left(prompts)
    cache = KVCache(tiny.config, batch_shape=(2,))
    gpt2(ids, **tiny.params, config=tiny.config, cache=cache, n_pad=n_pad)
    next_logits = gpt2([[11], [12]], **tiny.params, config=tiny.config, cache=cache, n_pad=n_pad)
    np.testing.assert_allclose(next_logits[0, -1], tiny.logits([*prompts[0], 11])[-1], atol=1e-4)
    np.testing.assert_allclose(next_logits[1, -1], tiny.logits([*prompts[1], 12])[-1], atol=1e-4)


def test_padding_takes_no_room_in_the_context_window(tiny: GPT2) -> None:
    """The short sequence of a padded batch may go on until it fills the window itself."""
    ids, n_pad = pad_left([[1] * 4, [2] * 2])
    cache = KVCache(tiny.config, batch_shape=(2,), n_ctx=70)
    gpt2(ids, **tiny.params, config=tiny.config, cache=cache, n_pad=n_pad)
    cache.select([1])
    tail = np.arange(62)
    logits = gpt2(tail[None], **tiny.params, config=tiny.config, cache=cache, n_pad=n_pad[1:])
    np.testing.assert_allclose(logits[0], tiny.logits([2, 2, *tail])[2:], atol=1e-4)


def test_selected_rows_of_a_cache_go_on_alone(tiny: GPT2, expected: dict[str, Array]) -> None:
    cache = KVCache(tiny.config, batch_shape=(2,))
    gpt2(expected["ids"][:, :10], **tiny.params, config=tiny.config, cache=cache)
    cache.select([1, 1, 0])
    assert cache.batch_shape == (3,)
    logits = gpt2(expected["ids"][[1, 1, 0], 10:], **tiny.params, config=tiny.config, cache=cache)
    np.testing.assert_allclose(logits, expected["logits"][[1, 1, 0], 10:], rtol=0, atol=1e-4)


@pytest.mark.parametrize("ids", [[], [[]]])
def test_no_ids_are_an_error(tiny: GPT2, ids: Any) -> None:
    with pytest.raises(ValueError, match="no token ids"):
        tiny.logits(np.array(ids, dtype=int))


def test_what_is_no_count_of_logits_or_no_id_is_an_error(tiny: GPT2) -> None:
    with pytest.raises(ValueError, match="logits_to_keep must be at least 0, not -1"):
        gpt2([1, 2], **tiny.params, config=tiny.config, logits_to_keep=-1)
    with pytest.raises(TypeError, match="token ids must be integers"):
        tiny.logits("Once upon a time")


def test_an_id_outside_the_vocabulary_is_an_error(tiny: GPT2) -> None:
    with pytest.raises(ValueError, match="token id 512 is outside the vocabulary of 512 tokens"):
        tiny.logits([0, 512])


def test_more_ids_than_the_context_window_are_an_error(tiny: GPT2) -> None:
    with pytest.raises(ValueError, match="65 tokens do not fit the context window of 64"):
        tiny.logits([0] * 65)
    cache = KVCache(tiny.config)
    gpt2([0] * 64, **tiny.params, config=tiny.config, cache=cache)
    with pytest.raises(ValueError, match="65 tokens do not fit the cache, made for 64"):
        gpt2([0], **tiny.params, config=tiny.config, cache=cache)


def test_errors_leave_the_cache_as_it_was(tiny: GPT2) -> None:
    cache = KVCache(tiny.config)
    for bad in ([0] * 65, [512]):
        with pytest.raises(ValueError, match="tokens"):
            gpt2(bad, **tiny.params, config=tiny.config, cache=cache)
    assert cache.n_seq == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_embd": 25}, "n_embd 25 is not a multiple of n_head 3"),
        ({"n_layer": 0}, "n_layer must be a whole number above 0, not 0"),
        ({"n_ctx": -5}, "n_ctx must be a whole number above 0, not -5"),
        ({"vocab_size": "97"}, "vocab_size must be a whole number above 0, not '97'"),
        ({"n_inner": 0}, "n_inner must be a whole number above 0, not 0"),
        ({"activation_function": "relu"}, "activation_function 'relu' is not supported"),
    ],
)
def test_config_refuses_what_makes_no_model(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **change)


def test_parameter_counts_of_the_official_models() -> None:
    """124,439,808 and so on: the sums that the checkpoints' sizes and the papers that use them agree on."""
    sizes = {
        "gpt2": (768, 12, 12),
        "gpt2-medium": (1024, 24, 16),
        "gpt2-large": (1280, 36, 20),
        "gpt2-xl": (1600, 48, 25),
    }
    counts = {}
    for name, (n_embd, n_layer, n_head) in sizes.items():
        shapes = parameter_shapes(GPT2Config(n_embd=n_embd, n_layer=n_layer, n_head=n_head))
        counts[name] = sum(int(np.prod(shape)) for shape in shapes.values())
    assert counts == {
        "gpt2": 124_439_808,
        "gpt2-medium": 354_823_168,
        "gpt2-large": 774_030_080,
        "gpt2-xl": 1_557_611_200,
    }


def test_parameter_shapes_are_those_of_transformers() -> None:
    config = dataclasses.replace(TINY, tie_word_embeddings=False, n_inner=40)
    state = transformers_model(config, random_params(config)).state_dict()
    theirs = {name.removeprefix("transformer."): tuple(tensor.shape) for name, tensor in state.items()}
    assert parameter_shapes(config) == theirs


def test_unflatten_gives_the_functions_their_arguments() -> None:
    params = random_params(TINY)
    assert list(params) == ["wte", "wpe", "h", "ln_f"]
    assert list(params["h"][2]) == ["ln_1", "attn", "ln_2", "mlp"]
    assert checkpoint.flatten(params)["h.2.mlp.c_fc.weight"] is params["h"][2]["mlp"]["c_fc"]["weight"]
