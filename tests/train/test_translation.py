"""The translation task: pairs, batches, runs that go on bit for bit, and mistakes."""

from __future__ import annotations

import csv
import gzip
import logging
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from translators import LINES

from numpygpt import Translator
from numpygpt.arrays import flatten
from numpygpt.engine.transformer import transformer
from numpygpt.loss import cross_entropy
from numpygpt.models import marian
from numpygpt.train import TrainingError
from numpygpt.train.__main__ import main
from numpygpt.train.config import TranslationConfig
from numpygpt.train.loop import STATE, Run
from numpygpt.train.pairs import NO_TARGET, Pairs, cut_batches, encode, make_batch, make_tokenizer, read_pairs
from numpygpt.train.runs import train
from numpygpt.train.translation import Translation
from numpygpt.transformer_config import TransformerConfig

TINY = TranslationConfig(
    vocab_size=280, n_layer=1, n_head=2, n_embd=16, n_ctx=40, steps=6, batch_tokens=60, evaluate_every=3, warmup=2
)


@pytest.fixture
def pairs_file(tmp_path: Path) -> str:
    """Two hundred pairs, each of the five with forty numbers."""
    lines = [f"{source[:-1]} {i}{source[-1]}\t{target} {i}" for i in range(40) for source, target in LINES]
    path = tmp_path / "pairs.tsv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def test_a_run_leaves_a_translator(pairs_file: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "numpygpt.train")
    options = replace(TINY, prompt="Where is it?", source_language="en", target_language="fr")
    run = train([pairs_file], tmp_path / "out", options)
    config, params = marian.load(tmp_path / "out")
    for name, tensor in run.tensors.items():
        np.testing.assert_array_equal(flatten(params)[name], tensor)
    with open(tmp_path / "out/loss.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["0", "3", "6"]
    assert float(rows[2]["validation_loss"]) < float(rows[0]["validation_loss"]) < 2 * math.log(280)
    assert int(rows[2]["tokens"]) == run.tokens > 0
    assert '"source_language": "en"' in (tmp_path / "out/config.json").read_text()
    translator = Translator.from_pretrained(tmp_path / "out")
    assert isinstance(translator.translate("Where is it?"), str)
    lines = caplog.messages
    assert lines[0].endswith("1 + 1 layer, 2 heads, width 16, 280 tokens")
    assert lines[1].startswith("198 pairs to learn from, 2 held out, about 60 tokens a step; 6 steps, ")
    assert any(line.startswith("  Where is it? -> ") for line in lines)
    assert lines[-1].startswith(f"  python -m numpygpt.translate --model {tmp_path / 'out'} ")
    assert config.eos_token_id == translator.tokenizer.eot_id == 277


def test_an_interrupted_run_ends_with_the_same_weights(pairs_file: str, tmp_path: Path) -> None:
    options = replace(TINY, dropout=0.1, steps=20, evaluate_every=5)
    whole = train([pairs_file], tmp_path / "whole", options)
    with pytest.MonkeyPatch.context() as patch:
        draw = Translation.draw

        def until_13(self: Translation, step: int) -> Any:
            if step == 13:
                raise KeyboardInterrupt
            return draw(self, step)

        patch.setattr(Translation, "draw", until_13)
        with pytest.raises(KeyboardInterrupt):
            train([pairs_file], tmp_path / "parts", options)
    assert Run.load(tmp_path / "parts/training", TranslationConfig).step == 10
    again = train([pairs_file], tmp_path / "parts", options)
    assert again.tokens == whole.tokens
    for name, tensor in whole.tensors.items():
        np.testing.assert_array_equal(again.tensors[name], tensor)


def test_goes_on_from_a_folder(pairs_file: str, tmp_path: Path) -> None:
    first = train([pairs_file], tmp_path / "first", TINY)
    options = TranslationConfig(init=str(tmp_path / "first"), steps=1, lr=1e-9, batch_tokens=60, dropout=0.0)
    second = train([pairs_file], tmp_path / "second", options)
    for name, tensor in first.tensors.items():
        np.testing.assert_allclose(second.tensors[name], tensor, atol=1e-7)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), min_size=1, max_size=60),
    st.integers(2, 100),
    st.integers(0, 50),
)
def test_batches_hold_every_pair_once_and_little_padding(
    lengths: list[tuple[int, int]], tokens: int, seed: int
) -> None:
    config = TransformerConfig(vocab_size=50, d_model=8)
    starts = [np.cumsum([0, *side]) for side in zip(*lengths, strict=True)]
    rng = np.random.default_rng(seed)
    source, target = (rng.integers(0, 40, side[-1]) for side in starts)
    pairs = Pairs(source, starts[0], target, starts[1])
    batches = cut_batches(pairs, tokens, np.random.default_rng(seed))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    for batch in batches:
        ids, read, targets = make_batch(pairs, batch, config)
        widest = max(sum(lengths[i]) for i in batch)
        assert len(batch) == 1 or len(batch) * widest <= tokens
        assert (read[:, 0] == config.decoder_start_token_id).all()
        for row, i in enumerate(batch):
            n_source, n_target = lengths[i]
            np.testing.assert_array_equal(ids[row, :n_source], source[starts[0][i] : starts[0][i + 1]])
            np.testing.assert_array_equal(targets[row, :n_target], target[starts[1][i] : starts[1][i + 1]])
            np.testing.assert_array_equal(read[row, 1:n_target], targets[row, : n_target - 1])
            assert (ids[row, n_source:] == config.pad_token_id).all()
            assert (targets[row, n_target:] == NO_TARGET).all()
            assert (read[row, n_target:] == config.pad_token_id).all()
    again = cut_batches(pairs, tokens, np.random.default_rng(seed))
    assert all(np.array_equal(one, other) for one, other in zip(batches, again, strict=True))


