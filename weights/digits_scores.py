"""How many handwritten digits are read right in scenes of two, of pairs seen in training and of others.

    python weights/digits_scores.py MODEL tutorials/digits_8x8.npz

Both halves of a scene are digits that were held out. First and second count by themselves; of 2,000 scenes of a kind.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import numpy as np

from numpygpt.painter import Painter, load
from numpygpt.train.drawings import read_parts
from numpygpt.train.pictures import read_codes
from numpygpt.train.scenes import Album, scenes, split_pairs

N_SCENES = 2000


def digits(painter: Painter, path: str) -> Album:
    """Return the digits that are held out, as codes."""
    held_out = read_parts([path]).held_out
    height, width, channels = held_out.images.shape[1:]
    codebook = dataclasses.replace(painter.codebook, shape=(height, width, channels))
    codes = codebook.encode(held_out.images)[:, None].astype(np.uint16)
    return Album(codes, held_out.names, held_out.styles, np.zeros((0, 2), np.int32))


def measure(painter: Painter, path: str, n_scenes: int = N_SCENES) -> dict[str, float]:
    """Return the share of first and second digits read right, and the codebook's decibels."""
    album, model = digits(painter, path), painter.model
    single = dataclasses.replace(painter.codebook, shape=read_parts([path]).held_out.images.shape[1:])
    found: dict[str, float] = {"decibels": single.decibels(read_parts([path]).held_out.images)}
    for kind, pairs in zip(("seen", "unseen"), split_pairs(), strict=True):
        rows = scenes(album, np.resize(pairs, (n_scenes, 2)), np.random.default_rng(1), is_shifted=False)
        texts = read_codes(rows.codes, model.params, model.config, model.tokenizer)
        names = [painter.codebook.names[name].split() for name in rows.names]
        right = np.array([[*text.split(), "", ""][:2] for text in texts]) == np.array(names)
        found |= {f"{kind}_{place}": float(right[:, side].mean()) for side, place in enumerate(("first", "second"))}
    return found


def main() -> None:
    """Print what is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("digits", type=Path)
    options = parser.parse_args()
    print(json.dumps(measure(load(options.model), str(options.digits)), indent=1))


if __name__ == "__main__":
    main()
