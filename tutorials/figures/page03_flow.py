"""How queries, keys and values flow through multi-head attention: every step with its shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpygpt import GPT2
from tutorials.figures import BLUE, FOLDER, GREEN, GREY, ORANGE, PINK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from numpygpt.arrays import Array


def data() -> dict[str, Any]:
    """Collect the shapes on the way, from the model's own arrays for "The red ball fell"."""
    model = GPT2.from_pretrained(FOLDER.parents[1] / "weights" / "stories")
    attn, n_head = model.params["h"][0]["attn"], model.config.n_head
    n_seq = len(model.tokenizer.encode("The red ball fell"))
    n_embd, width = attn["c_attn"]["weight"].shape
    n_dim = n_embd // n_head
    return {
        "x": f"x [{n_seq}, {n_embd}]",
        "packed": f"[{n_seq}, {width}]",
        "part": f"[{n_seq}, {n_embd}]",
        "heads": f"[{n_head}, {n_seq}, {n_dim}]",
        "weights": f"[{n_head}, {n_seq}, {n_seq}]",
    }


def draw(data: dict[str, Array], figure: Figure) -> None:
    """Draw the way from top to bottom, with three columns for query, key and value."""
    figure.set_size_inches(7.6, 6.6)
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.set_xlim(-1.2, 9.2)
    axes.set_ylim(-8.7, 0.6)
    text = {name: str(value) for name, value in data.items()}
    columns = {"q": (1.0, BLUE), "k": (4.0, ORANGE), "v": (7.0, GREEN)}
    _box(axes, 4.0, 0.2, 2.4, text["x"], GREY)
    _arrow(axes, (4.0, -0.1), (4.0, -0.6), GREY)
    _box(axes, 4.0, -0.95, 8.6, f"linear, c_attn: {text['packed']}", GREY)
    for name, (x, colour) in columns.items():
        _arrow(axes, (x, -1.3), (x, -1.8), colour)
        _box(axes, x, -2.15, 2.2, f"{name} {text['part']}", colour)
        _arrow(axes, (x, -2.5), (x, -3.0), colour)
        _box(axes, x, -3.35, 2.5, f"heads {text['heads']}", colour)
    _arrow(axes, (1.0, -3.7), (2.0, -4.3), BLUE)
    _arrow(axes, (4.0, -3.7), (3.0, -4.3), ORANGE)
    _box(axes, 2.5, -4.65, 4.4, f"softmax(q @ k.T · scale + mask): {text['weights']}", PINK)
    _arrow(axes, (2.5, -5.0), (4.0, -5.6), PINK)
    axes.plot([7.0, 7.0], [-3.7, -4.9], color=GREEN, linewidth=1)
    _arrow(axes, (7.0, -4.9), (5.2, -5.6), GREEN)
    _box(axes, 4.5, -5.95, 4.4, f"weights @ v: {text['heads']}", PINK)
    _arrow(axes, (4.5, -6.3), (4.5, -6.8), GREY)
    _box(axes, 4.5, -7.15, 4.4, f"heads side by side: {text['part']}", GREY)
    _arrow(axes, (4.5, -7.5), (4.5, -7.95), GREY)
    _box(axes, 4.5, -8.3, 4.4, f"linear, c_proj: {text['part']}", GREY)


def _box(axes: Axes, x: float, y: float, width: float, label: str, colour: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    style = "round,pad=0,rounding_size=0.12"
    corner = (x - width / 2, y - 0.3)
    axes.add_patch(FancyBboxPatch(corner, width, 0.6, style, fill=False, color=colour, linewidth=1.5))
    axes.text(x, y, label, ha="center", va="center", fontsize=9.5)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
    axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": colour, "shrinkA": 0, "shrinkB": 0})
