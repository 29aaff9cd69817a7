"""The encoder-decoder's gradients against central differences, what PyTorch computed, and PyTorch itself."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from gradients import assert_close, central_differences
from random_models import REFERENCE
from random_transformers import SHAPES, marian_logits, marian_model, random_pairs, random_transformer

from numpygpt import backward
from numpygpt.arrays import flatten
from numpygpt.backward.dropout import Dropout
from numpygpt.engine.transformer import transformer as engine_transformer
from numpygpt.loss import cross_entropy
from numpygpt.models.marian import is_stored_turned
from numpygpt.optimizer import AdamW, clip_gradients, global_norm, learning_rate
from numpygpt.safetensors import load_file

LENGTHS = [(7, 5), (2, 9), (4, 1)]


def loss_of(source: Any, read: Any, targets: Any, params: Any, config: Any, smoothing: float) -> float:
    """The mean loss by the engine's forward pass and the definition of label smoothing."""
    logits = engine_transformer(source, read, params, config)
    counted = targets >= 0
    every = np.mean([cross_entropy(logits, np.full(targets.shape, i)) for i in range(config.vocab_size)], axis=0)
    losses = (1 - smoothing) * cross_entropy(logits, np.maximum(targets, 0)) + smoothing * every
    return float(losses[counted].mean())


@pytest.mark.parametrize("option", [SHAPES[0], SHAPES[2], SHAPES[4], SHAPES[6]], ids=str)
def test_gradients_equal_central_differences(option: dict[str, Any]) -> None:
    config, params = random_transformer(**option | {"encoder_layers": 1, "decoder_layers": 2, "vocab_size": 11})
    source, read, targets = random_pairs(config, [(4, 3), (2, 4)])
    loss, tree = backward.transformer(source, read, targets, params, config, label_smoothing=0.1)
    assert loss == pytest.approx(loss_of(source, read, targets, params, config, 0.1), rel=1e-10)
    gradients, tensors = flatten(tree), flatten(params)
    assert gradients.keys() == tensors.keys() - {"final_logits_bias"}
    rng = np.random.default_rng(0)
    for name, gradient in gradients.items():
        assert gradient.shape == tensors[name].shape
        some = rng.choice(gradient.size, min(6, gradient.size), replace=False)
        view = tensors[name].reshape(-1)
        for i in some:
            one = view[i : i + 1]
            expected = central_differences(lambda: loss_of(source, read, targets, params, config, 0.1), one)
            assert gradient.reshape(-1)[i] == pytest.approx(expected[0], abs=1e-6 * np.abs(gradient).max() + 1e-9), name


def test_gradients_equal_those_that_pytorch_computed() -> None:
    """Those of `tests/reference/make_transformer.py`, in float32, with padding and label smoothing."""
    expected = load_file(REFERENCE / "transformer.safetensors")
    config, params = random_transformer(dtype=np.float32)
    source, read, targets = random_pairs(config, LENGTHS)
    loss, tree = backward.transformer(source, read, targets, params, config, label_smoothing=0.1)
    assert loss == pytest.approx(float(expected["loss"][0]), rel=1e-5)
    gradients = flatten(tree)
    assert {f"gradients/{name}" for name in gradients} == {name for name in expected if name.startswith("gradients/")}
    for name, gradient in gradients.items():
        theirs = expected[f"gradients/{name}"]
        if name.endswith("k_proj.bias"):  # adds the same to a query's scores, which changes nothing: 0 but for rounding
            assert max(np.abs(gradient).max(), np.abs(theirs).max()) < 1e-6
        else:
            assert_close(gradient, theirs, 1e-4, name)


def test_padding_and_the_logits_bias_learn_nothing() -> None:
    config, params = random_transformer()
    source, read, targets = random_pairs(config, LENGTHS)
    loss, tree = backward.transformer(source, read, targets, params, config)
    alone = [backward.transformer(source[i : i + 1, :a], read[i : i + 1, :b], targets[i : i + 1, :b], params, config)
             for i, (a, b) in enumerate(LENGTHS)]  # fmt: skip
    shares = np.array([b for _, b in LENGTHS]) / 15
    assert loss == pytest.approx(sum(share * part[0] for share, part in zip(shares, alone, strict=True)), rel=1e-12)
    parts = [flatten(part[1]) for part in alone]
    for name, gradient in flatten(tree).items():
        np.testing.assert_allclose(
            gradient, sum(share * part[name] for share, part in zip(shares, parts, strict=True)), atol=1e-12
        )


