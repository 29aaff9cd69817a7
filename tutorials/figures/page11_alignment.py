"""Which English word the small translator of page 11 looks at for each French one: the page's own code, run."""

from __future__ import annotations

import contextlib
import doctest
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tutorials.figures import FOLDER, HEAT, label_cells

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from numpygpt.arrays import Array

PAGE = FOLDER.parent / "11-the-original-transformer.md"


def names_of(page: Path, until: str | None = None) -> dict[str, Any]:
    """Run the examples of a page, without a look at what they print, and return what they have defined.

    With `until`, stop before the first example that begins so.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    with contextlib.redirect_stdout(io.StringIO()):
        for example in doctest.DocTestParser().get_examples(page.read_text(encoding="utf-8")):
            if until is not None and example.source.startswith(until):
                break
            exec(compile(example.source, page.name, "exec"), names)
    return names


def data() -> dict[str, Any]:
    """Train the translator and return its attention from the target to the source: [n_target, n_source]."""
    names = names_of(PAGE)
    source, target = names["source"], names["target"]
    weights = names["alignment"](" ".join(source), " ".join(target))[: len(target)]
    return {"source": source, "target": target, "weights": weights}


def draw(data: dict[str, Array], figure: Figure) -> None:
    """Draw the heat map: a row for each French word, a column for each English one."""
    figure.set_size_inches(6.6, 4.4)
    axes = figure.add_subplot(xlabel="looks at", ylabel="about to be written")
    heat = axes.imshow(data["weights"], cmap=HEAT, vmin=0, vmax=1)
    label_cells(axes, [str(word) for word in data["target"]], [str(word) for word in data["source"]])
    bar = figure.colorbar(heat, ax=axes, label="attention weight", shrink=0.8)
    bar.outline.set_visible(False)
