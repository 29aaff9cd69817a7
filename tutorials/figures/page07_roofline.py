"""The roofline of the machine that page 7 speaks of, and what was measured on it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from numpygpt import GPT2Config
from numpygpt.config import parameter_shapes
from tutorials.figures import BLUE, GREY, ORANGE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BANDWIDTH = 44.8e9  # bytes a second, of 2026-11-26: 98.7% of 1 / 89.3 s were the products, of 494.6 MB of weights
RATE = 221e9  # FLOPs a second of products with 1000 rows: the same run
DECODED = {1: 89.3, 8: 268.0, 16: 380.0}  # tokens a second: the same
PREFILL = 0.93  # seconds for a prompt of 1000 tokens: the same


def data() -> dict[str, Any]:
    """Return the roofline, and for each measured job its FLOPs per byte of weights and its FLOPs a second."""
    config = GPT2Config()
    n_used = sum(math.prod(shape) for name, shape in parameter_shapes(config).items() if name != "wpe.weight")
    intensity = np.geomspace(0.25, 512, 100)
    prompt = 2 * 12 * config.n_layer * config.n_embd**2 * 1000  # FLOPs: the matrices, the attention, the output
    prompt += 4 * config.n_layer * config.n_embd * 1000 * 1001 // 2 + 2 * config.n_embd * config.vocab_size
    return {
        "intensity": intensity,
        "limit": np.minimum(BANDWIDTH * intensity, RATE),
        "jobs": [*(f"decode, {n} at once" if n > 1 else "decode, 1 sequence" for n in DECODED), "prefill, 1000 tokens"],
        "job_intensity": [*(n / 2 for n in DECODED), prompt / (4 * n_used)],
        "job_rate": [*(2 * n_used * speed for speed in DECODED.values()), prompt / PREFILL],
    }


def draw(data: dict[str, Any], figure: Figure) -> None:
    """Draw the roof as a line and the jobs as points."""
    axes = figure.subplots()
    axes.loglog(data["intensity"], data["limit"] / 1e9, color=BLUE, linewidth=2)
    axes.plot(data["job_intensity"], data["job_rate"] / 1e9, "o", color=ORANGE, markersize=8)
    for name, x, y in zip(data["jobs"], data["job_intensity"], data["job_rate"] / 1e9, strict=True):
        is_last = name.startswith("prefill")
        axes.annotate(
            name,
            (x, y),
            xytext=(-6, -20) if is_last else (10, -10),
            textcoords="offset points",
            ha="right" if is_last else "left",
        )
    axes.text(1.2, 76, "limit of memory", rotation=50, color=GREY, ha="center", va="center")
    axes.text(40, 240, "limit of arithmetic", color=GREY, va="bottom", ha="center")
    axes.set_xticks([0.5, 1, 5, 10, 100], ["0.5", "1", "5", "10", "100"])
    axes.set_yticks([10, 100], ["10", "100"])
    axes.set_ylim(9, 400)
    axes.minorticks_off()
    axes.set_xlabel("FLOPs for each byte of the weights")
    axes.set_ylabel("billion FLOPs a second")
    axes.spines[["top", "right"]].set_visible(False)
