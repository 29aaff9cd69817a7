"""PNG: round trips, every kind of file against Pillow and against the filters' definition, and damaged files."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from numpygpt.png import ADAM7, CHANNELS, DEPTHS, MAX_SIDE, SIGNATURE, decode, encode, read_png, write_png

IMAGES = st.builds(
    lambda seed, height, width, channels: np.random.default_rng(seed).integers(
        0, 256, (height, width, channels), dtype=np.uint8
    ),
    st.integers(0, 99),
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from([1, 3, 4]),
)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, depth: int, kind: int, rows: bytes, interlaced: int = 0, **more: bytes) -> bytes:
    """A file with these bytes as filtered rows, and more chunks before the data."""
    between = b"".join(chunk(name.encode(), data) for name, data in more.items())
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlaced)
    return SIGNATURE + chunk(b"IHDR", header) + between + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@given(IMAGES)
def test_decoding_undoes_encoding(image: np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]) -> None:
    decoded, channels = decode(encode(image)), image.shape[2]
    np.testing.assert_array_equal(decoded[..., :3], np.broadcast_to(image[..., :3], (*image.shape[:2], 3)))
    np.testing.assert_array_equal(decoded[..., 3], image[..., 3] if channels == 4 else 255)


def unfilter(filtered: list[list[int]], n_bytes: int) -> list[list[int]]:
    """The specification's definition, a byte at a time."""
    done: list[list[int]] = []
    for kind, *row in filtered:
        line: list[int] = []
        for i, byte in enumerate(row):
            left = line[i - n_bytes] if i >= n_bytes else 0
            above = done[-1][i] if done else 0
            corner = done[-1][i - n_bytes] if done and i >= n_bytes else 0
            guess = left + above - corner
            paeth = min((left, above, corner), key=lambda value: abs(guess - value))
            line.append((byte + (0, left, above, (left + above) // 2, paeth)[kind]) % 256)
        done.append(line)
    return done


@settings(max_examples=60)
@given(st.integers(1, 7), st.integers(1, 7), st.sampled_from([0, 2, 4, 6]), st.integers(0, 99))
def test_filters_are_those_of_the_definition(width: int, height: int, kind: int, seed: int) -> None:
    rng, channels = np.random.default_rng(seed), CHANNELS[kind]
    rows = rng.integers(0, 256, (height, 1 + width * channels), dtype=np.uint8)
    rows[:, 0] = rng.integers(0, 5, height)
    expected = np.array(unfilter(rows.tolist(), channels)).reshape(height, width, channels)
    found = decode(png(width, height, 8, kind, rows.tobytes()))
    colors = expected[..., :3] if kind in (2, 6) else np.repeat(expected[..., :1], 3, axis=-1)
    np.testing.assert_array_equal(found[..., :3], colors)
    np.testing.assert_array_equal(found[..., 3], expected[..., -1] if kind in (4, 6) else 255)


ALL_KINDS = [(kind, depth, way) for kind, depths in DEPTHS.items() for depth in depths for way in (0, 1)]


@pytest.mark.parametrize(("kind", "depth", "interlaced"), ALL_KINDS)
def test_every_kind_is_read_as_pillow_reads_it(kind: int, depth: int, interlaced: int) -> None:
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(kind + depth)
    for width, height in ((1, 1), (5, 3), (13, 11), (9, 17)):
        rows = b""
        for x, y, right, down in ADAM7 if interlaced else ((0, 0, 1, 1),):
            wide, high = -(-(width - x) // right), -(-(height - y) // down)
            if wide > 0 and high > 0:
                part = rng.integers(0, 256, (high, 1 + -(-wide * depth * CHANNELS[kind] // 8)), dtype=np.uint8)
                part[:, 0] %= 5
                part[:, 1:] = part[:, 1:] if depth == 16 or kind != 3 else 0  # a palette's numbers must be in it
                rows += part.tobytes()
        palette = {"PLTE": rng.integers(0, 256, 3, dtype=np.uint8).tobytes()} if kind == 3 else {}
        data = png(width, height, depth, kind, rows, interlaced, **palette)
        found = decode(data)
        with image.open(io.BytesIO(data)) as peer:
            expected = np.array(peer.convert("RGBA") if peer.mode != "I;16" else peer, np.int64)
        if expected.ndim == 2:  # 16 bits of grey
            expected = np.stack([*[np.rint(expected / 257)] * 3, np.full_like(expected, 255)], axis=-1)
        np.testing.assert_allclose(found, expected, atol=1 if depth == 16 else 0)  # Pillow drops the lower byte


def test_a_palette_and_its_transparent_colors() -> None:
    palette, clear = bytes([255, 0, 0, 0, 255, 0, 0, 0, 255]), bytes([0, 128])
    rows = bytes([0, 0b00_01_10_00])  # two bits a pixel
    expected = [[255, 0, 0, 0], [0, 255, 0, 128], [0, 0, 255, 255]]
    assert decode(png(3, 1, 2, 3, rows, PLTE=palette, tRNS=clear)).tolist() == [expected]


def test_a_transparent_color_without_a_palette() -> None:
    assert decode(png(2, 1, 8, 0, bytes([0, 7, 8]), tRNS=bytes([0, 8])))[0, :, 3].tolist() == [255, 0]
    sixteen = bytes([0, 1, 2, 1, 3])  # of which the lower byte decides too
    assert decode(png(2, 1, 16, 0, sixteen, tRNS=bytes([1, 3])))[0, :, 3].tolist() == [255, 0]
    rgb = bytes([0, 1, 2, 3, 1, 2, 4])
    assert decode(png(2, 1, 8, 2, rgb, tRNS=bytes([0, 1, 0, 2, 0, 4])))[0, :, 3].tolist() == [255, 0]


def test_bits_are_scaled_to_bytes() -> None:
    assert decode(png(4, 1, 1, 0, bytes([0, 0b0101_0000])))[0, :, 0].tolist() == [0, 255, 0, 255]
    assert decode(png(3, 1, 2, 0, bytes([0, 0b00_01_11_00])))[0, :, 0].tolist() == [0, 85, 255]
    assert decode(png(2, 1, 4, 0, bytes([0, 0x1F])))[0, :, 0].tolist() == [17, 255]
    assert decode(png(2, 1, 16, 0, bytes([0, 0xFF, 0xFF, 0x80, 0x80])))[0, :, 0].tolist() == [255, 128]


def test_data_in_several_chunks_and_chunks_of_no_interest() -> None:
    rows = zlib.compress(bytes([0, 1, 2, 3]))
    header = struct.pack(">IIBBBBB", 3, 1, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", header), (b"tEXt", b"a"), (b"IDAT", rows[:3]), (b"IDAT", rows[3:]), (b"IEND", b"")]
    whole = SIGNATURE + b"".join(chunk(*part) for part in parts)
    assert decode(whole + b"what follows")[0, :, 0].tolist() == [1, 2, 3]
    parts.insert(3, (b"tEXt", b"a"))
    with pytest.raises(ValueError, match="the PNG's data is in two places"):
        decode(SIGNATURE + b"".join(chunk(*part) for part in parts))


GREY = bytes([0, 1, 2])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no PNG file"),
        (b"\xff\xd8\xff\xe0 a JPEG", "no PNG file; other formats must be converted first"),
        (SIGNATURE, "ends in the middle"),
        (png(2, 1, 8, 0, GREY)[:-5], "ends in the middle"),
        (SIGNATURE + chunk(b"IEND", b""), "no header at its beginning"),
        (png(2, 1, 8, 0, GREY).replace(b"IDAT", b"tEXt"), "checksum of its chunk 'tEXt' is wrong"),
        (png(2, 1, 8, 0, GREY, ABCD=b""), "a chunk 'ABCD' that nobody knows"),
        (png(2, 1, 3, 0, GREY), "color 0, depth 3"),
        (png(2, 1, 8, 0, GREY, interlaced=2), "unknown way of interlacing, 2"),
        (png(0, 1, 8, 0, GREY), "0 x 1 pixels"),
        (png(MAX_SIDE + 1, 1, 8, 0, GREY), "16385 x 1 pixels; at most 16384"),
        (png(MAX_SIDE, MAX_SIDE, 8, 0, GREY), "16384 x 16384 pixels"),
        (png(2, 1, 8, 0, GREY + b"1"), "too many bytes"),
        (png(2, 1, 8, 0, bytes(2**24)), "too many bytes"),
        (png(2, 1, 8, 0, GREY[:2]), "too few bytes"),
        (png(2, 1, 8, 0, bytes([5, 1, 2])), "unknown filter, 5"),
        (png(2, 1, 8, 3, GREY), "palette lacks a color"),
        (png(2, 1, 8, 3, GREY, PLTE=bytes(6)), "palette lacks a color"),
        (png(2, 1, 8, 0, GREY, tRNS=bytes(3)), "transparent color has the wrong length"),
        (SIGNATURE + chunk(b"IHDR", bytes(12)), "header has the wrong length"),
        (png(2, 1, 8, 0, GREY).replace(chunk(b"IDAT", zlib.compress(GREY)), b""), "has no data"),
        (png(2, 1, 8, 0, GREY).replace(chunk(b"IDAT", zlib.compress(GREY)), chunk(b"IDAT", b"none")), "is damaged"),
    ],
)
def test_what_is_no_whole_png_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message) as info:
        decode(data)
    assert "\n" not in str(info.value)


SAMPLE = encode(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))


@given(st.integers(0, len(SAMPLE) - 1), st.integers(0, 255), st.booleans())
@example(25, 200, True)  # another kind of color
def test_a_changed_byte_is_noticed(place: int, byte: int, is_summed_anew: bool) -> None:
    """With its checksums put right, a file may be a whole one again; otherwise, never."""
    assume(SAMPLE[place] != byte)
    data = SAMPLE[:place] + bytes([byte]) + SAMPLE[place + 1 :]
    if is_summed_anew:
        data = summed_anew(data)
    message = error_of(data)
    assert message or is_summed_anew
    assert "\n" not in message


def error_of(data: bytes) -> str:
    """What decoding complains about, or ""."""
    try:
        decode(data)
    except ValueError as error:
        return str(error)
    return ""


def summed_anew(data: bytes) -> bytes:
    """A file with right checksums, as far as its chunks can be told."""
    place, parts = len(SIGNATURE), [data[: len(SIGNATURE)]]
    while place + 12 <= len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4], "big")
        parts += [data[place : end - 4], struct.pack(">I", zlib.crc32(data[place + 4 : end - 4]))]
        place = end
    return b"".join(parts)


def test_pillow_reads_what_is_written(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    for channels, mode in ((1, "L"), (3, "RGB"), (4, "RGBA")):
        pixels = np.random.default_rng(channels).integers(0, 256, (5, 7, channels), dtype=np.uint8)
        write_png(tmp_path / "x.png", pixels)
        with image.open(tmp_path / "x.png") as peer:
            assert peer.mode == mode
            np.testing.assert_array_equal(np.array(peer).reshape(pixels.shape), pixels)
        np.testing.assert_array_equal(read_png(tmp_path / "x.png")[..., :1], pixels[..., :1])


def test_mistakes_name_the_file(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"text")
    with pytest.raises(ValueError, match=r"x\.png: this is no PNG file"):
        read_png(tmp_path / "x.png")
    with pytest.raises(ValueError, match=r"a picture is bytes \[height, width, 1, 3 or 4\], not float64 \[1, 1, 3\]"):
        write_png(tmp_path / "y.png", np.zeros((1, 1, 3)))  # type: ignore[arg-type]
    assert not (tmp_path / "y.png").exists()
