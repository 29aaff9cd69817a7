"""Two heads' attention patterns: the one that looks most at the token before, and one that fetches a word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tutorials.figures import HEAT, label_cells
from tutorials.figures._page10 import SENTENCE, STORY, model, pieces, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def data() -> dict[str, Any]:
    """The pattern of the head that looks most at the previous token (of the story), and that of the head which adds
    most to the logit of " ball" over that of " doll" at the sentence's end; both on the sentence.
    """
    config, params, tokenizer = model().config, model().params, model().tokenizer
    layers = range(config.n_layer)

    kept = model().trace(tokenizer.encode(STORY))
    patterns = np.stack([kept[f"h.{layer}.attn.probabilities"] for layer in layers])
    scores = np.diagonal(patterns, -1, axis1=-2, axis2=-1).mean(axis=-1)
    previous = np.unravel_index(scores.argmax(), scores.shape)

    ids = tokenizer.encode(SENTENCE)
    kept = model().trace(ids)
    patterns = np.stack([kept[f"h.{layer}.attn.probabilities"] for layer in layers])
    heads = np.stack([kept[f"h.{layer}.attn.heads"][:, -1] for layer in layers])  # [n_layer, n_head, n_dim]
    rows = np.stack([block["attn"]["c_proj"]["weight"] for block in params["h"]])
    added = np.einsum("lhd,lhde->lhe", heads, rows.reshape(*heads.shape, config.n_embd))
    ball, doll = (tokenizer.encode(word)[0] for word in (" ball", " doll"))
    direction = params["ln_f"]["weight"] * (params["wte"]["weight"][ball] - params["wte"]["weight"][doll])
    gains = (added - added.mean(axis=-1, keepdims=True)) @ direction
    fetching = np.unravel_index(gains.argmax(), gains.shape)
    return {
        "tokens": readable(pieces(ids)),
        "heads": [[int(layer), int(head)] for layer, head in (previous, fetching)],
        "patterns": np.stack([patterns[previous], patterns[fetching]]).round(3),
    }


def draw(data: dict[str, Any], figure: Figure) -> None:
    """Two squares, a row for every query, a column for every key."""
    figure.set_size_inches(9, 5.6)
    for axes, (layer, head), pattern, what in zip(
        figure.subplots(1, 2, sharey=True),
        data["heads"],
        data["patterns"],
        ("highest previous-token score", 'adds most to " ball"'),
        strict=True,
    ):
        axes.imshow(np.sqrt(pattern), cmap=HEAT, vmin=0, vmax=1)  # square root, so that small ones are seen
        label_cells(axes, list(data["tokens"]), list(data["tokens"]))
        axes.tick_params(labelsize=7.5)
        axes.set_title(f"h.{layer}, head {head}: {what}", fontsize=10.5)
        axes.set_xlabel("looked at")
