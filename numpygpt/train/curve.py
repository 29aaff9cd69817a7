"""The loss curve of a run, as a table and as a picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from numpygpt.files import atomic_write


def write_curve(history: Sequence[dict[str, float]], out: Path) -> None:
    """Write `loss.csv`, a row for every evaluation."""
    text = io.StringIO()
    writer = csv.DictWriter(text, history[0].keys())
    writer.writeheader()
    writer.writerows(history)
    with atomic_write(out / "loss.csv") as file:
        file.write(text.getvalue().encode())


def draw_curve(history: Sequence[dict[str, float]], out: Path) -> None:
    """Draw `loss.png`, where matplotlib is installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="tokens", ylabel="loss (nats per token)")
    for name in ("train_loss", "validation_loss"):
        axes.plot([row["tokens"] for row in history], [row[name] for row in history], label=name.replace("_", " "))
    axes.legend()
    with atomic_write(out / "loss.png") as file:
        figure.savefig(file, format="png", dpi=150)
