"""PNG: the file format of pictures without loss, read and written with zlib alone.

A file is eight bytes that say what it is, and then chunks: the length of the data (4 bytes, the first is the highest),
a name of four letters, the data, and a checksum of name and data. IHDR comes first and says size, depth and kind; PLTE
is a palette; tRNS says what is transparent; IDAT, one or several, is the picture, compressed by zlib; IEND is the end.

Before it is compressed, every row of pixels is filtered: it begins with a byte from 0 to 4, and what follows is the
difference from a guess, byte by byte: nothing, the byte to the left (of the pixel there), the one above, the mean of
both, or the one of left, above and above left that is nearest to left + above - above left (Paeth's guess).

Source: "Portable Network Graphics (PNG) Specification", W3C; the numbers of its sections are given below.

>>> image = np.array([[[255, 0, 0], [0, 0, 255]]], np.uint8)
>>> decode(encode(image)).tolist()
[[[255, 0, 0, 255], [0, 0, 255, 255]]]
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from numpygpt.files import atomic_write

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of each color type: grey, RGB, palette, grey and alpha, RGB and alpha
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}  # table 11.1
WHOLE = ((0, 0, 1, 1),)  # a picture that is not interlaced: all of its pixels in one pass
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))  # section 8
MAX_SIDE, MAX_PIXELS = 2**14, 2**24  # a file of a few bytes could ask for all memory
KNOWN = (b"IHDR", b"PLTE", b"IDAT", b"IEND")

Pixels = NDArray[np.uint8]  # [height, width, channels]


class Header(NamedTuple):
    """What IHDR says (section 11.2.2)."""

    width: int
    height: int
    depth: int  # bits of a sample
    kind: int  # the color type
    compression: int
    filtering: int
    interlacing: int


def read_png(path: str | os.PathLike[str]) -> Pixels:
    """Read a file: -> [height, width, 4], red, green, blue and alpha from 0 to 255.

    Raises OSError where it cannot be read, and ValueError, naming it, where it is no PNG.
    """
    try:
        return decode(Path(path).read_bytes())
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from None


def write_png(path: str | os.PathLike[str], image: Pixels) -> None:
    """Write a picture [height, width, channels], of 1 (grey), 3 (RGB) or 4 (RGB and alpha) channels."""
    with atomic_write(path) as file:
        file.write(encode(image))


def encode(image: Pixels) -> bytes:
    """Return the bytes of a file: [height, width, channels] -> bytes. Raises ValueError for another shape or type."""
    kinds = {1: 0, 3: 2, 4: 6}
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in kinds or not image.size:
        raise ValueError(f"a picture is bytes [height, width, 1, 3 or 4], not {image.dtype} {list(image.shape)}")
    height, width, channels = image.shape
    rows = np.pad(image.reshape(height, width * channels), ((0, 0), (1, 0)))  # each begins with its filter: 0, none
    header = struct.pack(">IIBBBBB", width, height, 8, kinds[channels], 0, 0, 0)
    data = zlib.compress(rows.tobytes(), 9)
    return SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def decode(data: bytes) -> Pixels:
    """Return a file's picture: bytes -> [height, width, 4]. Raises ValueError, in a line, where it is no whole PNG."""
    if not data.startswith(SIGNATURE):
        raise ValueError("this is no PNG file; other formats must be converted first")
    header, chunks = _read_chunks(data)
    passes = ADAM7 if header.interlacing else WHOLE
    bits = header.depth * CHANNELS[header.kind]
    places = [
        (x, y, right, down, -(-(header.width - x) // right), -(-(header.height - y) // down))
        for x, y, right, down in passes
        if x < header.width and y < header.height
    ]
    sizes = [height * (1 + -(-width * bits // 8)) for *_, width, height in places]
    try:
        raw = zlib.decompressobj().decompress(chunks[b"IDAT"], sum(sizes) + 1)
    except zlib.error as error:
        raise ValueError(f"the PNG's data is damaged ({error})") from None
    if len(raw) != sum(sizes):
        raise ValueError(f"the PNG's data has {'too many' if len(raw) > sum(sizes) else 'too few'} bytes for its size")
    samples = np.zeros((header.height, header.width, CHANNELS[header.kind]), np.uint16)
    start = 0
    for (x, y, right, down, width, height), size in zip(places, sizes, strict=True):
        rows = np.frombuffer(raw, np.uint8, size, start).reshape(height, -1)
        samples[y::down, x::right] = _samples(_unfilter(rows, max(1, bits // 8)), width, header)
        start = start + size
    return _to_rgba(samples, header, chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _read_chunks(data: bytes) -> tuple[Header, dict[bytes, bytes]]:
    """Cut a file into its chunks, those of one name joined (section 5)."""
    parts: dict[bytes, list[bytes]] = {}
    place, name, header = len(SIGNATURE), b"", None
    while name != b"IEND":
        if place + 12 > len(data):
            raise ValueError("the PNG ends in the middle")
        length, before = int.from_bytes(data[place : place + 4], "big"), name
        name, content = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        checksum = data[place + 8 + length : place + 12 + length]
        if len(checksum) < 4:
            raise ValueError("the PNG ends in the middle")
        if zlib.crc32(name + content) != int.from_bytes(checksum, "big"):
            raise ValueError(f"the PNG is damaged: the checksum of its chunk {name.decode('latin-1')!a} is wrong")
        if (name == b"IHDR") != (header is None):
            raise ValueError("the PNG has no header at its beginning, or two")
        if name[:1].isupper() and name not in KNOWN:
            raise ValueError(f"the PNG has a chunk {name.decode('latin-1')!a} that nobody knows")
        if name == b"IDAT" and name in parts and before != name:
            raise ValueError("the PNG's data is in two places")
        if header is None:
            header = _read_header(content)
        parts.setdefault(name, []).append(content)
        place = place + 12 + length
    if b"IDAT" not in parts or header is None:
        raise ValueError("the PNG has no data")
    return header, {name: b"".join(contents) for name, contents in parts.items()}


def _read_header(content: bytes) -> Header:
    if len(content) != 13:
        raise ValueError("the PNG's header has the wrong length")
    header = Header(*struct.unpack(">IIBBBBB", content))
    if header.depth not in DEPTHS.get(header.kind, ()) or header.compression or header.filtering:
        raise ValueError(f"the PNG's header is of no kind that there is: color {header.kind}, depth {header.depth}")
    if header.interlacing > 1:
        raise ValueError(f"the PNG's header has an unknown way of interlacing, {header.interlacing}")
    sides = header.width, header.height
    if not 1 <= min(sides) <= max(sides) <= MAX_SIDE or sides[0] * sides[1] > MAX_PIXELS:
        raise ValueError(
            f"the PNG has {sides[0]} x {sides[1]} pixels; at most {MAX_SIDE} on a side and {MAX_PIXELS:,} in all "
            "are read"
        )
    return header


def _unfilter(rows: NDArray[np.uint8], n_bytes: int) -> NDArray[np.uint8]:
    """Undo the filters: [height, 1 + n] -> [height, n]; a pixel has n_bytes (section 9).

    A byte depends on those to its left, above, and above left. Those on one diagonal, from the lower left to the upper
    right, do not depend on one another, so they are computed at once: in the flat array, they are n places apart.
    """
    height, n = len(rows), (rows.shape[1] - 1) // n_bytes
    if rows[:, 0].max() > 4:
        raise ValueError(f"the PNG has an unknown filter, {rows[:, 0].max()}")
    if not rows[:, 0].any():
        return rows[:, 1:]
    margin = ((1, 0), (1, 0), (0, 0))  # left of the first byte and above it are zeros
    coded = np.pad(rows[:, 1:].reshape(height, n, n_bytes), margin).reshape(-1, n_bytes).astype(np.int16)
    pixels, filters = np.zeros_like(coded), rows[:, :1]
    for diagonal in range(height + n - 1):
        top, bottom = max(0, diagonal - n + 1), min(height, diagonal + 1)  # its rows
        first, last = ((row + 1) * n + diagonal + 2 for row in (top, bottom - 1))
        left, above, corner = (pixels[first - back : last - back + 1 : n] for back in (1, n + 1, n + 2))
        guess = np.choose(
            filters[top:bottom], (np.int16(0), left, above, (left + above) // 2, _paeth(left, above, corner))
        )
        pixels[first : last + 1 : n] = (coded[first : last + 1 : n] + guess) & 255
    return pixels.reshape(height + 1, n + 1, n_bytes)[1:, 1:].reshape(height, -1).astype(np.uint8)


def _paeth(left: NDArray[np.int16], above: NDArray[np.int16], corner: NDArray[np.int16]) -> NDArray[np.int16]:
    """Return the one that is nearest to left + above - corner; of equals, the first."""
    guess = left + above - corner
    to_left, to_above, to_corner = abs(guess - left), abs(guess - above), abs(guess - corner)
    is_left = (to_left <= to_above) & (to_left <= to_corner)
    return np.where(is_left, left, np.where(to_above <= to_corner, above, corner))


def _samples(rows: NDArray[np.uint8], width: int, header: Header) -> NDArray[np.uint16]:
    """Take bytes apart, or together, into samples: [height, n] -> [height, width, channels] (section 7.2)."""
    depth, shape = header.depth, (len(rows), width, CHANNELS[header.kind])
    if depth == 16:
        return rows.astype(np.uint16).reshape(*shape, 2) @ np.array([256, 1], np.uint16)
    if depth == 8:
        return rows.astype(np.uint16).reshape(shape)
    bits = np.unpackbits(rows, axis=1).astype(np.uint16).reshape(len(rows), -1, depth)
    return (bits @ (1 << np.arange(depth, dtype=np.uint16)[::-1]))[:, :width, None]


def _to_rgba(samples: NDArray[np.uint16], header: Header, chunks: dict[bytes, bytes]) -> Pixels:
    """Make colors of samples, and say what is transparent (sections 11.2.3 and 11.3.2)."""
    clear = chunks.get(b"tRNS", b"")
    if header.kind == 3:
        palette = np.frombuffer(chunks.get(b"PLTE", b""), np.uint8)
        n_colors = len(palette) // 3
        if not n_colors or len(palette) % 3 or samples.max() >= n_colors or len(clear) > n_colors:
            raise ValueError("the PNG's palette lacks a color that the picture has")
        alpha = np.pad(np.frombuffer(clear, np.uint8), (0, n_colors - len(clear)), constant_values=255)
        return np.concatenate([palette.reshape(-1, 3), alpha[:, None]], axis=1)[samples[..., 0]]
    greatest = 2**header.depth - 1
    scaled = ((samples.astype(np.uint32) * 255 + greatest // 2) // greatest).astype(np.uint8)
    colors = scaled[..., :3] if header.kind in (2, 6) else np.repeat(scaled[..., :1], 3, axis=-1)
    if header.kind in (4, 6):
        alpha = scaled[..., -1]
    elif clear:
        if len(clear) != 2 * samples.shape[-1]:
            raise ValueError("the PNG's transparent color has the wrong length")
        alpha = np.where((samples == np.frombuffer(clear, ">u2")).all(axis=-1), 0, 255).astype(np.uint8)
    else:
        alpha = np.full(samples.shape[:2], 255, np.uint8)
    return np.concatenate([colors, alpha[..., None]], axis=-1)
