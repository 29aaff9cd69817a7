"""The surprise of every token at the beginning of a story, in bits."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from numpygpt import GPT2
from numpygpt.loss import cross_entropy
from tutorials.figures import BLUE, GREY

ROOT = Path(__file__).parents[2]
N_TOKENS = 44


def data() -> dict[str, Any]:
    """Score the first tokens of page 8's story."""
    model = GPT2.from_pretrained(ROOT / "weights" / "stories")
    story = (ROOT / "numpygpt" / "data" / "bruno.txt").read_text(encoding="utf-8")
    ids = [model.tokenizer.eot_id, *model.tokenizer.encode(story)[:N_TOKENS]]
    losses = cross_entropy(model.logits(ids[:-1]), ids[1:])
    return {"token": [model.tokenizer.decode([token]) for token in ids[1:]], "bits": losses / np.float32(math.log(2))}


def draw(data: dict[str, Any], figure: Any) -> None:
    """Draw a bar for each token."""
    axes = figure.subplots()
    positions = np.arange(len(data["bits"]))
    axes.bar(positions, data["bits"], color=BLUE, width=0.7)
    tokens = [str(token).replace("\n", "⏎").strip(" ") for token in data["token"]]
    axes.set_xticks(positions, tokens, rotation=90, fontsize=9)
    axes.set_xlim(-0.6, len(positions) - 0.4)
    axes.set_ylabel("surprise in bits")
    axes.yaxis.grid(visible=True, color=GREY, alpha=0.3)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
