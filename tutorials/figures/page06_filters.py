"""What top-k and top-p keep, where the model is sure of the next token and where it is not."""

from __future__ import annotations

from typing import Any

import numpy as np

from numpygpt import GPT2
from numpygpt.layers import softmax
from tutorials.figures import COLOURS, GREEN, GREY

PROMPTS = ["Once upon", "Tom and his dog went to the", "The girl saw a"]
TOP_K, TOP_P = 10, 0.9
SHOWN = 1000


def data() -> dict[str, Any]:
    """Return how much probability the 1, 2, 3 ... likeliest tokens have together, after every prompt."""
    model = GPT2.from_pretrained("weights/stories")
    cumulative, n_kept = [], []
    for prompt in PROMPTS:
        logits = model.logits(model.tokenizer.encode(prompt))[-1].astype(np.float64)
        together = np.cumsum(-np.sort(-softmax(logits)))
        cumulative.append(together[:SHOWN])
        n_kept.append(float((together < TOP_P).sum() + 1))
    return {"prompts": PROMPTS, "cumulative": cumulative, "n_kept": n_kept}


def draw(data: dict[str, Any], figure: Any) -> None:
    """Draw a rising line for every prompt, and the two limits that the filters set."""
    axes = figure.subplots()
    for i, (prompt, together) in enumerate(zip(data["prompts"], data["cumulative"], strict=True)):
        colour = COLOURS[(0, 1, 3)[i]]
        axes.semilogx(np.arange(1, len(together) + 1), together, color=colour, label=f"{prompt} …")
        n_kept = data["n_kept"][i]
        axes.plot(n_kept, together[int(n_kept) - 1], "o", color=colour)
    axes.axvline(TOP_K, color=GREY, linestyle="--", linewidth=1)
    axes.text(TOP_K * 1.06, 0.03, f"top_k = {TOP_K}")
    axes.axhline(TOP_P, color=GREEN, linestyle="--", linewidth=1)
    axes.text(SHOWN, TOP_P - 0.06, f"top_p = {TOP_P}", ha="right")
    axes.set_xticks([1, 10, 100, 1000], ["1", "10", "100", "1000"])
    axes.set_xlabel("number of tokens kept, the likeliest first")
    axes.set_ylabel("their probability together")
    axes.set_ylim(0, 1.03)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right")
