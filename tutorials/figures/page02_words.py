"""Cosine similarity of words in the embedded model's table: page 2."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from numpygpt import GPT2
from tutorials.figures import HEAT, label_cells

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MODEL = Path(__file__).parents[2] / "weights" / "stories"
WORDS = "dog cat boy girl red green white black three four five day morning night said asked told he she they"


def data() -> dict[str, Any]:
    model = GPT2.from_pretrained(MODEL)
    words = [" " + word for word in WORDS.split()]
    rows = model.params["wte"]["weight"][[model.tokenizer.encode(word)[0] for word in words]]
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return {"words": words, "similarity": rows @ rows.T}


def draw(data: dict[str, Any], figure: Figure) -> None:
    figure.set_size_inches(7, 5.6)
    axes = figure.subplots()
    image = axes.imshow(data["similarity"], cmap=HEAT, vmin=-0.2, vmax=0.8)
    words = [word.strip() for word in data["words"]]
    label_cells(axes, words, words)
    bar = figure.colorbar(image, ax=axes, extend="max")
    bar.set_label("cosine similarity")
    bar.outline.set_visible(False)
