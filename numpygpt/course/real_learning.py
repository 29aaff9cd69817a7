"""Stage 4 of gradients and optimizer: two training steps of a model of two layers, whose losses are the book's."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import numpy as np

from numpygpt.arrays import flatten
from numpygpt.backward.gpt2 import gpt2
from numpygpt.config import GPT2Config, initialize
from numpygpt.course.exercises import Exercise, find
from numpygpt.course.say import say
from numpygpt.course.swap import DiffersError, book, swapped

CONFIG = GPT2Config(vocab_size=40, n_ctx=8, n_embd=16, n_layer=2, n_head=2)
STEPS = 2


def _train(config: GPT2Config) -> list[float]:
    params = initialize(config, seed=0)
    tensors = flatten(params)
    rng, optimizer = np.random.default_rng(0), book("optimizer")
    ids = rng.integers(0, config.vocab_size, (3, 9))
    adamw, losses = optimizer.AdamW(tensors), []
    for step in range(STEPS + 1):
        loss, tree = gpt2(ids[:, :-1], ids[:, 1:], params, config)
        losses.append(float(loss))
        gradients = flatten(tree)
        gradients = optimizer.clip_gradients(gradients, optimizer.global_norm(gradients), 1.0)
        lr = optimizer.learning_rate(step, lr=0.02, steps=10, warmup=1)
        adamw.update(tensors, gradients, step, lr)
    return losses


def _in_place(exercise: Exercise, implementation: Any) -> AbstractContextManager[None]:
    """Swap an implementation in; the gradient of softmax, which the book's attention computes in another way, into it.

    There ds = p · (dp - Σ dy · y), a sum of fewer terms; here it is the gradient of softmax by its own name.
    """
    if exercise.name != "backward.softmax":
        return swapped(exercise, implementation)

    def attention(dy: Any, saved: Any, q: Any, k: Any, v: Any, scale: float) -> Any:
        p = saved.probabilities
        ds = np.asarray(implementation(dy @ v.swapaxes(-1, -2), p)) * scale
        return ds @ k, ds.swapaxes(-1, -2) @ q, p.swapaxes(-1, -2) @ dy

    return swapped(find("backward.attention"), attention)


def train_two_steps(exercise: Exercise, implementation: Any) -> str:
    """Train with an implementation in the book; return the losses."""
    config = replace(CONFIG, activation_function="relu") if exercise.name == "backward.relu" else CONFIG
    expected = _train(config)
    with _in_place(exercise, implementation):
        got = _train(config)
    if not np.allclose(got, expected, rtol=1e-3):
        text = "the losses of training should be {expected}, and are {got}"
        raise DiffersError(say(text, expected=np.round(expected, 4), got=np.round(got, 4)))
    losses = " -> ".join(f"{x:.4f}" for x in got)
    return say("a model of two layers learns: loss {losses}", losses=losses)
