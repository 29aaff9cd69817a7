"""The figures of the pages: one module each, with the numbers in `data` and the drawing in `draw`.

`data()` computes the numbers with NumPy and this package alone and returns them by name, as arrays or lists of text;
`draw(data, figure)` draws them with matplotlib. `python -m tutorials.figures` writes both beside the module:
`NAME.json` and `NAME.svg`. A test computes the numbers again and compares them with the file, from which the picture
was drawn. A picture that has words is drawn a second time, as `NAME.zh.svg`, with those of `_chinese.py`.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from numpygpt.files import atomic_write
from tutorials.figures._chinese import FONT, translate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FOLDER = Path(__file__).parent
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))

GREY = "#767676"  # lines and letters: it stands out from white and from black
BLUE, ORANGE, GREEN, PINK = "#3b82f6", "#d97706", "#10a37f", "#d6498f"  # so do these
COLOURS = [BLUE, ORANGE, GREEN, PINK]
HEAT = "viridis"  # for cells, which cover the page's colour


def rounded(data: dict[str, Any]) -> dict[str, Any]:
    """Return figure data as JSON holds it: lists, with numbers of four digits.

    >>> rounded({"x": np.array([1 / 3, 200000.0]), "tokens": ["a", "b"]})
    {'x': [0.3333, 200000.0], 'tokens': ['a', 'b']}
    """
    return {name: _rounded(np.asarray(values).tolist()) for name, values in data.items()}


def _rounded(values: Any) -> Any:
    if isinstance(values, list):
        return [_rounded(value) for value in values]
    return float(f"{values:.4g}") if isinstance(values, float) else values


def checksum(path: Path) -> str:
    """Return what a picture says of the numbers that it was drawn from."""
    return f"sha256 of the data: {hashlib.sha256(path.read_bytes()).hexdigest()}"


def compute(name: str) -> None:
    """Compute a figure's numbers."""
    data = rounded(importlib.import_module(f"{__name__}.{name}").data())
    with atomic_write(FOLDER / f"{name}.json") as file:
        file.write(json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")


def draw(name: str) -> list[str]:
    """Draw a figure from its numbers in both languages, and return those of the pictures.

    Without the font for Chinese, that picture stays as it is.
    """
    from matplotlib.font_manager import fontManager

    languages = ["en", "zh"] if FONT in fontManager.get_font_names() else ["en"]
    return [language for language in languages if _picture(name, language)]


def style(name: str) -> dict[str, Any]:
    """Return matplotlib's settings for a figure of this name."""
    from cycler import cycler

    return {
        "svg.hashsalt": name,  # the same names in the file at every drawing
        "font.size": 11,
        "axes.grid": False,
        "axes.prop_cycle": cycler(color=COLOURS),
        "legend.frameon": False,
        **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), GREY),
        "grid.color": GREY,
    }


def _picture(name: str, language: str) -> bool:
    """Draw a figure in a language, if it has words in that."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    numbers = FOLDER / f"{name}.json"
    data = json.loads(numbers.read_text(encoding="utf-8"))
    fonts = {"font.family": ["DejaVu Sans", FONT]} if language == "zh" else {}
    with mpl.rc_context(style(name) | fonts):
        figure = Figure(figsize=(7, 4), layout="constrained")
        module = importlib.import_module(f"{__name__}.{name}")
        module.draw({key: np.asarray(values) for key, values in data.items()}, figure)
        if language == "zh" and not translate(figure):
            return False
        metadata = {"Date": None, "Creator": None, "Description": checksum(numbers)}
        picture = FOLDER / f"{name}{'.zh' if language == 'zh' else ''}.svg"
        figure.savefig(picture, transparent=True, metadata=metadata)
    return True


def label_cells(axes: Axes, rows: list[str] | None = None, columns: list[str] | None = None) -> None:
    """Name the rows and columns of a heat map, and leave out its frame."""
    if rows is not None:
        axes.set_yticks(range(len(rows)), rows)
    if columns is not None:
        axes.set_xticks(range(len(columns)), columns, rotation=90)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
