"""Training: against PyTorch's AdamW, against interruption, and against bad input."""

from __future__ import annotations

import csv
import errno
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpygpt.checkpoint import flatten, unflatten
from numpygpt.model import GPT2Config, gpt2, parameter_shapes

from numpygpt import backward, checkpoint, train
from numpygpt.loss import cross_entropy
from numpygpt.safetensors import load_file
from numpygpt.tokenizer import Tokenizer
from numpygpt.train import AdamW, Options, TrainingError

TINY = Options(merges=0, n_layer=1, n_head=2, n_embd=16, n_ctx=16, steps=4, batch_size=3, evaluate_every=2, warmup=2)
SHAPE_FLAGS = [f"--{name}={value}" for name, value in [("merges", 0), ("n-layer", 1), ("n-head", 2), ("n-embd", 16)]]
SHAPE_FLAGS += ["--n-ctx=16", "--batch-size=4", "--dropout=0.1"]


def say_nothing(line: str) -> None:
    pass


@pytest.fixture
def text(tmp_path: Path) -> str:
    """120 items of a few words, all different."""
    path = tmp_path / "text.txt"
    path.write_text("\n<|endoftext|>\n".join(f"{n} sheep jump.\nThen {n + 1} sleep." for n in range(120)))
    return str(path)


# The optimiser


def torch_model(config: GPT2Config, tensors: dict[str, Any]) -> Any:
    import torch

    transformers = pytest.importorskip("transformers")
    options = {**vars(config), "n_positions": config.n_ctx, "bos_token_id": 0, "eos_token_id": 0}
    no_dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**options, **no_dropout))
    model.transformer.load_state_dict({name: torch.tensor(x) for name, x in tensors.items()})
    return model


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_ten_steps_equal_those_of_pytorch(weight_decay: float) -> None:
    torch = pytest.importorskip("torch")
    config = GPT2Config(vocab_size=100, n_ctx=32, n_embd=32, n_layer=2, n_head=4)
    options = Options(lr=3e-3, warmup=3, steps=10, weight_decay=weight_decay, clip=0.5, threads=2, batch_size=4)
    tensors = flatten(train.initialise(config, seed=0))
    model = torch_model(config, tensors)
    named = dict(model.transformer.named_parameters())
    groups = [
        {"params": [w for w in named.values() if w.ndim >= 2], "weight_decay": weight_decay},
        {"params": [w for w in named.values() if w.ndim < 2], "weight_decay": 0.0},
    ]
    theirs = torch.optim.AdamW(groups, betas=(options.beta1, options.beta2), eps=options.eps)
    ours, workers = AdamW.start(options, tensors), train.Workers(options, config)
    rng = np.random.default_rng(0)
    for step in range(10):
        ids = rng.integers(0, 100, (4, 33))
        logits = model(torch.tensor(ids[:, :-1])).logits
        expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.tensor(ids[:, 1:]).flatten())
        theirs.zero_grad()
        expected.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), options.clip)
        for group in theirs.param_groups:
            group["lr"] = train.learning_rate(step, options)
        theirs.step()

        loss, gradients = workers.gradients(unflatten(tensors), (ids[:, :-1], ids[:, 1:]), step)
        norm = train.length(gradients)
        assert norm > options.clip
        train.clip_gradients(gradients, norm, options.clip)
        ours.update(tensors, gradients, step, train.learning_rate(step, options))
        assert loss == pytest.approx(expected.item(), abs=1e-4)
    for name, w in tensors.items():
        np.testing.assert_allclose(w, named[name].detach().numpy(), rtol=0, atol=1e-4, err_msg=name)


def test_the_ten_published_losses_of_llm_c() -> None:
    """Fine-tune the official weights on one batch as karpathy/llm.c's test_gpt2.c does, with the losses it lists."""
    if "NUMPYGPT_GPT2" not in os.environ:
        pytest.skip("needs the official weights: NUMPYGPT_GPT2 names their folder")
    # the batch of llm.c's gpt2_124M_debug_state.bin: the beginning of Tiny Shakespeare, 4 rows of 64 tokens
    ids = Tokenizer().encode(SHAKESPEARE, allowed_special="all")
    losses = [5.270007, 4.059707, 3.375123, 2.800783, 2.315382, 1.849029, 1.394656, 0.999147, 0.624080, 0.376511]
    config, params, _ = checkpoint.load(os.environ["NUMPYGPT_GPT2"])
    tensors = {name: np.array(tensor) for name, tensor in flatten(params).items()}
    options = Options(beta2=0.999, weight_decay=0.0)
    optimiser = AdamW.start(options, tensors)
    batch, targets = np.array(ids[:256]).reshape(4, 64), np.array(ids[1:257]).reshape(4, 64)
    for step, expected in enumerate(losses):
        loss, gradients = backward.gpt2(batch, targets, unflatten(tensors), config)
        optimiser.update(tensors, flatten(gradients), step, 1e-4)
        assert loss == pytest.approx(expected, abs=1e-2)  # llm.c's own tolerance


