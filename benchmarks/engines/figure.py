"""The picture of a comparison, drawn from its JSON: `python -m benchmarks.engines.figure FILE.json`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.engines.table import FLOAT32, LOWER
from benchmarks.engines.work import LIMIT, OURS, SUM
from benchmarks.measure import Row
from tutorials.figures import BLUE, GREY, ORANGE, checksum, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def main() -> None:
    """Draw FILE.svg beside FILE.json."""
    draw(Path(sys.argv[1]))


def draw(numbers: Path) -> Path:
    """Draw the speeds of a JSON file beside it, and return where."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    rows = [Row(**row) for row in json.loads(numbers.read_text(encoding="utf-8"))["rows"]]
    picture = numbers.with_suffix(".svg")
    with mpl.rc_context(style(numbers.stem)):
        figure = Figure(layout="constrained")
        bars([row for row in rows if OURS.title in row.values], figure)
        metadata = {"Date": None, "Creator": None, "Description": checksum(numbers)}
        figure.savefig(picture, transparent=True, metadata=metadata)
    return picture


def bars(rows: list[Row], figure: Figure) -> None:
    """Draw each engine's speed as a multiple of ours, a panel a workload, with the extremes of the rounds."""
    measured = {title for row in rows for title in row.values} - {SUM}
    titles = [title for title in dict.fromkeys([*FLOAT32, *LOWER]) if title in measured - {LIMIT.title}]
    figure.set_size_inches(9, 0.22 * len(titles) * ((len(rows) + 2) // 3) + 2)
    panels = figure.subplots((len(rows) + 2) // 3, 3, sharey=True, squeeze=False).flat
    for axes, row in zip(panels, rows, strict=False):
        for place, title in enumerate(titles):
            if title in row.values:
                median, least, most = row.ratio(title)
                speed = 1 / median
                errors = [[speed - 1 / most], [1 / least - speed]]
                colour = GREY if title == OURS.title else ORANGE if title in LOWER else BLUE
                axes.barh(place, speed, xerr=errors, color=colour, ecolor=GREY, height=0.7)
        if LIMIT.title in row.values:
            axes.axvline(1 / row.ratio(LIMIT.title)[0], color=GREY, linestyle=":")
        axes.set_title(row.name.rsplit(", ", 1)[0], fontsize=10)
        axes.set_yticks(range(len(titles)), titles, fontsize=9)
    for axes in list(panels)[len(rows) :]:
        axes.set_visible(False)
    figure.axes[0].invert_yaxis()
    figure.supxlabel(
        "speed, as a multiple of numpygpt's (orange: of lower precision; dotted: what memory gives)", fontsize=10
    )


if __name__ == "__main__":
    main()
