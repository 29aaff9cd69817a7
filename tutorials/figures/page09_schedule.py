"""The learning rate over a run: warm-up, then half a cosine."""

from __future__ import annotations

from typing import Any

from numpygpt.optimizer import learning_rate
from tutorials.figures import BLUE, GREY

WARMUP, STEPS = 100, 1000


def data() -> dict[str, Any]:
    """Ask the package for the rate of every tenth step."""
    steps = list(range(0, STEPS + 1, 10))
    return {"step": steps, "lr": [learning_rate(step, lr=1e-3, warmup=WARMUP, steps=STEPS) for step in steps]}


def draw(data: dict[str, Any], figure: Any) -> None:
    """Draw the curve, with the end of the warm-up marked."""
    figure.set_size_inches(7, 2.8)
    axes = figure.subplots()
    axes.axvline(WARMUP, color=GREY, linestyle="--", linewidth=1)
    axes.text(WARMUP + 10, 5e-5, "end of the warm-up", color=GREY, fontsize=9)
    axes.plot(data["step"], data["lr"], color=BLUE, linewidth=2)
    axes.set(xlabel="step", ylabel="learning rate", xlim=(0, STEPS), ylim=(0, 1.08e-3))
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
