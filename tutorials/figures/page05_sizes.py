"""Page 5: where the parameters sit, in the embedded model and in the four official sizes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from numpygpt import GPT2Config
from numpygpt.config import parameter_shapes
from tutorials.figures import BLUE, GREEN, GREY, ORANGE, PINK

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CONFIGS = {
    "stories": GPT2Config(vocab_size=4097, n_ctx=256, n_layer=6, n_embd=256, n_head=4),
    "gpt2": GPT2Config(),
    "gpt2-medium": GPT2Config(n_layer=24, n_embd=1024, n_head=16),
    "gpt2-large": GPT2Config(n_layer=36, n_embd=1280, n_head=20),
    "gpt2-xl": GPT2Config(n_layer=48, n_embd=1600, n_head=25),
}
PARTS = {"wte": BLUE, "wpe": PINK, "attn": ORANGE, "mlp": GREEN}  # layer norms are too few to be seen


def data() -> dict[str, Any]:
    """Return every model's number of parameters in millions, and the share of each part in percent."""
    millions, percent = [], []
    for config in CONFIGS.values():
        sizes = {name: math.prod(shape) for name, shape in parameter_shapes(config).items()}
        total = sum(sizes.values())
        millions.append(total / 1e6)
        percent.append(
            [100 * sum(size for name, size in sizes.items() if part in name.split(".")) / total for part in PARTS]
        )
    return {"models": list(CONFIGS), "parts": list(PARTS), "millions": millions, "percent": percent}


def draw(data: dict[str, Any], figure: Figure) -> None:
    """Draw a bar a model, divided into its parts."""
    axes = figure.subplots()
    rows = np.arange(len(data["models"]))
    start = np.zeros(len(rows))
    for part, colour, share in zip(data["parts"], PARTS.values(), data["percent"].T, strict=True):
        axes.barh(rows, share, 0.7, left=start, color=colour, label=part)
        for row in rows[share >= 4]:
            axes.text(start[row] + share[row] / 2, row, f"{share[row]:.0f}%", ha="center", va="center", color="white")
        start += share
    labels = [f"{name}\n{count:,.0f} million" for name, count in zip(data["models"], data["millions"], strict=True)]
    axes.set_yticks(rows, labels)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("share of the parameters, %", color=GREY)
    axes.legend(loc="lower center", bbox_to_anchor=(0.45, 1), ncols=4)
    axes.tick_params(axis="y", length=0)
    axes.patch.set_alpha(0)
    axes.spines[["top", "right", "left"]].set_visible(False)
