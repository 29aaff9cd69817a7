"""The layers against PyTorch's where it is installed, and against their formulas everywhere."""

from __future__ import annotations

import math
import tracemalloc
from typing import Any

import numpy as np
import pytest

from numpygpt import layers
from numpygpt.layers import Array

RNG = np.random.default_rng(0)


def normal(*shape: int, dtype: type = np.float64) -> Array:
    return RNG.normal(size=shape).astype(dtype)


@pytest.fixture(scope="session")
def torch() -> Any:
    return pytest.importorskip("torch")


def test_token_embedding_looks_up_rows() -> None:
    weight = normal(7, 3)
    ids = np.array([[0, 6, 2], [2, 2, 1]])
    np.testing.assert_array_equal(layers.token_embedding(ids, weight), np.eye(7)[ids] @ weight)


@pytest.mark.parametrize("bad", [7, -1, 2**40])
def test_token_embedding_names_the_id_outside_the_vocabulary(bad: int) -> None:
    with pytest.raises(ValueError, match=f"token id {bad} is outside the vocabulary of 7 tokens"):
        layers.token_embedding([0, bad], normal(7, 3))


def test_token_embedding_wants_integers() -> None:
    with pytest.raises(TypeError, match="token ids must be integers, not float64"):
        layers.token_embedding([0.0, 1.0], normal(7, 3))


def test_positional_embedding_ends_with_the_context_window() -> None:
    weight = normal(5, 3)
    np.testing.assert_array_equal(layers.positional_embedding([0, 4], weight), weight[[0, 4]])
    with pytest.raises(ValueError, match="6 tokens do not fit the context window of 5"):
        layers.positional_embedding([4, 5], weight)


@pytest.mark.parametrize(("n_seq", "n_embd"), [(1, 2), (50, 16), (3, 5)])
def test_sinusoidal_encoding_is_the_formula(n_seq: int, n_embd: int) -> None:
    encoding = layers.sinusoidal_encoding(n_seq, n_embd)
    assert encoding.shape == (n_seq, n_embd)
    for pos in range(n_seq):
        for column in range(n_embd):
            angle = pos / 10000 ** ((column - column % 2) / n_embd)
            assert encoding[pos, column] == pytest.approx((math.cos if column % 2 else math.sin)(angle), abs=1e-12)


def test_sinusoidal_encoding_turns_a_shift_into_a_rotation() -> None:
    """A step of k positions is the same linear map everywhere (Vaswani et al. 2017, section 3.5)."""
    encoding = layers.sinusoidal_encoding(30, 4)
    shift = np.linalg.lstsq(encoding[:20], encoding[7:27], rcond=None)[0]
    np.testing.assert_allclose(encoding[2:22] @ shift, encoding[9:29], atol=1e-9)


@pytest.mark.parametrize("shape", [(8,), (3, 8), (2, 3, 8)])
@pytest.mark.parametrize("eps", [1e-5, 1e-2])
def test_layer_norm_is_torchs(torch: Any, shape: tuple[int, ...], eps: float) -> None:
    x, weight, bias = normal(*shape) * 5 + 2, normal(8), normal(8)
    ours = layers.layer_norm(x, weight, bias, eps)
    theirs = torch.nn.functional.layer_norm(
        *map(torch.from_numpy, [x]), (8,), *map(torch.from_numpy, [weight, bias]), eps
    )
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-12)


def test_layer_norm_is_the_formula_and_leaves_its_input_alone() -> None:
    x, weight, bias = normal(3, 8), normal(8), normal(8)
    before = x.copy()
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    expected = (x - mean) / np.sqrt(variance + 1e-5) * weight + bias
    np.testing.assert_allclose(layers.layer_norm(x, weight, bias), expected, atol=1e-12)
    np.testing.assert_array_equal(x, before)


