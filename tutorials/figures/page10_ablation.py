"""How much the loss of two stories rises when one head is silent."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np

from numpygpt import gpt2
from numpygpt.loss import cross_entropy
from tutorials.figures import GREY, HEAT, label_cells
from tutorials.figures._page10 import SECOND_STORY, STORY, model

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def data() -> dict[str, Any]:
    """The rise in nats per token: [story, layer, head]."""
    config, params = model().config, deepcopy(model().params)
    texts = [np.array(model().tokenizer.encode(text)) for text in (STORY, SECOND_STORY)]

    def losses() -> list[float]:
        return [float(cross_entropy(gpt2(ids[:-1], **params, config=config), ids[1:]).mean()) for ids in texts]

    whole = losses()
    n_dim = config.n_embd // config.n_head
    rise = np.empty((len(texts), config.n_layer, config.n_head))
    for layer in range(config.n_layer):
        for head in range(config.n_head):
            rows = params["h"][layer]["attn"]["c_proj"]["weight"][head * n_dim : (head + 1) * n_dim]
            kept = rows.copy()
            rows[:] = 0
            rise[:, layer, head] = np.subtract(losses(), whole)
            rows[:] = kept
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
