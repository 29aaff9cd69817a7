"""The map: the forward pass from a text to the next token, with the package's names and the real shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from numpygpt import GPT2, Sampling, Tokenizer, layers, transformer_block
from numpygpt.config import parameter_shapes
from tutorials.figures import BLUE, FOLDER, GREEN, GREY, ORANGE, PINK

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from numpygpt.arrays import Array

TEXT = "Once upon a time, there"
ROAD = 3.1  # where the residual stream runs
LEFT, RIGHT = (-1.6, 2.6), (4.6, 9.4)  # from where to where the boxes beside it reach


def data() -> dict[str, Any]:
    """Name every part in the order of the computation, with its parameters' shapes and that of what it returns."""
    model = GPT2.from_pretrained(FOLDER.parents[1] / "weights" / "stories")
    config, shapes = model.config, parameter_shapes(model.config)
    ids = model.tokenizer.encode(TEXT)
    kept = model.trace(ids) | {"ids": np.array(ids), "block": model.trace(ids)["h.0"]}
    parts: list[tuple[Callable[..., Any], Sequence[str], str]] = [
        (Tokenizer.encode, [], "ids"),
        (layers.token_embedding, ["wte.weight"], "wte"),
        (layers.positional_embedding, ["wpe.weight"], "wpe"),
        (layers.layer_norm, ["h.0.ln_1.weight"], "h.0.ln_1"),
        (layers.multi_head_attention, ["h.0.attn.c_attn.weight", "h.0.attn.c_proj.weight"], "h.0.attn"),
        (layers.layer_norm, ["h.0.ln_2.weight"], "h.0.ln_2"),
        (layers.mlp, ["h.0.mlp.c_fc.weight", "h.0.mlp.c_proj.weight"], "h.0.mlp"),
        (layers.layer_norm, ["ln_f.weight"], "ln_f"),
        (layers.linear, ["wte.weight"], "logits"),
        (Sampling.choose, [], ""),
        (Tokenizer.decode, [], ""),
    ]
    return {
        "text": TEXT,
        "functions": [function.__name__ for function, _, _ in parts],
        "parameters": ["   ".join(f"{_short(name)} {_shape(shapes[name])}" for name in names) for _, names, _ in parts],
        "results": [_shape(kept[name].shape) if name else "" for _, _, name in parts],
        "block": f"{transformer_block.__name__}\nh[0] … h[{config.n_layer - 1}]",
        "sizes": f"here n_seq = {len(ids)}, n_embd = {config.n_embd}, n_vocab = {config.vocab_size}, "
        f"n_ctx = {config.n_ctx}, n_layer = {config.n_layer}, n_head = {config.n_head}",
    }


def _short(name: str) -> str:
    """Return the part of a parameter's name that stands in the map: `c_fc` of `h.0.mlp.c_fc.weight`."""
    return name.split(".")[-2]


def _shape(shape: Sequence[int]) -> str:
    return str(list(shape))


