"""Who may look at whom: the two stacks of the original Transformer, and the one sequence of a GPT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tutorials.figures import BLUE, GREEN, ORANGE, label_cells

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from numpygpt.arrays import Array

SOURCE = ["the", "red", "cat", "sees", "a", "shy", "cow"]
TARGET = ["le", "chat", "rouge", "voit", "une", "vache", "timide"]
KINDS = {1: (BLUE, "source to source"), 2: (ORANGE, "target to source"), 3: (GREEN, "target to target")}


def data() -> dict[str, Any]:
    """Give every pair of query (row) and key (column) its kind, or 0 where the query does not see the key.

    Both tables are [n_source + n_target, n_source + n_target].
    """
    n_source, n_seq = len(SOURCE), len(SOURCE) + len(TARGET)
    is_target = np.arange(n_seq) >= n_source
    kind = 1 + is_target[:, None].astype(int) + (is_target[:, None] & is_target)
    kind[:n_source, n_source:] = 0  # the encoder has done its work before there is a target
    causal = np.tri(n_seq, dtype=bool)
    two_stacks = np.where((kind == 3) & ~causal, 0, kind)
    return {"words": SOURCE + TARGET, "two_stacks": two_stacks, "one_stack": np.where(causal, kind, 0)}


def draw(data: dict[str, Array], figure: Figure) -> None:
    """Draw both tables, a colour for each kind, nothing where nothing is seen."""
    figure.set_size_inches(9, 5.4)
    words = [str(word) for word in data["words"]]
    titles = {"two_stacks": "encoder-decoder", "one_stack": "decoder-only"}
    for axes, (name, title) in zip(figure.subplots(1, 2), titles.items(), strict=True):
        axes.set_aspect("equal")
        axes.set_xlim(-0.5, len(words) - 0.5)
        axes.set_ylim(len(words) - 0.5, -0.5)
        for kind, (colour, _) in KINDS.items():
            for query, key in np.argwhere(data[name] == kind):
                axes.add_patch(_cell(query, key, colour))
        axes.set_title(title)
        axes.set_xlabel("is seen")
        axes.xaxis.set_label_position("bottom")
        label_cells(axes, words, words)
    figure.axes[0].set_ylabel("looks")
    handles = [_cell(0, 0, colour) for colour, _ in KINDS.values()]
    figure.legend(handles, [label for _, label in KINDS.values()], loc="outside lower center", ncols=3)


def _cell(query: int, key: int, colour: str) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((key - 0.45, query - 0.45), 0.9, 0.9, color=colour, linewidth=0)
