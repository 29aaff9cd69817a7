"""The language model's batches, gradients and evaluation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from numpygpt.arrays import Tensors, flatten, unflatten
from numpygpt.backward import Dropout
from numpygpt.config import GPT2Config, initialize, parameter_shapes
from numpygpt.engine import gpt2
from numpygpt.loss import cross_entropy
from numpygpt.optimizer import AdamW
from numpygpt.train import TrainingConfig, workers
from numpygpt.train.language import LanguageModel, draw_batch, validation_loss

CONFIG = GPT2Config(vocab_size=50, n_ctx=8, n_embd=8, n_layer=1, n_head=2)
IDS = np.random.default_rng(0).integers(0, 50, (7, 9))
BATCH = IDS[:, :-1], IDS[:, 1:]


def gradients(
    config: GPT2Config, tensors: Tensors, batch: tuple[Any, ...], step: int = 0, **options: Any
) -> tuple[float, Tensors]:
    """The mean loss and gradients of a batch, as the loop computes them."""
    said = TrainingConfig(**{"batch_size": len(batch[0]), **options})
    task: Any = LanguageModel(said, config, None, None, None, None)  # type: ignore[arg-type]
    loss, grads, _ = workers.gradients(task, unflatten(tensors), batch, step, said)
    return loss, grads


def test_initial_weights_have_gpt2s_spread() -> None:
    config = GPT2Config(vocab_size=500, n_ctx=64, n_embd=64, n_layer=8, n_head=2)
    tensors = flatten(initialize(config, seed=0))
    assert tensors.keys() == parameter_shapes(config).keys()
    for name, tensor in tensors.items():
        assert tensor.dtype == np.float32
        if tensor.ndim == 1:
            assert np.all(tensor == (0 if name.endswith("bias") else 1))
        else:
            assert tensor.std() == pytest.approx(0.005 if "c_proj" in name else 0.02, rel=0.1)
    ids = np.arange(64)
    loss = cross_entropy(gpt2(ids[:-1], **unflatten(tensors), config=config), ids[1:]).mean()
    assert loss == pytest.approx(math.log(500), abs=0.1)  # as unsure as blind guessing


def test_batches_depend_on_seed_and_step_and_cover_every_epoch() -> None:
    tokens = np.arange(165)
    batches = [draw_batch(tokens, step, seed=3, batch_size=5, n_ctx=8) for step in range(8)]
    for ids, targets in batches:
        assert ids.shape == targets.shape == (5, 8)
        np.testing.assert_array_equal(ids + 1, targets)
    for epoch in (batches[:4], batches[4:]):  # 20 sequences of 8 each
        seen = np.concatenate([ids for ids, _ in epoch]).ravel()
        assert len(set(seen)) >= 150
    np.testing.assert_array_equal(batches[6][0], draw_batch(tokens, 6, seed=3, batch_size=5, n_ctx=8)[0])
    assert not np.array_equal(batches[6][0], draw_batch(tokens, 6, seed=4, batch_size=5, n_ctx=8)[0])
    ids, _ = draw_batch(np.arange(9), 0, seed=0, batch_size=2, n_ctx=8)  # one sequence, again and again
    np.testing.assert_array_equal(ids, [np.arange(8)] * 2)


@pytest.mark.parametrize(("threads", "micro_batch"), [(2, 2), (3, 1), (9, 0)])
def test_gradients_do_not_depend_on_how_the_batch_is_shared_out(threads: int, micro_batch: int) -> None:
    tensors = flatten(initialize(CONFIG, seed=0))
    loss, whole = gradients(CONFIG, tensors, BATCH, threads=1, micro_batch=7)
    shared_loss, shared = gradients(CONFIG, tensors, BATCH, threads=threads, micro_batch=micro_batch)
    assert shared_loss == pytest.approx(loss, rel=1e-6)
    for name, gradient in shared.items():
        np.testing.assert_allclose(gradient, whole[name], rtol=1e-3, atol=1e-7)


def test_a_target_below_0_counts_for_nothing() -> None:
    """Padding in some rows: the mean is over the targets that count, however they are shared out."""
    tensors = flatten(initialize(CONFIG, seed=0))
    ids, targets = BATCH
    padded = np.where(np.arange(8) < np.arange(1, 8)[:, None], targets, -1)
    loss, some = gradients(CONFIG, tensors, (ids, padded), threads=2, micro_batch=1)
    logits = gpt2(ids, **unflatten(tensors), config=CONFIG)
    assert loss == pytest.approx(cross_entropy(logits, targets)[padded >= 0].mean(), rel=1e-6)
    _, other = gradients(CONFIG, tensors, (ids, np.where(padded < 0, -100, padded)), threads=1, micro_batch=7)
    for name, gradient in some.items():
        np.testing.assert_allclose(gradient, other[name], rtol=1e-3, atol=1e-7)


def test_every_step_and_every_row_has_dropout_masks_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = flatten(initialize(CONFIG, seed=0))
    drawn: list[bytes] = []
    mask = Dropout.mask

    def remembered(self: Dropout, x: Any) -> Any:
        result = mask(self, x)
        if x.shape == (1, 8, 8) and result is not None:
            drawn.append(result.tobytes())
        return result

    monkeypatch.setattr(Dropout, "mask", remembered)
    for step in (0, 1, 0):
        gradients(CONFIG, tensors, BATCH, step, threads=1, micro_batch=1, dropout=0.3)
    n = len(drawn) // 3
    assert n == 7 * 3  # embeddings, attention's result, the MLP's, of every row
    assert len(set(drawn)) == 2 * n
    assert drawn[:n] == drawn[2 * n :]  # a step that is made again is the same


def test_validation_loss_is_that_of_windows_side_by_side() -> None:
    params = initialize(CONFIG, seed=0)
    for n_tokens in (2, 8, 9, 10, 60):
        tokens = np.random.default_rng(0).integers(0, 50, n_tokens)
        nats = 0.0
        for start in range(0, n_tokens - 1, 8):
            window = tokens[start : start + 9]
            nats += cross_entropy(gpt2(window[:-1], **params, config=CONFIG), window[1:]).sum()
        assert validation_loss(params, CONFIG, tokens, threads=2) == pytest.approx(nats / (n_tokens - 1), rel=1e-6)


def test_overfits_one_batch() -> None:
    config = GPT2Config(vocab_size=257, n_ctx=32, n_embd=64, n_layer=2, n_head=4)
    tensors = flatten(initialize(config, seed=0))
    adamw = AdamW(tensors, weight_decay=0.0)
    ids = np.random.default_rng(0).integers(0, 257, (4, 33))
    for step in range(150):
        loss, grads = gradients(config, tensors, (ids[:, :-1], ids[:, 1:]), step, threads=1)
        adamw.update(tensors, grads, step, 3e-3)
        if loss < 0.05:
            break
    assert loss < 0.05
