"""Pictures <-> tokens: patches from a codebook, and sentences of them with words.

A picture is cut into small squares, the patches, and each becomes the number of the most similar one in a codebook:
its code. So a picture is a sentence in a language of, say, 128 words, and a GPT-2 learns to go from words to codes and
from codes to words, in one of two orders:

    <|endoftext|> three seven<|picture|><|17|><|4|>...<|endoftext|>
    <|endoftext|><|picture|><|17|><|4|>...<|caption|> three seven<|endoftext|>

The codebook is what k-means finds: the step from pixels to tokens in its simplest form. VQ-VAE (van den Oord et al.
2017, arXiv:1711.00937) and DALL·E (Ramesh et al. 2021, arXiv:2102.12092) learn it as a part of a network.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from numpygpt.arrays import Array, Ids
from numpygpt.safetensors import SafetensorsFile, save_file
from numpygpt.tokenizer import END_OF_TEXT, Tokenizer

Pixels = NDArray[np.uint8]  # [..., height, width, channels], channels 1 (grey) or 3 (red, green, blue); 255 is white
CODEBOOK = "codebook.safetensors"  # in a model's folder
PICTURE, CAPTION = "<|picture|>", "<|caption|>"
AT_ONCE = 2**24  # distances computed at a time


def to_patches(images: Array, patch: int) -> Array:
    """Cut pictures into patches, row by row; those that are wider than high, square by square from the left.

    images: [..., height, width, channels] -> [..., n_patches, patch * patch * channels]

    >>> to_patches(np.arange(16).reshape(4, 4, 1), 2)[0]
    array([0, 1, 4, 5])

    Raises ValueError for a picture that patches or squares do not fill.
    """
    *batch, height, width, channels = images.shape
    check_shape((height, width, channels), patch)
    rows, squares = height // patch, width // height
    cut = images.reshape(-1, rows, patch, squares, rows, patch, channels)
    ordered = cut.transpose(0, 3, 1, 4, 2, 5, 6)  # [batch, squares, rows, rows, patch, patch, channels]
    return ordered.reshape(*batch, squares * rows * rows, patch * patch * channels)


def from_patches(patches: Array, shape: tuple[int, int, int], patch: int) -> Array:
    """Put patches together again: [..., n_patches, patch * patch * channels] -> [..., height, width, channels].

    >>> images = np.arange(32).reshape(1, 4, 8, 1)
    >>> np.array_equal(from_patches(to_patches(images, 2), (4, 8, 1), 2), images)
    True
    """
    height, width, channels = shape
    rows, squares = height // patch, width // height
    cut = patches.reshape(-1, squares, rows, rows, patch, patch, channels)
    return cut.transpose(0, 2, 4, 1, 3, 5, 6).reshape(*patches.shape[:-2], *shape)


def check_shape(shape: tuple[int, int, int], patch: int) -> None:
    """Refuse a picture that patches or squares do not fill. Raises ValueError."""
    height, width, channels = shape
    if patch < 1 or min(shape) < 1 or height % patch or width % height or channels not in (1, 3):
        raise ValueError(
            f"pictures of {width} x {height} pixels with {channels} channels cannot be cut into squares side by side "
            f"and those into patches of {patch} x {patch}; there are 1 (grey) or 3 channels"
        )


def nearest(points: Array, centers: Array) -> NDArray[np.intp]:
    """Return which center is nearest to each point: [n_points, n_dim], [n_centers, n_dim] -> [n_points].

    Of |p - c|² = |p|² - 2 p·c + |c|², the first term is the same for all centers.

    >>> nearest(np.array([[0.9, 0.0], [0.1, 0.8]]), np.array([[0.0, 1.0], [1.0, 0.0]]))
    array([1, 0])
    """
    squares = (centers * centers).sum(axis=-1)
    size = max(1, AT_ONCE // len(centers))
    parts = [points[start : start + size] for start in range(0, len(points), size)]
    return np.concatenate([(squares - 2 * part @ centers.T).argmin(axis=-1) for part in parts])


def k_means(points: Array, n_centers: int, rng: np.random.Generator, steps: int = 20) -> Array:
    """Find centers so that points are near to one: [n_points, n_dim] -> [n_centers, n_dim].

    The first centers are points, drawn one after the other with a probability that grows with the squared distance to
    the nearest one before (k-means++). Then, again and again, every center moves to the mean of the points to which it
    is the nearest; one that has none stays.

    Source: Lloyd 1982, "Least squares quantization in PCM"; Arthur and Vassilvitskii 2007, "k-means++".

    >>> k_means(np.array([[0.0], [0.2], [1.0]]), 2, np.random.default_rng(0)).ravel().tolist()
    [1.0, 0.1]

    Raises ValueError where there are fewer different points than centers.
    """
    chosen = [int(rng.integers(len(points)))]
    distances = ((points - points[chosen[0]]) ** 2).sum(axis=-1, dtype=np.float64)
    while len(chosen) < n_centers:
        if not distances.any():
            raise ValueError(f"there are only {len(chosen)} different patches: ask for so many codes, not {n_centers}")
        cumulative = np.cumsum(distances)
        chosen.append(int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right")))
        distances = np.minimum(distances, ((points - points[chosen[-1]]) ** 2).sum(axis=-1, dtype=np.float64))
    centers = points[chosen]
    for _ in range(steps):
        owner = nearest(points, centers)
        counts = np.bincount(owner, minlength=n_centers)[:, None]
        sums = np.stack([np.bincount(owner, weights=column, minlength=n_centers) for column in points.T], axis=-1)
        centers = np.where(counts, sums / np.maximum(counts, 1), centers).astype(points.dtype)
    return centers


@dataclass(frozen=True)
class Codebook:
    """The patches that codes stand for, and of what pictures: what is written to `codebook.safetensors`."""

    centers: Array  # [n_codes, patch * patch * channels], from 0 (black) to 1 (white)
    patch: int
    shape: tuple[int, int, int]  # of a picture: height, width, channels
    names: tuple[str, ...] = ()  # the captions that the model has learned
    styles: tuple[str, ...] = ()  # and those whose drawings these were; "" where nobody asks

    @property
    def n_patches(self) -> int:
        """How many patches make a picture."""
        return self.shape[0] * self.shape[1] // self.patch**2

    def encode(self, images: Pixels) -> Ids:
        """Return the code of every patch: [..., height, width, channels] -> [..., n_patches]."""
        patches = to_patches(images, self.patch)
        flat = patches.reshape(-1, patches.shape[-1]).astype(np.float32) / np.float32(255)
        return nearest(flat, self.centers).reshape(patches.shape[:-1])

    def decode(self, codes: Ids) -> Pixels:
        """Return the picture that codes stand for: [..., n_patches] -> [..., height, width, channels]."""
        pixels = np.rint(255 * np.clip(self.centers, 0, 1)).astype(np.uint8)
        images: Pixels = from_patches(pixels[codes], self.shape, self.patch)
        return images

    def decibels(self, images: Pixels) -> float:
        """Return how much of pictures their codes keep, as the ratio of the signal's peak to the error, in decibels."""
        error = images.astype(np.float64) - self.decode(self.encode(images))
        return 10 * math.log10(255**2 / max(float((error * error).mean()), 1e-10))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write `codebook.safetensors` in a folder. Raises OSError where that cannot be."""
        said = {"patch": self.patch, "shape": self.shape, "names": self.names, "styles": self.styles}
        save_file({"centers": self.centers}, Path(folder, CODEBOOK), {"pictures": json.dumps(said)})


def load_codebook(folder: str | os.PathLike[str]) -> Codebook:
    """Read `codebook.safetensors` from a model's folder. Raises ValueError where there is none, or a damaged one."""
    path = Path(folder, CODEBOOK)
    if not path.is_file():
        raise ValueError(
            f"{folder} is no model of pictures, for it has no {CODEBOOK}; python -m numpygpt.train --task pictures "
            "makes one"
        )
    try:
        file = SafetensorsFile(path)
        said = json.loads(file.metadata["pictures"])
        height, width, channels = map(int, said["shape"])
        names, styles = (tuple(map(str, said[name])) for name in ("names", "styles"))
        book = Codebook(np.array(file["centers"]), int(said["patch"]), (height, width, channels), names, styles)
        check_shape(book.shape, book.patch)
        if book.centers.ndim != 2 or book.centers.shape[1] != book.patch**2 * channels or not len(book.centers):
            raise ValueError(f"its centers have the shape {book.centers.shape}")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is no codebook: {error}") from None
    return book


