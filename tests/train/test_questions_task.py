"""The task of questions: batches, runs that go on bit for bit, a model to begin with, and mistakes."""

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
from storytellers import PLACES, file_of_stories, stories

from numpygpt import GPT2, gpt2
from numpygpt.answer import answer
from numpygpt.arrays import flatten
from numpygpt.engine import Tokenizer
from numpygpt.loss import cross_entropy
from numpygpt.models import checkpoint
from numpygpt.questions import Line, Story, story_tokens
from numpygpt.train import TrainingError
from numpygpt.train.__main__ import main
from numpygpt.train.config import QuestionsConfig
from numpygpt.train.loop import Run
from numpygpt.train.questions import Questions, carry_over, more_positions
from numpygpt.train.runs import train
from numpygpt.train.stories import (
    NO_TARGET,
    choose_tokens,
    cut_batches,
    encode,
    last_questions,
    make_batch,
    make_tokenizer,
    read_file,
)

TINY = QuestionsConfig(n_layer=1, n_head=2, n_embd=16, n_ctx=60, steps=6, batch_tokens=120, evaluate_every=3, warmup=2)


@pytest.fixture
def stories_file(tmp_path: Path) -> str:
    return file_of_stories(tmp_path / "stories.txt")


def test_a_run_leaves_a_model_that_answers(stories_file: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "numpygpt.train")
    options = replace(TINY, steps=60, evaluate_every=30, lr=1e-2, n_layer=2, batch_tokens=500)
    run = train([stories_file], tmp_path / "out", options)
    _, params, _ = checkpoint.load(tmp_path / "out")
    for name, tensor in run.tensors.items():
        np.testing.assert_array_equal(flatten(params)[name], tensor)
    with open(tmp_path / "out/loss.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["0", "30", "60"]
    assert float(rows[-1]["validation_loss"]) < 1 < float(rows[0]["validation_loss"])
    assert 0 <= float(rows[-1]["validation_right"]) <= 1
    assert answer("Mary went to the garden.", "Where is Mary?", str(tmp_path / "out")) in PLACES
    lines = caplog.messages
    assert "2 layers, 2 heads, width 16, " in lines[0]
    assert "396 questions in 198 stories, " in lines[1]
    assert "; 2 questions held out; about 500 tokens a step; 60 steps" in lines[1]
    assert lines[-1].startswith(f'  python -m numpygpt.answer --model {tmp_path / "out"} "')


def test_an_interrupted_run_ends_with_the_same_weights(stories_file: str, tmp_path: Path) -> None:
    options = replace(TINY, dropout=0.1, steps=80, evaluate_every=5)  # more than an epoch
    whole = train([stories_file], tmp_path / "whole", options)
    with pytest.MonkeyPatch.context() as patch:
        draw = Questions.draw

        def until_63(self: Questions, step: int) -> Any:
            if step == 63:
                raise KeyboardInterrupt
            return draw(self, step)

        patch.setattr(Questions, "draw", until_63)
        with pytest.raises(KeyboardInterrupt):
            train([stories_file], tmp_path / "parts", options)
    assert Run.load(tmp_path / "parts/training", QuestionsConfig).step == 60
    again = train([stories_file], tmp_path / "parts", options)
    assert again.tokens == whole.tokens
    for name, tensor in whole.tensors.items():
        np.testing.assert_array_equal(again.tensors[name], tensor)


def test_a_model_to_begin_with_keeps_its_layers_and_the_meaning_of_words(stories_file: str, tmp_path: Path) -> None:
    options = QuestionsConfig(init="stories", n_ctx=300, steps=1, lr=1e-9, batch_tokens=60)
    train([stories_file], tmp_path / "out", options)
    old, new = GPT2.from_pretrained("stories"), GPT2.from_pretrained(tmp_path / "out")
    assert (new.config.n_ctx, new.config.n_layer) == (300, old.config.n_layer)
    np.testing.assert_allclose(
        new.params["h"][3]["mlp"]["c_fc"]["weight"], old.params["h"][3]["mlp"]["c_fc"]["weight"], atol=1e-7
    )
    wpe = new.params["wpe"]["weight"]
    np.testing.assert_allclose(wpe[:256], old.params["wpe"]["weight"], atol=1e-7)
    np.testing.assert_allclose(wpe[256:], wpe[:44], atol=1e-7)
    [place], [old_place] = new.tokenizer.encode(" went"), old.tokenizer.encode(" went")
    expected = old.params["wte"]["weight"][old_place]
    np.testing.assert_allclose(new.params["wte"]["weight"][place], expected, atol=1e-7)


def test_a_new_word_is_the_mean_of_its_pieces() -> None:
    old, new = Tokenizer([(b"a", b"b")]), Tokenizer([(b"b", b"c"), (b"a", b"bc")])
    weight = np.arange(old.n_vocab, dtype=np.float32)[:, None] * [1, -1]
    carried = carry_over(weight, old, new)
    for token_id, pieces in ((new.vocab[b"abc"], (b"ab", b"c")), (new.vocab[b"bc"], (b"b", b"c"))):
        np.testing.assert_allclose(carried[token_id], weight[[old.vocab[piece] for piece in pieces]].mean(axis=0))
    np.testing.assert_array_equal(carried[new.eot_id], weight[old.eot_id])
    assert carried.shape == (new.n_vocab, 2)
    np.testing.assert_array_equal(more_positions(weight[:3], 5), weight[[0, 1, 2, 0, 1]])
    np.testing.assert_array_equal(more_positions(weight[:3], 2), weight[:2])


STORIES = st.lists(
    st.lists(st.sampled_from([Line("A cat came."), Line("Who?", "cat"), Line("What is it?", "a cat")]), max_size=6).map(
        lambda lines: [*lines, Line("Who came?", "the cat")]
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=60)
@given(STORIES, st.integers(2, 60), st.integers(0, 50))
def test_an_epoch_holds_every_story_once_with_whole_questions(lines: list[Story], tokens: int, seed: int) -> None:
    tokenizer = make_tokenizer(lines, 400)
    encoded = encode(lines, tokenizer, 200)
    is_read = choose_tokens(encoded, np.random.default_rng(seed))
    lengths = np.add.reduceat(is_read, encoded.starts[:-1], dtype=np.int64)
    batches = cut_batches(lengths, tokens, np.random.default_rng(seed))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lines)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * lengths[batch].max() <= tokens
        ids, targets = make_batch(encoded, batch, is_read)
        for row, number in enumerate(batch.tolist()):
            asked = [i for i, line in enumerate(lines[number]) if line.answer is not None]
            place = slice(encoded.starts[number], encoded.starts[number + 1])
            read = set(encoded.questions[place][is_read[place]].tolist()) - {-1}
            assert read
            kept = [line for i, line in enumerate(lines[number]) if line.answer is None or asked.index(i) in read]
            expected = story_tokens(kept, tokenizer)
            n = len(expected.ids) - 1
            assert ids[row, :n].tolist() == expected.ids[:-1]
            counted = zip(expected.ids[1:], expected.is_answer[1:], strict=True)
            assert targets[row, :n].tolist() == [token_id if counts else NO_TARGET for token_id, counts in counted]
            assert (targets[row, n:] == NO_TARGET).all()


def test_the_questions_of_a_story_are_drawn_anew() -> None:
    encoded = encode(stories(), make_tokenizer(stories(), 400), 200)
    drawn = [choose_tokens(encoded, np.random.default_rng(seed)) for seed in range(40)]
    whole = np.mean([is_read.all() for is_read in drawn])
    share = np.mean([is_read[encoded.questions == 0].mean() for is_read in drawn])
    assert whole < 0.2
    assert 0.7 < share < 0.95  # half of the stories have both questions, the others one or both


def test_the_loss_is_that_of_the_held_out_answers(stories_file: str, tmp_path: Path) -> None:
    run = train([stories_file], tmp_path / "out", TINY)
    config, params, tokenizer = checkpoint.load(tmp_path / "out", tokenizer_class=Tokenizer)
    assert tokenizer is not None
    nats = n_tokens = n_right = 0.0
    held_out = last_questions(read_file(Path(stories_file))[99::100])
    assert [len(story) for story in held_out] == [3, 3]
    for story in held_out:
        tokens = story_tokens(story, tokenizer)
        counts = np.array(tokens.is_answer[1:])
        logits = gpt2(tokens.ids[:-1], **params, n_head=config.n_head)[counts]
        targets = np.array(tokens.ids[1:])[counts]
        nats += float(cross_entropy(logits, targets).sum())
        n_tokens += len(targets)
        n_right += (logits.argmax(axis=-1) == targets).all()
    last = run.history[-1]
    assert last["validation_loss"] == pytest.approx(nats / n_tokens, rel=1e-5)
    assert last["validation_right"] == n_right / 2
    n_bytes = sum(len(f" {story[-1].answer}") for story in held_out)
    assert last["validation_bits_per_byte"] == pytest.approx(nats / math.log(2) / n_bytes, rel=1e-5)


def test_files_of_stories(tmp_path: Path) -> None:
    text = "\ufeff1 A cat came.\r\n2 Who came?\tcat\t1\r\n1 No question.\n"
    (tmp_path / "a.txt").write_bytes(text.encode())
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(text.encode()))
    expected = [[Line("A cat came."), Line("Who came?", "cat", (1,))]]
    assert read_file(tmp_path / "a.txt") == read_file(tmp_path / "b.txt.gz") == expected