def test_learning_rate_rises_and_falls() -> None:
    options = Options(lr=2.0, lr_end=0.5, warmup=10, steps=110)
    rates = [train.learning_rate(step, options) for step in range(111)]
    np.testing.assert_allclose(rates[:10], np.arange(1, 11) * 0.2)
    assert rates[10] == 2.0
    assert rates[60] == pytest.approx(1.25)  # half-way down
    assert rates[110] == pytest.approx(0.5)
    assert np.diff(rates[10:]).max() < 0


def test_overfits_one_batch() -> None:
    config = GPT2Config(vocab_size=257, n_ctx=32, n_embd=64, n_layer=2, n_head=4)
    options = Options(threads=1, batch_size=4, weight_decay=0.0)
    tensors = flatten(train.initialise(config, seed=0))
    optimiser, workers = AdamW.start(options, tensors), train.Workers(options, config)
    ids = np.random.default_rng(0).integers(0, 257, (4, 33))
    for step in range(150):
        loss, gradients = workers.gradients(unflatten(tensors), (ids[:, :-1], ids[:, 1:]), step)
        optimiser.update(tensors, gradients, step, 3e-3)
        if loss < 0.05:
            break
    assert loss < 0.05


def test_initial_weights_have_gpt2s_spread() -> None:
    config = GPT2Config(vocab_size=500, n_ctx=64, n_embd=64, n_layer=8, n_head=2)
    tensors = flatten(train.initialise(config, seed=0))
    assert tensors.keys() == parameter_shapes(config).keys()
    for name, tensor in tensors.items():
        assert tensor.dtype == np.float32
        if tensor.ndim == 1:
            assert np.all(tensor == (0 if name.endswith("bias") else 1))
        else:
            assert tensor.std() == pytest.approx(0.005 if "c_proj" in name else 0.02, rel=0.1)
    ids = np.arange(64)
    loss = cross_entropy(gpt2(ids[:-1], **unflatten(tensors), config=config), ids[1:]).mean()
    assert loss == pytest.approx(math.log(500), abs=0.1)  # as unsure as blind guessing


# The data


def test_items_end_at_separators_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "1.txt", tmp_path / "2.txt"
    first.write_bytes(b"\n<|endoftext|>\none\n\nmore <|endoftext|>\n<|endoftext|>\n\n<|endoftext|>\r\ntwo\r\n")
    second.write_text("three")
    items = [(0, "one\n\nmore <|endoftext|>"), (1, "two"), (2, "three")]
    assert list(train.read_pieces([first, second])) == items
    monkeypatch.setattr(train, "PIECE", 3)
    pieces = list(train.read_pieces([first, second]))
    assert [number for number, _ in pieces] == [0, 0, 1, 2]
    assert [text for _, text in pieces] == ["one\n", "\nmore <|endoftext|>\n", "two\n", "three"]


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    first, second = tmp_path / "1.txt", tmp_path / "2.txt"
    first.write_bytes(b"\xef\xbb\xbfone\n")
    second.write_bytes(b"\xef\xbb\xbf<|endoftext|>\n two")
    assert list(train.read_pieces([first, second])) == [(0, "one"), (1, " two")]


def test_every_hundredth_item_is_held_out(text: str, tmp_path: Path) -> None:
    tokenizer = Tokenizer([])
    train.write_tokens([text], tokenizer, tmp_path)
    tokens, held_out = train.load_tokens(tmp_path, tokenizer, 16)
    items = [tokenizer.encode(item) for _, item in train.read_pieces([text])]
    assert held_out.tolist() == [tokenizer.eot_id, *items[99]]
    expected = [token for n, item in enumerate(items) if n != 99 for token in (tokenizer.eot_id, *item)]
    assert tokens.tolist() == [*expected, tokenizer.eot_id]
    assert isinstance(tokens, np.memmap)
    assert tokens.dtype == np.uint16


