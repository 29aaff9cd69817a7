"""Pictures to look at: as half blocks on a terminal, and enlarged for a file."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from numpygpt.pictures import Pixels

BLOCKS = " ▀▄█"  # by what is dark: nothing, the upper half, the lower half, both
SHOWN = 256  # pixels of the longer side of what is enlarged, about


def blocks(image: Pixels, is_colored: bool) -> str:
    """Return lines of half blocks, two rows of pixels each: in 24-bit colors, or with the dark ones filled.

    >>> print(blocks(np.array([[[0], [255], [0]], [[255], [0], [0]]], np.uint8), is_colored=False))
    ▀▄█
    """
    height, width, _ = image.shape
    colors = np.broadcast_to(image[..., :3], (height, width, 3))
    upper, lower = (
        np.pad(colors, ((0, height % 2), (0, 0), (0, 0)), constant_values=255).reshape(-1, 2, width, 3).swapaxes(0, 1)
    )
    if is_colored:
        return "\n".join(
            "".join(f"\x1b[38;2;{_rgb(above)}m\x1b[48;2;{_rgb(below)}m▀" for above, below in zip(*rows, strict=True))
            + "\x1b[0m"
            for rows in zip(upper, lower, strict=True)
        )
    light = colors.mean(axis=-1)
    middle = (light.max() + min(light.min(), 254)) / 2
    dark = (upper.mean(axis=-1) < middle) + 2 * (lower.mean(axis=-1) < middle)
    return "\n".join("".join(BLOCKS[number] for number in row) for row in dark.tolist())


def _rgb(pixel: NDArray[np.uint8]) -> str:
    return ";".join(map(str, pixel.tolist()))


def enlarged(image: Pixels) -> Pixels:
    """Return a picture with every pixel as a square, for a file that is looked at; reading one scales it back."""
    size = max(1, SHOWN // max(image.shape[:2]))
    return image.repeat(size, axis=0).repeat(size, axis=1)
