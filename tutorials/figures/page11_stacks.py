"""The two stacks of the original Transformer, and where GPT-2's block is in the decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpygpt import Translator
from tutorials.figures import BLUE, FOLDER, GREEN, GREY, ORANGE, PINK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from numpygpt.arrays import Array

SOURCE, TARGET = "I saw a red car.", "J'ai vu une voiture rouge."
ENCODER, DECODER = 2.0, 7.4  # the middle of each stack


def data() -> dict[str, Any]:
    """Collect the shapes on the way, from the embedded translator's own arrays."""
    translator = Translator.from_pretrained(FOLDER.parents[1] / "weights" / "english-french")
    config, encode = translator.config, translator.tokenizer.encode
    n_source, n_target = len(encode(SOURCE)), len(encode(TARGET))
    return {
        "source": SOURCE,
        "target": f"[start] {TARGET}",
        "predicted": f"{TARGET} [end]",
        "memory": f"[{n_source}, {config.d_model}]",
        "x": f"[{n_target}, {config.d_model}]",
        "results": f"logits [{n_target}, {config.vocab_size}]",
        "n_layer": f"× {config.decoder_layers}",
    }


def draw(data: dict[str, Array], figure: Figure) -> None:
    """Draw both stacks from the words at the bottom to the next words at the top."""
    figure.set_size_inches(7.6, 6.4)
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.set_xlim(-0.6, 10.0)
    axes.set_ylim(-0.4, 8.9)
    text = {name: str(value) for name, value in data.items()}
    for x, words in ((ENCODER, text["source"]), (DECODER, text["target"])):
        axes.text(x, 0, words, ha="center", va="center", style="italic", fontsize=9.5)
        _arrow(axes, (x, 0.25), (x, 0.7), GREY)
        _box(axes, x, 1.0, "embedding + position", GREY)
        _arrow(axes, (x, 1.3), (x, 2.2), GREY)
    _box(axes, ENCODER, 2.5, "self-attention, no mask", BLUE)
    _arrow(axes, (ENCODER, 2.8), (ENCODER, 3.4), GREY)
    _box(axes, ENCODER, 3.7, "MLP", PINK)
    _frame(axes, ENCODER, 4.25, f"encoder {text['n_layer']}")
    _box(axes, DECODER, 2.5, "self-attention, causal mask", GREEN)
    _arrow(axes, (DECODER, 2.8), (DECODER, 3.4), GREY, text["x"])
    _box(axes, DECODER, 3.7, "cross-attention", ORANGE)
    _arrow(axes, (DECODER, 4.0), (DECODER, 4.6), GREY)
    _box(axes, DECODER, 4.9, "MLP", PINK)
    _frame(axes, DECODER, 5.45, f"decoder {text['n_layer']}")
    axes.plot([ENCODER, ENCODER, 4.7, 4.7], [4.0, 5.0, 5.0, 3.7], color=ORANGE, linewidth=1.2)
    _arrow(axes, (4.7, 3.7), (DECODER - 1.75, 3.7), ORANGE)
    axes.text(ENCODER + 0.15, 5.2, f"memory {text['memory']}: keys and values", va="center", fontsize=9)
    _arrow(axes, (DECODER, 5.2), (DECODER, 6.3), GREY, text["x"], at=0.75)
    _box(axes, DECODER, 6.6, "output layer", GREY)
    _arrow(axes, (DECODER, 6.9), (DECODER, 7.5), GREY)
    axes.text(DECODER, 7.75, text["results"], ha="center", va="center", fontsize=9)
    axes.text(DECODER, 8.35, text["predicted"], ha="center", va="center", style="italic", fontsize=9.5)


def _box(axes: Axes, x: float, y: float, label: str, colour: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    style = "round,pad=0,rounding_size=0.12"
    axes.add_patch(FancyBboxPatch((x - 1.75, y - 0.3), 3.5, 0.6, style, fill=False, color=colour, linewidth=1.5))
    axes.text(x, y, label, ha="center", va="center", fontsize=9.5)


def _frame(axes: Axes, x: float, top: float, label: str) -> None:
    sides, levels = [x - 2.05, x + 2.05, x + 2.05, x - 2.05, x - 2.05], [1.75, 1.75, top, top, 1.75]
    axes.plot(sides, levels, color=GREY, linestyle="--", linewidth=1)
    axes.text(x - 1.95, 1.95, label, va="center", weight="bold", fontsize=9.5)


def _arrow(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str, label: str = "", at: float = 0.5
) -> None:
    axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": colour, "shrinkA": 0, "shrinkB": 0})
    axes.text(start[0] + 0.15, start[1] + at * (end[1] - start[1]), label, va="center", fontsize=9)
