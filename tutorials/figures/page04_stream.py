"""Page 4: how long the vectors in the residual stream are, and how long what each layer adds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from numpygpt import GPT2, causal_mask, layer_norm, mlp, multi_head_attention
from tutorials.figures import BLUE, GREEN, ORANGE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STORIES = Path(__file__).parents[2] / "weights" / "stories"
TEXT = (
    "Once upon a time, there was a little dog named Max. Max had a red ball. One day, the ball rolled down the hill "
    "and fell into the water. Max was very sad. A big duck saw the ball and wanted to help."
)  # the page's


def data() -> dict[str, Any]:
    """Return lengths, the middle one of all positions: of the stream after every block, and of the parts added."""
    model = GPT2.from_pretrained(STORIES)
    params, n_head = model.params, model.config.n_head
    ids = model.tokenizer.encode(TEXT)
    x = params["wte"]["weight"][ids] + params["wpe"]["weight"][: len(ids)]
    mask = causal_mask(len(ids))
    lengths: dict[str, list[float]] = {"stream": [length(x)], "attention": [], "mlp": []}
    for block in params["h"]:
        found = multi_head_attention(layer_norm(x, **block["ln_1"]), **block["attn"], n_head=n_head, mask=mask)
        x = x + found
        made = mlp(layer_norm(x, **block["ln_2"]), **block["mlp"])
        x = x + made
        for name, part in ("stream", x), ("attention", found), ("mlp", made):
            lengths[name].append(length(part))
    return lengths


def length(x: Any) -> float:
    """Return the length of the middle one of the vectors: [n_seq, n_embd] -> a number."""
    return float(np.median(np.linalg.norm(x, axis=-1)))


def draw(data: dict[str, Any], figure: Figure) -> None:
    """Draw a line for the stream and two bars a block for what is added to it."""
    axes = figure.subplots()
    blocks = np.arange(1, len(data["stream"]))
    axes.plot([0, *blocks], data["stream"], color=BLUE, marker="o", label="the stream, after the block")
    axes.bar(blocks - 0.5 - 0.14, data["attention"], 0.26, color=ORANGE, label="what attention adds")
    axes.bar(blocks - 0.5 + 0.14, data["mlp"], 0.26, color=GREEN, label="what the MLP adds")
    axes.set_xticks([0, *blocks], ["embed-\ndings", *(f"h[{block - 1}]" for block in blocks)])
    axes.set_ylabel("length of the vector")
    axes.set_ylim(0, 1.35 * max(data["stream"]))
    axes.legend(loc="upper left", ncols=3, fontsize=9)
    axes.patch.set_alpha(0)
    axes.spines[["top", "right"]].set_visible(False)
