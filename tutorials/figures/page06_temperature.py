"""The same next-token distribution at three temperatures."""

from __future__ import annotations

from typing import Any

import numpy as np

from numpygpt import GPT2
from numpygpt.layers import softmax
from tutorials.figures import COLOURS

PROMPT = "Once upon a time, there was a little"
TEMPERATURES = [0.5, 1.0, 2.0]
SHOWN = 8


def data() -> dict[str, Any]:
    """Return the likeliest tokens after the prompt, and their probabilities and the rest's at every temperature."""
    model = GPT2.from_pretrained("weights/stories")
    logits = model.logits(model.tokenizer.encode(PROMPT))[-1].astype(np.float64)
    likeliest = np.argsort(-logits)[:SHOWN]
    probabilities = np.array([softmax(logits / temperature)[likeliest] for temperature in TEMPERATURES])
    others = 1 - probabilities.sum(axis=1, keepdims=True)
    return {
        "tokens": [f'"{model.tokenizer.decode([int(i)])}"' for i in likeliest]
        + [f"{len(logits) - SHOWN} others,\ntogether"],
        "temperatures": TEMPERATURES,
        "probabilities": np.hstack([probabilities, others]),
    }


def draw(data: dict[str, Any], figure: Any) -> None:
    """Draw three bars for every token, one for each temperature."""
    axes = figure.subplots()
    places, width = np.arange(len(data["tokens"])), 0.27
    for i, (temperature, row) in enumerate(zip(data["temperatures"], data["probabilities"], strict=True)):
        axes.bar(places + (i - 1) * width, row, width, color=COLOURS[i], label=f"temperature {temperature:g}")
    axes.set_xticks(places, data["tokens"], rotation=30, ha="right")
    axes.set_ylabel("probability")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper center")
    figure.suptitle(f"{PROMPT} …", fontsize=11)
