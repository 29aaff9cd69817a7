"""The optimizer against PyTorch's: its committed steps everywhere, itself where it is installed."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
import pytest
from random_models import REFERENCE

from numpygpt import backward
from numpygpt.arrays import flatten, unflatten
from numpygpt.config import GPT2Config, initialize
from numpygpt.engine import Tokenizer
from numpygpt.models import checkpoint
from numpygpt.optimizer import AdamW, clip_gradients, global_norm, learning_rate
from numpygpt.safetensors import load_file


def test_six_committed_steps_of_pytorch() -> None:
    """Bias correction, no weight decay of biases and layer norms, clipping by the global norm."""
    stored = load_file(REFERENCE / "adamw.safetensors")
    names = [name.removeprefix("start/") for name in stored if name.startswith("start/")]
    tensors = {name: stored[f"start/{name}"].copy() for name in names}
    adamw = AdamW(tensors, beta1=0.9, beta2=0.95, epsilon=1e-3, weight_decay=0.1)
    for step in range(6):
        gradients = {name: stored[f"gradient/{step}/{name}"] for name in names}
        adamw.update(tensors, clip_gradients(gradients, global_norm(gradients), limit=2.0), step, lr=0.05)
        for name, w in tensors.items():
            np.testing.assert_allclose(w, stored[f"after/{step}/{name}"], rtol=0, atol=1e-6, err_msg=f"{step} {name}")


def test_the_step_is_the_callers() -> None:
    """At step 1, t is 2, whether or not there was a step 0: 1 - 0.9² = 0.19, and 1 - 0.95² = 0.0975."""
    bias = np.zeros(1)
    tensors = {"bias": bias}
    AdamW(tensors).update(tensors, {"bias": np.ones(1)}, step=1, lr=1.0)
    np.testing.assert_allclose(bias, -(0.1 / 0.19) / math.sqrt(0.05 / 0.0975), err_msg="the model's own array")


def test_gradients_are_scaled_to_the_limit_and_left_alone_below_it() -> None:
    gradients = {"weight": np.full((2, 2), 3.0), "bias": np.array([-8.0])}
    assert global_norm(gradients) == 10.0
    clipped = clip_gradients(gradients, 10.0, limit=4.0)
    assert global_norm(clipped) == pytest.approx(4.0)
    np.testing.assert_allclose(clipped["bias"], [-3.2])
    assert clip_gradients(gradients, 10.0, limit=10.0) is gradients


def test_learning_rate_rises_and_falls() -> None:
    rates = [learning_rate(step, lr=2.0, lr_end=0.5, warmup=10, steps=110) for step in range(111)]
    np.testing.assert_allclose(rates[:10], np.arange(1, 11) * 0.2)
    assert rates[10] == 2.0
    assert rates[60] == pytest.approx(1.25)  # half-way down
    assert rates[35] == pytest.approx(0.5 + 1.5 * (1 + math.sqrt(0.5)) / 2)  # a quarter of the way: still high
    assert rates[110] == pytest.approx(0.5)
    assert np.diff(rates[10:]).max() < 0


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_ten_steps_of_a_model_equal_those_of_pytorch(weight_decay: float) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = GPT2Config(vocab_size=100, n_ctx=32, n_embd=32, n_layer=2, n_head=4)
    tensors = flatten(initialize(config, seed=0))
    options = {**vars(config), "n_positions": config.n_ctx, "bos_token_id": 0, "eos_token_id": 0}
    no_dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**options, **no_dropout))
    model.transformer.load_state_dict({name: torch.tensor(x) for name, x in tensors.items()})
    named = dict(model.transformer.named_parameters())
    groups = [
        {"params": [w for w in named.values() if w.ndim >= 2], "weight_decay": weight_decay},
        {"params": [w for w in named.values() if w.ndim < 2], "weight_decay": 0.0},
    ]
    theirs = torch.optim.AdamW(groups, betas=(0.9, 0.95), eps=1e-8)
    ours = AdamW(tensors, weight_decay=weight_decay)
    rng = np.random.default_rng(0)
    for step in range(10):
        ids = rng.integers(0, 100, (4, 33))
        logits = model(torch.tensor(ids[:, :-1])).logits
        expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.tensor(ids[:, 1:]).flatten())
        theirs.zero_grad()
        expected.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        lr = learning_rate(step, lr=3e-3, warmup=3, steps=10)
        for group in theirs.param_groups:
            group["lr"] = lr
        theirs.step()

        loss, tree = backward.gpt2(ids[:, :-1], ids[:, 1:], unflatten(tensors), config)
        gradients = flatten(tree)
        norm = global_norm(gradients)
        assert norm > 0.5
        ours.update(tensors, clip_gradients(gradients, norm, 0.5), step, lr)
        assert loss == pytest.approx(expected.item(), abs=1e-4)
    for name, w in tensors.items():
        np.testing.assert_allclose(w, named[name].detach().numpy(), rtol=0, atol=1e-4, err_msg=name)


SHAKESPEARE = """\
<|endoftext|>First Citizen:
Before we proceed any further, hear me speak.

<|endoftext|>All:
Speak, speak.

<|endoftext|>First Citizen:
You are all resolved rather to die than to famish?

<|endoftext|>All:
Resolved. resolved.

<|endoftext|>First Citizen:
First, you know Caius Marcius is chief enemy to the people.

<|endoftext|>All:
We know't, we know't.

<|endoftext|>First Citizen:
Let us kill him, and we'll have corn at our own price.
Is't a verdict?

<|endoftext|>All:
No more talking on't; let it be done: away, away!

<|endoftext|>Second Citizen:
One word, good citizens.

<|endoftext|>First Citizen:
We are accounted poor citizens, the patricians good.
What authority surfeits on would relieve us: if they
would yield us but the superfluity, while it were
wholesome, we might guess they relieved us humanely;
but they think we are too dear: the leanness that
afflicts us, the object of our misery, is as an
inventory to particularise their abundance; our
sufferance is a gain to them Let us revenge this with
our pikes
"""


def test_the_ten_published_losses_of_llm_c() -> None:
    """Fine-tune the official weights on one batch as karpathy/llm.c's test_gpt2.c does, with the losses it lists."""
    if "NUMPYGPT_GPT2" not in os.environ:
        pytest.skip("needs the official weights: NUMPYGPT_GPT2 names their folder")
    # the batch of llm.c's gpt2_124M_debug_state.bin: the beginning of Tiny Shakespeare, 4 rows of 64 tokens
    ids: Any = Tokenizer().encode(SHAKESPEARE, allowed_special="all")
    losses = [5.270007, 4.059707, 3.375123, 2.800783, 2.315382, 1.849029, 1.394656, 0.999147, 0.624080, 0.376511]
    config, params, _ = checkpoint.load(os.environ["NUMPYGPT_GPT2"])
    tensors = {name: np.array(tensor) for name, tensor in flatten(params).items()}
    adamw = AdamW(tensors, beta2=0.999, weight_decay=0.0)
    batch, targets = np.array(ids[:256]).reshape(4, 64), np.array(ids[1:257]).reshape(4, 64)
    for step, expected in enumerate(losses):
        loss, gradients = backward.gpt2(batch, targets, unflatten(tensors), config)
        adamw.update(tensors, flatten(gradients), step, 1e-4)
        assert loss == pytest.approx(expected, abs=1e-2)  # llm.c's own tolerance