def draw(data: dict[str, Array], figure: Figure) -> None:
    """Draw the residual stream as a road from top to bottom, with the parts beside it."""
    figure.set_size_inches(8.2, 10.4)
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.set_xlim(-1.9, 9.7)
    axes.set_ylim(-14.6, 0.5)
    functions, parameters, results = (
        [str(value) for value in data[name]] for name in ("functions", "parameters", "results")
    )

    def box(part: int, y: float, reach: tuple[float, float], colour: str) -> None:
        _box(axes, reach, y, functions[part], parameters[part], colour)

    axes.text(ROAD, 0, f"“{data['text']}”", ha="center", va="center", style="italic")
    _arrow(axes, (ROAD, -0.25), (ROAD, -0.65))
    box(0, -1.0, (1.2, 5.0), PINK)
    _arrow(axes, (ROAD, -1.35), (ROAD, -1.95), f"ids {results[0]}")
    _arrow(axes, (ROAD, -1.95), (1.4, -2.4))
    _arrow(axes, (ROAD, -1.95), (6.0, -2.4))
    box(1, -2.85, LEFT, BLUE)
    box(2, -2.85, (4.1, 8.6), BLUE)
    _arrow(axes, (1.4, -3.3), (ROAD - 0.2, -3.75))
    _arrow(axes, (6.0, -3.3), (ROAD + 0.2, -3.75))
    _plus(axes, -3.9)

    axes.plot([ROAD, ROAD], [-4.1, -10.55], color=GREY, linewidth=7, solid_capstyle="butt", zorder=0)
    axes.text(ROAD - 0.3, -4.45, f"residual stream\n{results[1]}", ha="right", va="center", color=GREY)
    for first, top, colour in ((3, -5.4, ORANGE), (5, -8.1, GREEN)):
        _arrow(axes, (ROAD, top), (RIGHT[0], top))
        box(first, top, RIGHT, GREY)
        _arrow(axes, (7.0, top - 0.45), (7.0, top - 0.85), results[first])
        box(first + 1, top - 1.3, RIGHT, colour)
        axes.plot([7.0, 7.0], [top - 1.75, top - 2.0], color=GREY)
        _arrow(axes, (7.0, top - 2.0), (ROAD + 0.2, top - 2.0), results[first + 1], at=0.81)
        _plus(axes, top - 2.0)
    _dashed(axes, (0.1, 9.65), (-4.8, -10.45), str(data["block"]))

    box(7, -11.0, (1.0, 5.2), GREY)
    _arrow(axes, (ROAD, -11.45), (ROAD, -11.85), results[7])
    box(8, -12.3, (1.0, 5.2), BLUE)
    _arrow(axes, (ROAD, -12.75), (ROAD, -13.3), f"logits {results[8]}; the last row says what comes next")
    box(9, -13.65, (1.6, 4.6), PINK)
    _arrow(axes, (4.6, -13.65), (6.1, -13.65), "id")
    box(10, -13.65, (6.1, 9.1), PINK)
    axes.plot([1.6, -1.75, -1.75], [-13.65, -13.65, -1.65], color=PINK, linewidth=1)
    _arrow(axes, (-1.75, -1.65), (ROAD - 0.08, -1.65), colour=PINK)
    axes.text(-1.6, -11.6, "the new id is\nappended, and all\nbegins again", va="center", fontsize=9.5)
    axes.text(ROAD, -14.45, str(data["sizes"]), ha="center", va="center", fontsize=9)


def _box(axes: Axes, reach: tuple[float, float], y: float, name: str, below: str, colour: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    height = 0.9 if below else 0.7
    corner = (reach[0], y - height / 2)
    style = "round,pad=0,rounding_size=0.15"
    axes.add_patch(FancyBboxPatch(corner, reach[1] - reach[0], height, style, fill=False, color=colour, linewidth=1.5))
    middle = sum(reach) / 2
    axes.text(middle, y + (0.18 if below else 0), name, ha="center", va="center", weight="bold")
    axes.text(middle, y - 0.22, below, ha="center", va="center", fontsize=9)


def _arrow(
    axes: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    label: str = "",
    at: float = 0.5,
    colour: str = GREY,
) -> None:
    axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": colour, "shrinkA": 0, "shrinkB": 0})
    x, y = (a + at * (b - a) for a, b in zip(start, end, strict=True))
    upright = start[0] == end[0]
    place: dict[str, Any] = {"ha": "left", "va": "center"} if upright else {"ha": "center", "va": "bottom"}
    axes.text(x + 0.2 * upright, y + 0.06 * (not upright), label, fontsize=9, **place)


def _plus(axes: Axes, y: float) -> None:
    axes.text(
        ROAD,
        y,
        "+",
        ha="center",
        va="center",
        color="white",
        weight="bold",
        bbox={"boxstyle": "circle,pad=0.15", "color": GREY},
    )


def _dashed(axes: Axes, x: tuple[float, float], y: tuple[float, float], label: str) -> None:
    axes.plot([x[0], x[1], x[1], x[0], x[0]], [y[0], y[0], y[1], y[1], y[0]], color=GREY, linestyle="--", linewidth=1)
    axes.text(x[0] + 0.15, sum(y) / 2, label, va="center", weight="bold")