def special_tokens(n_text: int, n_codes: int) -> dict[str, int]:
    """Return the ids of the tokens that are no text, behind `n_text` ones that are.

    >>> special_tokens(300, 2)
    {'<|endoftext|>': 300, '<|picture|>': 301, '<|caption|>': 302, '<|0|>': 303, '<|1|>': 304}
    """
    names = [END_OF_TEXT, PICTURE, CAPTION, *(f"<|{code}|>" for code in range(n_codes))]
    return {name: n_text + number for number, name in enumerate(names)}


def draw_prompt(caption: str, tokenizer: Tokenizer, style: str = "") -> list[int]:
    """Return the tokens that a picture's codes follow: a caption's, with the style before it."""
    words = " ".join(f"{style} {caption}".split())
    return [tokenizer.eot_id, *tokenizer.encode(" " + words), tokenizer.special_tokens[PICTURE]]


def read_prompt(codes: Sequence[int] | Ids, tokenizer: Tokenizer) -> list[int]:
    """Return the tokens that a picture's caption follows: all of its codes. Without `CAPTION`, so do more codes."""
    return [
        tokenizer.eot_id,
        tokenizer.special_tokens[PICTURE],
        *code_ids(codes, tokenizer),
        tokenizer.special_tokens[CAPTION],
    ]


