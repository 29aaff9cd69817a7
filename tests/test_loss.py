"""Losses against PyTorch's, and every token of a text counted once."""

from __future__ import annotations

import io
import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from numpygpt import GPT2, Tokenizer, loss
from numpygpt.loss import TextLoss, cross_entropy, text_loss, token_losses


@pytest.mark.parametrize("shape", [(7,), (3, 7), (2, 300, 7)])
def test_cross_entropy_equals_that_of_pytorch(shape: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    logits = (10 * rng.standard_normal(shape)).astype(np.float32)
    targets = rng.integers(0, 7, shape[:-1])
    kept = logits.copy()
    losses = cross_entropy(logits, targets)
    expected = torch.nn.functional.cross_entropy(
        torch.tensor(logits).reshape(-1, 7), torch.tensor(targets).reshape(-1), reduction="none"
    )
    assert losses.dtype == np.float32
    np.testing.assert_allclose(losses, expected.numpy().reshape(shape[:-1]), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(logits, kept)


def test_cross_entropy_of_huge_logits_is_finite() -> None:
    losses = cross_entropy(np.array([[1e4, 0.0], [-1e38, 1e38]], np.float32), [1, 1])
    np.testing.assert_array_equal(losses, [1e4, 0])


@pytest.mark.parametrize("stride", [1, 7, 16, 32, 50, 64])
@pytest.mark.parametrize("n_tokens", [2, 40, 65, 66, 129, 300])
def test_every_token_is_scored_once_from_its_window(tiny: GPT2, n_tokens: int, stride: int) -> None:
    """Against a window computed anew for every token."""
    ids = np.random.default_rng(1).integers(0, tiny.config.vocab_size, n_tokens).tolist()
    n_ctx = tiny.config.n_ctx
    losses = np.concatenate(list(token_losses(ids, tiny.logits, n_ctx=n_ctx, stride=stride)))
    assert len(losses) == n_tokens - 1
    for target in [*np.random.default_rng(2).integers(1, n_tokens, 5).tolist(), n_tokens - 1]:
        moves = max(0, math.ceil((target - n_ctx) / stride))
        end = min(n_ctx + moves * stride, n_tokens - 1)  # of the window: the last one is moved back to the text's end
        start = max(0, end - n_ctx)
        logits = tiny.logits(ids[start:target])[-1]
        assert losses[target - 1] == pytest.approx(float(cross_entropy(logits, ids[target])), abs=1e-4)


def test_text_loss_counts_all_tokens_and_bytes(tiny: GPT2) -> None:
    text = "Zoë said: „Good night”."
    result = text_loss(text, tiny.logits, tiny.tokenizer, n_ctx=64)
    ids = [tiny.tokenizer.eot_id, *tiny.tokenizer.encode(text)]
    nats = cross_entropy(tiny.logits(ids[:-1]), ids[1:]).sum()
    assert result.n_tokens == len(ids) - 1
    assert result.n_bytes == len(text.encode())
    assert result.nats == pytest.approx(float(nats), rel=1e-5)


def test_the_three_units() -> None:
    result = TextLoss(nats=20 * math.log(8), n_tokens=20, n_bytes=40)
    assert result.loss == pytest.approx(math.log(8))
    assert result.perplexity == pytest.approx(8)
    assert result.bits_per_byte == pytest.approx(1.5)


@pytest.mark.parametrize("stride", [0, 65])
def test_a_stride_that_leaves_tokens_out(tiny: GPT2, stride: int) -> None:
    with pytest.raises(ValueError, match=f"the stride must be from 1 to the context window of 64 tokens, not {stride}"):
        list(token_losses([1, 2, 3], tiny.logits, n_ctx=64, stride=stride))


def test_an_empty_text(tiny: GPT2) -> None:
    with pytest.raises(ValueError, match="the text is empty"):
        text_loss("", tiny.logits, tiny.tokenizer, n_ctx=64)
    with pytest.raises(ValueError, match="the text is empty"):
        list(token_losses([1], tiny.logits, n_ctx=64))


@pytest.fixture
def model() -> str:
    return str(Path(__file__).parent / "reference/tiny")


def test_the_command(model: str, tiny: GPT2, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "Once upon a time there was a text. " * 20
    (tmp_path / "text.txt").write_text(text)
    loss.main([str(tmp_path / "text.txt"), "--model", model, "--stride", "16"])
    output = capsys.readouterr().out
    expected = text_loss(text, tiny.logits, tiny.tokenizer, n_ctx=64, stride=16)
    assert f"{expected.n_tokens} tokens, {expected.n_bytes} bytes" in output
    figures: Any = re.findall(r"\d+\.\d+", output)
    assert [float(figure) for figure in figures] == [
        round(expected.loss, 4),
        round(expected.perplexity, 2),
        round(expected.bits_per_byte, 4),
    ]


def test_the_model_is_named_and_standard_input_is_read(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.txt").write_text("Some text.\n")
    loss.main([str(tmp_path / "text.txt"), "-m", model])
    expected = capsys.readouterr()
    assert expected.out.startswith(f"model          {model}\n")
    for arguments in (["-m", model], ["-", "-m", model]):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Some text.\n")))
        loss.main(arguments)
        assert capsys.readouterr() == expected


def test_the_loss_of_each_token_can_be_shown(
    model: str, tiny: GPT2, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "Once upon a time. " * 20
    (tmp_path / "text.txt").write_text(text)
    arguments = [str(tmp_path / "text.txt"), "-m", model, "--per-token", "--stride", "9"]
    loss.main(arguments)
    tokens, figures = capsys.readouterr().out.split("\n\nmodel ")
    lines = [line.split(maxsplit=1) for line in tokens.splitlines()]
    assert [json.loads(token) for _, token in lines] == [token for _, token in tiny.tokens(text)]
    mean = text_loss(text, tiny.logits, tiny.tokenizer, n_ctx=64, stride=9).loss
    assert np.mean([float(number) for number, _ in lines]) == pytest.approx(mean, abs=1e-3)
    assert f"loss           {mean:.4f} nats" in figures
    monkeypatch.setattr("numpygpt.command_line.shows_color", lambda stream: True)
    loss.main(arguments)
    colored, _ = capsys.readouterr().out.split("\n\nmodel ")
    assert re.sub(r"\x1b\[30;48;5;\d+m(.*?)\x1b\[0m", r"\1", colored) == text
    assert {int(color) for color in re.findall(r"48;5;(\d+)m", colored)} <= set(loss.REDS)


def test_progress_is_shown_in_a_pipe_too(
    tiny: GPT2, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After the first second, every ten: the clock is made to run."""
    clock = iter(range(0, 10**6, 4))
    monkeypatch.setattr("tqdm.std.time", lambda: float(next(clock)))
    text_loss("word " * 3000, tiny.logits, tiny.tokenizer, n_ctx=64, progress=True)
    assert re.search(r"\d+%.* tokens", capsys.readouterr().err)
    text_loss("word " * 300, tiny.logits, tiny.tokenizer, n_ctx=64)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"One line.\r\nAnother.\r\n", "One line.\nAnother.\n"),
        (b"\xef\xbb\xbfOne line.\n", "One line.\n"),
        (b"One\rline\xe2\x80\xa8and\x0cmore", "One\nline\u2028and\x0cmore"),
    ],
)
def test_a_file_is_scored_as_training_reads_it(
    content: bytes, text: str, model: str, tiny: GPT2, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With line ends of one kind, and without the byte order mark, which is no text."""
    (tmp_path / "text.txt").write_bytes(content)
    loss.main([str(tmp_path / "text.txt"), "--model", model])
    expected = text_loss(text, tiny.logits, tiny.tokenizer, n_ctx=64)
    output = capsys.readouterr().out
    assert f"{expected.n_tokens} tokens, {expected.n_bytes} bytes\n" in output
    assert f"bits per byte  {expected.bits_per_byte:.4f}\n" in output


@pytest.mark.parametrize(
    ("content", "flags", "message"),
    [
        (b"", [], "the text is empty"),
        (b"\xef\xbb\xbf", [], "the text is empty"),
        (b"\xff", [], "is not UTF-8 text (byte 0)"),
        (b"\xef\xbb\xbfab\xff", [], "is not UTF-8 text (byte 5)"),
        (b"some text", ["--stride", "65"], "the stride must be from 1 to"),
        (b"some text", ["--stride", "0"], "'0' is not a whole number of at least 1"),
        (None, [], "No such file"),
    ],
)
def test_bad_input_is_one_line(
    content: bytes | None,
    flags: list[str],
    message: str,
    model: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if content is not None:
        (tmp_path / "text.txt").write_bytes(content)
    with pytest.raises(SystemExit) as exit_info:
        loss.main([str(tmp_path / "text.txt"), "--model", model, *flags])
    assert exit_info.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_without_a_model_on_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("numpygpt.models.cache.find", lambda name: None)
    monkeypatch.setattr("numpygpt.models.names.EMBEDDED_FOLDERS", [])
    (tmp_path / "text.txt").write_text("some text")
    with pytest.raises(SystemExit) as exit_info:
        loss.main([str(tmp_path / "text.txt")])
    assert exit_info.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(
        "python -m numpygpt.loss: no model is on this disk yet; python -m numpygpt.models download "
    )
    assert error.count("\n") == 1


def test_a_tokenizer_that_begins_every_text_by_itself(tiny: GPT2) -> None:
    """Its token takes the place of `<|endoftext|>`, and is not scored."""
    merges, eot_id = tiny.tokenizer.merges, tiny.tokenizer.eot_id
    theirs = Tokenizer(merges, prefix=[eot_id])
    assert text_loss("The cat", tiny.logits, theirs, n_ctx=64) == text_loss(
        "The cat", tiny.logits, tiny.tokenizer, n_ctx=64
    )
