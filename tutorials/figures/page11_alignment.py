"""Which English word the embedded translator looks at for each French one: page 11."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpygpt import Translator
from tutorials.figures import HEAT, label_cells

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from numpygpt.arrays import Array

SENTENCE = "I saw a red car in the street."


def data() -> dict[str, Any]:
    """Translate the sentence and return the words of both, and the attention: [n_target, n_source]."""
    alignment = Translator.from_pretrained("english-french").align(SENTENCE)
    return {"source": alignment.source, "target": alignment.target, "weights": alignment.weights}


def draw(data: dict[str, Array], figure: Figure) -> None:
    """Draw the heat map: a row for each French word, a column for each English one."""
    figure.set_size_inches(6.6, 5.4)
    axes = figure.add_subplot(xlabel="looks at", ylabel="about to be written")
    heat = axes.imshow(data["weights"], cmap=HEAT, vmin=0, vmax=1)
    label_cells(axes, [str(word) for word in data["target"]], [str(word) for word in data["source"]])
    bar = figure.colorbar(heat, ax=axes, label="attention weight", shrink=0.8)
    bar.outline.set_visible(False)