def test_the_loss_is_that_of_the_targets(pairs_file: str, tmp_path: Path) -> None:
    run = train([pairs_file], tmp_path / "out", replace(TINY, steps=1, evaluate_every=1, label_smoothing=0.2))
    config, params = marian.load(tmp_path / "out")
    tokenizer = marian.load_tokenizer(tmp_path / "out", config)
    assert tokenizer is not None
    lines = read_pairs(Path(pairs_file))
    sources = list(dict.fromkeys(source for source, _ in lines))
    held_out = [line for line in lines if line[0] in sources[99::100]]
    nats = n_tokens = 0.0
    for source, target in held_out:
        ids = tokenizer.encode(target)
        logits = transformer(tokenizer.encode(source), [config.decoder_start_token_id, *ids[:-1]], params, config)
        nats += float(cross_entropy(logits, ids).sum())
        n_tokens += len(ids)
    assert run.history[-1]["validation_loss"] == pytest.approx(nats / n_tokens, rel=1e-5)  # without smoothing
    n_bytes = sum(len(target.encode()) for _, target in held_out)
    bits = nats / math.log(2) / n_bytes
    assert run.history[-1]["validation_bits_per_byte"] == pytest.approx(bits, rel=1e-5)


def test_files_of_pairs(tmp_path: Path) -> None:
    text = "\ufeffit\u2019s fine.\t C\u2019est  bien. \tmore\r\n\r\nGo!\tVa !\n"
    (tmp_path / "a.tsv").write_bytes(text.encode())
    (tmp_path / "b.tsv.gz").write_bytes(gzip.compress(text.encode()))
    expected = [("It's fine.", "C'est bien."), ("Go!", "Va !")]
    assert read_pairs(tmp_path / "a.tsv") == read_pairs(tmp_path / "b.tsv.gz") == expected


def test_one_vocabulary_ends_every_text() -> None:
    tokenizer = make_tokenizer(LINES, 300)
    ids = tokenizer.encode("Go.")
    assert ids[-1] == tokenizer.eot_id == tokenizer.n_vocab - 3
    assert tokenizer.decode(ids[:-1]) == "Go."
    pairs = encode([("Go.", "Va !"), ("Go. " * 50, "Va !")], tokenizer, longest=20)
    assert len(pairs) == 1
    with pytest.raises(TrainingError, match="no pair has at most 1 tokens on either side: give a larger --n-ctx"):
        encode(LINES, tokenizer, longest=1)


@pytest.mark.parametrize(
    ("content", "flags", "message"),
    [
        (b"", [], "0 pairs to learn from and 0 held out; give more"),
        (b"Go.\tVa !\n", [], "1 pair to learn from and 0 held out; give more"),
        (b"Go.\tVa !\nGo away.\n", [], "line 2: expected a sentence, a tab and its translation"),
        (b"Go.\t \n", [], "line 1: expected a sentence"),
        (b"\xff\tx\n", [], "is not UTF-8 text"),
        (b"Go.\tVa !\n", ["--validation", "/none"], "/none: there is no such file"),
        (b"Go.\tVa !\n", ["--label-smoothing", "1"], "--label-smoothing must be at least 0 and below 1, not 1.0"),
        (b"Go.\tVa !\n", ["--batch-tokens", "1"], "--batch-tokens must be at least 2, not 1"),
        (b"Go.\tVa !\n" * 200, ["--validation", "SELF", "--n-embd", "9"], "d_model must be even"),
        (b"Go.\tVa !\n", ["--merges", "3"], "unrecognized arguments: --merges 3"),
    ],
    ids=str,
)
def test_mistakes_are_one_line(
    content: bytes, flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_bytes(content)
    flags = [str(path) if flag == "SELF" else flag for flag in flags]
    with pytest.raises(SystemExit) as exit_info:
        main(["--task", "translation", str(path), "--out", str(tmp_path / "out"), "--steps", "1", *flags])
    assert exit_info.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
    assert not (tmp_path / "out").exists()


def test_a_folder_with_a_run_of_another_task(
    pairs_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train([pairs_file], tmp_path / "out", TINY)
    before = (tmp_path / "out/training" / STATE).read_bytes()
    with pytest.raises(SystemExit):
        main([pairs_file, "--out", str(tmp_path / "out")])
    assert "holds a run of another task or version" in capsys.readouterr().err
    assert (tmp_path / "out/training" / STATE).read_bytes() == before


def test_the_help_shows_the_tasks_own_options(capsys: pytest.CaptureFixture[str]) -> None:
    for task, shown, hidden in [
        ("translation", "--label-smoothing", "--validation-tokens"),
        ("language", "--validation-tokens", "--label"),
    ]:
        with pytest.raises(SystemExit):
            main(["--task", task, "--help"])
        text = capsys.readouterr().out
        assert shown in text
        assert hidden not in text
