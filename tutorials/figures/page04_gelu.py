"""Page 4: GELU beside ReLU, and how far its two forms are apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from numpygpt import gelu, gelu_exact
from tutorials.figures import BLUE, GREY, ORANGE, PINK

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def data() -> dict[str, Any]:
    """Return the three functions on a line of numbers, and the difference of the two forms of one."""
    x = np.linspace(-4, 4, 161)
    return {
        "x": x,
        "relu": np.maximum(x, 0),
        "gelu": gelu(x),
        "difference_times_10000": 10000 * (gelu(x) - gelu_exact(x)),
    }


def draw(data: dict[str, Any], figure: Figure) -> None:
    """Draw the functions beside each other, and below them the difference."""
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[2.5, 1])
    above.plot(data["x"], data["relu"], color=ORANGE, linestyle="--", label="ReLU: max(x, 0)")
    above.plot(data["x"], data["gelu"], color=BLUE, linewidth=2, label="GELU")
    lowest = int(np.argmin(data["gelu"]))
    above.annotate(
        f"lowest point: {data['gelu'][lowest]:.2f}",
        (data["x"][lowest], data["gelu"][lowest]),
        (-3.2, 1.2),
        arrowprops={"arrowstyle": "->", "color": GREY},
    )
    above.set_ylabel("output")
    above.legend(loc="upper center")
    below.plot(data["x"], data["difference_times_10000"], color=PINK)
    below.set_ylabel("tanh - exact,\n× 10,000")
    below.set_xlabel("x")
    for axes in (above, below):
        axes.axhline(0, color=GREY, linewidth=0.5)
        axes.patch.set_alpha(0)
        axes.spines[["top", "right"]].set_visible(False)
