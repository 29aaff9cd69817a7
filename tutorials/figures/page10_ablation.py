"""How much the loss of two stories rises when one head is silent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from numpygpt.loss import cross_entropy
from numpygpt.trace import Hook
from tutorials.figures import GREY, HEAT, label_cells
from tutorials.figures._page10 import SECOND_STORY, STORY, model

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def data() -> dict[str, Any]:
    """The rise in nats per token: [story, layer, head]."""
    config = model().config
    texts = [np.array(model().tokenizer.encode(text)) for text in (STORY, SECOND_STORY)]

    def losses(hook: Hook | None = None) -> list[float]:
        logits = [model().trace(ids[:-1], hook)["logits"] for ids in texts]
        return [float(cross_entropy(rows, ids[1:]).mean()) for rows, ids in zip(logits, texts, strict=True)]

    def silent(layer: int, head: int) -> Hook:
        others = (np.arange(config.n_head) != head)[:, None, None]
        return lambda name, array: array * others if name == f"h.{layer}.attn.heads" else None

    whole = losses()
    rise = np.empty((len(texts), config.n_layer, config.n_head))
    for layer, head in np.ndindex(rise.shape[1:]):
        rise[:, layer, head] = np.subtract(losses(silent(layer, head)), whole)
    return {"rise": rise.round(3)}


def draw(data: dict[str, Any], figure: Figure) -> None:
    """A heat map a story, with one scale."""
    top = data["rise"].max()
    panels = figure.subplots(1, 2, sharey=True)
    for axes, rise, title in zip(panels, data["rise"], ("the story", "the second story"), strict=True):
        image = axes.imshow(rise, cmap=HEAT, vmin=0, vmax=top, aspect="auto")
        label_cells(
            axes, [f"h.{layer}" for layer in range(len(rise))], [f"head {head}" for head in range(rise.shape[1])]
        )
        axes.tick_params(axis="x", rotation=0)
        axes.set_title(title, fontsize=11)
        for (layer, head), value in np.ndenumerate(rise):
            colour = "black" if value > 0.6 * top else "white"
            axes.text(head, layer, f"{value:.2f}".replace("-0.00", "0.00"), ha="center", va="center", color=colour)
    bar = figure.colorbar(image, ax=panels, pad=0.02)
    bar.set_label("rise of the loss, nats per token", color=GREY)
    bar.outline.set_visible(False)
