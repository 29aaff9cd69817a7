"""Training on bad input: one line that says what to do, and nothing that was saved is lost."""

from __future__ import annotations

import errno
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_runs import SHAPE_FLAGS, TINY

from numpygpt import backward
from numpygpt.models import checkpoint
from numpygpt.train import TrainingError
from numpygpt.train.__main__ import main
from numpygpt.train.loop import STATE, read_state
from numpygpt.train.runs import train


def run_main(*arguments: str) -> None:
    main([*arguments, *SHAPE_FLAGS, "--steps", "2"])


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
    before = (tmp_path / "out/training" / STATE).read_bytes()
    capsys.readouterr()
    assert "holds a run with --lr 0.001, not --lr 0.5: " in fails(capsys, text, "--out", out, "--lr", "0.5")
    assert "holds a run with no --keep-best, not --keep-best: " in fails(capsys, text, "--out", out, "--keep-best")
    assert f"with {text}, not {text} {text}: " in fails(capsys, text, text, "--out", out)
    assert "holds a finished run" in fails(capsys, text, "--out", out)
    fails(capsys, text + "missing", "--out", out, "--overwrite")
    assert (tmp_path / "out/training" / STATE).read_bytes() == before
    run_main(text, "--out", out, "--lr", "0.5", "--overwrite")
    assert read_state(tmp_path / "out/training")["request"]["lr"] == 0.5


@pytest.mark.filterwarnings("error")
def test_a_loss_that_explodes_keeps_what_was_saved(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("--out", str(tmp_path / "out"), "--lr", "1e9", "--warmup", "0", "--evaluate-every", "1")
    error = fails(capsys, text, *flags)
    assert "the loss exploded: it is " in error
    assert "with an --lr below 1e+09" in error
    assert "What was saved at step 0 is kept" in error
    assert read_state(tmp_path / "out/training")["step"] == 0
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
        TrainingError, match=r"after step 0 \(the gradients' global norm: nan\). What was saved at step 0 is kept"
    ):
        train([text], tmp_path / "out", TINY)


@pytest.mark.parametrize(("file", "nth"), [(STATE, 2), ("model.safetensors", 3), ("loss.csv", 2)])
def test_a_full_disk_keeps_the_last_state(
    file: str, nth: int, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, folder = tmp_path / "out", tmp_path / "out/training"
    whole = train([text], tmp_path / "whole", TINY)
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
            train([text], out, TINY)
    assert read_state(folder)["step"] == 0
    assert not list(tmp_path.rglob("*.tmp"))
    run = train([text], out, TINY)  # now there is space
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
        main([text, "--out", str(tmp_path / "out"), *SHAPE_FLAGS, *flags])
    error = capsys.readouterr().err
    assert exit_info.value.code == 2
    assert message in error
    assert error.count("\n") == 1