def code_ids(codes: Sequence[int] | Ids, tokenizer: Tokenizer) -> list[int]:
    """Return the tokens of codes, which stand in the vocabulary one after the other."""
    first = tokenizer.special_tokens["<|0|>"]
    return [first + int(code) for code in codes]


def fit(rgba: Pixels, shape: tuple[int, int, int]) -> Pixels:
    """Make any picture one of a model's size: put on white, filled up to its proportions, and scaled.

    rgba: [height, width, 4] -> [height, width, channels] of `shape`. In grey, a light drawing on a dark ground, which
    the border tells, becomes a dark one on white.
    """
    height, width, channels = shape
    alpha = rgba[..., 3:] / 255
    image = 255 - alpha * (255.0 - rgba[..., :3])
    if channels == 1:
        image = image @ np.array([[0.299], [0.587], [0.114]])  # the eye's weights (ITU-R BT.601)
        border = np.concatenate([image[[0, -1]].ravel(), image[:, [0, -1]].ravel()])
        image = 255 - image if border.mean() < 127.5 else image
    high, wide = image.shape[:2]
    missing = max(0, -(-wide * height // width) - high), max(0, -(-high * width // height) - wide)
    margins = [(n // 2, n - n // 2) for n in missing]
    image = np.pad(image, (*margins, (0, 0)), constant_values=255)
    columns = np.einsum("ij,jkc->ikc", shares(image.shape[0], height), image)
    scaled = np.einsum("ij,kjc->kic", shares(image.shape[1], width), columns)
    pixels: Pixels = np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)
    return pixels


def shares(n_old: int, n_new: int) -> Array:
    """Return how much of each new pixel each old one covers, in one direction: -> [n_new, n_old].

    >>> shares(3, 2).round(2).tolist()
    [[0.67, 0.33, 0.0], [0.0, 0.33, 0.67]]
    """
    edges, old = np.arange(n_new + 1) * n_old / n_new, np.arange(n_old)
    overlap = np.minimum(edges[1:, None], old + 1) - np.maximum(edges[:-1, None], old)
    covered: Array = np.maximum(overlap, 0) * n_new / n_old
    return covered
