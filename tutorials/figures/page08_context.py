"""The loss of a story against the size of the window that the model reads it through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from numpygpt import GPT2
from numpygpt.loss import token_losses
from tutorials.figures import BLUE, GREY

ROOT = Path(__file__).parents[2]
WINDOWS = [2, 4, 8, 16, 32, 64, 128, 256]


def data() -> dict[str, Any]:
    """Score every token of page 8's story in windows of several sizes, which slide by half their size."""
    model = GPT2.from_pretrained(ROOT / "weights" / "stories")
    story = (ROOT / "numpygpt" / "data" / "bruno.txt").read_text(encoding="utf-8")
    ids = [model.tokenizer.eot_id, *model.tokenizer.encode(story)]
    losses = [
        np.concatenate(list(token_losses(ids, model.logits, n_ctx=window, stride=window // 2))) for window in WINDOWS
    ]
    return {"window": WINDOWS, "loss": np.mean(losses, axis=1)}


def draw(data: dict[str, Any], figure: Any) -> None:
    """Draw a point for each window, a doubling apart."""
    axes = figure.subplots()
    positions = np.arange(len(data["window"]))
    axes.plot(positions, data["loss"], color=BLUE, marker="o", linewidth=2)
    axes.set_xticks(positions, [str(window) for window in data["window"]])
    axes.set_xlabel("tokens in the window")
    axes.set_ylabel("loss in nats per token")
    axes.yaxis.grid(visible=True, color=GREY, alpha=0.3)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