def test_gelu_is_the_formula_and_leaves_its_input_alone() -> None:
    x = np.linspace(-10, 10, 1001)
    before = x.copy()
    expected = x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    np.testing.assert_allclose(layers.gelu(x), expected, atol=1e-14)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize(("gelu", "form"), [(layers.gelu, "tanh"), (layers.gelu_exact, "none")])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-14), (np.float32, 2e-6)])
def test_gelu_is_torchs(torch: Any, gelu: Any, form: str, dtype: type, tolerance: float) -> None:
    x: Array = np.linspace(-12, 12, 2001, dtype=dtype)
    theirs = torch.nn.functional.gelu(torch.from_numpy(x), approximate=form).numpy()
    ours = gelu(x)
    assert ours.dtype == dtype
    np.testing.assert_allclose(ours, theirs, atol=tolerance)


def test_softmax_is_torchs(torch: Any) -> None:
    x = normal(4, 5) * 10
    np.testing.assert_allclose(layers.softmax(x), torch.softmax(torch.from_numpy(x), -1).numpy(), atol=1e-14)


def test_softmax_does_not_overflow_and_can_work_in_place() -> None:
    x = np.array([[1000.0, 1000.0], [-1000.0, 1000.0]])
    result = layers.softmax(x, out=x)
    assert result is x
    np.testing.assert_allclose(x, [[0.5, 0.5], [0.0, 1.0]])


@pytest.mark.parametrize("function", [layers.gelu, layers.softmax])
def test_whole_numbers_are_numbers_too(function: Any) -> None:
    np.testing.assert_array_equal(function(np.array([1, 2, 3])), function(np.array([1.0, 2.0, 3.0])))


@pytest.mark.parametrize("shape", [(4,), (1, 4), (3, 4), (2, 3, 4), (2, 0, 4)])
def test_linear_is_the_formula_for_any_leading_axes(shape: tuple[int, ...]) -> None:
    x, weight, bias = normal(*shape), normal(4, 6), normal(6)
    np.testing.assert_allclose(layers.linear(x, weight, bias), x @ weight + bias, atol=1e-14)
    np.testing.assert_allclose(layers.linear(x, weight), x @ weight, atol=1e-14)


@pytest.mark.parametrize(("n_query", "n_key"), [(1, 1), (5, 5), (1, 9), (4, 9)])
def test_attention_is_torchs(torch: Any, n_query: int, n_key: int) -> None:
    q, k, v = normal(2, 3, n_query, 8), normal(2, 3, n_key, 8), normal(2, 3, n_key, 8)
    mask = torch.ones(n_query, n_key, dtype=torch.bool).tril(n_key - n_query)
    theirs = torch.nn.functional.scaled_dot_product_attention(*map(torch.from_numpy, (q, k, v)), attn_mask=mask)
    np.testing.assert_allclose(layers.attention(q, k, v), theirs.numpy(), atol=1e-12)


def test_attention_never_looks_ahead() -> None:
    q, k, v = normal(6, 8), normal(6, 8), normal(6, 8)
    before = layers.attention(q, k, v)
    k[4:], v[4:] = 100.0, 100.0
    np.testing.assert_array_equal(layers.attention(q, k, v)[:4], before[:4])


def test_attention_takes_a_mask_and_a_scale() -> None:
    q, k, v = normal(3, 8), normal(3, 8), normal(3, 8)
    first_hidden = np.array([layers.MASKED, 0.0, 0.0])
    np.testing.assert_allclose(layers.attention(q, k, v, mask=first_hidden)[1:], layers.attention(q[1:], k[1:], v[1:]))
    np.testing.assert_allclose(layers.attention(q, k, v, scale=1.0), layers.attention(q * math.sqrt(8), k, v))


def test_causal_mask_hides_what_is_above_the_diagonal() -> None:
    np.testing.assert_array_equal(layers.causal_mask(3) == 0, np.tri(3, dtype=bool))


