"""The task of pictures: what is held out, batches, runs that go on bit for bit, and mistakes."""

from __future__ import annotations

import csv
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from painters import STYLES, file_of_digits, files_of_drawings

from numpygpt import backward, gpt2
from numpygpt.arrays import flatten
from numpygpt.draw import complete, draw, read
from numpygpt.engine import Tokenizer
from numpygpt.loss import cross_entropy
from numpygpt.models import checkpoint
from numpygpt.painter import load
from numpygpt.pictures import PICTURE, Codebook, load_codebook
from numpygpt.train import pictures
from numpygpt.train.config import PicturesConfig
from numpygpt.train.drawings import read_parts
from numpygpt.train.loop import Run
from numpygpt.train.pictures import NO_TARGET, Pictures, begin, make_batch
from numpygpt.train.runs import train
from numpygpt.train.scenes import DIGITS, Rows, draw_rows, scene_names, shifted, split_digits, split_pairs

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tutorials" / "digits_8x8.npz"
TINY = PicturesConfig(
    n_layer=1, n_head=2, n_embd=16, steps=6, batch_size=6, codes=6, evaluate_every=3, warmup=2, validation_tokens=200
)


@pytest.fixture(autouse=True)
def _few_scenes(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "slow" not in request.keywords:
        monkeypatch.setattr(pictures, "N_SCENES", 10)


@pytest.fixture
def digits(tmp_path: Path) -> str:
    return file_of_digits(tmp_path / "digits.npz")


@pytest.fixture
def drawings(tmp_path: Path) -> list[str]:
    return files_of_drawings(tmp_path)


def test_a_run_leaves_a_model_that_draws_and_reads(
    digits: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "numpygpt.train")
    run = train([digits], tmp_path / "out", TINY)
    _, params, _ = checkpoint.load(tmp_path / "out")
    for name, tensor in run.tensors.items():
        np.testing.assert_array_equal(flatten(params)[name], tensor)
    with open(tmp_path / "out/loss.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["0", "3", "6"]
    for kind in ("seen_first", "seen_second", "unseen_first", "unseen_second"):
        assert 0 <= float(rows[-1][f"right_{kind}"]) <= 1
    model = load(str(tmp_path / "out"))
    assert model.codebook.names == scene_names()
    assert draw("three seven", model).shape == complete(draw("one one", model), model).shape == (4, 8, 1)
    assert isinstance(read(draw("three seven", model), model), str)
    lines = caplog.messages
    assert any(line.startswith("the codebook keeps ") for line in lines)
    assert "6 codes; 6 a step; 6 steps" in " ".join(lines)
    assert "90 pictures to learn from, 30 held out, 8 x 4 pixels as 8 of 6 codes" in " ".join(lines)
    assert lines[-1].startswith(f'  python -m numpygpt.draw --model {tmp_path / "out"} "')
    assert "bits per byte" not in lines[-2]


def test_the_few_tokens_of_a_drawings_name_weigh_more(
    drawings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = begin(drawings, tmp_path / "out", TINY, lambda: None)
    params, batch, drop = task.initialize(), task.draw(0), backward.Dropout(0, np.random.default_rng(0))

    def gradients(weight: int) -> tuple[float, dict[str, Any], int]:
        monkeypatch.setattr(pictures, "NAME_WEIGHT", weight)
        loss, tree, n_targets = task.gradients(params, batch, drop)
        return loss, flatten(tree), n_targets

    (once, first, n_once), (more, second, n_more), (most, third, n_most) = map(gradients, (1, 2, 8))
    plain, _ = backward.gpt2(*batch, params, task.config, drop=drop, n_targets=1)
    assert once == pytest.approx(plain, rel=1e-5)
    names, counted = batch[0][:, 1] == task.tokenizer.special_tokens[PICTURE], batch[1] >= 0
    assert (n_once, n_more - n_once) == (counted.sum(), counted[names].sum())
    assert most - once == pytest.approx(7 * (more - once), rel=1e-4)
    assert n_most - n_once == 7 * (n_more - n_once)
    for name in first:
        np.testing.assert_allclose(third[name] - first[name], 7 * (second[name] - first[name]), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("kind", ["digits", "drawings"])
def test_an_interrupted_run_ends_with_the_same_weights(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    texts = request.getfixturevalue(kind)
    texts = [texts] if isinstance(texts, str) else texts
    options = replace(TINY, dropout=0.1, steps=20, evaluate_every=5)
    whole = train(texts, tmp_path / "whole", options)
    with pytest.MonkeyPatch.context() as patch:
        draw_batch = Pictures.draw

        def until_13(self: Pictures, step: int) -> Any:
            if step == 13:
                raise KeyboardInterrupt
            return draw_batch(self, step)

        patch.setattr(Pictures, "draw", until_13)
        with pytest.raises(KeyboardInterrupt):
            train(texts, tmp_path / "parts", options)
    assert Run.load(tmp_path / "parts/training", PicturesConfig).step == 10
    again = train(texts, tmp_path / "parts", options)
    assert again.tokens == whole.tokens
    assert again.history[1:] == whole.history[1:]  # the first row has no loss of training
    for name, tensor in whole.tensors.items():
        np.testing.assert_array_equal(again.tensors[name], tensor)
    for name in ("codebook.safetensors", "model.safetensors", "tokenizer.json"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def task(texts: list[str], out: Path, options: PicturesConfig = TINY) -> Pictures:
    (out / "training").mkdir(parents=True)
    return begin(texts, out, replace(options, threads=1), lambda: None)


def test_twenty_pairs_are_never_drawn_and_no_digit_is_in_both_parts() -> None:
    seen, unseen = split_pairs()
    assert {tuple(pair) for part in (seen, unseen) for pair in part.tolist()} == {
        (a, b) for a in range(10) for b in range(10)
    }
    for side in unseen.T:
        assert np.bincount(side).tolist() == [2] * 10
    train_part, test_part = split_digits(1797)
    assert (len(train_part), len(test_part)) == (1497, 300)
    assert sorted([*train_part.tolist(), *test_part.tolist()]) == list(range(1797))


def test_a_scene_is_two_digits_of_the_names_that_its_caption_gives(digits: str, tmp_path: Path) -> None:
    made = task([digits], tmp_path / "out")
    rng, n_half = np.random.default_rng(0), made.album.codes.shape[2]
    rows = draw_rows(made.album, 50, rng, is_shifted=True)
    seen = {tuple(pair) for pair in split_pairs()[0].tolist()}
    for codes, name in zip(rows.codes, rows.names.tolist(), strict=True):
        pair = divmod(name, 10)
        assert pair in seen
        assert made.codebook.names[name] == f"{DIGITS[pair[0]]} {DIGITS[pair[1]]}"
        for half, digit in zip((codes[:n_half], codes[n_half:]), pair, strict=True):
            shown = made.album.codes[made.album.names == digit].reshape(-1, n_half)
            assert (shown == half).all(axis=1).any()
    whole = np.array(made.codebook.decode(rows.codes[:1]))[0]
    single = replace_shape(made.codebook, (4, 4, 1))
    np.testing.assert_array_equal(whole[:, :4], single.decode(rows.codes[0, :n_half]))
    np.testing.assert_array_equal(whole[:, 4:], single.decode(rows.codes[0, n_half:]))


def replace_shape(codebook: Codebook, shape: tuple[int, int, int]) -> Codebook:
    return replace(codebook, shape=shape)


def test_half_of_a_batch_is_drawn_and_half_is_read(digits: str, tmp_path: Path) -> None:
    made = task([digits], tmp_path / "out", replace(TINY, batch_size=40))
    ids, targets = made.draw(3)
    again, _ = made.draw(3)
    other, _ = made.draw(4)
    np.testing.assert_array_equal(ids, again)
    assert (ids != other).any()
    special, n = made.tokenizer.special_tokens, made.codebook.n_patches
    first_code = special["<|0|>"]
    n_whole = n_told = n_other = 0
    for number, (row, counted) in enumerate(zip(ids, targets, strict=True)):
        assert row[0] == special["<|endoftext|>"]
        if number < 20:
            assert row[3] == special["<|picture|>"]
            assert (counted[:3] == NO_TARGET).all()
            assert counted[3 : 3 + n].tolist() == row[4 : 4 + n].tolist()
            assert (counted[3 : 3 + n] >= first_code).all()
            assert counted[3 + n] == special["<|endoftext|>"]
            assert (counted[4 + n :] == NO_TARGET).all()
            continue
        assert (row[1], row[2 + n]) == (special["<|picture|>"], special["<|caption|>"])
        assert (row[2 : 2 + n] >= first_code).all()
        words = made.tokenizer.decode(counted[2 + n : 4 + n])
        assert words.strip() in made.codebook.names
        assert counted[4 + n] == special["<|endoftext|>"]
        n_whole += counted[1] >= 0
        n_told += made.tokenizer.decode([row[4 + n]]) == " " + words.split()[1]
        n_other += row[3 + n] != counted[2 + n]  # the word that is read is not always the one that is written
    assert n_told == 20
    assert 0 < n_whole < 15
    assert 2 < n_other < 18


def test_rows_are_filled_up_and_count_from_a_place_on() -> None:
    ids, targets = make_batch([([5, 6, 7, 8], 2), ([1, 2, 3], 1)])
    assert ids.tolist() == [[5, 6, 7], [1, 2, 0]]
    assert targets.tolist() == [[-1, 7, 8], [2, 3, -1]]


def test_shifts_move_by_a_pixel() -> None:
    image = np.arange(9, dtype=np.uint8).reshape(1, 3, 3, 1)
    still, right, left, down, up = shifted(image)[0, ..., 0]
    assert still.tolist() == image[0, ..., 0].tolist()
    assert right.tolist() == [[255, 0, 1], [255, 3, 4], [255, 6, 7]]
    assert left.tolist() == [[1, 2, 255], [4, 5, 255], [7, 8, 255]]
    assert down.tolist() == [[255, 255, 255], [0, 1, 2], [3, 4, 5]]
    assert up.tolist() == [[3, 4, 5], [6, 7, 8], [255, 255, 255]]


def test_drawings_of_several_artists(drawings: list[str], tmp_path: Path) -> None:
    parts = read_parts(drawings)
    assert parts.styles == STYLES
    assert "secret" not in parts.names  # which is kept out wholly
    assert parts.names[1] == 'thing “1"'  # quotation marks are letters
    assert len(parts.names) == 7
    assert len(parts.train.images) == 6 * 2 - 1  # the first has no drawing, one of the last is held out
    assert (parts.held_out.names.tolist(), parts.held_out.styles.tolist()) == ([6], [0])
    with np.load(drawings[1]) as file:
        rows = (parts.train.names == 3) & (parts.train.styles == 1)
        np.testing.assert_array_equal(parts.train.images[rows][0], file["images"][3])
    run = train(drawings, tmp_path / "out", TINY)
    assert 0 <= run.history[-1]["validation_right"] <= 1
    codebook = load_codebook(tmp_path / "out")
    assert (codebook.shape, codebook.styles, codebook.names) == ((4, 4, 3), STYLES, parts.names)
    made = task(drawings, tmp_path / "again", replace(TINY, batch_size=20))
    ids, _ = made.draw(0)
    drawn = made.tokenizer.decode(ids[0])
    assert drawn.startswith(tuple(f"<|endoftext|> {style} thing “" for style in STYLES))
    still = {tuple(codes) for codes in made.album.codes[:, 0].tolist()}
    for row in ids[:10]:  # those that are drawn stand where they stood
        codes = row[row >= made.tokenizer.special_tokens["<|0|>"]] - made.tokenizer.special_tokens["<|0|>"]
        assert tuple(codes.tolist()) in still


def test_the_loss_is_that_of_held_out_pictures_both_ways(drawings: list[str], tmp_path: Path) -> None:
    run = train(drawings, tmp_path / "out", TINY)
    config, params, tokenizer = checkpoint.load(tmp_path / "out", tokenizer_class=Tokenizer)
    assert tokenizer is not None
    made = pictures.open_again(tmp_path / "out", replace(TINY, threads=1), config)
    rows = Rows(made.held_out.codes[:, 0], made.held_out.names, made.held_out.styles)
    assert len(rows) == 1
    losses = []
    for ids, first in (made.drawing(rows, 0), made.reading(rows, 0)):
        logits = gpt2(ids[:-1], **params, n_head=config.n_head)
        losses += cross_entropy(logits, np.array(ids[1:]))[first - 1 :].tolist()
    assert run.history[-1]["validation_loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert len(losses) == made.codebook.n_patches + 1 + len(tokenizer.encode(" " + made.codebook.names[6])) + 1


def test_the_folder_opens_in_transformers(digits: str, tmp_path: Path) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    train([digits], tmp_path / "out", TINY)
    model = load(str(tmp_path / "out")).model
    peer = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    text = "<|endoftext|> three seven<|picture|><|3|><|0|>"
    ids = model.tokenizer.encode(text, allowed_special="all")
    assert tokenizer.encode(text) == ids
    with torch.no_grad():
        expected = peer(torch.tensor([ids])).logits[0].numpy()
    np.testing.assert_allclose(model.logits(ids), expected, atol=1e-4)
    assert type(peer).__name__ == "GPT2LMHeadModel"


@pytest.mark.slow
def test_a_few_steps_teach_it_something(tmp_path: Path) -> None:
    """Chance is one digit in ten."""
    run = train([str(DATA)], tmp_path / "out", replace(PicturesConfig(), steps=400, evaluate_every=400))
    last = run.history[-1]
    assert last["validation_loss"] < 2.5 < run.history[0]["validation_loss"]
    assert last["right_seen_first"] > 0.2
