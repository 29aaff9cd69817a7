"""A small picture as a sequence: its points as tokens, and its patches."""

from __future__ import annotations

from typing import Any

import numpy as np

from tutorials.figures import GREY, ORANGE

PICTURE = "..####.. .#....#. #.o..o.# #......# #.+..+.# #..++..# .#....#. ..####.."  # page 12's
SHADES = ".o+#"
PATCH = 2  # points on each side


def data() -> dict[str, Any]:
    """Number the shades of the picture's points, and its patches."""
    pixels = np.array([[SHADES.index(point) for point in row] for row in PICTURE.split()])
    n_patch = len(pixels) // PATCH
    patch = np.kron(np.arange(n_patch**2).reshape(n_patch, n_patch), np.ones((PATCH, PATCH), int))
    return {"token": pixels, "patch": patch}


def draw(data: dict[str, Any], figure: Any) -> None:
    """Draw the picture twice: with every point's token, and cut into numbered patches."""
    from matplotlib.patches import Rectangle

    points, patches = figure.subplots(1, 2)
    token, patch = data["token"], data["patch"]
    for axes, title in ((points, "64 tokens: the points, row by row"), (patches, "16 tokens: the patches")):
        axes.set_title(title, fontsize=11)
        axes.set(xlim=(-0.1, 9), ylim=(9, -0.1), aspect="equal")
        axes.axis("off")
    for row, column in np.ndindex(token.shape):
        shade = int(token[row, column])
        colour, letters = str(0.95 - 0.28 * shade), "black" if shade < 2 else "white"
        points.add_patch(Rectangle((column, row), 1, 1, facecolor=colour, edgecolor=GREY))
        points.text(column + 0.5, row + 0.5, str(shade), color=letters, ha="center", va="center", fontsize=10)
        left, top = column + 0.3 * (column // PATCH), row + 0.3 * (row // PATCH)
        patches.add_patch(Rectangle((left, top), 1, 1, facecolor=colour, edgecolor=GREY))
    for number in range(int(patch.max()) + 1):
        row, column = np.argwhere(patch == number)[0]
        left, top = column + 0.3 * (column // PATCH), row + 0.3 * (row // PATCH)
        box = {"boxstyle": "circle,pad=0.15", "facecolor": ORANGE, "edgecolor": "none"}
        patches.text(left + 1, top + 1, str(number), color="black", ha="center", va="center", fontsize=8, bbox=box)
