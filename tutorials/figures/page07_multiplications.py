"""The multiplications that the next token costs, with and without a cache, in the smallest official model."""

from __future__ import annotations

from typing import Any

import numpy as np

from numpygpt import GPT2Config
from tutorials.figures import BLUE, ORANGE


def data() -> dict[str, Any]:
    """Return the multiplications for one more token after texts of several lengths."""
    config = GPT2Config()
    n = np.unique(np.geomspace(1, config.n_ctx, 60).astype(int)).astype(float)
    blocks = 12 * config.n_layer * config.n_embd**2
    attention = 2 * config.n_layer * config.n_embd
    output = config.n_embd * config.vocab_size
    return {
        "n_seq": n,
        "without": n * blocks + n**2 * attention + output,
        "with_cache": blocks + n * attention + output,
    }


def draw(data: dict[str, Any], figure: Any) -> None:
    """Draw one line that rises with the text, and one that nearly does not."""
    axes = figure.subplots()
    axes.loglog(data["n_seq"], data["without"], color=ORANGE, label="without a cache")
    axes.loglog(data["n_seq"], data["with_cache"], color=BLUE, label="with a cache")
    axes.set_xticks([1, 10, 100, 1000], ["1", "10", "100", "1000"])
    axes.set_xlabel("length of the text, in tokens")
    axes.set_ylabel("multiplications for the next token")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left")
