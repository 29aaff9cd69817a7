"""Four heads of the embedded model on the beginning of a story, each the best of all at one habit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from numpygpt import (
    GPT2,
    causal_mask,
    layer_norm,
    linear,
    positional_embedding,
    softmax,
    split_heads,
    token_embedding,
    transformer_block,
)
from tutorials.figures import FOLDER, HEAT, label_cells

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from numpygpt.arrays import Array

STORY = (
    'Lily had a dog named Max. "Max, come here!" she said. Max ran to Lily. Then Max saw a red ball. '
    '"Do you want to play?" said Lily. Max ran and ran. Lily was happy. "I love you, Max," she said. '
    "At the end of the day, Lily and Max went home."
)
N_SHOWN = 27  # tokens: the first three sentences


def all_weights(model: GPT2, ids: list[int]) -> Array:
    """Return the attention weights of every head: [n_layer, n_head, n_seq, n_seq]."""
    params, n_head = model.params, model.config.n_head
    x = token_embedding(ids, **params["wte"]) + positional_embedding(range(len(ids)), **params["wpe"])
    weights = []
    for block in params["h"]:
        qkv = linear(layer_norm(x, **block["ln_1"]), **block["attn"]["c_attn"])
        q, k, _ = (split_heads(part, n_head) for part in np.split(qkv, 3, axis=-1))
        weights.append(softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]) + causal_mask(len(ids))))
        x = transformer_block(x, **block, n_head=n_head)
    return np.array(weights)


def habits(tokens: list[str]) -> dict[str, Callable[[int, int], bool]]:
    """Say of every habit whether query i, if it has it, looks at key j."""

    def latest(i: int, j: int, signs: str) -> bool:
        marked = [m for m in range(i) if set(tokens[m]) & set(signs)]
        return marked[-1:] == [j]

    return {
        "the token before": lambda i, j: j == i - 1,
        "the latest . ! or ?": lambda i, j: latest(i, j, ".!?"),
        "the latest quotation mark": lambda i, j: latest(i, j, '"'),
        "what followed this token before": lambda i, j: 0 < j < i and tokens[j - 1] == tokens[i],
    }


def data() -> dict[str, Any]:
    """Find the best head of every habit and compute its weights: [4 heads, N_SHOWN, N_SHOWN]."""
    model = GPT2.from_pretrained(FOLDER.parents[1] / "weights" / "stories")
    ids = model.tokenizer.encode(STORY)
    tokens = [model.tokenizer.decode([i]) for i in ids]
    weights = all_weights(model, ids)
    titles, shown = [], []
    for name, looks_at in habits(tokens).items():
        target = np.array([[looks_at(i, j) for j in range(len(ids))] for i in range(len(ids))])
        share = (weights * target).sum(-1)[..., target.any(-1)].mean(-1)  # [n_layer, n_head]
        layer, head = np.unravel_index(share.argmax(), share.shape)
        titles.append(f"{name}\n(layer {layer}, head {head})")
        shown.append(weights[layer, head, :N_SHOWN, :N_SHOWN])
    return {"tokens": tokens[:N_SHOWN], "titles": titles, "weights": np.array(shown)}


def draw(data: dict[str, Array], figure: Figure) -> None:
    """Draw a heat map for every head; a cell above the diagonal, which the mask hides, stays empty."""
    figure.set_size_inches(8.6, 9.6)
    tokens = [str(token).replace(" ", "␣") for token in data["tokens"]]
    visible = np.tri(len(tokens), dtype=bool)
    for axes, title, weights in zip(figure.subplots(2, 2).flat, data["titles"], data["weights"], strict=True):
        heat = axes.imshow(np.where(visible, weights, np.nan), cmap=HEAT, vmin=0, vmax=1)
        axes.set_title(str(title), fontsize=10)
        label_cells(axes, tokens, tokens)
        axes.tick_params(labelsize=7.5)
    bar = figure.colorbar(heat, ax=figure.axes, orientation="horizontal", shrink=0.4, aspect=30, pad=0.02)
    bar.set_label("attention weight")
    bar.outline.set_visible(False)
