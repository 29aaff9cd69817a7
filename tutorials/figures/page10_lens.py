"""What the logit lens reads after every block, at the last positions of a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from numpygpt import layer_norm, softmax
from tutorials.figures import GREY, HEAT, label_cells
from tutorials.figures._page10 import SENTENCE, model, pieces, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

N_SHOWN = 10  # positions


def data() -> dict[str, Any]:
    """The likeliest token in every stream at every shown position, and its probability."""
    ids = model().tokenizer.encode(SENTENCE)
    params, kept = model().params, model().trace(ids)
    streams = np.stack([kept["wte"] + kept["wpe"], *(kept[f"h.{layer}"] for layer in range(model().config.n_layer))])
    normed = layer_norm(streams[:, -N_SHOWN:], **params["ln_f"])
    probabilities = softmax(normed @ params["wte"]["weight"].T)
    best = probabilities.argmax(axis=-1)  # [n_layer + 1, N_SHOWN]
    return {
        "read": readable(pieces(ids[-N_SHOWN:])),
        "predicted": [readable(pieces(row)) for row in best.tolist()],
        "probability": probabilities.max(axis=-1),
    }


def draw(data: dict[str, Any], figure: Figure) -> None:
    """A cell a stream and position, the last block on top."""
    axes = figure.subplots()
    probability = data["probability"]
    image = axes.imshow(probability, cmap=HEAT, vmin=0, vmax=1, aspect="auto", origin="lower")
    names = ["wte + wpe", *(f"h.{layer}" for layer in range(len(probability) - 1))]
    label_cells(axes, names, list(data["read"]))
    axes.tick_params(axis="x", rotation=0)
    for (row, column), token in np.ndenumerate(data["predicted"]):
        colour = "black" if probability[row, column] > 0.6 else "white"
        axes.text(column, row, token, ha="center", va="center", fontsize=8.5, color=colour)
    axes.set_xlabel("token read at this position")
    bar = figure.colorbar(image, pad=0.02)
    bar.set_label("probability of the token in the cell", color=GREY)
    bar.outline.set_visible(False)
