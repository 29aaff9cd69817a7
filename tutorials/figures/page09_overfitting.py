"""Loss on learned and on held-out lines, for a small GPT that learns from many lines and from few."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from numpygpt import GPT2Config, Tokenizer, backward, gpt2
from numpygpt.arrays import Array, flatten, unflatten
from numpygpt.config import initialize
from numpygpt.loss import cross_entropy
from numpygpt.optimizer import AdamW, clip_gradients, global_norm, learning_rate
from tutorials.figures import BLUE, GREY, ORANGE

NAMES = ["Anna", "Ben", "Carla", "Dan", "Eva", "Finn", "Gina", "Hugo"]
COLOURS = ["red", "blue", "green", "black", "white", "brown", "gray", "pink"]
ANIMALS = ["cat", "dog", "bird", "fish", "horse", "mouse", "duck", "bear"]
STEPS = 300
EVERY = 10  # steps between measurements


def data() -> dict[str, Any]:
    """Train as page 9 does, on 400 lines and on 32 of them."""
    lines = [f"{n} has a {c} {a}. The {a} is {c}.\n" for n in NAMES for c in COLOURS for a in ANIMALS]
    lines = [lines[i] for i in np.random.default_rng(0).permutation(len(lines))]
    tokenizer = Tokenizer.train("".join(lines[:400]), 256 + 90 + 1)
    ids = np.array([tokenizer.encode("\n" + line) for line in lines])
    config = GPT2Config(vocab_size=tokenizer.n_vocab, n_ctx=13, n_embd=32, n_layer=1, n_head=2)
    many, few = curves(ids[:400], ids[400:], config), curves(ids[:32], ids[400:], config)
    return {
        "step": list(range(0, STEPS + 1, EVERY)),
        "floor": 3 * math.log(8) / 12,
        "learned_of_400": many[:, 0],
        "held_out_of_400": many[:, 1],
        "learned_of_32": few[:, 0],
        "held_out_of_32": few[:, 1],
    }


def curves(learned: Array, held_out: Array, config: GPT2Config) -> Array:
    """Train in float64, and measure both losses on the way: [n, 2]."""
    spread = math.sqrt(768 / config.n_embd)
    tensors = {
        name: w.astype(np.float64) * (spread if w.ndim > 1 else 1)
        for name, w in flatten(initialize(config, seed=0)).items()
    }
    params, optimizer, rng = unflatten(tensors), AdamW(tensors), np.random.default_rng(1)

    def losses() -> list[float]:
        logits = (gpt2(ids[:, :-1], **params, n_head=config.n_head) for ids in (learned, held_out))
        return [
            float(cross_entropy(row, ids[:, 1:]).mean()) for row, ids in zip(logits, (learned, held_out), strict=True)
        ]

    measured = [losses()]
    for step in range(STEPS):
        batch = learned[rng.integers(len(learned), size=16)]
        _, tree = backward.gpt2(batch[:, :-1], batch[:, 1:], params, config)
        gradients = flatten(tree)
        gradients = clip_gradients(gradients, global_norm(gradients), limit=1.0)
        optimizer.update(tensors, gradients, step, learning_rate(step, lr=1e-2, warmup=10, steps=STEPS))
        if (step + 1) % EVERY == 0:
            measured.append(losses())
    return np.array(measured)


def draw(data: dict[str, Any], figure: Any) -> None:
    """Draw the four curves and the irreducible loss."""
    axes = figure.subplots()
    floor = float(data["floor"])
    axes.axhline(floor, color=GREY, linestyle="--", linewidth=1)
    axes.text(STEPS, floor - 0.015, "irreducible loss", color=GREY, fontsize=9, ha="right", va="top")
    for n, colour in ((400, BLUE), (32, ORANGE)):
        axes.plot(data["step"], data[f"held_out_of_{n}"], color=colour, linewidth=2, label=f"{n} lines: held-out ones")
        axes.plot(
            data["step"],
            data[f"learned_of_{n}"],
            color=colour,
            linestyle=":",
            linewidth=2,
            label=f"{n} lines: the learned ones",
        )
    axes.set(xlabel="step", ylabel="loss (nats per token)", xlim=(0, STEPS), ylim=(0.2, 1.4))
    axes.legend(loc="center", bbox_to_anchor=(0.75, 0.53), fontsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
