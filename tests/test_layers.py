"""The book's layers against PyTorch's where it is installed, and against their formulas everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from numpygpt import activations, layers
from numpygpt.arrays import Array

RNG = np.random.default_rng(0)


def normal(*shape: int, dtype: type = np.float64) -> Array:
    return RNG.normal(size=shape).astype(dtype)


@pytest.fixture(scope="session")
def torch() -> Any:
    return pytest.importorskip("torch")


@pytest.mark.parametrize("embedding", [layers.token_embedding, layers.positional_embedding])
def test_an_embedding_looks_up_rows(embedding: Any) -> None:
    weight = normal(7, 3)
    ids = [[0, 6, 2], [2, 2, 1]]
    np.testing.assert_array_equal(embedding(ids, weight), np.eye(7)[ids] @ weight)


@pytest.mark.parametrize("shape", [(8,), (3, 8), (2, 3, 8)])
@pytest.mark.parametrize("eps", [1e-5, 1e-2])
def test_layer_norm_is_torchs(torch: Any, shape: tuple[int, ...], eps: float) -> None:
    x, weight, bias = normal(*shape) * 5 + 2, normal(8), normal(8)
    tensors = [torch.from_numpy(array) for array in (x, weight, bias)]
    theirs = torch.nn.functional.layer_norm(tensors[0], (8,), *tensors[1:], eps)
    np.testing.assert_allclose(layers.layer_norm(x, weight, bias, eps), theirs.numpy(), atol=1e-12)


def test_layer_norm_has_the_mean_and_variance_that_it_promises() -> None:
    x, ones, zeros = normal(5, 1000) * 3 + 7, np.ones(1000), np.zeros(1000)
    y = layers.layer_norm(x, ones, zeros)
    np.testing.assert_allclose(y.mean(-1), 0, atol=1e-12)
    np.testing.assert_allclose(y.var(-1), 1, atol=1e-5)
    np.testing.assert_allclose(layers.layer_norm(x, 2 * ones, ones), 2 * y + 1, atol=1e-12)
    np.testing.assert_allclose(layers.layer_norm(0 * x + 3, ones, ones), 1)  # a constant: eps keeps it finite


def test_the_eps_of_layer_norm_is_added_to_the_variance() -> None:
    """Of -1 and 1 the variance is 1: with an eps of 3, the root is 2."""
    np.testing.assert_allclose(layers.layer_norm(np.array([-1.0, 1.0]), np.ones(2), np.zeros(2), eps=3.0), [-0.5, 0.5])
    tiny = np.sqrt(np.array([1e-5, 1e-5])) * [-1, 1]  # a variance as large as the eps of GPT-2, which is the default
    np.testing.assert_allclose(layers.layer_norm(tiny, np.ones(2), np.zeros(2)), [-(0.5**0.5), 0.5**0.5])


@pytest.mark.parametrize(("gelu", "form"), [(layers.gelu, "tanh"), (activations.gelu_exact, "none")])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-14), (np.float32, 2e-6)])
def test_gelu_is_torchs(torch: Any, gelu: Any, form: str, dtype: type, tolerance: float) -> None:
    x: Array = np.linspace(-12, 12, 2001, dtype=dtype)
    theirs = torch.nn.functional.gelu(torch.from_numpy(x), approximate=form).numpy()
    np.testing.assert_allclose(gelu(x), theirs, atol=tolerance)


@pytest.mark.parametrize("gelu", [layers.gelu, activations.gelu_exact])
def test_both_forms_of_gelu_approach_relu_far_from_zero(gelu: Any) -> None:
    """A table of the normal distribution gives Φ(1) = 0.8413 and Φ(2) = 0.9772; the tanh form is close to it."""
    np.testing.assert_allclose(gelu(np.array([-2.0, -1.0, 1.0, 2.0])), [-0.0455, -0.1587, 0.8413, 1.9545], atol=2e-4)
    far = np.array([-20.0, 20.0])
    np.testing.assert_allclose(gelu(far), layers.relu(far), atol=1e-12)


def test_gelu_is_the_tanh_form_and_not_the_exact_one() -> None:
    """At 2 the exact form is 1.954500 and the tanh form 1.954598; by a calculator, from the formula."""
    assert layers.gelu(np.array(2.0)) == pytest.approx(1.954598, abs=1e-6)
    assert activations.gelu_exact(np.array(2.0)) == pytest.approx(1.954500, abs=1e-6)


def test_softmax_is_torchs(torch: Any) -> None:
    x = normal(4, 5) * 10
    np.testing.assert_allclose(layers.softmax(x), torch.softmax(torch.from_numpy(x), -1).numpy(), atol=1e-14)


def test_softmax_does_not_overflow() -> None:
    x = np.array([[1000.0, 1000.0], [-1000.0, 1000.0], [-1000.0, -1000.0]])
    np.testing.assert_allclose(layers.softmax(x), [[0.5, 0.5], [0.0, 1.0], [0.5, 0.5]])


def test_attention_does_not_overflow() -> None:
    q, k = np.array([[1.0, 0.0]]), np.array([[4000.0, 0.0], [4000.0, 0.0], [0.0, 0.0]])
    np.testing.assert_allclose(layers.attention(q, k, np.eye(3)), [[0.5, 0.5, 0.0]])


@pytest.mark.parametrize("function", [layers.gelu, layers.softmax])
def test_whole_numbers_are_numbers_too(function: Any) -> None:
    np.testing.assert_array_equal(function(np.array([1, 2, 3])), function(np.array([1.0, 2.0, 3.0])))


@pytest.mark.parametrize("shape", [(4,), (1, 4), (3, 4), (2, 3, 4), (2, 0, 4)])
def test_linear_takes_any_leading_axes(shape: tuple[int, ...]) -> None:
    x, weight, bias = normal(*shape), normal(4, 6), normal(6)
    expected = np.einsum("...i,io->...o", x, weight)
    np.testing.assert_allclose(layers.linear(x, weight), expected, atol=1e-14)
    np.testing.assert_allclose(layers.linear(x, weight, bias), expected + bias, atol=1e-14)


@pytest.mark.parametrize(("n_query", "n_key"), [(1, 1), (5, 5), (1, 9), (4, 9)])
def test_attention_is_torchs(torch: Any, n_query: int, n_key: int) -> None:
    q, k, v = normal(2, 3, n_query, 8), normal(2, 3, n_key, 8), normal(2, 3, n_key, 8)
    mask = normal(n_query, n_key)
    tensors = [torch.from_numpy(array) for array in (q, k, v, mask)]
    theirs = torch.nn.functional.scaled_dot_product_attention(*tensors[:3], attn_mask=tensors[3])
    np.testing.assert_allclose(layers.attention(q, k, v, mask), theirs.numpy(), atol=1e-12)


def test_attention_is_the_mean_of_the_values_where_all_keys_match_alike() -> None:
    q, k, v = normal(3, 8), np.ones((5, 8)), normal(5, 2)
    np.testing.assert_allclose(layers.attention(q, k, v), np.tile(v.mean(axis=0), (3, 1)))
    two_hidden = np.array([0.0, 0.0, 0.0, layers.MASKED, layers.MASKED])
    np.testing.assert_allclose(layers.attention(q, k, v, two_hidden), np.tile(v[:3].mean(axis=0), (3, 1)))


def test_scores_are_divided_by_the_square_root_of_the_dimension() -> None:
    """The scores 4 · log 3 and 0, divided by the root of 16, are log 3 and 0: three quarters and one quarter."""
    q, k, v = np.zeros((1, 16)), np.zeros((2, 16)), np.array([[1.0, 0.0], [0.0, 1.0]])
    q[0, 5], k[0, 5] = 4.0, np.log(3.0)
    np.testing.assert_allclose(layers.attention(q, k, v), [[0.75, 0.25]])


def test_with_the_causal_mask_attention_never_looks_ahead() -> None:
    q, k, v = normal(6, 8), normal(6, 8), normal(6, 8)
    before = layers.attention(q, k, v, layers.causal_mask(6))
    k[4:], v[4:] = 100.0, 100.0
    np.testing.assert_array_equal(layers.attention(q, k, v, layers.causal_mask(6))[:4], before[:4])


def test_causal_mask_hides_what_is_above_the_diagonal() -> None:
    np.testing.assert_array_equal(layers.causal_mask(3) == 0, np.tri(3, dtype=bool))


def test_heads_are_split_as_a_view_and_merged_again() -> None:
    x = normal(2, 5, 12)
    heads = layers.split_heads(x, 3)
    assert heads.shape == (2, 3, 5, 4)
    assert np.shares_memory(heads, x)
    np.testing.assert_array_equal(heads[1, 2, 4], x[1, 4, 8:12])
    np.testing.assert_array_equal(layers.merge_heads(heads), x)


def attention_parameters(n_embd: int) -> dict[str, Any]:
    return {
        "c_attn": {"weight": normal(n_embd, 3 * n_embd) / 8, "bias": normal(3 * n_embd)},
        "c_proj": {"weight": normal(n_embd, n_embd) / 8, "bias": normal(n_embd)},
    }


@pytest.mark.parametrize("n_seq", [1, 7, 300])
def test_multi_head_attention_is_torchs(torch: Any, n_seq: int) -> None:
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
    ours = layers.multi_head_attention(x, **parameters, n_head=3, mask=layers.causal_mask(n_seq))
    np.testing.assert_allclose(ours, expected, atol=1e-12)


def test_multi_head_attention_is_attention_in_each_head() -> None:
    x, parameters = normal(30, 24), attention_parameters(24)
    q, k, v = np.split(layers.linear(x, **parameters["c_attn"]), 3, axis=-1)
    for mask in (0.0, layers.causal_mask(30)):
        heads = [layers.attention(q[:, i : i + 8], k[:, i : i + 8], v[:, i : i + 8], mask) for i in (0, 8, 16)]
        expected = layers.linear(np.concatenate(heads, axis=-1), **parameters["c_proj"])
        ours = layers.multi_head_attention(x, **parameters, n_head=3, mask=mask)
        np.testing.assert_allclose(ours, expected, atol=1e-12)


def test_mlp_is_the_formula() -> None:
    x = normal(2, 3, 4)
    c_fc, c_proj = {"weight": normal(4, 16), "bias": normal(16)}, {"weight": normal(16, 4), "bias": normal(4)}
    widened = x @ c_fc["weight"] + c_fc["bias"]
    expected = layers.gelu(widened) @ c_proj["weight"] + c_proj["bias"]
    np.testing.assert_allclose(layers.mlp(x, c_fc, c_proj), expected, atol=1e-12)
