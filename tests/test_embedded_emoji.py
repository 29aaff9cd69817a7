"""The embedded model that draws emoji against `transformers`, its card, and its scores."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_runs import ENVIRONMENT, PATIENCE

from numpygpt.draw import complete, draw, read, readings
from numpygpt.painter import Painter, load
from numpygpt.png import read_png, write_png
from numpygpt.safetensors import SafetensorsFile, load_file

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "weights" / "emoji"
STYLES = ("noto", "fluent", "twemoji")

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="weights/emoji is not published yet: python weights/publish_emoji.py"
)


@pytest.fixture(scope="module")
def painter() -> Painter:
    return load("emoji")


@pytest.fixture(scope="module")
def card() -> str:
    return (FOLDER / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / "scores.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("number", range(2))
def test_logits_are_those_of_transformers(painter: Painter, number: int) -> None:
    path = FOLDER / "reference.safetensors"
    weights = hashlib.sha256((FOLDER / "model.safetensors").read_bytes()).hexdigest()
    assert SafetensorsFile(path).metadata["weights"] == weights, "run python weights/publish_emoji.py"
    reference = load_file(path)
    found = painter.model.logits(reference[f"{number}.ids"])
    np.testing.assert_allclose(found, reference[f"{number}.logits"], rtol=0, atol=2e-3)


def test_the_folder_opens_in_transformers_and_computes_the_same(painter: Painter) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDER)
    text = "<|endoftext|> noto cat face<|picture|><|0|><|17|>"
    ids = painter.model.tokenizer.encode(text, allowed_special="all")
    assert tokenizer(text)["input_ids"] == ids
    with torch.no_grad():
        expected = theirs(torch.tensor([ids])).logits[0].numpy()
    np.testing.assert_allclose(painter.model.logits(ids), expected, rtol=0, atol=2e-3)


@pytest.mark.parametrize("style", STYLES)
def test_every_style_is_drawn_in_colour(painter: Painter, style: str) -> None:
    image = draw("cat face", painter, style=style, seed=1)
    assert image.shape == (32, 32, 3)
    assert image.std() > 10


def test_the_same_seed_draws_the_same(painter: Painter) -> None:
    first, same, other = (draw("cat face", painter, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)


def test_completing_keeps_the_upper_half_as_its_codes_have_it(painter: Painter) -> None:
    image = draw("cat face", painter)
    assert np.array_equal(complete(image, painter, seed=3)[:16], image[:16])


@pytest.mark.parametrize("background", [0, 255])
def test_transparent_dark_and_oblong_pictures_are_read(painter: Painter, tmp_path: Path, background: int) -> None:
    drawn = draw("cat face", painter)
    alpha = np.where((drawn == 255).all(axis=-1, keepdims=True), 0, 255).astype(np.uint8)
    write_png(tmp_path / "clear.png", np.concatenate([np.where(alpha, drawn, background).astype(np.uint8), alpha], -1))
    assert read(tmp_path / "clear.png", painter) == read(drawn, painter)
    wide = np.full((32, 64, 3), background, np.uint8)
    assert read(wide, painter) in painter.codebook.names


def test_names_come_with_probabilities_the_likeliest_first(painter: Painter) -> None:
    found = readings(draw("cat face", painter), 5, painter)
    shares = [share for _, share in found]
    assert shares == sorted(shares, reverse=True)
    assert 0 < sum(shares) <= 1
    assert {text for text, _ in found} & set(painter.codebook.names)


def test_an_unknown_name_gets_the_nearest_one(painter: Painter) -> None:
    with pytest.raises(ValueError, match=r"never seen the word 'kat'; did you mean .*cat"):
        draw("kat face", painter)


def test_the_command_draws_without_a_model_named(tmp_path: Path) -> None:
    out = tmp_path / "cat.png"
    command = [
        sys.executable,
        "-m",
        "numpygpt.draw",
        "cat face",
        "--style",
        "twemoji",
        "--seed",
        "1",
        "--out",
        str(out),
    ]
    result = subprocess.run(command, capture_output=True, timeout=PATIENCE, env=ENVIRONMENT, cwd=ROOT)
    assert (result.returncode, result.stderr) == (0, b"")
    assert read_png(out).shape == (256, 256, 4)


def test_the_help_names_whose_drawings_they_are() -> None:
    command = [sys.executable, "-m", "numpygpt.draw", "--help"]
    printed = subprocess.run(command, capture_output=True, timeout=PATIENCE, env=ENVIRONMENT, cwd=ROOT).stdout
    assert b"Twemoji" in printed
    assert b"CC BY 4.0" in printed


def test_the_weights_are_small_on_disk(card: str) -> None:
    file = SafetensorsFile(FOLDER / "model.safetensors")
    assert set(file.dtypes.values()) == {"F16"}
    size = file.path.stat().st_size
    assert size <= 16_000_000
    assert f"float16, {size:,} bytes" in card
    n_params = sum(int(np.prod(shape)) for shape in file.shapes.values())
    assert f"parameters | {n_params:,} |" in card


def test_the_licences_of_the_drawings_ship(card: str) -> None:
    for name in ("noto", "fluent", "unicode"):
        assert (FOLDER / f"LICENSE-{name}.txt").stat().st_size > 1000
        assert f"LICENSE-{name}.txt" in card
        assert f"weights/emoji/LICENSE-{name}.txt" in (ROOT / "setup.cfg").read_text(encoding="utf-8")
    assert "creativecommons.org/licenses/by/4.0" in card


def test_the_card_says_what_was_measured(card: str, measured: dict[str, Any]) -> None:
    for name in ("first", "first_five", "nearest", "nearest_five", "group", "drawn_known", "drawn_held_out"):
        assert f"{measured[name]:.1%}" in card
    assert ", ".join(f"{measured['known'][style]:.1%}" for style in STYLES) in card
    assert f"{measured['decibels']:.1f} decibels" in card


@pytest.mark.slow
@pytest.mark.skipif("NUMPYGPT_CORPUS" not in os.environ, reason="needs the drawings: NUMPYGPT_CORPUS names the folder")
def test_the_scores_are_those_of_the_weights(painter: Painter, measured: dict[str, Any]) -> None:
    sys.path.insert(0, str(ROOT / "weights"))
    try:
        from emoji_scores import measure
    finally:
        sys.path.pop(0)

    found = measure(painter, Path(os.environ["NUMPYGPT_CORPUS"]) / "pictures")
    for name in ("first", "first_five", "nearest", "group", "drawn_known", "drawn_held_out"):
        assert found[name] == pytest.approx(measured[name], abs=0.02)  # another BLAS may break a tie differently
    for style in STYLES:
        assert found["known"][style] == pytest.approx(measured["known"][style], abs=0.01)
