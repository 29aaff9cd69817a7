"""The embedded translator against `transformers`, its card, and its scores."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_runs import ENVIRONMENT, PATIENCE

from numpygpt import Translator
from numpygpt.safetensors import SafetensorsFile, load_file

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "weights" / "english-french"

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="weights/english-french is not published yet: python weights/publish_translator.py"
)


@pytest.fixture(scope="module")
def translator() -> Translator:
    return Translator.from_pretrained("english-french")


@pytest.fixture(scope="module")
def reference() -> dict[str, Any]:
    """What `transformers` computed with these very weights."""
    path = FOLDER / "reference.safetensors"
    weights = hashlib.sha256((FOLDER / "model.safetensors").read_bytes()).hexdigest()
    assert SafetensorsFile(path).metadata["weights"] == weights, "run python weights/publish_translator.py"
    return dict(load_file(path))


@pytest.fixture(scope="module")
def card() -> str:
    return (FOLDER / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("number", range(3))
def test_logits_and_translations_are_those_of_transformers(
    translator: Translator, reference: dict[str, Any], number: int
) -> None:
    source, eos = reference[f"{number}.source"], translator.config.eos_token_id
    logits = translator.logits(source, reference[f"{number}.beams4"])
    np.testing.assert_allclose(logits, reference[f"{number}.logits"], rtol=0, atol=1e-3)
    text = translator.tokenizer.decode(source[:-1].tolist())
    assert translator.tokenizer.encode(text) == source.tolist()
    for beams in (1, 4):
        ids = reference[f"{number}.beams{beams}"].tolist()[1:]
        theirs = translator.tokenizer.decode(ids[: ids.index(eos)])
        assert translator.translate(text, num_beams=beams) == theirs.strip()


def test_the_folder_opens_in_transformers_and_computes_the_same(translator: Translator) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(FOLDER, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDER)
    ids = tokenizer("It's a small house.")["input_ids"]
    assert ids == translator.tokenizer.encode("It's a small house.")
    read = [translator.config.decoder_start_token_id, 500, 600, 700]
    with torch.no_grad():
        expected = model(input_ids=torch.tensor([ids]), decoder_input_ids=torch.tensor([read])).logits[0].numpy()
    np.testing.assert_allclose(translator.logits(ids, read), expected, rtol=0, atol=1e-3)


def test_the_weights_are_small_on_disk(card: str) -> None:
    file = SafetensorsFile(FOLDER / "model.safetensors")
    assert set(file.dtypes.values()) == {"F16"}
    size = file.path.stat().st_size
    assert size <= 16_000_000
    assert f"float16, {size:,} bytes" in card
    n_params = sum(int(np.prod(shape)) for shape in file.shapes.values())
    assert f"parameters | {n_params:,} |" in card


def test_it_says_the_simplest_things(translator: Translator) -> None:
    assert translator.translate(["Thank you.", "I love you.", "Where is the station?"]) == [
        "Merci.",
        "Je t'aime.",
        "Où est la gare ?",
    ]
    assert translator.translate("where  is the station?") == "Où est la gare ?"


def test_the_command_answers_without_a_model_named() -> None:
    command = [sys.executable, "-m", "numpygpt.translate", "Thank you."]
    result = subprocess.run(command, capture_output=True, timeout=PATIENCE, env=ENVIRONMENT, cwd=ROOT)
    assert (result.returncode, result.stdout.decode(), result.stderr) == (0, "Merci.\n", b"")


def test_a_name_looks_at_itself(translator: Translator) -> None:
    """What alignment means, where it is certain: a name is the same in both languages."""
    for text in ("Tom likes apples.", "I think Tom is in the garden.", "Is Boston a big city?"):
        alignment = translator.align(text)
        [name] = {"Tom", "Boston"} & set(alignment.target)
        row = alignment.weights[alignment.target.index(name)]
        assert alignment.source[int(row.argmax())] == name, f"{alignment}"


def test_the_card_says_what_was_measured(card: str) -> None:
    measured = json.loads((FOLDER / "scores.json").read_text(encoding="utf-8"))
    for name, row in measured["scores"].items():
        figures = " | ".join(f"{row[metric]:.1f}" for metric in ("BLEU", "chrF", "BLEU, far", "chrF, far"))
        assert f"| {name} | {figures} |" in card
    for word in ("tatoeba.org", "www.manythings.org/anki", "CC BY 2.0 FR"):
        assert word in card
    assert len(re.findall(r"^\| [^|]+ \| [^|]+ \| [^|]+ \|$", card, re.MULTILINE)) >= 30


def test_the_card_and_page_11_say_how_the_architectures_compare(card: str) -> None:
    page = (ROOT / "tutorials" / "11-the-original-transformer.md").read_text(encoding="utf-8")
    measured = json.loads((FOLDER / "architectures.json").read_text(encoding="utf-8"))
    for name, row in measured.items():
        figures = f"{row['validation_loss']:.3f}", f"{row['BLEU']:.1f}", f"{row['chrF']:.1f}"
        assert f"| {name} | {row['parameters'] / 1e6:.2f} M | {row['tokens_per_second']:,.0f} |" in card
        assert f"| {row['tokens_per_second']:,.0f} | {' | '.join(figures)} |" in page
        assert f"| {figures[0]} | {row['bits_per_byte']:.3f} | {figures[1]} | {figures[2]} |" in card


@pytest.mark.slow
@pytest.mark.skipif("NUMPYGPT_CORPUS" not in os.environ, reason="needs the sentences: NUMPYGPT_CORPUS names the folder")
def test_the_scores_are_those_of_the_weights(translator: Translator) -> None:
    pytest.importorskip("sacrebleu")
    sys.path.insert(0, str(ROOT / "weights"))
    try:
        from translation_scores import far_sentences, group, read, scores
    finally:
        sys.path.pop(0)
    corpus = Path(os.environ["NUMPYGPT_CORPUS"]) / "translation"
    stored = json.loads((FOLDER / "scores.json").read_text(encoding="utf-8"))["scores"]
    test = group(read(corpus / "fra-test.tsv"))
    far = far_sentences(list(test), read(corpus / "fra-train.tsv.gz"))
    for name, beams in (("english-french, greedy", 1), ("english-french, 4 beams", 4)):
        translate: Any = partial(translator.translate, num_beams=beams)
        found = scores(translate, test, far)
        for metric, value in found.items():
            assert value == pytest.approx(stored[name][metric], abs=0.1)  # another BLAS may break a tie differently
