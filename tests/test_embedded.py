"""The embedded model against `transformers`, its card, and the vocabulary that it shares with the official one."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import multiprocessing
import os
import re
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from random_models import REFERENCE

from numpygpt import GPT2, Tokenizer
from numpygpt.loss import cross_entropy, text_loss
from numpygpt.models.tokenizer_files import load_tokenizer
from numpygpt.safetensors import SafetensorsFile, load_file
from numpygpt.train.text import HELD_OUT_EVERY, read_pieces

ROOT = Path(__file__).parents[1]
STORIES = ROOT / "weights" / "stories"
PROMPT = "Once upon a time"

pytestmark = pytest.mark.skipif(
    not STORIES.is_dir(), reason="weights/stories is not published yet: python weights/publish.py RUN_FOLDER"
)


@pytest.fixture(scope="module")
def stories() -> GPT2:
    return GPT2.from_pretrained(STORIES)


@pytest.fixture(scope="module")
def reference() -> dict[str, Any]:
    """What `transformers` computed with these very weights."""
    path = STORIES / "reference.safetensors"
    weights = hashlib.sha256((STORIES / "model.safetensors").read_bytes()).hexdigest()
    assert SafetensorsFile(path).metadata["weights"] == weights, "run python tests/reference/make_stories.py"
    return dict(load_file(path))


@pytest.fixture(scope="module")
def card() -> str:
    return (STORIES / "README.md").read_text(encoding="utf-8")


# ---- The weights


def test_logits_are_those_of_transformers(stories: GPT2, reference: dict[str, Any]) -> None:
    logits = stories.logits(reference["ids"])[:, reference["positions"]]
    np.testing.assert_allclose(logits, reference["logits"], rtol=0, atol=1e-4)


def test_the_loss_of_a_story_is_that_of_transformers(stories: GPT2, reference: dict[str, Any]) -> None:
    story = (REFERENCE / "story.txt").read_text(encoding="utf-8")
    result = text_loss(story, stories.logits, stories.tokenizer, n_ctx=stories.config.n_ctx)
    assert result.n_tokens < stories.config.n_ctx  # one window, as the reference has it
    assert result.loss == pytest.approx(float(reference["loss"]), abs=1e-5)


def test_greedy_ids_are_those_of_transformers(stories: GPT2, reference: dict[str, Any]) -> None:
    assert stories.generate(PROMPT, 40) == continuation(stories, reference)


def continuation(stories: GPT2, reference: dict[str, Any]) -> str:
    ids = reference["greedy"][0].tolist()
    end = ids.index(stories.tokenizer.eot_id) if stories.tokenizer.eot_id in ids else len(ids)
    return stories.tokenizer.decode(ids[:end])


def test_the_folder_opens_in_transformers_and_computes_the_same(stories: GPT2) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    peer = transformers.GPT2LMHeadModel.from_pretrained(STORIES, dtype=torch.float32).eval()
    ids = np.random.default_rng(1).integers(0, stories.config.vocab_size, (2, 100))
    with torch.no_grad():
        expected = peer(torch.tensor(ids)).logits.numpy()
    np.testing.assert_allclose(stories.logits(ids), expected, rtol=0, atol=1e-4)
    tokenizer = transformers.AutoTokenizer.from_pretrained(STORIES)
    story = (REFERENCE / "story.txt").read_text(encoding="utf-8")
    assert tokenizer.encode(story) == stories.tokenizer.encode(story)


def test_the_weights_are_small_on_disk() -> None:
    file = SafetensorsFile(STORIES / "model.safetensors")
    assert set(file.dtypes.values()) == {"F16"}
    assert file.path.stat().st_size <= 16_000_000


def test_the_vocabulary_is_the_beginning_of_that_of_the_official_model(stories: GPT2) -> None:
    tokenizer, official = stories.tokenizer, Tokenizer()
    assert tokenizer.merges == official.merges[:3840]
    assert tokenizer.eot_id == tokenizer.n_vocab - 1 == stories.config.vocab_size - 1
    assert all(tokenizer.token_bytes(i) == official.token_bytes(i) for i in range(tokenizer.eot_id))


# ---- The card


def figure(card: str, pattern: str) -> float:
    """Return a number that the card states."""
    match = re.search(pattern.replace("N", r"([\d.,]+\d)"), card)
    assert match is not None, f"the card does not say {pattern}"
    return float(match[1].replace(",", ""))


def test_the_card_gives_size_and_parameters(stories: GPT2, card: str) -> None:
    n_params = sum(int(np.prod(shape)) for shape in SafetensorsFile(STORIES / "model.safetensors").shapes.values())
    assert figure(card, r"parameters \| N") == n_params
    assert figure(card, r"float16, N bytes") == (STORIES / "model.safetensors").stat().st_size
    assert f"context {stories.config.n_ctx} tokens" in card


def test_the_card_tells_of_all_runs_that_made_the_model(card: str) -> None:
    """What the next training reads, when it begins from this model."""
    with (STORIES / "loss.csv").open(newline="") as file:
        tokens = {row["run"]: int(row["tokens"]) for row in csv.DictReader(file)}  # at each run's end, counted through
    runs = json.loads((STORIES / "runs.json").read_text(encoding="utf-8"))
    assert list(tokens) == [str(number) for number in range(1, len(runs) + 1)]
    assert figure(card, r"tokens seen \| N:") == tokens[str(len(runs))]
    for run in runs:
        assert f"--out checkpoints/{run['name']} " in card
    assert figure(card, r"time \| N hours") == pytest.approx(sum(run["hours"] for run in runs), abs=0.05)


def test_the_card_tells_of_all_trials_of_shapes(card: str) -> None:
    """The published shape, too, is one of them."""
    done = json.loads((STORIES / "trials.json").read_text(encoding="utf-8"))
    for name, trial in done["trials"].items():
        shape = " | ".join(str(trial[part]) for part in ("n_layer", "n_head", "n_embd", "merges", "n_ctx"))
        assert f"| {name} | {shape} | {trial['tokens']:,} | {trial['bits_per_byte']:.3f} |" in card
    config = json.loads((STORIES / "config.json").read_text(encoding="utf-8"))
    published = done["trials"]["as published"]
    assert all(config[part] == published[part] for part in ("n_layer", "n_head", "n_embd", "n_ctx"))
    for name, curve in done["finished"].items():
        assert re.search(rf"\| {name} \| [\d,]+ \| {curve[-1][1]:.3f} \|", card)


def test_the_card_names_authors_and_no_machine(card: str) -> None:
    assert {"CDLA-Sharing-1.0", "CC-BY"} <= set(re.findall(r"CDLA-Sharing-1\.0|CC-BY", card))
    assert (STORIES / "ATTRIBUTION.tsv").read_text(encoding="utf-8").startswith("title\tauthor\ttranslation\tlicence\t")
    assert not re.search(r"/(home|root|work|tmp|Users)/", card)


def test_the_samples_on_the_card_are_what_it_writes(stories: GPT2, card: str) -> None:
    quoted = re.search(rf"--max-new-tokens (\d+) '{PROMPT}'\n\n((?:>.*\n)+)", card)
    assert quoted is not None
    text = PROMPT + str(stories.generate(PROMPT, int(quoted[1])))
    assert [line.rstrip() for line in text.splitlines()] == re.findall(r"^> ?(.*)$", quoted[2], re.MULTILINE)


def test_the_card_gives_the_loss_of_the_held_out_part(card: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = os.environ.get("NUMPYGPT_CORPUS")
    if not folder:
        pytest.skip("the environment variable NUMPYGPT_CORPUS names no folder with the texts of the training")
    texts = dict.fromkeys(re.findall(r"corpus/(\S+\.txt)", card))
    tokenizer: Tokenizer = load_tokenizer(STORIES, Tokenizer)
    items = [item for n, item in read_pieces([Path(folder, text) for text in texts]) if (n + 1) % HELD_OUT_EVERY == 0]
    ids = np.concatenate([[tokenizer.eot_id, *tokenizer.encode(item)] for item in items])
    assert len(ids) == figure(card, "N tokens \\(")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        nats = sum(pool.map(nats_of_every_other_window, [ids, ids], [0, 1]))
    assert nats / (len(ids) - 1) == pytest.approx(figure(card, r"validation loss \| N nats"), abs=2e-4)
    n_bytes = len("".join(items).encode())
    assert n_bytes == figure(card, r"\(N bytes\)")
    assert nats / math.log(2) / n_bytes == pytest.approx(figure(card, r"bits per byte \| N"), abs=2e-4)


def nats_of_every_other_window(ids: NDArray[np.intp], first: int) -> float:
    """Sum the losses of half the windows, in a process with a core of its own."""
    model = GPT2.from_pretrained(STORIES)
    n_ctx, nats = model.config.n_ctx, 0.0
    for start in range(first * n_ctx, len(ids) - 1, 2 * n_ctx):
        window = ids[start : start + n_ctx + 1]
        nats += float(cross_entropy(model.logits(window[:-1]), window[1:]).sum(dtype=np.float64))
    return nats


# ---- The command


def test_the_command_uses_it_offline_where_no_model_is_on_disk(
    stories: GPT2, reference: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import socket\ndef refuse(*_, **__): raise AssertionError('the network was asked')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
    )
    nowhere = {name: str(tmp_path / name) for name in ("NUMPYGPT_HOME", "HF_HOME", "XDG_CACHE_HOME", "HOME")}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGINGFACE_"))}
    result = subprocess.run(
        [sys.executable, "-m", "numpygpt", "-n", "40", PROMPT],
        env=kept | nowhere | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]), "PYTHONUTF8": "1"},
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=True,
    )
    assert result.stdout == PROMPT + continuation(stories, reference) + "\n"
    assert re.fullmatch(r"\[stories, the small model .* fetches OpenAI's\]\n", result.stderr)
