"""Tokens a second against the size of the batch: what limits it, and what was measured."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from numpygpt import GPT2Config
from numpygpt.config import parameter_shapes
from tutorials.figures import BLUE, GREEN, GREY, ORANGE

BANDWIDTH = 26.3e9  # bytes a second, measured on 2026-11-25, in the run that page 7 speaks of
RATE = 176e9 / 2  # multiplications a second in large products, each with an addition: the same
MEASURED = {1: 47.2, 8: 198.0, 16: 304.0}  # tokens a second: the same


def data() -> dict[str, Any]:
    """Return the tokens a second that memory and arithmetic allow for batches of 1 to 16, and those measured."""
    n_used = sum(math.prod(shape) for name, shape in parameter_shapes(GPT2Config()).items() if name != "wpe.weight")
    batch = np.arange(1.0, 17.0)
    once_across_memory = 4 * n_used / BANDWIDTH
    return {
        "batch": batch,
        "memory": batch / once_across_memory,
        "arithmetic": np.full(len(batch), RATE / n_used),
        "small_products": np.where(batch == 1, 1.0, batch / 2.5) / once_across_memory,
        "measured_batch": [float(n) for n in MEASURED],
        "measured": list(MEASURED.values()),
    }


def draw(data: dict[str, Any], figure: Any) -> None:
    """Draw the limits as lines and the measured speeds as points."""
    axes = figure.subplots()
    axes.plot(data["batch"], data["arithmetic"], "--", color=GREY, label="limit of arithmetic")
    axes.plot(data["batch"], data["memory"], color=GREEN, label="limit of memory: the weights once a step")
    axes.plot(data["batch"], data["small_products"], color=BLUE, label="a step as long as 2.5 of one sequence")
    axes.plot(data["measured_batch"], data["measured"], "o", color=ORANGE, markersize=8, label="measured")
    axes.set_xticks([1, 2, 4, 8, 12, 16])
    axes.set_xlabel("sequences in the batch")
    axes.set_ylabel("tokens a second, of all together")
    axes.set_ylim(0, 1250)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left")