def test_dropout_is_the_same_forward_and_backward() -> None:
    config, params = random_transformer(encoder_layers=1, decoder_layers=1, vocab_size=11)
    source, read, targets = random_pairs(config, [(3, 3)])

    def loss() -> float:
        drop = Dropout(0.3, np.random.default_rng(5))
        return backward.transformer(source, read, targets, params, config, drop=drop)[0]

    _, tree = backward.transformer(source, read, targets, params, config, drop=Dropout(0.3, np.random.default_rng(5)))
    assert loss() != backward.transformer(source, read, targets, params, config)[0]
    for place in (("encoder", "fc1"), ("decoder", "fc2")):
        weight = params["model"][place[0]]["layers"][0][place[1]]["weight"]
        gradient = tree["model"][place[0]]["layers"][0][place[1]]["weight"]
        expected = central_differences(loss, weight[:2, :3])
        np.testing.assert_allclose(gradient[:2, :3], expected, atol=1e-7)


@pytest.mark.parametrize("option", SHAPES, ids=str)
def test_gradients_equal_autograd_on_every_option(option: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    config, params = random_transformer(**option)
    source, read, targets = random_pairs(config, LENGTHS)
    model = marian_model(config, params)
    logits = marian_logits(model, config, source, read).logits
    np.testing.assert_allclose(engine_transformer(source, read, params, config), logits.detach().numpy(), atol=1e-10)
    theirs = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.tensor(targets).flatten(), ignore_index=-1)
    theirs.backward()
    loss, tree = backward.transformer(source, read, targets, params, config)
    assert loss == pytest.approx(theirs.item(), rel=1e-10)
    named = dict(model.named_parameters())
    for name, gradient in flatten(tree).items():
        expected = named[name].grad.numpy()
        if name == "model.shared.weight" and config.pad_token_id == config.decoder_start_token_id:
            continue  # PyTorch gives a pad's embedding no gradient, as if it were not the start
        expected = expected.T if is_stored_turned(name, gradient.shape) else expected
        np.testing.assert_allclose(gradient, expected, atol=1e-10, err_msg=name)


def test_ten_steps_equal_pytorchs_training() -> None:
    torch = pytest.importorskip("torch")
    config, params = random_transformer()
    model = marian_model(config, params).train()
    tensors = {name: tensor for name, tensor in flatten(params).items() if name != "final_logits_bias"}
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    theirs = torch.optim.Adam(learned, lr=1.0, betas=(0.9, 0.98), eps=1e-9)
    ours = AdamW(tensors, 0.9, 0.98, 1e-9, weight_decay=0.0)
    for step in range(10):
        source, read, targets = random_pairs(config, LENGTHS, seed=step)
        rate = learning_rate(step, lr=0.01, steps=20, warmup=4)
        loss, tree = backward.transformer(source, read, targets, params, config, label_smoothing=0.1)
        gradients = flatten(tree)
        ours.update(tensors, clip_gradients(gradients, global_norm(gradients), 1.0), step, rate)

        theirs.zero_grad()
        logits = marian_logits(model, config, source, read).logits.flatten(0, 1)
        options: dict[str, Any] = {"ignore_index": -1, "label_smoothing": 0.1}
        their_loss = torch.nn.functional.cross_entropy(logits, torch.tensor(targets).flatten(), **options)
        their_loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        theirs.param_groups[0]["lr"] = rate
        theirs.step()
        assert loss == pytest.approx(their_loss.item(), rel=1e-6)
    named = dict(model.named_parameters())
    for name, tensor in tensors.items():
        if not name.endswith("k_proj.bias"):  # whose gradient is rounding alone, which Adam blows up
            expected = named[name].detach().numpy()
            expected = expected.T if is_stored_turned(name, tensor.shape) else expected
            np.testing.assert_allclose(tensor, expected, atol=1e-5, err_msg=name)


def test_the_gradients_stand_in_the_books_order() -> None:
    book, mirror = (sys.modules[f"numpygpt.{name}"] for name in ("transformer", "backward.transformer"))
    own = {
        m: [name for name, item in vars(m).items() if getattr(item, "__module__", "") == m.__name__]
        for m in (book, mirror)
    }
    without = {"sinusoidal_encoding", "sines_first", "padding_mask", "feed_forward"}  # constants; `mlp`'s gradient
    assert [name for name in own[mirror] if name in own[book]] == [name for name in own[book] if name not in without]
