"""The sinusoidal encoding of positions, some columns and the whole of a narrow table: page 2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpygpt import sinusoidal_encoding
from tutorials.figures import COLOURS, HEAT, label_cells

if TYPE_CHECKING:
    from matplotlib.figure import Figure

N_SEQ, N_EMBD = 64, 32
COLUMNS = [0, 4, 8, 12]  # the sines of four of the sixteen pairs


def data() -> dict[str, Any]:
    return {"encoding": sinusoidal_encoding(N_SEQ, N_EMBD)}


def draw(data: dict[str, Any], figure: Figure) -> None:
    figure.set_size_inches(7, 6)
    encoding = data["encoding"]
    lines, cells = figure.subplots(2, 1, sharex=True)
    for column, colour in zip(COLUMNS, COLOURS, strict=True):
        lines.plot(encoding[:, column], ".-", color=colour, markersize=4, linewidth=1, label=f"column {column}")
    lines.set_ylim(-1.1, 1.1)
    lines.spines[["top", "right"]].set_visible(False)
    lines.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=4)
    image = cells.imshow(encoding.T, cmap=HEAT, vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
    label_cells(cells)
    cells.set_xlabel("position")
    cells.set_ylabel("column")
    bar = figure.colorbar(image, ax=cells, aspect=12, pad=0.02)
    bar.outline.set_visible(False)