def test_a_story_that_is_too_long_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "numpygpt.train")
    long = [*[Line("A cat came.")] * 9, Line("Who?", "cat")]
    tokenizer = make_tokenizer([long], 400)
    assert len(encode([long[-2:], long], tokenizer, 20)) == 1
    assert caplog.messages == ["left out stories of more than 20 tokens: 1"]
    with pytest.raises(TrainingError, match="no story has at most 3 tokens: give a larger --n-ctx"):
        encode([long], tokenizer, 3)


GOOD = b"1 A cat came.\n2 Who came?\tcat\t1\n"


@pytest.mark.parametrize(
    ("content", "flags", "message"),
    [
        (b"", [], "0 stories to learn from and 0 held out; give more"),
        (GOOD, [], "1 stories to learn from and 0 held out; give more"),
        (b"A cat came.\n", [], "line 1: expected a number, which begins at 1"),
        (b"\xff", [], "is not UTF-8 text"),
        (GOOD, ["--validation", "/none"], "/none: there is no such file"),
        (GOOD, ["--batch-tokens", "1"], "--batch-tokens must be at least 2, not 1"),
        (GOOD * 200, ["--n-embd", "9"], "n_embd 9 is not a multiple of n_head 8"),
        (GOOD * 200, ["--init", "stories", "--n-layer", "2"], "has its layers already: leave out --n-layer"),
        (GOOD, ["--prompt", "x"], "unrecognized arguments: --prompt x"),
    ],
    ids=str,
)
def test_mistakes_are_one_line(
    content: bytes, flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "stories.txt"
    path.write_bytes(content)
    with pytest.raises(SystemExit) as exit_info:
        main(["--task", "questions", str(path), "--out", str(tmp_path / "out"), "--steps", "1", *flags])
    assert exit_info.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
    assert not (tmp_path / "out").exists()
