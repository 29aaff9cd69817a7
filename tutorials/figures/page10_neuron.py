"""The neuron that fires most selectively inside quotation marks, on a story that was not used to find it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tutorials.figures import GREY, HEAT
from tutorials.figures._page10 import SECOND_STORY, STORY, THIRD_STORY, in_speech, model, pieces

if TYPE_CHECKING:
    from matplotlib.figure import Figure

N_COLUMNS = 72  # characters a line


def _activations(text: str) -> tuple[list[str], NDArray[np.float32]]:
    ids = model().tokenizer.encode(text)
    kept = model().trace(ids)
    return pieces(ids), np.stack([kept[f"h.{layer}.mlp.activation"] for layer in range(model().config.n_layer)])


def _selectivity(text: str) -> NDArray[np.float32]:
    tokens, activations = _activations(text)  # [n_layer, n_seq, n_inner]
    speech = in_speech(tokens)
    gap = activations[:, speech].mean(axis=1) - activations[:, ~speech].mean(axis=1)
    score: NDArray[np.float32] = gap / (activations.std(axis=1) + 1e-3)
    return score


def data() -> dict[str, Any]:
    """The neuron, found on the first two stories, and its activation at every token of the third."""
    score = np.minimum(_selectivity(STORY), _selectivity(SECOND_STORY))
    layer, neuron = np.unravel_index(score.argmax(), score.shape)
    tokens, activations = _activations(THIRD_STORY)
    return {
        "neuron": [int(layer), int(neuron)],
        "tokens": tokens,
        "activation": np.maximum(activations[layer, :, neuron], 0).round(2),
    }


def draw(data: dict[str, Any], figure: Figure) -> None:
    """The text, on cells whose colour is the root of the activation, so that small ones are seen."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import PowerNorm
    from matplotlib.patches import Rectangle

    axes = figure.subplots()
    norm = PowerNorm(0.5, 0, float(data["activation"].max()))
    colours, column, line = colormaps[HEAT], 0, 0
    words: list[list[tuple[str, float]]] = []  # tokens, joined where no space is between them: lines break at spaces
    for token, activation in zip(data["tokens"].tolist(), data["activation"].tolist(), strict=True):
        if token.startswith(" ") or not words:
            words.append([])
        words[-1].append((token, activation))
    for word in words:
        if column + sum(len(token) for token, _ in word) > N_COLUMNS:
            column, line = 0, line + 1
        for token, activation in word:
            shade = colours(norm(activation))
            axes.add_patch(Rectangle((column, line), len(token), 1, facecolor=shade, edgecolor=shade, linewidth=0.6))
            for i, character in enumerate(token):
                colour = "black" if norm(activation) > 0.6 else "white"
                place = (column + i + 0.5, line + 0.52)
                axes.text(*place, character, family="monospace", fontsize=11, ha="center", va="center", color=colour)
            column += len(token)
    figure.set_size_inches(8.5, 0.75 + 0.3 * (line + 1))
    axes.set(xlim=(0, N_COLUMNS), ylim=(line + 1.05, -0.05))
    axes.set_axis_off()
    layer, neuron = data["neuron"]
    axes.set_title(f"neuron {neuron} of h.{layer}.mlp", fontsize=11, color=GREY)
    bar = figure.colorbar(ScalarMappable(norm, HEAT), ax=axes, pad=0.01)
    bar.set_label("activation", color=GREY)
    bar.outline.set_visible(False)
