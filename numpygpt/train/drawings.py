"""Files of pictures, `.npz`, and of captions, `.tsv` -> pictures with captions, to learn from and held out."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from numpygpt.pictures import Pixels
from numpygpt.train.config import TrainingError
from numpygpt.train.scenes import scene_names, split_digits

COLUMNS = ("index", "name")  # that a file of captions has at least


class Captioned(NamedTuple):
    """Pictures of one size, the number of the caption of each and of its style."""

    images: Pixels  # [n_pictures, height, width, channels]
    names: NDArray[np.int32]
    styles: NDArray[np.int32]


class Parts(NamedTuple):
    """What is learned from, what is held out, and what the numbers of captions and styles mean."""

    train: Captioned
    held_out: Captioned
    names: tuple[str, ...]
    styles: tuple[str, ...]
    are_digits: bool


def read_parts(texts: Sequence[str]) -> Parts:
    """Read handwritten digits, one `.npz` with `labels`; or drawings, several `.npz` and a `.tsv` with captions.

    Raises TrainingError where the files are something else.
    """
    paths = [Path(text) for text in texts]
    tables = [path for path in paths if path.suffix == ".tsv"]
    arrays = {path: read_arrays(path) for path in paths if path not in tables}
    if len(tables) == 1 and arrays:
        return read_drawings(arrays, tables[0])
    if len(arrays) == 1 and not tables:
        [(path, found)] = arrays.items()
        return read_digits(found, path)
    raise TrainingError(
        f"{', '.join(texts)}: give one .npz with digits and their labels, or some .npz of drawings and one .tsv with "
        "their captions"
    )


def read_arrays(path: Path) -> dict[str, NDArray[np.generic]]:
    """Read an `.npz` that has pictures in it. Raises TrainingError where it is none."""
    if not path.is_file():
        raise TrainingError(f"{path}: there is no such file")
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: np.asarray(file[name]) for name in file.files}
    except (OSError, ValueError, EOFError, KeyError, AttributeError, TypeError, zipfile.BadZipFile):
        raise TrainingError(f"{path} is no .npz file with arrays of numbers") from None
    if "images" not in found or found["images"].dtype != np.uint8 or found["images"].ndim not in (3, 4):
        raise TrainingError(f"{path}: no array 'images' of bytes, [n, height, width] or [n, height, width, 3]")
    return found


def read_digits(found: dict[str, NDArray[np.generic]], path: Path) -> Parts:
    """Make dark digits on white, and split them."""
    images, labels = found["images"], found.get("labels")
    if labels is None or labels.shape != images.shape[:1] or set(labels.tolist()) != set(range(10)) or images.ndim != 3:
        raise TrainingError(f"{path}: no array 'labels' with the digits 0 to 9, one for each picture in grey")
    ink = images.astype(np.float32) / np.float32(images.max())
    pixels: Pixels = np.rint(255 * (1 - ink)).astype(np.uint8)[..., None]
    names, styles = labels.astype(np.int32), np.zeros(len(labels), np.int32)
    train, held_out = (Captioned(pixels[part], names[part], styles[part]) for part in split_digits(len(labels)))
    return Parts(train, held_out, scene_names(), ("",), True)


def read_drawings(arrays: dict[Path, dict[str, NDArray[np.generic]]], table: Path) -> Parts:
    """Join the drawings of several artists, a file and so a style each, with their captions.

    A caption whose `split` is "unseen" is left out; a drawing in its `test_style` is held out.
    """
    rows = read_captions(table)
    names = tuple(dict.fromkeys(row["name"] for row in rows if row.get("split") != "unseen"))
    styles = tuple(path.stem.split("_")[-1] for path in arrays)
    if len(set(styles)) < len(styles):
        twice = next(style for style in styles if styles.count(style) > 1)
        raise TrainingError(f"two files have the style {twice!r}: their names must end differently, as in x_noto.npz")
    number_of = {name: number for number, name in enumerate(names)}
    learned: list[tuple[Pixels, int, int]] = []
    kept: list[tuple[Pixels, int, int]] = []
    for style, (path, found) in enumerate(arrays.items()):
        images = found["images"] if found["images"].ndim == 4 else found["images"][..., None]
        present = found.get("present", np.ones(len(images), bool))
        for row in rows:
            index = int(row["index"])
            if index >= len(images) or len(present) != len(images):
                raise TrainingError(f"{path} has no picture {index}, which {table} names")
            if present[index] and row["name"] in number_of:
                part = kept if row.get("test_style") == styles[style] else learned
                part.append((images[index].astype(np.uint8), number_of[row["name"]], style))
    if not learned or not kept:
        raise TrainingError(f"{table}: {len(learned)} drawings to learn from, {len(kept)} held out (by test_style)")
    if len({image.shape for image, _, _ in learned + kept}) > 1:
        raise TrainingError("the pictures of all files must have one size")
    return Parts(_join(learned), _join(kept), names, styles, False)


def _join(part: list[tuple[Pixels, int, int]]) -> Captioned:
    images, names, styles = zip(*part, strict=True)
    return Captioned(np.array(images, np.uint8), np.array(names, np.int32), np.array(styles, np.int32))


def read_captions(path: Path) -> list[dict[str, str]]:
    """Read a table with a row for each caption. Raises TrainingError, naming the line, where it is none."""
    if not path.is_file():
        raise TrainingError(f"{path}: there is no such file")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except (UnicodeDecodeError, csv.Error) as error:
        raise TrainingError(f"{path} is no table in UTF-8: {error}") from None
    if missing := [column for column in COLUMNS if not rows or column not in rows[0]]:
        raise TrainingError(f"{path}: no column {missing[0]!r}, or no rows; columns are separated by tabs")
    for line, row in enumerate(rows, 2):
        if not (row["index"] or "").isdecimal() or not (row["name"] or "").strip():
            raise TrainingError(f"{path}, line {line}: expected the number of a picture and its name")
    return rows
