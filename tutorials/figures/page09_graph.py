"""The computation graph of one prediction's loss, with what goes forward and what comes back."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tutorials.figures import BLUE, GREY, ORANGE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLACES = {"a": (0, 1), "b": (0, 0), "exp a": (1, 1), "exp b": (1, 0), "+": (2, 0.5), "log": (3, 0.5)}
PLACES |= {"−a": (3, 1.9), "loss": (4, 1)}
ARROWS = "a>exp a, b>exp b, exp a>+, exp b>+, +>log, log>loss, a>−a, −a>loss"


def data() -> dict[str, Any]:
    """Return every node's value and its gradient, by the formulas, for a = 1 and b = 0."""
    a, b = 1.0, 0.0
    total = math.exp(a) + math.exp(b)
    nodes = {  # name: value, gradient
        "a": (a, math.exp(a) / total - 1),
        "b": (b, math.exp(b) / total),
        "exp a": (math.exp(a), 1 / total),
        "exp b": (math.exp(b), 1 / total),
        "+": (total, 1 / total),
        "log": (math.log(total), 1.0),
        "−a": (-a, 1.0),
        "loss": (math.log(total) - a, 1.0),
    }
    return {
        "names": list(nodes),
        "values": [value for value, _ in nodes.values()],
        "gradients": [gradient for _, gradient in nodes.values()],
    }


def draw(data: dict[str, Any], figure: Figure) -> None:
    """Draw the nodes from left to right."""
    figure.set_size_inches(8, 4)
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.set_xlim(-0.45, 4.45)
    axes.set_ylim(-0.45, 2.25)
    for arrow in ARROWS.split(", "):
        start, end = (PLACES[name] for name in arrow.split(">"))
        shape = {"arrowstyle": "-|>", "color": GREY, "shrinkA": 30, "shrinkB": 30}
        axes.annotate("", end, start, arrowprops=shape)
    for name, value, gradient in zip(data["names"], data["values"], data["gradients"], strict=True):
        x, y = PLACES[str(name)]
        box = {"boxstyle": "round,pad=0.45", "facecolor": "none", "edgecolor": BLUE, "linewidth": 1.5}
        axes.text(x, y, f"{name}\n{value:.2f}", ha="center", va="center", color=GREY, bbox=box)
        edge = {"boxstyle": "round,pad=0.2", "facecolor": "none", "edgecolor": ORANGE}
        axes.text(x, y - 0.31, f"{gradient:.2f}", ha="center", va="center", color=GREY, fontsize=9.5, bbox=edge)
