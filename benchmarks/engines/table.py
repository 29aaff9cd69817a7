"""The measurements as JSON and as Markdown."""

from __future__ import annotations

import statistics
from dataclasses import asdict
from typing import Any

from benchmarks.engines.rounds import Comparison
from benchmarks.engines.work import DECODE, LIMIT, OURS, PEERS, SUM
from benchmarks.measure import Row

SHARE = "share of the limit"
FLOAT32 = [OURS.title, *(peer.title for peer in PEERS.values() if peer.mode == "float32"), LIMIT.title, SUM]
LOWER = [OURS.title, *(peer.title for peer in PEERS.values() if peer.mode != "float32")]


def result(comparison: Comparison, facts: dict[str, Any]) -> dict[str, Any]:
    """Return everything that was measured, as JSON holds it."""
    return {
        "machine": facts | {"threads": comparison.threads},
        "versions": comparison.versions,
        "notes": comparison.notes,
        "first_round_seconds": comparison.first_round,
        "rows": [asdict(row) for row in comparison.rows.values()],
    }


def markdown(measured: dict[str, Any]) -> str:
    """Return the facts, a table of what computes in float32, one of what does not, and the notes."""
    rows = [Row(**row) for row in measured["rows"]]
    facts = ", ".join(f"{name}: {value}" for name, value in (measured["machine"] | measured["versions"]).items())
    parts = [facts]
    n_rounds = len(rows[0].values[OURS.title])
    explanation = (
        f"Medians of {n_rounds} round{'s' * (n_rounds > 1)}; after the semicolon, how many times better numpygpt is "
        "(median and extremes of the rounds' ratios)."
    )
    parts += [f"Float32, greedy ids equal. {explanation}", table(rows, FLOAT32)]
    if present(rows, LOWER)[1:]:
        parts += [f"Engines that compute in bfloat16 or int8, beside float32 here. {explanation}", table(rows, LOWER)]
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in measured["notes"])]).strip()


def present(rows: list[Row], titles: list[str]) -> list[str]:
    """Return those of the engines of which something was measured."""
    return [title for title in titles if any(title in row.values for row in rows)]


def table(rows: list[Row], titles: list[str]) -> str:
    """Return a Markdown table: a line an engine, a column a workload."""
    rows = [row for row in rows if OURS.title in row.values]
    heads = ["engine"]
    for row in rows:
        heads += [row.name, SHARE] if has_share(row, titles) else [row.name]
    lines = [heads, ["---", *("---:" for _ in heads[1:])]]
    for title in present(rows, titles):
        cells = [title]
        for row in rows:
            cells.append(cell(row, title))
            if has_share(row, titles):
                cells.append(f"{share(row, title):.0%}" if title in row.values and title != LIMIT.title else "")
        lines.append(cells)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def has_share(row: Row, titles: list[str]) -> bool:
    """Say whether a share of the limit stands beside this column."""
    return row.name.startswith(DECODE) and LIMIT.title in row.values and LIMIT.title in titles


def cell(row: Row, title: str) -> str:
    """Return an engine's median, and how many times better ours is.

    >>> row = Row("load, s", "s", {"numpygpt": [1.0, 2.0, 1.0], "other": [2.0, 3.0, 2.5]})
    >>> cell(row, "numpygpt"), cell(row, "other"), cell(row, "none")
    ('1', '2.5; 2.00 (1.50 to 2.50)', '')
    """
    if title not in row.values:
        return ""
    median = f"{row.median(title):,.3g}"
    return median if title == OURS.title else "{}; {:.2f} ({:.2f} to {:.2f})".format(median, *row.ratio(title))


def share(row: Row, title: str) -> float:
    """Return the median of the rounds' shares of what products with vectors reach."""
    return statistics.median(a / b for a, b in zip(row.values[title], row.values[LIMIT.title], strict=True))
