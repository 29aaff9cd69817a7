"""Training runs: what they leave, and that an interruption changes no bit."""

from __future__ import annotations

import csv
import json
import logging
import math
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_models import random_params
from tiny_runs import SHAPE_FLAGS, TINY

from numpygpt.arrays import flatten
from numpygpt.config import GPT2Config
from numpygpt.engine import Tokenizer, gpt2
from numpygpt.models import checkpoint
from numpygpt.optimizer import learning_rate
from numpygpt.safetensors import SafetensorsFile, load_file, save_file
from numpygpt.tokenizer import BYTES, END_OF_TEXT
from numpygpt.train import TrainingConfig, TrainingError, language
from numpygpt.train.language import validation_loss
from numpygpt.train.loop import STATE, read_state
from numpygpt.train.runs import train
from numpygpt.train.text import load_tokens


def test_a_run_leaves_a_model_folder_and_its_loss_curve(
    text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "numpygpt.train")
    run = train([text], tmp_path / "out", TINY)
    config, params, tokenizer = checkpoint.load(tmp_path / "out")
    assert tokenizer is not None
    for name, tensor in flatten(params).items():
        np.testing.assert_array_equal(tensor, run.tensors[name])
    with open(tmp_path / "out/loss.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["0", "2", "4"]
    assert [row["tokens"] for row in rows] == ["0", "96", "192"]

    _, held_out = load_tokens(tmp_path / "out/training", tokenizer, 16)
    loss = validation_loss(params, config, held_out, threads=1)
    assert float(rows[-1]["validation_loss"]) == pytest.approx(loss, rel=1e-6)
    n_bytes = len(f"{99} sheep jump.\nThen {100} sleep.")
    bits = loss * (len(held_out) - 1) / math.log(2) / n_bytes
    assert float(rows[-1]["validation_bits_per_byte"]) == pytest.approx(bits, rel=1e-6)
    lines = caplog.messages
    assert lines[0] == "encoding 1 text file into a vocabulary of 257 tokens"
    assert lines[1] == "120 items of text"
    assert lines[2].endswith(": 1 layer, 2 heads, width 16, 257 tokens, context 16")
    assert re.search(r" tokens to learn from, 31 held out, 48 a step; 4 steps, \d+ threads?$", lines[3])
    assert f"step 4: validation loss {loss:.4f} nats per token, {bits:.4f} bits per byte" in lines
    assert re.search(rf"out: 4 steps in 0\.\d minutes; validation loss {loss:.4f} nats per token", lines[-2])
    assert lines[-1] == f'  python -m numpygpt --model {tmp_path / "out"} "Once upon a time"'


def test_transformers_opens_the_result(text: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    options = replace(TINY, float16=True)
    train([text], tmp_path / "out", options)
    config, params, tokenizer = checkpoint.load(tmp_path / "out")
    assert tokenizer is not None
    ids = tokenizer.encode("7 sheep jump.")[:16]
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    with torch.no_grad():
        expected = model(torch.tensor([ids])).logits[0].numpy()
    np.testing.assert_allclose(gpt2(ids, **params, config=config), expected, atol=1e-4)
    assert transformers.AutoTokenizer.from_pretrained(tmp_path / "out")("7 sheep")["input_ids"] == tokenizer.encode(
        "7 sheep"
    )
    assert (tmp_path / "out/model.safetensors").stat().st_size < 2.2 * sum(x.size for x in flatten(params).values())


def test_a_picture_of_the_loss_curve(text: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    train([text], tmp_path / "out", TINY)
    assert (tmp_path / "out/loss.png").read_bytes().startswith(b"\x89PNG")


def test_keeps_the_best_weights_if_asked(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter([3.0, 1.0, 2.0])
    monkeypatch.setattr(language, "validation_loss", lambda *_: next(losses))
    run = train([text], tmp_path / "out", replace(TINY, keep_best=True))
    _, params, _ = checkpoint.load(tmp_path / "out")
    assert [row["validation_loss"] for row in run.history] == [3.0, 1.0, 2.0]
    assert not np.array_equal(params["wte"]["weight"], run.tensors["wte.weight"])


def test_fine_tunes_a_model_folder(text: str, tmp_path: Path) -> None:
    train([text], tmp_path / "first", TINY)
    options = TrainingConfig(init=str(tmp_path / "first"), steps=1, lr=1e-9, batch_size=2)
    run = train([text], tmp_path / "second", options)
    _, params, _ = checkpoint.load(tmp_path / "first")
    np.testing.assert_allclose(run.tensors["wpe.weight"], params["wpe"]["weight"], atol=1e-7)
    with pytest.raises(TrainingError, match="leave out --n-embd"):
        train([text], tmp_path / "third", TrainingConfig(init=str(tmp_path / "first"), n_embd=8))


def test_shape_and_vocabulary_can_be_chosen(text: str, tmp_path: Path) -> None:
    short = replace(TINY, steps=1)
    train([text], tmp_path / "1", replace(short, merges=None, vocab_size=270))
    config, _, tokenizer = checkpoint.load(tmp_path / "1")
    assert tokenizer is not None
    assert tokenizer.n_vocab == config.vocab_size == 270
    train([text], tmp_path / "2", replace(short, config=str(tmp_path / "1"), n_embd=None, n_layer=2))
    config = checkpoint.load_config(tmp_path / "2")
    assert (config.n_embd, config.n_layer, config.vocab_size) == (16, 2, 257)


def test_hours_become_steps(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(np.arange(0, 1000, 0.5))
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))  # a step takes half a second
    run = train([text], tmp_path / "out", replace(TINY, hours=0.001))
    assert run.step == run.options.steps == 7


def command(text: str, out: Path, *flags: str) -> list[str]:
    return [sys.executable, "-m", "numpygpt.train", text, "--out", str(out), *SHAPE_FLAGS, *flags]


def test_killed_and_resumed_ends_with_the_same_bits(text: str, tmp_path: Path) -> None:
    """A real SIGKILL, twice, at moments that nobody chose."""
    flags = ("--steps=100", "--evaluate-every=20", "--threads=2")
    subprocess.run(command(text, tmp_path / "whole", *flags), check=True, stdout=subprocess.DEVNULL)
    interrupted = tmp_path / "interrupted"
    state = interrupted / "training" / STATE
    for after in (1, 40):
        process = subprocess.Popen(command(text, interrupted, *flags), stdout=subprocess.DEVNULL)
        while process.poll() is None and not (state.exists() and read_state(state.parent)["step"] >= after):
            time.sleep(0.003)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert 40 <= read_state(state.parent)["step"] < 100
    result = subprocess.run(command(text, interrupted, *flags), capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert re.search(r"going on after step \d\d", result.stdout)
    for file in ("model.safetensors", "loss.csv"):
        assert (interrupted / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    ours, theirs = load_file(state), load_file(tmp_path / "whole/training" / STATE)
    for name, tensor in theirs.items():
        np.testing.assert_array_equal(ours[name], tensor)
    assert sorted(os.listdir(interrupted)) == sorted(os.listdir(tmp_path / "whole"))  # no half-written file

    again = subprocess.run(command(text, interrupted, *flags), capture_output=True, text=True)
    assert again.returncode == 2
    assert again.stderr.count("\n") == 1
    assert "holds a finished run" in again.stderr


@pytest.mark.parametrize("stop", [1, 13, 15])
def test_ctrl_c_saves_between_evaluations(
    stop: int, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The state is that of the step that the signal came in, and the run goes on to the same bits and curve."""
    caplog.set_level(logging.INFO, "numpygpt.train")
    options = replace(TINY, steps=18, evaluate_every=5, dropout=0.1, threads=2)
    whole = train([text], tmp_path / "whole", options)
    draw = language.LanguageModel.draw

    def interrupted(self: language.LanguageModel, step: int) -> Any:
        if step + 1 == stop:
            signal.raise_signal(signal.SIGINT)
        return draw(self, step)

    with monkeypatch.context() as patch:
        patch.setattr(language.LanguageModel, "draw", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train([text], tmp_path / "out", options)
    assert caplog.messages[-1] == f"saved after step {stop}; the same command goes on from there"
    assert read_state(tmp_path / "out" / "training")["step"] == stop
    caplog.clear()
    run = train([text], tmp_path / "out", options)
    assert f"going on after step {stop}" in caplog.messages
    for name, tensor in whole.tensors.items():
        np.testing.assert_array_equal(run.tensors[name], tensor)
    for file in ("model.safetensors", "loss.csv"):
        assert (tmp_path / "out" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


def test_ctrl_c_ends_the_command_with_one_line(text: str, tmp_path: Path) -> None:
    flags = ("--steps=1000000", "--evaluate-every=100000")
    out = tmp_path / "out"
    process = subprocess.Popen(command(text, out, *flags), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("step 0: "):
            break
    process.send_signal(signal.SIGINT)
    output, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error == ""
    step = read_state(out / "training")["step"]
    assert step > 0
    assert f"saved after step {step}; the same command goes on from there" in output


def rewrite_state(folder: Path, change: dict[str, Any]) -> None:
    """Change what a state file says beside its tensors."""
    state = json.loads(SafetensorsFile(folder / STATE).metadata["state"])
    tensors = {name: tensor.copy() for name, tensor in load_file(folder / STATE).items()}
    kept = {name: value for name, value in (state | change).items() if value is not None}
    save_file(tensors, folder / STATE, {"state": json.dumps(kept)})


def test_a_run_that_an_older_version_began_goes_on_or_is_refused_by_name(text: str, tmp_path: Path) -> None:
    whole = train([text], tmp_path / "whole", TINY)
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.setattr(language.LanguageModel, "draw", lambda self, step: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train([text], tmp_path / "out", TINY)
    folder = tmp_path / "out" / "training"
    rewrite_state(folder, {"losses": None, "seconds": None})  # which it did not know yet
    run = train([text], tmp_path / "out", TINY)
    for name, tensor in whole.tensors.items():
        np.testing.assert_array_equal(run.tensors[name], tensor)
    state = read_state(folder)
    rewrite_state(folder, {"step": 2, "options": state["options"] | {"swiftness": 1}})
    with pytest.raises(TrainingError, match=r"state\.safetensors is of another version of this program: .*swiftness"):
        train([text], tmp_path / "out", TINY)


def test_a_finished_run_is_made_longer_with_its_optimizer(
    text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """From there on it learns as a run of the new length does at that step; and a second time ends with the same."""
    caplog.set_level(logging.INFO, "numpygpt.train")
    longer = replace(TINY, steps=7)
    results = []
    for name in ("a", "b"):
        first = train([text], tmp_path / name, TINY)
        caplog.clear()
        run = train([text], tmp_path / name, longer)
        assert caplog.messages[0] == "going on after step 4"
        assert re.fullmatch(r"with the learning rate of a run of 7 steps, from here on: \S+ now", caplog.messages[1])
        assert [row["step"] for row in run.history] == [0, 2, 4, 6, 7]
        assert [row["validation_loss"] for row in run.history[:3]] == [row["validation_loss"] for row in first.history]
        assert [run.rate(step) for step in range(7)] == [rate_of(longer, step) for step in range(7)]
        results.append(run)
    for key, tensor in results[0].tensors.items():
        np.testing.assert_array_equal(tensor, results[1].tensors[key])
        assert (results[0].optimizer.first[key] != 0).any()
    with pytest.raises(TrainingError, match="a finished run: to make it longer, give --steps above 7"):
        train([text], tmp_path / "a", longer)
    for refused, message in ((replace(longer, steps=9, lr=0.5), "--lr"), (replace(longer, steps=5), "--steps 7, not")):
        with pytest.raises(TrainingError, match=message):
            train([text], tmp_path / "a", refused)


def rate_of(options: TrainingConfig, step: int) -> float:
    return learning_rate(step, lr=options.lr, steps=options.steps, warmup=options.warmup, lr_end=options.lr_end)


def test_a_model_with_a_padded_vocabulary_is_trained_on(text: str, tmp_path: Path) -> None:
    """Ids that no token has are not drawn for its samples."""
    vocab = {token: i + 3 for i, token in enumerate(BYTES)}
    tokenizer = Tokenizer([], vocab=vocab, special_tokens={END_OF_TEXT: 1})
    config = GPT2Config(vocab_size=320, n_ctx=16, n_embd=16, n_layer=1, n_head=2)
    params = random_params(config)
    params["ln_f"]["bias"][:] = 1
    params["wte"]["weight"][[0, 2, *range(260, 320)]] = 0.3  # so that they are by far the likeliest
    checkpoint.save(tmp_path / "model", config, params, tokenizer)
    start = replace(TINY, init=str(tmp_path / "model"), n_layer=None, n_head=None, n_embd=None, n_ctx=None, merges=None)
    run = train([text], tmp_path / "out", replace(start, sample_tokens=14))
    assert run.step == TINY.steps
    trained, _, loaded = checkpoint.load(tmp_path / "out", tokenizer_class=Tokenizer)
    assert (trained.vocab_size, loaded) == (320, tokenizer)
