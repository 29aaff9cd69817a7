"""Cosine similarity of positions, learned and sinusoidal: page 2."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from numpygpt import GPT2, sinusoidal_encoding
from tutorials.figures import BLUE, GREY, HEAT, ORANGE, label_cells

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MODEL = Path(__file__).parents[2] / "weights" / "stories"
STEP = 6  # the heat maps show every sixth position
N_DISTANCE = 129


def data() -> dict[str, Any]:
    learned = GPT2.from_pretrained(MODEL).params["wpe"]["weight"]
    numbers: dict[str, Any] = {}
    for name, table in (("learned", learned), ("sinusoidal", sinusoidal_encoding(*learned.shape))):
        rows = table / np.linalg.norm(table, axis=1, keepdims=True)
        similarity = rows @ rows.T
        numbers[name] = similarity[::STEP, ::STEP]
        numbers[f"{name}_by_distance"] = [float(similarity.diagonal(k).mean()) for k in range(N_DISTANCE)]
    return numbers


def draw(data: dict[str, Any], figure: Figure) -> None:
    figure.set_size_inches(7, 6.2)
    axes: dict[str, Axes] = figure.subplot_mosaic(
        [["learned", "sinusoidal"], ["lines", "lines"]], height_ratios=[3, 2.2]
    )
    end = STEP * len(data["learned"])
    for name in ("learned", "sinusoidal"):
        image = axes[name].imshow(
            data[name], cmap=HEAT, vmin=-1, vmax=1, extent=(0, end, end, 0), interpolation="nearest"
        )
        label_cells(axes[name])
        axes[name].set_title(name, color=GREY)
        axes[name].set_xticks(range(0, 256, 64))
        axes[name].set_yticks(range(0, 256, 64))
        axes[name].set_xlabel("position")
    axes["learned"].set_ylabel("position")
    bar = figure.colorbar(image, ax=[axes["learned"], axes["sinusoidal"]], shrink=0.8, pad=0.02)
    bar.outline.set_visible(False)
    bar.set_label("cosine similarity")
    lines = axes["lines"]
    lines.axhline(0, color=GREY, linewidth=0.5)
    for name, colour in (("learned", BLUE), ("sinusoidal", ORANGE)):
        lines.plot(data[f"{name}_by_distance"], color=colour, label=name)
    lines.set_xlabel("distance of two positions")
    lines.set_ylabel("mean similarity")
    lines.spines[["top", "right"]].set_visible(False)
    lines.legend()