def test_split_heads_is_a_view() -> None:
    x = normal(2, 5, 12)
    heads = layers.split_heads(x, 3)
    assert heads.shape == (2, 3, 5, 4)
    assert np.shares_memory(heads, x)
    np.testing.assert_array_equal(heads[1, 2, 4], x[1, 4, 8:12])


def attention_parameters(n_embd: int, dtype: type = np.float64) -> dict[str, Any]:
    return {
        "c_attn": {"weight": normal(n_embd, 3 * n_embd, dtype=dtype) / 8, "bias": normal(3 * n_embd, dtype=dtype)},
        "c_proj": {"weight": normal(n_embd, n_embd, dtype=dtype) / 8, "bias": normal(n_embd, dtype=dtype)},
    }


@pytest.mark.parametrize("n_seq", [1, 7, 300])
def test_multi_head_attention_is_torchs(torch: Any, n_seq: int) -> None:
    """300 positions take three blocks of queries."""
    x, parameters = normal(2, n_seq, 24), attention_parameters(24)
    theirs = torch.nn.MultiheadAttention(24, 3, batch_first=True, dtype=torch.float64)
    theirs.load_state_dict(
        {
            "in_proj_weight": torch.from_numpy(parameters["c_attn"]["weight"].T),
            "in_proj_bias": torch.from_numpy(parameters["c_attn"]["bias"]),
            "out_proj.weight": torch.from_numpy(parameters["c_proj"]["weight"].T),
            "out_proj.bias": torch.from_numpy(parameters["c_proj"]["bias"]),
        }
    )
    tensor = torch.from_numpy(x)
    mask = torch.ones(n_seq, n_seq, dtype=torch.bool).triu(1)
    with torch.no_grad():
        expected = theirs(tensor, tensor, tensor, attn_mask=mask, need_weights=False)[0].numpy()
    np.testing.assert_allclose(layers.multi_head_attention(x, **parameters, n_head=3), expected, atol=1e-12)


def test_multi_head_attention_is_attention_in_each_head() -> None:
    x, parameters = normal(300, 24), attention_parameters(24)
    q, k, v = np.split(layers.linear(x, **parameters["c_attn"]), 3, axis=-1)
    heads = [layers.attention(q[:, i : i + 8], k[:, i : i + 8], v[:, i : i + 8]) for i in (0, 8, 16)]
    expected = layers.linear(np.concatenate(heads, axis=-1), **parameters["c_proj"])
    np.testing.assert_allclose(layers.multi_head_attention(x, **parameters, n_head=3), expected, atol=1e-12)


def test_multi_head_attention_does_not_hold_all_scores_at_once() -> None:
    n_seq, n_head = 2048, 4
    x, parameters = normal(n_seq, 32, dtype=np.float32), attention_parameters(32, np.float32)
    tracemalloc.start()
    layers.multi_head_attention(x, **parameters, n_head=n_head)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < n_head * n_seq * n_seq * 4 / 4


def test_mlp_is_the_formula() -> None:
    x = normal(2, 3, 4)
    c_fc, c_proj = {"weight": normal(4, 16), "bias": normal(16)}, {"weight": normal(16, 4), "bias": normal(4)}
    widened = x @ c_fc["weight"] + c_fc["bias"]
    expected = layers.gelu(widened) @ c_proj["weight"] + c_proj["bias"]
    np.testing.assert_allclose(layers.mlp(x, c_fc, c_proj), expected, atol=1e-12)
    exact = layers.gelu_exact(widened) @ c_proj["weight"] + c_proj["bias"]
    np.testing.assert_allclose(layers.mlp(x, c_fc, c_proj, activation=layers.gelu_exact), exact, atol=1e-12)


@pytest.mark.parametrize("function", [layers.gelu, layers.gelu_exact, layers.softmax])
def test_float32_stays_float32(function: Any) -> None:
    assert function(normal(3, 4, dtype=np.float32)).dtype == np.float32
