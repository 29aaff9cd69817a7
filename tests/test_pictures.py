"""Pictures as tokens: patches, the codebook, what any picture becomes before it is read, and the order of tokens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from painters import NAMES, STYLES, tiny_painter

from numpygpt import GPT2
from numpygpt.half_blocks import blocks, enlarged
from numpygpt.pictures import (
    CODEBOOK,
    Codebook,
    draw_prompt,
    fit,
    from_patches,
    k_means,
    load_codebook,
    nearest,
    read_prompt,
    shares,
    to_patches,
)
from numpygpt.safetensors import save_file
from numpygpt.train.pictures import make_tokenizer


def test_patches_are_read_row_by_row_and_square_by_square() -> None:
    image = np.arange(32).reshape(4, 8, 1)
    found = to_patches(image, 2)
    assert found[0].tolist() == [0, 1, 8, 9]
    assert found[1].tolist() == [2, 3, 10, 11]
    assert found[2].tolist() == [16, 17, 24, 25]
    assert found[4].tolist() == [4, 5, 12, 13]  # the second square begins


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.sampled_from([1, 3]), st.integers(0, 2))
def test_putting_together_undoes_cutting(patch: int, rows: int, squares: int, channels: int, n: int) -> None:
    shape = (patch * rows, patch * rows * squares, channels)
    images = np.random.default_rng(0).integers(0, 256, (n, *shape), dtype=np.uint8)
    patches = to_patches(images, patch)
    assert patches.shape == (n, rows * rows * squares, patch * patch * channels)
    np.testing.assert_array_equal(from_patches(patches, shape, patch), images)


@pytest.mark.parametrize(("shape", "patch"), [((4, 4, 1), 3), ((4, 6, 1), 2), ((4, 4, 2), 2), ((4, 4, 1), 0)])
def test_what_cannot_be_cut_is_refused(shape: tuple[int, int, int], patch: int) -> None:
    with pytest.raises(ValueError, match="cannot be cut into squares"):
        to_patches(np.zeros(shape), patch)


def test_nearest_is_what_looking_at_every_distance_finds() -> None:
    rng = np.random.default_rng(0)
    points, centers = rng.random((50, 3)), rng.random((7, 3))
    distances = ((points[:, None] - centers) ** 2).sum(axis=-1)
    np.testing.assert_array_equal(nearest(points, centers), distances.argmin(axis=-1))


def test_k_means_finds_clusters_and_moves_to_their_means() -> None:
    rng = np.random.default_rng(0)
    middles = np.array([[0, 0], [10, 0], [0, 10], [10, 10]], float)
    points = np.concatenate([middle + rng.normal(size=(30, 2)) * 0.1 for middle in middles])
    found = k_means(points, 4, np.random.default_rng(1))
    means = points.reshape(4, 30, 2).mean(axis=1)
    np.testing.assert_allclose(found[np.lexsort(found.round().T)], means[np.lexsort(means.round().T)])


def test_more_steps_of_k_means_leave_a_smaller_error() -> None:
    points = np.random.default_rng(0).random((400, 4))

    def error(steps: int) -> float:
        centers = k_means(points, 10, np.random.default_rng(2), steps)
        return float(((points - centers[nearest(points, centers)]) ** 2).sum())

    errors = [error(steps) for steps in (0, 1, 3, 10)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.8 * errors[0]
    with pytest.raises(ValueError, match="there are only 3 different patches: ask for so many codes, not 4"):
        k_means(np.array([[0.0], [1.0], [2.0], [1.0]]), 4, np.random.default_rng(0))


def test_a_codebook_of_all_patches_loses_nothing() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 8, 3), dtype=np.uint8)
    codebook = Codebook(np.unique(to_patches(images, 2).reshape(-1, 12), axis=0) / np.float32(255), 2, (4, 8, 3))
    codes = codebook.encode(images)
    assert codes.shape == (2, 8)
    np.testing.assert_array_equal(codebook.decode(codes), images)
    assert codebook.decibels(images) > 100
    assert codebook.encode(images[0]).tolist() == codes[0].tolist()


def test_decibels_are_those_of_the_mean_squared_error() -> None:
    codebook = Codebook(np.array([[0.0], [1.0]], np.float32), 1, (1, 2, 1))
    image = np.array([[[10], [255]]], np.uint8)  # an error of 10 in one of two pixels
    assert codebook.decibels(image) == pytest.approx(10 * np.log10(255**2 / 50))


def test_a_codebook_is_saved_with_the_model(tmp_path: Path) -> None:
    codebook = tiny_painter(tmp_path)
    found = load_codebook(tmp_path)
    np.testing.assert_array_equal(found.centers, codebook.centers)
    assert (found.patch, found.shape, found.names, found.styles) == (2, (4, 8, 3), NAMES, STYLES)
    GPT2.from_pretrained(tmp_path).save(tmp_path / "again")
    assert load_codebook(tmp_path / "again").names == NAMES


def test_folders_without_a_codebook_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"is no model of pictures, for it has no {CODEBOOK}"):
        load_codebook(tmp_path)
    tiny_painter(tmp_path)
    path = tmp_path / CODEBOOK
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ValueError, match="is no codebook"):
        load_codebook(tmp_path)
    save_file({"centers": np.zeros((2, 4))}, path, {})
    with pytest.raises(ValueError, match="is no codebook: 'pictures'"):
        load_codebook(tmp_path)
    Codebook(np.zeros((2, 5), np.float32), 2, (4, 4, 1)).save(tmp_path)
    with pytest.raises(ValueError, match=r"its centers have the shape \(2, 5\)"):
        load_codebook(tmp_path)


def test_the_two_orders_of_tokens() -> None:
    codebook = Codebook(np.zeros((6, 4), np.float32), 2, (4, 8, 1), NAMES, STYLES)
    tokenizer = make_tokenizer(codebook, 2000)
    assert len(tokenizer.encode(" cat")) == 1
    assert tokenizer.decode(draw_prompt("cat face", tokenizer, "noto")) == "<|endoftext|> noto cat face<|picture|>"
    assert tokenizer.decode(draw_prompt("cat face", tokenizer)) == "<|endoftext|> cat face<|picture|>"
    assert tokenizer.decode(read_prompt([5, 0], tokenizer)) == "<|endoftext|><|picture|><|5|><|0|><|caption|>"
    assert tokenizer.n_vocab == tokenizer.special_tokens["<|5|>"] + 1


@given(st.integers(1, 12), st.integers(1, 12))
def test_shares_give_every_old_pixel_away_once(n_old: int, n_new: int) -> None:
    found = shares(n_old, n_new)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_allclose(found.sum(axis=0), n_new / n_old)


@settings(max_examples=30)
@given(st.integers(1, 3), st.sampled_from([1, 3]))
def test_a_picture_of_the_right_proportions_is_averaged_alone(scale: int, channels: int) -> None:
    small = np.full((4, 8, channels), 255, np.uint8)
    small[1:3, 1:7] = np.random.default_rng(scale).integers(0, 256, (2, 6, channels))
    rgba = np.concatenate([np.broadcast_to(small, (4, 8, 3)), np.full((4, 8, 1), 255, np.uint8)], axis=-1)
    large = rgba.repeat(scale, axis=0).repeat(scale, axis=1)
    np.testing.assert_array_equal(fit(large, (4, 8, channels)), small)
    np.testing.assert_array_equal(fit(enlarged(rgba), (4, 8, channels)), small)


def test_transparent_oblong_and_dark_pictures() -> None:
    clear = np.zeros((2, 2, 4), np.uint8)
    clear[0, 0] = (255, 0, 0, 255)
    clear[0, 1] = (0, 0, 0, 128)
    assert fit(clear, (2, 2, 3))[0].tolist() == [[255, 0, 0], [127, 127, 127]]
    assert (fit(clear, (2, 2, 3))[1] == 255).all()
    high = np.full((4, 2, 4), (0, 0, 200, 255), np.uint8)
    filled = fit(high, (4, 4, 3))
    assert (filled[:, [0, 3]] == 255).all()
    assert (filled[:, 1:3] == (0, 0, 200)).all()
    dark = np.zeros((4, 4, 4), np.uint8)
    dark[..., 3] = 255
    dark[1, 1, :3] = 255
    assert fit(dark, (4, 4, 1))[..., 0].tolist() == [[255] * 4, [255, 0, 255, 255], [255] * 4, [255] * 4]
    assert (fit(dark, (4, 4, 3))[0] == 0).all()  # in color, a dark ground is a color


def test_half_blocks() -> None:
    image = np.array([[[255, 0, 0]], [[0, 0, 255]], [[9, 9, 9]]], np.uint8)  # an odd number of rows
    assert blocks(image, is_colored=True) == (
        "\x1b[38;2;255;0;0m\x1b[48;2;0;0;255m▀\x1b[0m\n\x1b[38;2;9;9;9m\x1b[48;2;255;255;255m▀\x1b[0m"
    )
    dark = np.array([[0, 255, 0], [0, 0, 255], [0, 255, 0]], np.uint8)[..., None]
    assert blocks(dark, is_colored=False) == "█▄▀\n▀ ▀"
    assert blocks(np.full((2, 2, 1), 255, np.uint8), is_colored=False) == "  "
    assert enlarged(np.zeros((8, 16, 1), np.uint8)).shape == (128, 256, 1)
