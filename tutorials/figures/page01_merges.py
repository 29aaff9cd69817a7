"""The merge tree of a word: its bytes below, the token above, a joint for every merge."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from numpygpt import Tokenizer
from tutorials.figures import BLUE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from numpygpt.arrays import Array

WORD = " lower"


def data() -> dict[str, Any]:
    """List every merge of the word: where its two parts begin, where they end, and the merge's number."""
    tokenizer = Tokenizer()
    steps = list(tokenizer.merge_steps(WORD))
    joints = []
    for before, after in pairwise(steps):
        place = next(i for i, part in enumerate(after) if part != before[i])
        start = sum(len(part) for part in after[:place])
        middle, end = start + len(before[place]), start + len(after[place])
        joints.append([start, middle, end, tokenizer.merges.index((before[place], before[place + 1]))])
    return {"letters": list(WORD.replace(" ", "␣")), "joints": joints}


def draw(data: dict[str, Array], figure: Figure) -> None:
    """Draw the first merge lowest, each above the two parts that it joins."""
    figure.set_size_inches(6.4, 3.8)
    axes = figure.add_subplot()
    axes.set_axis_off()
    letters = [str(letter) for letter in data["letters"]]
    tops = {(i, i + 1): (float(i), 0.0) for i in range(len(letters))}
    for i, letter in enumerate(letters):
        axes.text(i, 0, letter, ha="center", va="center", family="DejaVu Sans Mono", fontsize=13)
    for height, (start, middle, end, number) in enumerate(data["joints"].tolist(), 1):
        ends = [tops[start, middle], tops[middle, end]]
        x = (ends[0][0] + ends[1][0]) / 2
        for below, y in ends:
            axes.plot([below, below, x], [y + 0.3, height, height], color=BLUE, linewidth=1.5)
        label = "".join(letters[start:end])
        axes.text(x, height + 0.12, f"{label}   merge {number:,}", ha="center", va="bottom", fontsize=10)
        tops[start, end] = (x, height + 0.35)
    axes.set_xlim(-0.8, len(letters) + 0.3)
    axes.set_ylim(-0.4, len(data["joints"]) + 0.6)
