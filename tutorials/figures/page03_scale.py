"""The attention weights of ten random keys, with and without the scale, as the vectors grow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from numpygpt import softmax
from tutorials.figures import BLUE, ORANGE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from numpygpt.arrays import Array

N_DIMS = [4, 64, 1024]


def data() -> dict[str, Any]:
    """Compute the weights that one random query gives to ten random keys, [3 sizes, 10] each."""
    rng = np.random.default_rng(2)
    plain, scaled = [], []
    for n_dim in N_DIMS:
        q, k = rng.standard_normal(n_dim), rng.standard_normal((10, n_dim))
        plain.append(softmax(k @ q))
        scaled.append(softmax(k @ q / np.sqrt(n_dim)))
    return {"n_dim": N_DIMS, "plain": np.array(plain), "scaled": np.array(scaled)}


def draw(data: dict[str, Array], figure: Figure) -> None:
    """Draw the weights as bars: a column for every size, without the scale above and with it below."""
    panels = figure.subplots(2, 3, sharex=True, sharey=True)
    rows = {"without the scale": (data["plain"], ORANGE), "divided by sqrt(n_dim)": (data["scaled"], BLUE)}
    for axes, n_dim in zip(panels[0], data["n_dim"], strict=True):
        axes.set_title(f"n_dim = {n_dim}", fontsize=11)
    for row, (name, (weights, colour)) in zip(panels, rows.items(), strict=True):
        for axes, bars in zip(row, weights, strict=True):
            axes.bar(range(1, 11), bars, color=colour)
            axes.set_ylim(0, 1)
            axes.spines[["top", "right"]].set_visible(False)
            axes.set_xticks([1, 5, 10])
        row[0].set_ylabel(f"weight,\n{name}")
    for axes in panels[1]:
        axes.set_xlabel("key")
