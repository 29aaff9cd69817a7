"""How well the embedded model of emoji draws and names, on the drawings that the data's splits hold out.

    python weights/emoji_scores.py emoji CORPUS/pictures

A drawing is named right where the likeliest caption is its name, letter for letter. A drawing that the model made is
right where, of all real drawings of the three artists, the nearest one in pixels has the name that was asked for.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numpygpt.draw import DRAWN_AT, TRIES, readings
from numpygpt.painter import Painter, draw_named, load
from numpygpt.pictures import Pixels
from numpygpt.train.drawings import Captioned, Parts, read_arrays, read_captions, read_parts
from numpygpt.train.pictures import read_codes

STYLES = ("noto", "fluent", "twemoji")
CAPTIONS = "emoji_captions.tsv"
N_DRAWN = 200  # of the known pairs of name and style, and of those held out
AT_ONCE = 50  # drawings
BLANK = 255  # white


class Unseen(NamedTuple):
    """Drawings of emoji that no artist's drawing was learned of."""

    images: Pixels  # [n_drawings, height, width, 3]
    groups: list[str]


def files(folder: Path) -> list[str]:
    """Return the files that the model was trained on."""
    return [*(str(folder / f"emoji_{style}.npz") for style in STYLES), str(folder / CAPTIONS)]


def unseen(folder: Path) -> Unseen:
    """Return the drawings that are wholly held out, with the groups of Unicode they belong to."""
    rows = [row for row in read_captions(folder / CAPTIONS) if row["split"] == "unseen"]
    found = [
        (arrays["images"][int(row["index"])], row["group"])
        for arrays in (read_arrays(folder / f"emoji_{style}.npz") for style in STYLES)
        for row in rows
        if arrays["present"][int(row["index"])]
    ]
    return Unseen(np.array([image for image, _ in found], np.uint8), [group for _, group in found])


def groups_of(folder: Path) -> dict[str, str]:
    """Return the group of every name."""
    return {row["name"]: row["group"] for row in read_captions(folder / CAPTIONS)}


def named(painter: Painter, images: Pixels) -> list[str]:
    """Return the likeliest name of each drawing, token by token."""
    gpt = painter.model
    return read_codes(painter.codebook.encode(images), gpt.params, gpt.config, gpt.tokenizer)


def nearest(images: Pixels, among: Pixels) -> NDArray[np.intp]:
    """Return for each picture which others are nearest in pixels, the nearest first: [n, len(among)]."""
    left, right = (each.reshape(len(each), -1).astype(np.float32) / 255 for each in (images, among))
    distances = (left**2).sum(1)[:, None] + (right**2).sum(1) - 2 * left @ right.T
    order: NDArray[np.intp] = distances.argsort(axis=1, kind="stable")
    return order


def first_names(ordered: Sequence[int], names: NDArray[np.int32], n: int) -> list[int]:
    """Return the first `n` different names in an order of drawings."""
    return list(dict.fromkeys(names[ordered].tolist()))[:n]


def score_naming(painter: Painter, parts: Parts) -> dict[str, float]:
    """Name the held-out artists' drawings, and find the nearest learned drawing of each."""
    held_out = parts.held_out
    answers = [painter.codebook.names[number] for number in held_out.names]
    found = [[text for text, _ in readings(image, 5, painter)] for image in held_out.images]
    order = nearest(held_out.images, parts.train.images)
    near = [first_names(row, parts.train.names, 5) for row in order]
    return {
        "n_held_out": len(answers),
        "first": float(np.mean([name == texts[0] for name, texts in zip(answers, found, strict=True)])),
        "first_five": float(np.mean([name in texts for name, texts in zip(answers, found, strict=True)])),
        "nearest": float(np.mean([n == row[0] for n, row in zip(held_out.names, near, strict=True)])),
        "nearest_five": float(np.mean([n in row for n, row in zip(held_out.names, near, strict=True)])),
    }


