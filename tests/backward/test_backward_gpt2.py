"""The gradient of the whole model against central differences, PyTorch's autograd and committed gradients."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gradients import Arrays, assert_close, central_differences, draw
from random_models import REFERENCE, random_params

from numpygpt import backward, engine, trace
from numpygpt.arrays import Array, Params, flatten, unflatten
from numpygpt.backward import Dropout
from numpygpt.backward import layers as backward_layers
from numpygpt.backward import loss as backward_loss
from numpygpt.config import GPT2Config, parameter_shapes
from numpygpt.loss import cross_entropy
from numpygpt.safetensors import load_file

CONFIG = GPT2Config(vocab_size=7, n_ctx=6, n_embd=4, n_layer=2, n_head=2, n_inner=6, layer_norm_epsilon=1e-2)


@pytest.fixture
def _several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let sequences of five tokens be cut as long ones are."""
    monkeypatch.setattr(backward_layers, "QUERY_BLOCK", 2)
    monkeypatch.setattr(backward_loss, "LOGIT_ROWS", 3)


OPTIONS: list[dict[str, Any]] = [
    {},
    {"activation_function": "gelu", "scale_attn_by_inverse_layer_idx": True, "tie_word_embeddings": False},
    {"scale_attn_weights": False, "n_layer": 1, "n_head": 1},
]


def model_and_batch(options: dict[str, Any], dtype: str) -> tuple[GPT2Config, Arrays, Array, Array]:
    config = GPT2Config(**{**vars(CONFIG), **options})
    tensors = draw(parameter_shapes(config), dtype)
    ids = np.random.default_rng(2).integers(0, config.vocab_size, (2, 6))
    return config, tensors, ids[:, :-1], ids[:, 1:]


@pytest.mark.usefixtures("_several_blocks")
@pytest.mark.parametrize("p", [0.0, 0.3])
@pytest.mark.parametrize("options", OPTIONS)
def test_model_gradient_equals_central_differences(options: dict[str, Any], p: float) -> None:
    config, tensors, ids, targets = model_and_batch(options, "float64")

    def loss_and_gradients() -> tuple[float, Params]:
        drop = Dropout(p, np.random.default_rng(5))  # the same masks every time
        return backward.gpt2(ids, targets, unflatten(tensors), config, drop=drop)

    if p == 0:
        logits = engine.gpt2(ids, **unflatten(tensors), config=config)
        assert loss_and_gradients()[0] == pytest.approx(cross_entropy(logits, targets).mean(), rel=1e-12)
    gradients = flatten(loss_and_gradients()[1])
    assert gradients.keys() == tensors.keys()
    for name, x in tensors.items():
        assert_close(gradients[name], central_differences(lambda: loss_and_gradients()[0], x), 1e-6, name)


def torch_block(x: Any, a: dict[str, Any], config: GPT2Config, layer: int, drop: Callable[[Any], Any]) -> Any:
    """One transformer block in PyTorch's own functions; drop(x) draws and applies the next mask."""
    import torch

    functional = torch.nn.functional

    def linear(x: Any, name: str) -> Any:
        return x @ a[f"{name}.weight"] + a[f"{name}.bias"]

    def norm(x: Any, name: str) -> Any:
        return functional.layer_norm(
            x, x.shape[-1:], a[f"{name}.weight"], a[f"{name}.bias"], eps=config.layer_norm_epsilon
        )

    n_seq = x.shape[-2]
    q, k, v = (
        part.unflatten(-1, (config.n_head, -1)).swapaxes(-2, -3)
        for part in linear(norm(x, "ln_1"), "attn.c_attn").chunk(3, dim=-1)
    )
    scores = config.attention_scale(layer) * q @ k.swapaxes(-1, -2)
    hidden = torch.ones(n_seq, n_seq, dtype=torch.bool).triu(1)
    probabilities = scores.masked_fill(hidden, -math.inf).softmax(-1)
    heads = []
    for start in range(0, n_seq, backward_layers.QUERY_BLOCK):  # masks are drawn block by block
        end = min(start + backward_layers.QUERY_BLOCK, n_seq)
        heads.append(drop(probabilities[..., start:end, :end]) @ v[..., :end, :])
    attended = torch.cat(heads, dim=-2).swapaxes(-2, -3).flatten(-2)
    x = x + drop(linear(attended, "attn.c_proj"))
    exact = config.activation_function == "gelu"
    active = functional.gelu(linear(norm(x, "ln_2"), "mlp.c_fc"), approximate="none" if exact else "tanh")
    return x + drop(linear(active, "mlp.c_proj"))


