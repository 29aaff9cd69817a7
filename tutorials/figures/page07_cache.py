"""Which positions every call of the model computes, without a cache and with one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tutorials.figures import BLUE, GREEN, GREY

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TOKENS = ["Once", " upon", " a", " time", " there", " was", " a", " dog"]
N_PROMPT = 4


def data() -> dict[str, Any]:
    """Return, for every call and position, 2 where it is computed, 1 where it is read from the cache, else 0."""
    position = np.arange(len(TOKENS))
    read = position < (N_PROMPT + np.arange(len(TOKENS) - N_PROMPT + 1))[:, None]  # [n_calls, n_seq]
    is_new = read & np.vstack([read[:1], ~read[:-1]])
    return {"tokens": TOKENS, "without": 2 * read, "with_cache": np.where(is_new, 2, 1 * read)}


def draw(data: dict[str, Any], figure: Figure) -> None:
    """Two tables of cells, a row for each call."""
    from matplotlib.patches import Patch, Rectangle

    figure.set_size_inches(8, 3.7)
    panels = {"without a cache": data["without"], "with a cache": data["with_cache"]}
    for axes, (title, cells) in zip(figure.subplots(1, 2, sharey=True), panels.items(), strict=True):
        for (row, column), cell in np.ndenumerate(cells):
            if cell:
                colour = BLUE if cell == 2 else GREEN
                axes.add_patch(
                    Rectangle((column - 0.44, row - 0.42), 0.88, 0.84, color=colour, alpha=1 if cell == 2 else 0.35)
                )
        n_calls, n_seq = cells.shape
        axes.set_xlim(-0.6, n_seq - 0.4)
        axes.set_ylim(n_calls - 0.4, -0.6)
        axes.set_xticks(range(n_seq), [token.strip() for token in data["tokens"]], rotation=60)
        axes.set_yticks(range(n_calls), ["prefill", *(f"decode {i}" for i in range(1, n_calls))])
        axes.set_title(title, fontsize=11)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    kinds = [
        Patch(color=BLUE, label="computed in this call"),
        Patch(color=GREEN, alpha=0.35, label="read from the cache"),
    ]
    figure.legend(handles=kinds, loc="outside lower center", ncols=2, labelcolor=GREY)