def test_of_few_items_the_last_twentieth_is_held_out(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("abcdefghij" * 50)
    tokenizer = Tokenizer([])
    train.write_tokens([tmp_path / "text"], tokenizer, tmp_path)
    tokens, held_out = train.load_tokens(tmp_path, tokenizer, 16)
    assert (len(tokens), len(held_out)) == (476, 26)
    everything = [tokenizer.eot_id, *tokenizer.encode("abcdefghij" * 50), tokenizer.eot_id]
    assert [*tokens, *held_out] == everything


def test_ids_beyond_16_bits_are_stored_whole(tmp_path: Path) -> None:
    tokenizer = Tokenizer([], special_tokens={"<|endoftext|>": 70_000})
    (tmp_path / "text").write_text("abc" * 100)
    train.write_tokens([tmp_path / "text"], tokenizer, tmp_path)
    tokens, _ = train.load_tokens(tmp_path, tokenizer, 16)
    assert tokens[0] == 70_000


def test_batches_depend_on_seed_and_step_and_cover_every_epoch() -> None:
    tokens = np.arange(165)
    options = Options(batch_size=5, seed=3)
    batches = [train.draw_batch(tokens, step, options, n_ctx=8) for step in range(8)]
    for ids, targets in batches:
        assert ids.shape == targets.shape == (5, 8)
        np.testing.assert_array_equal(ids + 1, targets)
    for epoch in (batches[:4], batches[4:]):  # 20 sequences of 8 each
        seen = np.concatenate([ids for ids, _ in epoch]).ravel()
        assert len(set(seen)) >= 150
    np.testing.assert_array_equal(batches[6][0], train.draw_batch(tokens, 6, options, n_ctx=8)[0])
    other = train.draw_batch(tokens, 6, Options(batch_size=5, seed=4), n_ctx=8)[0]
    assert not np.array_equal(batches[6][0], other)
    ids, _ = train.draw_batch(np.arange(9), 0, Options(batch_size=2), n_ctx=8)  # one sequence, again and again
    np.testing.assert_array_equal(ids, [np.arange(8)] * 2)


def test_gradients_do_not_depend_on_how_the_batch_is_shared_out() -> None:
    config = GPT2Config(vocab_size=50, n_ctx=8, n_embd=8, n_layer=1, n_head=2)
    params = train.initialise(config, seed=0)
    ids = np.random.default_rng(0).integers(0, 50, (7, 9))
    results = []
    for threads, micro_batch in [(1, 7), (2, 2), (3, 1), (9, 0)]:
        workers = train.Workers(Options(batch_size=7, threads=threads, micro_batch=micro_batch), config)
        results.append(workers.gradients(params, (ids[:, :-1], ids[:, 1:]), 0))
    for loss, gradients in results[1:]:
        assert loss == pytest.approx(results[0][0], rel=1e-6)
        for name, gradient in gradients.items():
            np.testing.assert_allclose(gradient, results[0][1][name], rtol=1e-3, atol=1e-7)


def test_validation_loss_is_that_of_windows_side_by_side() -> None:
    config = GPT2Config(vocab_size=50, n_ctx=8, n_embd=8, n_layer=1, n_head=2)
    params = train.initialise(config, seed=0)
    workers = train.Workers(Options(threads=2, micro_batch=2), config)
    for n_tokens in (2, 8, 9, 10, 60):
        tokens = np.random.default_rng(0).integers(0, 50, n_tokens)
        nats = 0.0
        for start in range(0, n_tokens - 1, 8):
            window = tokens[start : start + 9]
            nats += cross_entropy(gpt2(window[:-1], **params, config=config), window[1:]).sum()
        assert workers.validation_loss(params, tokens) == pytest.approx(nats / (n_tokens - 1), rel=1e-6)


# Runs


def test_a_run_leaves_a_model_folder_and_its_loss_curve(text: str, tmp_path: Path) -> None:
    lines: list[str] = []
    run = train.train([text], tmp_path / "out", TINY, say=lines.append)
    config, params, tokenizer = checkpoint.load(tmp_path / "out")
    assert config == run.config
    assert tokenizer == run.tokenizer
    for name, tensor in flatten(params).items():
        np.testing.assert_array_equal(tensor, run.tensors[name])
    with open(tmp_path / "out/loss.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["0", "2", "4"]
    assert [row["tokens"] for row in rows] == ["0", "96", "192"]

    _, held_out = train.load_tokens(tmp_path / "out/training", run.tokenizer, 16)
    loss = train.Workers(TINY, config).validation_loss(params, held_out)
    assert float(rows[-1]["validation_loss"]) == pytest.approx(loss, rel=1e-6)
    n_bytes = len(f"{99} sheep jump.\nThen {100} sleep.")
    bits = loss * (len(held_out) - 1) / math.log(2) / n_bytes
    assert float(rows[-1]["validation_bits_per_byte"]) == pytest.approx(bits, rel=1e-6)
    assert any("validation loss" in line for line in lines)
    assert lines[0] == "encoding 1 text file into a vocabulary of 257 tokens"
    assert ": 1 layer, 2 heads, width 16, 257 tokens, context 16\n" in lines[1]
    assert re.search(r"; 4 steps of 48 tokens, \d+ threads?$", lines[1])


def test_transformers_opens_the_result(text: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    options = Options(**{**vars(TINY), "float16": True})
    train.train([text], tmp_path / "out", options, say=say_nothing)
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
    train.train([text], tmp_path / "out", TINY, say=say_nothing)
    assert (tmp_path / "out/loss.png").read_bytes().startswith(b"\x89PNG")


def test_keeps_the_best_weights_if_asked(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter([3.0, 1.0, 2.0])
    monkeypatch.setattr(train.Workers, "validation_loss", lambda *_: next(losses))
    run = train.train([text], tmp_path / "out", Options(**{**vars(TINY), "keep_best": True}), say=say_nothing)
    _, params, _ = checkpoint.load(tmp_path / "out")
    assert [row["validation_loss"] for row in run.history] == [3.0, 1.0, 2.0]
    assert not np.array_equal(params["wte"]["weight"], run.tensors["wte.weight"])


def test_fine_tunes_a_model_folder(text: str, tmp_path: Path) -> None:
    train.train([text], tmp_path / "first", TINY, say=say_nothing)
    options = Options(init=str(tmp_path / "first"), steps=1, lr=1e-9, batch_size=2)
    run = train.train([text], tmp_path / "second", options, say=say_nothing)
    _, params, _ = checkpoint.load(tmp_path / "first")
    np.testing.assert_allclose(run.tensors["wpe.weight"], params["wpe"]["weight"], atol=1e-7)
    assert run.config.n_embd == 16
    with pytest.raises(TrainingError, match="leave out --n-embd"):
        train.train([text], tmp_path / "third", Options(init=str(tmp_path / "first"), n_embd=8), say=say_nothing)


def test_shape_and_vocabulary_can_be_chosen(text: str, tmp_path: Path) -> None:
    options = {**vars(TINY), "steps": 1}
    run = train.train(
        [text], tmp_path / "1", Options(**{**options, "merges": None, "vocab_size": 270}), say=say_nothing
    )
    assert run.tokenizer.n_vocab == run.config.vocab_size == 270
    of_config = {"config": str(tmp_path / "1"), "n_embd": None, "n_layer": 2}
    run = train.train([text], tmp_path / "2", Options(**{**options, **of_config}), say=say_nothing)
    assert (run.config.n_embd, run.config.n_layer, run.config.vocab_size) == (16, 2, 257)


def test_hours_become_steps(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(np.arange(0, 1000, 0.5))
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))  # a step takes half a second
    run = train.train([text], tmp_path / "out", Options(**{**vars(TINY), "hours": 0.001}), say=say_nothing)
    assert run.step == run.options.steps == 7


def command(text: str, out: Path, *flags: str) -> list[str]:
    return [sys.executable, "-m", "numpygpt.train", text, "--out", str(out), *SHAPE_FLAGS, *flags]


def test_killed_and_resumed_ends_with_the_same_bits(text: str, tmp_path: Path) -> None:
    """A real SIGKILL, twice, at moments that nobody chose."""
    flags = ("--steps=100", "--evaluate-every=20", "--threads=2")
    environment = {name: value for name, value in os.environ.items() if name not in train.BLAS_THREADS}
    subprocess.run(command(text, tmp_path / "whole", *flags), check=True, env=environment, stdout=subprocess.DEVNULL)
    interrupted = tmp_path / "interrupted"
    state = interrupted / "training" / train.STATE
    for after in (1, 40):
        process = subprocess.Popen(command(text, interrupted, *flags), env=environment, stdout=subprocess.DEVNULL)
        while process.poll() is None and not (state.exists() and train.read_state(state.parent)["step"] >= after):
            time.sleep(0.003)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert 40 <= train.read_state(state.parent)["step"] < 100
    result = subprocess.run(command(text, interrupted, *flags), env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert re.search(r"going on after step \d\d", result.stdout)
    for file in ("model.safetensors", "loss.csv"):
        assert (interrupted / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    ours, theirs = load_file(state), load_file(tmp_path / "whole/training" / train.STATE)
    for name, tensor in theirs.items():
        np.testing.assert_array_equal(ours[name], tensor)
    assert sorted(os.listdir(interrupted)) == sorted(os.listdir(tmp_path / "whole"))  # no half-written file

    again = subprocess.run(command(text, interrupted, *flags), env=environment, capture_output=True, text=True)
    assert again.returncode == 2
    assert again.stderr.count("\n") == 1
    assert "holds a finished run" in again.stderr


# Bad input


def run_main(*arguments: str) -> None:
    train.main([*arguments, *SHAPE_FLAGS, "--steps", "2"])


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run the command; it must end with status 2 and one line, which is returned."""
    with pytest.raises(SystemExit) as exit_info:
        run_main(*arguments)
    assert exit_info.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("python -m numpygpt.train: ")
    return error


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the text is empty"),
        (b"\n<|endoftext|>\n\n", "the text is empty"),
        (b"short text", "too few for sequences of 16 tokens: give more text or a smaller --n-ctx"),
        (b"\xff\xfe", "is not UTF-8 text"),
    ],
)
def test_text_that_cannot_be_learned_from(
    content: bytes, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text").write_bytes(content)
    assert message in fails(capsys, str(tmp_path / "text"), "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()  # a folder that was there stays there
    fails(capsys, str(tmp_path / "text"), "--out", str(tmp_path / "out"))
    assert not list((tmp_path / "out").iterdir())
    (tmp_path / "text").write_text("A text that is long enough. " * 20)
    run_main(str(tmp_path / "text"), "--out", str(tmp_path / "out"))  # the mistake left nothing in the way
    assert (tmp_path / "out/model.safetensors").exists()


def test_text_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing, out = str(tmp_path / "missing.txt"), str(tmp_path / "out")
    assert f"{missing}: there is no such file" in fails(capsys, missing, "--out", out)
    assert "no .txt file is in it" in fails(capsys, str(tmp_path), "--out", out)
    assert not os.path.exists(out)


def test_an_output_folder_that_holds_something_else(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "config.json").write_text("precious")
    assert "holds no run of this program" in fails(capsys, text, "--out", str(out))
    assert (out / "config.json").read_text() == "precious"
    assert "holds no run of this program" in fails(capsys, text, "--out", text)
    (out / "training").mkdir()  # somebody else's
    assert "holds no run of this program" in fails(capsys, text, "--out", str(out))
    run_main(text, "--out", str(out), "--overwrite")
    assert json.loads((out / "config.json").read_text())["n_embd"] == 16


def test_an_output_folder_with_another_run(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out")
    run_main(text, "--out", out)
    before = (tmp_path / "out/training" / train.STATE).read_bytes()
    capsys.readouterr()
    assert "holds a run with --lr 0.001, not --lr 0.5: " in fails(capsys, text, "--out", out, "--lr", "0.5")
    assert "holds a run with no --keep-best, not --keep-best: " in fails(capsys, text, "--out", out, "--keep-best")
    assert f"with {text}, not {text} {text}: " in fails(capsys, text, text, "--out", out)
    assert "holds a finished run" in fails(capsys, text, "--out", out)
    fails(capsys, text + "missing", "--out", out, "--overwrite")
    assert (tmp_path / "out/training" / train.STATE).read_bytes() == before
    run_main(text, "--out", out, "--lr", "0.5", "--overwrite")
    assert train.read_state(tmp_path / "out/training")["request"]["lr"] == 0.5


@pytest.mark.filterwarnings("error")
def test_a_loss_that_explodes_keeps_what_was_saved(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("--out", str(tmp_path / "out"), "--lr", "1e9", "--warmup", "0", "--evaluate-every", "1")
    error = fails(capsys, text, *flags)
    assert "the loss exploded: it is " in error
    assert "with an --lr below 1e+09" in error
    assert "What was saved at step 0 is kept" in error
    assert train.read_state(tmp_path / "out/training")["step"] == 0
    _, params, _ = checkpoint.load(tmp_path / "out")
    assert np.abs(params["wte"]["weight"]).max() < 1


def test_a_gradient_that_is_not_a_number_stops_the_run(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy = backward.gpt2

    def broken(*args: Any, **options: Any) -> Any:
        loss, gradients = healthy(*args, **options)
        gradients["wte"]["weight"][0, 0] = math.nan
        return loss, gradients

    monkeypatch.setattr(backward, "gpt2", broken)
    with pytest.raises(
        TrainingError, match=r"after step 0 \(the gradient's length: nan\). What was saved at step 0 is kept"
    ):
        train.train([text], tmp_path / "out", TINY, say=say_nothing)


@pytest.mark.parametrize(("file", "nth"), [(train.STATE, 2), ("model.safetensors", 3), ("loss.csv", 2)])
def test_a_full_disk_keeps_the_last_state(
    file: str, nth: int, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, folder = tmp_path / "out", tmp_path / "out/training"
    whole = train.train([text], tmp_path / "whole", TINY, say=say_nothing)
    healthy = os.replace
    replaced = []

    def full(source: Path, destination: Path) -> None:
        replaced.append(Path(destination).name)
        if replaced.count(file) == nth:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        healthy(source, destination)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(OSError, match="No space left"):
            train.train([text], out, TINY, say=say_nothing)
    assert train.read_state(folder)["step"] == 0
    assert not list(tmp_path.rglob("*.tmp"))
    run = train.train([text], out, TINY, say=say_nothing)  # now there is space
    for name, tensor in whole.tensors.items():
        np.testing.assert_array_equal(run.tensors[name], tensor)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--batch-size", "0"], "--batch-size must be above 0, not 0"),
        (["--sample-tokens", "0"], "--sample-tokens must be above 0, not 0"),
        (["--dropout", "1"], "--dropout must be at least 0 and below 1"),
        (["--warmup", "-1"], "--warmup must be at least 0"),
        (["--lr", "nan"], "--lr must be above 0, not nan"),
        (["--validation-tokens", "1"], "--validation-tokens must be at least 2"),
        (["--vocab-size", "300"], "give --merges (of GPT-2's) or --vocab-size"),
        (["--vocab-size", "256"], "--vocab-size must be at least 257 (the bytes, <|endoftext|>), not 256"),
        (["--merges", "60000"], "--merges must be from 0 to GPT-2's 50000"),
        (["--n-embd", "15"], "--n-embd 15 is not a multiple of --n-head 2"),
        (["--n-layer", "0"], "--n-layer must be a whole number above 0, not 0"),
        (["--n-layer", "none"], "invalid int value"),
    ],
)
def test_options_that_make_no_sense(
    flags: list[str], message: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_info:
        train.main([text, "--out", str(tmp_path / "out"), *SHAPE_FLAGS, *flags])
    error = capsys.readouterr().err
    assert exit_info.value.code == 2
    assert message in error
    assert error.count("\n") == 1


SHAKESPEARE = """\
<|endoftext|>First Citizen:
Before we proceed any further, hear me speak.

<|endoftext|>All:
Speak, speak.

<|endoftext|>First Citizen:
You are all resolved rather to die than to famish?

<|endoftext|>All:
Resolved. resolved.

<|endoftext|>First Citizen:
First, you know Caius Marcius is chief enemy to the people.

<|endoftext|>All:
We know't, we know't.

<|endoftext|>First Citizen:
Let us kill him, and we'll have corn at our own price.
Is't a verdict?

<|endoftext|>All:
No more talking on't; let it be done: away, away!

<|endoftext|>Second Citizen:
One word, good citizens.

<|endoftext|>First Citizen:
We are accounted poor citizens, the patricians good.
What authority surfeits on would relieve us: if they
would yield us but the superfluity, while it were
wholesome, we might guess they relieved us humanely;
but they think we are too dear: the leanness that
afflicts us, the object of our misery, is as an
inventory to particularise their abundance; our
sufferance is a gain to them Let us revenge this with
our pikes
"""