@pytest.mark.usefixtures("_several_blocks")
@pytest.mark.parametrize("p", [0.0, 0.3])
@pytest.mark.parametrize("options", OPTIONS)
def test_model_gradient_equals_autograd_with_the_same_masks(options: dict[str, Any], p: float) -> None:
    torch = pytest.importorskip("torch")
    config, tensors, ids, targets = model_and_batch(options, "float32")
    leaves = {name: torch.tensor(x, requires_grad=True) for name, x in tensors.items()}
    masks = Dropout(p, np.random.default_rng(5))

    def drop(x: Any) -> Any:
        mask = masks.mask(x.detach().numpy())
        return x if mask is None else x * torch.tensor(mask)

    x = drop(leaves["wte.weight"][ids] + leaves["wpe.weight"][: ids.shape[-1]])
    for layer in range(config.n_layer):
        prefix = f"h.{layer}."
        block = {name.removeprefix(prefix): x for name, x in leaves.items() if name.startswith(prefix)}
        x = torch_block(x, block, config, layer, drop)
    x = torch.nn.functional.layer_norm(x, x.shape[-1:], leaves["ln_f.weight"], leaves["ln_f.bias"], 1e-2)
    logits = x @ leaves.get("lm_head.weight", leaves["wte.weight"]).T
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.tensor(targets).flatten())
    expected.backward()

    drop_ours = Dropout(p, np.random.default_rng(5))
    loss, gradients = backward.gpt2(ids, targets, unflatten(tensors), config, drop=drop_ours)
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    for name, gradient in flatten(gradients).items():
        assert gradient.dtype == np.float32
        assert_close(gradient, leaves[name].grad.numpy(), 1e-4, name)


@pytest.mark.parametrize(("n_seq", "n_embd", "n_head"), [(100, 24, 3), (64, 16, 16), (130, 8, 1)])
def test_model_gradient_equals_that_of_transformers(n_seq: int, n_embd: int, n_head: int) -> None:
    """Whole blocks of the size that is used, and sequences that they do not divide."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = GPT2Config(vocab_size=50, n_ctx=130, n_embd=n_embd, n_layer=2, n_head=n_head)
    tensors = {name: 0.3 * x for name, x in draw(parameter_shapes(config), "float32").items()}
    options = {**vars(config), "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "n_positions": 130}
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**options, bos_token_id=0, eos_token_id=0))
    model.transformer.load_state_dict({name: torch.tensor(x) for name, x in tensors.items()})
    ids = np.random.default_rng(2).integers(0, 50, (3, n_seq + 1))
    logits = model(torch.tensor(ids[:, :-1])).logits
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.tensor(ids[:, 1:]).flatten())
    expected.backward()
    named = dict(model.transformer.named_parameters())

    loss, gradients = backward.gpt2(ids[:, :-1], ids[:, 1:], unflatten(tensors), config)
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    for name, gradient in flatten(gradients).items():
        assert_close(gradient, named[name].grad.numpy(), 1e-4, name)


def test_parts_of_a_batch_add_up() -> None:
    config, tensors, ids, targets = model_and_batch({}, "float64")
    params = unflatten(tensors)
    loss, whole = backward.gpt2(ids, targets, params, config)
    parts = [backward.gpt2(ids[i : i + 1], targets[i : i + 1], params, config, n_targets=ids.size) for i in range(2)]
    assert loss == pytest.approx(sum(part_loss for part_loss, _ in parts))
    first, second = (flatten(gradients) for _, gradients in parts)
    for name, gradient in flatten(whole).items():
        np.testing.assert_allclose(first[name] + second[name], gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["a", "b"])
def test_model_gradient_is_the_committed_one_of_transformers(name: str) -> None:
    """Two configs with every option that is not GPT-2's, in blocks of queries of the size that is used."""
    config = GPT2Config(**json.loads((REFERENCE / "options.json").read_text(encoding="utf-8"))[name])
    expected = load_file(REFERENCE / "options.safetensors")
    params, ids = random_params(config), expected[f"{name}.ids"]
    logits = engine.gpt2(ids, **params, config=config)
    np.testing.assert_allclose(logits, expected[f"{name}.logits"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(trace(ids, **params, config=config)["logits"], logits, rtol=0, atol=1e-4)
    loss, gradients = backward.gpt2(ids[:, :-1], ids[:, 1:], params, config)
    assert loss == pytest.approx(cross_entropy(expected[f"{name}.logits"][:, :-1], ids[:, 1:]).mean(), rel=1e-5)
    for tensor, gradient in flatten(gradients).items():
        assert_close(gradient, expected[f"{name}.{tensor}"], 1e-4, tensor)


def test_a_target_below_0_counts_for_nothing() -> None:
    config, tensors, ids, targets = model_and_batch({}, "float64")
    params = unflatten(tensors)
    some = np.where(np.arange(5) < 2, targets, [[-1], [-100]])
    loss, gradients = backward.gpt2(ids, some, params, config)
    expected_loss, expected = backward.gpt2(ids[:, :2], targets[:, :2], params, config)  # later ones change nothing
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    for name, gradient in flatten(expected).items():
        np.testing.assert_allclose(flatten(gradients)[name], gradient, atol=1e-12)
    loss, gradients = backward.gpt2(ids, 0 * ids - 1, params, config)
    assert loss == 0
    assert not any(gradient.any() for gradient in flatten(gradients).values())


def test_dropout_keeps_the_mean_and_its_share() -> None:
    ones = np.ones((200, 500), np.float32)
    mask = Dropout(0.25, np.random.default_rng(0)).mask(ones)
    assert mask is not None
    assert set(np.unique(mask)) == {np.float32(0), np.float32(1 / 0.75)}
    assert mask.mean() == pytest.approx(1, abs=0.01)
    np.testing.assert_array_equal(backward.dropout(ones, mask), mask)
    assert backward.dropout(ones, Dropout().mask(ones)) is ones
    with pytest.raises(ValueError, match="needs a random generator"):
        Dropout(0.1).mask(ones)
