"""Four words with vectors made by hand: their scores, the scores with the mask, the attention weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from numpygpt import softmax
from tutorials.figures import HEAT, label_cells

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from numpygpt.arrays import Array


def data() -> dict[str, Any]:
    """Compute the three tables of the page's example, [n_seq, n_seq] each."""
    q = np.array([[0.0, 0.0], [0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])  # what a word looks for: a description, a thing
    k = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])  # what it is
    scores = q @ k.T / np.sqrt(2)
    visible = np.tri(4, dtype=bool)
    return {
        "words": ["The", "red", "ball", "fell"],
        "scores": scores,
        "visible": visible.astype(int),
        "weights": softmax(np.where(visible, scores, -1e30)),
    }


def draw(data: dict[str, Array], figure: Figure) -> None:
    """Draw the tables side by side, every number in its cell."""
    figure.set_size_inches(8, 3.2)
    words = [str(word) for word in data["words"]]
    visible = data["visible"].astype(bool)
    tables = {
        "scores / sqrt(n_dim)": data["scores"],
        "with the mask": np.where(visible, data["scores"], np.nan),
        "softmax: attention weights": np.where(visible, data["weights"], np.nan),
    }
    for axes, (title, table) in zip(figure.subplots(1, 3), tables.items(), strict=True):
        axes.imshow(table, cmap=HEAT, vmin=0, vmax=np.nanmax(table))
        for (query, key), number in np.ndenumerate(table):
            if not np.isnan(number):
                colour = "black" if number > 0.7 * np.nanmax(table) else "white"
                axes.text(key, query, f"{number:.2f}", ha="center", va="center", color=colour)
        axes.set_title(title, fontsize=11)
        axes.set_xlabel("key")
        label_cells(axes, words, words)
    figure.axes[0].set_ylabel("query")
