"""Pictures to learn from, as codes; and scenes of two handwritten digits side by side."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from numpygpt.pictures import Pixels

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SHIFTS = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))  # of a picture that is learned from, in pixels; none first
SPLIT = 0  # the seed of what is held out, the same for every run, so that their scores can be compared
N_TEST = 300  # digits held out


class Album(NamedTuple):
    """Pictures as codes, with the numbers of their captions and styles.

    Where there are pairs, pictures are digits, their captions these, and two of them make a scene.
    """

    codes: NDArray[np.uint16]  # [n_pictures, n_shifts, n_patches]
    names: NDArray[np.int32]  # [n_pictures]
    styles: NDArray[np.int32]  # [n_pictures]
    pairs: NDArray[np.int32]  # [n_pairs, 2], or [0, 2]


class Rows(NamedTuple):
    """Some pictures, or scenes, with the numbers of their captions and styles."""

    codes: NDArray[np.uint16]  # [n_rows, n_patches]
    names: NDArray[np.int32]
    styles: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.codes)


def scene_names() -> tuple[str, ...]:
    """Return the captions of all scenes; that of the digits a and b has the number 10 a + b."""
    return tuple(f"{first} {second}" for first in DIGITS for second in DIGITS)


def split_pairs() -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the 80 pairs of digits to learn from and the 20 that are never seen together, [n_pairs, 2] each.

    Every digit has two partners on either side that it is never seen with.

    >>> [pairs.shape for pairs in split_pairs()]
    [(80, 2), (20, 2)]
    """
    order = np.random.default_rng(SPLIT).permutation(10)
    away = {(int(order[i]), int(order[(i + step) % 10])) for i in range(10) for step in (1, 3)}
    pairs = [(first, second) for first in range(10) for second in range(10)]
    seen, unseen = ([pair for pair in pairs if (pair in away) == is_away] for is_away in (False, True))
    return np.array(seen, np.int32), np.array(unseen, np.int32)


def split_digits(n: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return which of n digits are learned from, and which are held out."""
    order = np.random.default_rng([SPLIT, n]).permutation(n)
    n_test = min(N_TEST, n // 4)
    return np.sort(order[n_test:]), np.sort(order[:n_test])


def shifted(images: Pixels) -> Pixels:
    """Return pictures moved by a pixel, on white: [n, height, width, channels] -> [n, n_shifts, height, ...].

    >>> int(shifted(np.zeros((1, 2, 2, 1), np.uint8))[0, 1, 0, 0, 0])
    255
    """
    _, height, width, _ = images.shape
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=255)
    moved = [padded[:, 1 - down : 1 - down + height, 1 - right : 1 - right + width] for down, right in SHIFTS]
    return np.stack(moved, axis=1)


def draw_rows(album: Album, n_rows: int, rng: np.random.Generator, is_shifted: bool) -> Rows:
    """Draw pictures to learn from, or scenes, whose two digits are drawn and shifted independently."""
    if not len(album.pairs):
        return _of(album, rng.integers(len(album.codes), size=n_rows), rng, is_shifted)
    pairs = album.pairs[rng.integers(len(album.pairs), size=n_rows)]
    return scenes(album, pairs, rng, is_shifted)


def scenes(album: Album, pairs: NDArray[np.int32], rng: np.random.Generator, is_shifted: bool) -> Rows:
    """Draw a scene of each pair of digits: [n_rows, 2]."""
    of_digit = [np.flatnonzero(album.names == digit) for digit in range(10)]
    parts = [
        _of(album, np.array([rng.choice(of_digit[digit]) for digit in side]), rng, is_shifted).codes for side in pairs.T
    ]
    return Rows(np.concatenate(parts, axis=1), 10 * pairs[:, 0] + pairs[:, 1], np.zeros(len(pairs), np.int32))


def _of(album: Album, chosen: NDArray[np.intp], rng: np.random.Generator, is_shifted: bool) -> Rows:
    shift = rng.integers(album.codes.shape[1] if is_shifted else 1, size=len(chosen))
    return Rows(album.codes[chosen, shift], album.names[chosen], album.styles[chosen])