def score_groups(painter: Painter, parts: Parts, folder: Path) -> dict[str, Any]:
    """Name emoji never seen: how often is the name at least one of the right group of Unicode's?"""
    never, groups = unseen(folder), groups_of(folder)
    texts = named(painter, never.images)
    right = np.array([groups.get(text) == group for text, group in zip(texts, never.groups, strict=True)])
    near = nearest(never.images, parts.train.images)[:, 0]
    names = painter.codebook.names
    is_near = np.array([groups[names[parts.train.names[i]]] == g for i, g in zip(near, never.groups, strict=True)])
    learned = [groups[names[number]] for number in parts.train.names]
    by_group = {
        group: float(right[[each == group for each in never.groups]].mean()) for group in sorted(set(never.groups))
    }
    return {
        "n_unseen": len(right),
        "group": float(right.mean()),
        "group_nearest": float(is_near.mean()),
        "group_most_common": max(never.groups.count(group) for group in set(learned)) / len(right),
        "by_group": by_group,
    }


def drawings(painter: Painter, pairs: Captioned, temperature: float = DRAWN_AT, tries: int = TRIES) -> Pixels:
    """Draw what the names and styles of some drawings ask for, the seed 0 for each."""
    book = painter.codebook
    wanted = [(book.names[name], book.styles[style]) for name, style in zip(pairs.names, pairs.styles, strict=True)]
    parts = [wanted[start : start + AT_ONCE] for start in range(0, len(wanted), AT_ONCE)]
    return book.decode(np.concatenate([draw_named(painter, part, 0, temperature, tries) for part in parts]))


def some(part: Captioned, n: int = N_DRAWN) -> Captioned:
    """Return `n` of the drawings, evenly spread."""
    chosen = np.linspace(0, len(part.names) - 1, min(n, len(part.names))).astype(int)
    return Captioned(*(field[chosen] for field in part))


def score_drawing(painter: Painter, parts: Parts) -> dict[str, float]:
    """Draw pairs of name and style that were learned, and pairs held out."""
    images = np.concatenate([parts.train.images, parts.held_out.images])
    names = np.concatenate([parts.train.names, parts.held_out.names])
    found: dict[str, float] = {}

    def are_right(drawn: Pixels, part: Captioned) -> float:
        return float(np.mean(names[nearest(drawn, images)[:, 0]] == part.names))

    for kind, part in (("known", some(parts.train)), ("held_out", some(parts.held_out))):
        drawn = drawings(painter, part)
        found[f"drawn_{kind}"] = are_right(drawn, part)
        texts = named(painter, drawn)
        found[f"read_back_{kind}"] = float(
            np.mean([painter.codebook.names[n] == text for n, text in zip(part.names, texts, strict=True)])
        )
    known = some(parts.train)
    found["drawn_once"] = are_right(drawings(painter, known, tries=1), known)
    found["drawn_likeliest"] = are_right(drawings(painter, known, temperature=0, tries=1), known)
    return found


def score_known(painter: Painter, parts: Parts) -> dict[str, float]:
    """Name the drawings that were learned, by artist."""
    texts = named(painter, parts.train.images)
    right = np.array([painter.codebook.names[n] == text for n, text in zip(parts.train.names, texts, strict=True)])
    return {style: float(right[parts.train.styles == number].mean()) for number, style in enumerate(parts.styles)}


def measure(painter: Painter, folder: Path) -> dict[str, Any]:
    """Measure everything that the card says."""
    parts = read_parts(files(folder))
    shape = painter.codebook.shape
    return {
        "decibels": painter.codebook.decibels(parts.held_out.images),
        "n_train": len(parts.train.names),
        "known": score_known(painter, parts),
        **score_naming(painter, parts),
        **score_groups(painter, parts, folder),
        **score_drawing(painter, parts),
        "blank": readings(np.full(shape, BLANK, np.uint8), 5, painter),
    }


def main() -> None:
    """Print what is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("corpus", type=Path, help="the folder with the drawings")
    options = parser.parse_args()
    print(json.dumps(measure(load(options.model), options.corpus), indent=1))


if __name__ == "__main__":
    main()
