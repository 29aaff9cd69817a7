"""Book, engine, backward and trace are spellings of one forward pass: they agree to 1e-10 in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_models import OPTIONS, random_ids, random_params, transformers_model

from numpygpt import GPT2Config, KVCache, activations, backward, engine, gpt2, layers, pad_left, trace
from numpygpt.arrays import Array
from numpygpt.engine import kernels


def same(ours: Any, expected: Any) -> None:
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-10)


def normal(*shape: int) -> Array:
    return np.random.default_rng(shape).normal(size=shape)


def backwards_logits(ids: Any, params: Any, config: GPT2Config) -> Array:
    """The logits of backward's forward pass, which returns no more than a loss."""
    x, _ = backward.forward_residual_stream(np.atleast_1d(ids), params, config, backward.Dropout())
    normed = layers.layer_norm(x, **params["ln_f"], eps=config.layer_norm_epsilon)
    logits: Array = normed @ params.get("lm_head", params["wte"])["weight"].T
    return logits


@st.composite
def shapes(draw: st.DrawFn) -> tuple[GPT2Config, list[int]]:
    """GPT-2's config in small shapes, and the shape of some ids."""
    n_head = draw(st.integers(1, 4))
    config = GPT2Config(
        vocab_size=draw(st.integers(2, 50)),
        n_ctx=150,
        n_embd=n_head * draw(st.integers(1, 8)),
        n_layer=draw(st.integers(1, 3)),
        n_head=n_head,
    )
    batch = draw(st.sampled_from([[], [1], [3], [2, 2]]))
    return config, [*batch, draw(st.sampled_from([1, 2, 7, 64, 130, 150]))]


@settings(max_examples=40)
@given(shapes(), st.integers(0, 100))
def test_engine_backward_and_trace_equal_the_book(given_shapes: tuple[GPT2Config, list[int]], seed: int) -> None:
    config, shape = given_shapes
    params, ids = random_params(config, seed, dtype=np.float64), random_ids(config, *shape)
    book = gpt2(ids, **params, n_head=config.n_head)
    same(engine.gpt2(ids, **params, config=config), book)
    same(backwards_logits(ids, params, config), book)
    same(trace(ids, **params, config=config)["logits"], book)


@settings(max_examples=30)
@given(st.lists(st.integers(1, 140), min_size=1, max_size=4))
def test_a_left_padded_row_equals_the_book_on_that_row_alone(lengths: list[int]) -> None:
    config = GPT2Config(vocab_size=50, n_ctx=150, n_embd=12, n_layer=2, n_head=3)
    params = random_params(config, dtype=np.float64)
    rows = [random_ids(config, length).tolist() for length in lengths]
    ids, n_pad = pad_left(rows)
    logits = engine.gpt2(ids, **params, config=config, n_pad=n_pad)
    for row, ours in zip(rows, logits, strict=True):
        same(ours[-len(row) :], gpt2(row, **params, n_head=3))


@settings(max_examples=30)
@given(st.lists(st.integers(1, 149), max_size=5, unique=True), st.sampled_from([(), (2,)]))
def test_a_text_cut_anywhere_by_the_cache_equals_the_book_on_the_whole(cuts: list[int], batch: tuple[int, ...]) -> None:
    config = GPT2Config(vocab_size=50, n_ctx=150, n_embd=12, n_layer=2, n_head=3)
    params, ids = random_params(config, dtype=np.float64), random_ids(config, *batch, 150)
    cache = KVCache(config, batch, dtype=np.float64)
    parts = np.split(ids, sorted(cuts), axis=-1)
    logits = [engine.gpt2(part, **params, config=config, cache=cache) for part in parts]
    same(np.concatenate(logits, axis=-2), gpt2(ids, **params, n_head=3))


