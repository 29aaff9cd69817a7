"""Answers of a model with random weights: what is asked for, what is printed, and mistakes."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
import pytest
from command_runs import Call
from storytellers import WORDS, tiny_model

from numpygpt import GPT2, gpt2, softmax
from numpygpt import answer as module
from numpygpt.answer import LONGEST, answer, answers, known, main, split_question, why
from numpygpt.questions import prompt_ids

STORY, QUESTION = "Mary went to the kitchen. John moved to the office.", "Where is Mary?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("answers")
    tiny_model(path)
    return path


@pytest.fixture(scope="module")
def model(folder: Path) -> GPT2:
    return GPT2.from_pretrained(folder)


def prompt(model: GPT2) -> list[int]:
    return prompt_ids(["Mary went to the kitchen.", "John moved to the office."], QUESTION, model.tokenizer)


def test_the_answer_is_the_likeliest_token_each_time(folder: Path, model: GPT2) -> None:
    ids = prompt(model)
    probability = 1.0
    for _ in range(LONGEST - 1):  # and the end
        following = softmax(gpt2(ids, **model.params, n_head=2)[-1].astype(np.float64))
        ids.append(int(following.argmax()))
        probability *= following.max()
        if ids[-1] == model.tokenizer.eot_id:
            break
    expected = model.tokenizer.decode(ids[len(prompt(model)) :]).replace("<|endoftext|>", "").strip()
    assert answer(STORY, QUESTION, str(folder)) == answer(STORY, QUESTION, model) == expected
    [(text, share)] = answers(STORY, QUESTION, 1, model)
    assert text == expected
    if ids[-1] == model.tokenizer.eot_id:
        assert share == pytest.approx(probability, rel=1e-4)


def test_an_answers_probability_is_the_product_of_its_tokens(model: GPT2) -> None:
    [(_, greedy)] = answers(STORY, QUESTION, 1, model)
    found = answers(STORY, QUESTION, 12, model)
    shares = [share for _, share in found]
    assert shares == sorted(shares, reverse=True)
    assert greedy * 0.999 < shares[0]
    assert sum(shares) <= 1 + 1e-6
    start, n_checked = prompt(model), 0
    for text, share in found:
        if len(text.split()) == LONGEST - 1 or not set(text.split()) <= set(WORDS):  # cut off, or pieces of words
            continue
        ids = [*(model.tokenizer.encode(" " + text) if text else []), model.tokenizer.eot_id]
        probabilities = softmax(model.logits([*start, *ids])[len(start) - 1 : -1].astype(np.float64))
        assert share == pytest.approx(probabilities[np.arange(len(ids)), ids].prod(), rel=1e-3)
        n_checked += 1
    assert n_checked


def test_why_is_the_attention_of_the_last_place(model: GPT2) -> None:
    found = why(STORY, QUESTION, model)
    assert [sentence for sentence, _ in found] == ["Mary went to the kitchen.", "John moved to the office."]
    assert sum(weight for _, words in found for _, weight in words) == pytest.approx(1)
    kept = model.trace(prompt(model))
    mean = np.mean([kept[f"h.{layer}.attn.probabilities"][:, -1] for layer in range(2)], axis=(0, 1))
    n_story = len(prompt_ids(["Mary went to the kitchen."], "John moved to the office.", model.tokenizer)) - 1
    weights = [weight for _, words in found for _, weight in words]
    by_token = mean[1:n_story] / mean[1:n_story].sum()
    ends = np.cumsum([len(model.tokenizer.encode(" " + word)) for _, words in found for word, _ in words])
    np.testing.assert_allclose(np.cumsum(weights), np.cumsum(by_token)[ends - 1], rtol=1e-5)
    unmarked = why("mary went to the kitchen\njohn moved to the office", "where is mary", model)
    assert unmarked == found


def test_words_are_the_models_own(model: GPT2) -> None:
    assert known("mary Went TO the kitchen", model.tokenizer) == "Mary went to the kitchen"
    assert answer("mary went to the kitchen. John moved to the office", "where is mary", model) == answer(
        STORY, QUESTION, model
    )
    with pytest.raises(ValueError, match="has never seen the word 'Zebedee', so it cannot answer"):
        answer("Zebedee went to the kitchen.", QUESTION, model)
    with pytest.raises(ValueError, match="has never seen the word 'zoo'"):
        answer(STORY, "Where is the zoo?", model)


def test_mistakes_in_python(model: GPT2) -> None:
    with pytest.raises(ValueError, match="n must be at least 1, not 0"):
        answers(STORY, QUESTION, 0, model)
    with pytest.raises(ValueError, match="give one question"):
        answer(STORY, " ", model)
    with pytest.raises(ValueError, match="give one question"):
        answer(STORY, "Where is Mary? Where is John?", model)
    with pytest.raises(ValueError, match=r"are 66 tokens; with an answer, at most 44 fit the context window"):
        answer("Mary went to the kitchen. " * 10, QUESTION, model)
    with pytest.raises(ValueError, match="ends with no question"):
        split_question("Mary left.")
    assert split_question("Is it?") == ("", "Is it?")


@pytest.fixture
def call(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    def run(*arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        try:
            main(["--model", str(folder), *arguments])
            status = 0
        except SystemExit as error:
            status = int(str(error.code))
        return (status, *capsys.readouterr())

    return run


def test_the_command_answers_with_its_probability(
    call: Call, model: GPT2, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (text, share), *others = answers(STORY, QUESTION, 3, model)
    monkeypatch.setattr(module, "UNSURE", 0.0)
    status, out, err = call("--top", "3", STORY, QUESTION)
    assert (status, err) == (0, "")
    assert out.splitlines()[0] == f"{text} ({share:.0%})"
    assert len(out.splitlines()) == 1 + len(others)
    file = tmp_path / "story.txt"
    file.write_text("\ufeffMary went to the kitchen.\nJohn moved to the office.\n", encoding="utf-8")
    assert call("--story", str(file), QUESTION, "--top", "3")[1] == out
    assert call("--top", "3", stdin=f"{STORY} {QUESTION}".encode())[1] == out
    monkeypatch.setattr(module, "UNSURE", 1.1)
    assert call(STORY, QUESTION)[1].startswith("I do not know. (Likeliest, at ")
    explained = call("--why", STORY, QUESTION)[1].splitlines()
    assert "%  Mary went to the kitchen." in explained[1]
    assert "%  John moved to the office." in explained[2]


def test_a_talk(call: Call) -> None:
    talk = b"Mary went to the kitchen\nWhere is Mary?\nZebedee left.\n\nJohn moved to the office. where is john?\n"
    status, out, err = call("--interactive", stdin=talk)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("Tell a story")
    assert lines[2] == "The model has never seen the word 'Zebedee', so it cannot answer."
    assert lines[3] == "A new story."
    assert len(lines) == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["Mary left."], "the text ends with no question"),
        (["Zebedee left.", QUESTION], "never seen the word 'Zebedee'"),
        (["--story", "/none", QUESTION], "/none: No such file or directory"),
        (["--interactive", QUESTION], "--interactive reads the story as it is typed"),
        (["--top", "0", QUESTION], "'0' is not a whole number of at least 1"),
        (["--model", "/none", QUESTION], "/none"),
        (["half \ud83d?"], "not UTF-8"),
        ([], "the text ends with no question"),
    ],
    ids=itertools.count(),
)
def test_mistakes_are_one_line(arguments: list[str], message: str, call: Call) -> None:
    status, out, err = call(*arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert err.startswith("python -m numpygpt.answer: ")