@pytest.mark.parametrize("option", OPTIONS, ids=str)
def test_on_every_option_engine_backward_and_trace_agree_and_equal_transformers(option: dict[str, Any]) -> None:
    config = GPT2Config(**{"vocab_size": 97, "n_ctx": 200, "n_embd": 24, "n_layer": 3, "n_head": 3, **option})
    params, ids = random_params(config, dtype=np.float64), random_ids(config, 2, 150)
    ours = engine.gpt2(ids, **params, config=config)
    same(backwards_logits(ids, params, config), ours)
    same(trace(ids, **params, config=config)["logits"], ours)
    torch = pytest.importorskip("torch")
    with torch.no_grad():
        theirs = transformers_model(config, params)(torch.from_numpy(ids)).logits.numpy()
    same(ours, theirs)


# Layer by layer


@settings(max_examples=60)
@given(
    n_query=st.sampled_from([1, 2, 5, 128, 129, 300]),
    n_past=st.sampled_from([0, 1, 40]),
    batch=st.sampled_from([(), (2,), (2, 3)]),
    mask=st.sampled_from(["none", "keys", "queries and keys", "batch"]),
    causal=st.booleans(),
)
def test_attention_in_blocks_of_queries_equals_the_book(
    n_query: int, n_past: int, batch: tuple[int, ...], mask: str, causal: bool
) -> None:
    n_key = n_query + n_past
    shapes = {"keys": (n_key,), "queries and keys": (n_query, n_key), "batch": (*batch, 1, n_key)}
    given_mask: Any = normal(*shapes[mask]) if mask in shapes else 0.0
    q, k, v = normal(*batch, n_query, 4), normal(*batch, n_key, 4), normal(*batch, n_key, 3)
    later = np.triu(np.full((n_query, n_key), layers.MASKED), k=1 + n_past) if causal else 0.0
    expected = layers.attention(q, k, v, given_mask + later)
    same(kernels.attention(q, k, v, given_mask, causal=causal), expected)
    same(kernels.attention(2 * q, k, v, given_mask, causal=causal, scale=0.25), expected)  # 2 · 0.25 is 1 / sqrt(4)


@pytest.mark.parametrize("shape", [(8,), (3, 8), (2, 3, 8), (2, 0, 8)])
def test_layers_of_the_engine_equal_those_of_the_book_and_leave_their_input_alone(shape: tuple[int, ...]) -> None:
    x, weight, bias = normal(*shape) * 5 + 2, normal(8), normal(8, 1)[:, 0]
    matrix, before = normal(8, 6), x.copy()
    same(kernels.gelu(x), layers.gelu(x))
    same(kernels.layer_norm(x, weight, bias, 1e-2), layers.layer_norm(x, weight, bias, 1e-2))
    same(kernels.linear(x, matrix), layers.linear(x, matrix))
    same(kernels.linear(x, matrix, bias[:6]), layers.linear(x, matrix, bias[:6]))
    same(kernels.linear(x, matrix, 2.0), layers.linear(x, matrix, 2.0))
    np.testing.assert_array_equal(x, before)


def test_multi_head_attention_and_mlp_of_the_engine_equal_those_of_the_book() -> None:
    config = GPT2Config(vocab_size=2, n_ctx=300, n_embd=24, n_layer=1, n_head=3)
    block, x = random_params(config, dtype=np.float64)["h"][0], normal(2, 300, 24)
    mask = layers.causal_mask(300)
    expected = layers.multi_head_attention(x, **block["attn"], n_head=3, mask=mask)
    same(kernels.multi_head_attention(x, **block["attn"], n_head=3, causal=True), expected)
    same(kernels.multi_head_attention(x, **block["attn"], n_head=3, mask=mask), expected)
    same(kernels.mlp(x, **block["mlp"]), layers.mlp(x, **block["mlp"]))


def test_float32_stays_float32() -> None:
    x = normal(3, 8).astype(np.float32)
    ones = np.ones(8, np.float32)
    for module in (layers, kernels):
        functions: Any = module
        assert functions.gelu(x).dtype == functions.linear(x, x.T, ones[:3]).dtype == np.float32
        assert functions.layer_norm(x, ones, ones).dtype == functions.attention(x, x, x).dtype == np.float32
    assert activations.gelu_exact(x).dtype == layers.softmax(x).dtype == layers.relu(x).dtype == np.float32
