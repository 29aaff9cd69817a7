"""The embedded model that answers against `transformers`, its card, and its scores."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_runs import ENVIRONMENT, PATIENCE

from numpygpt import GPT2
from numpygpt.answer import answer, answers, why
from numpygpt.safetensors import SafetensorsFile, load_file

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "weights" / "questions"
STORY = "Mary went to the kitchen. John went to the garden. Mary moved to the office."

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="weights/questions is not published yet: python weights/publish_questions.py"
)


@pytest.fixture(scope="module")
def model() -> GPT2:
    return GPT2.from_pretrained("questions")


@pytest.fixture(scope="module")
def reference() -> dict[str, Any]:
    """What `transformers` computed with these very weights."""
    path = FOLDER / "reference.safetensors"
    weights = hashlib.sha256((FOLDER / "model.safetensors").read_bytes()).hexdigest()
    assert SafetensorsFile(path).metadata["weights"] == weights, "run python weights/publish_questions.py"
    return dict(load_file(path))


@pytest.fixture(scope="module")
def card() -> str:
    return (FOLDER / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / "scores.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("number", range(2))
def test_logits_and_answers_are_those_of_transformers(model: GPT2, reference: dict[str, Any], number: int) -> None:
    ids = reference[f"{number}.ids"]
    np.testing.assert_allclose(model.logits(ids), reference[f"{number}.logits"], rtol=0, atol=2e-3)
    told = model.tokenizer.decode(ids[1:-1].tolist()).strip()
    story, question = told[: told.rindex(". ") + 1], told[told.rindex(". ") + 2 :]
    theirs = reference[f"{number}.answer"].tolist()
    expected = model.tokenizer.decode(theirs[: theirs.index(model.tokenizer.eot_id)]).strip()
    assert answer(story, question) == expected


def test_the_folder_opens_in_transformers_and_computes_the_same(model: GPT2) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDER)
    ids = tokenizer(f"<|endoftext|> {STORY} Where is John?<|endoftext|>")["input_ids"]
    assert ids == model.tokenizer.encode(f"<|endoftext|> {STORY} Where is John?<|endoftext|>", allowed_special="all")
    with torch.no_grad():
        expected = theirs(torch.tensor([ids])).logits[0].numpy()
    np.testing.assert_allclose(model.logits(ids), expected, rtol=0, atol=2e-3)


def test_it_answers_the_simplest_questions() -> None:
    assert answer(STORY, "Where is Mary?") == "office"
    assert answer(STORY, "Where is John?") == "garden"
    assert answer("Mary went to the kitchen.", "Is Mary in the kitchen?") == "yes"
    assert answer("Mary went to the kitchen.", "Is Mary in the garden?") == "no"


def test_the_answer_looks_at_the_last_sentence_on_mary_not_the_first(model: GPT2) -> None:
    shares = [sum(weight for _, weight in words) for _, words in why(STORY, "Where is Mary?", model)]
    assert max(range(3), key=shares.__getitem__) == 2


def test_a_word_never_seen_is_named(model: GPT2) -> None:
    with pytest.raises(ValueError, match="never seen the word 'Zebedee'"):
        answers("Zebedee went to the kitchen.", "Where is Zebedee?", 1, model)


def test_the_command_answers_without_a_model_named() -> None:
    command = [sys.executable, "-m", "numpygpt.answer", f"{STORY} Where is Mary?"]
    result = subprocess.run(command, capture_output=True, timeout=PATIENCE, env=ENVIRONMENT, cwd=ROOT)
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout.startswith(b"office (")


def test_the_weights_are_small_on_disk(card: str) -> None:
    file = SafetensorsFile(FOLDER / "model.safetensors")
    assert set(file.dtypes.values()) == {"F16"}
    size = file.path.stat().st_size
    assert size <= 12_000_000
    assert f"float16, {size:,} bytes" in card
    n_params = sum(int(np.prod(shape)) for shape in file.shapes.values())
    assert f"parameters | {n_params:,} |" in card


def test_the_card_says_what_was_measured(card: str, measured: dict[str, Any]) -> None:
    for task, error in measured["error"].items():
        assert f"{task} {measured['names'][task]} | {error:.1f}% |" in card
    assert f"Mean error {measured['mean']:.1f}%, {measured['passed']} of 20 tasks passed" in card
    assert measured["mean"] == pytest.approx(np.mean(list(measured["error"].values())))
    assert measured["passed"] == sum(error < 5 for error in measured["error"].values())
    for key in ("error", "renamed"):
        assert " | ".join(f"{measured[key][task]:.1f}%" for task in measured["renamed"]) in card


@pytest.mark.parametrize("page", ["README.md", "tutorials/12-what-gpt2-is-used-for.md"])
def test_the_pages_quote_the_score(page: str, measured: dict[str, Any]) -> None:
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    assert f"{measured['mean']:.1f}%" in text
    assert f"{measured['passed']} of 20 tasks" in text or f"{measured['passed']} of the 20 tasks" in text


@pytest.mark.slow
@pytest.mark.skipif("NUMPYGPT_CORPUS" not in os.environ, reason="needs the stories: NUMPYGPT_CORPUS names the folder")
def test_the_page_says_what_one_fact_more_costs(model: GPT2, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "weights"))
    from question_hops import HELD, LENGTHS, STAYED, TASK, WENT_ON, ask_all, share_wrong
    from questions_scores import test_files

    from numpygpt.train.stories import read_file

    files = test_files(Path(os.environ["NUMPYGPT_CORPUS"]) / "questions" / "babi" / "en-10k")
    asked = ask_all(model, read_file(files[TASK]))
    english, chinese = (
        re.findall(r"^\| [^|]+ \| ([\d.]+)% \| ([\d.]+)% \|$", path.read_text(encoding="utf-8"), re.MULTILINE)[:3]
        for path in (ROOT / "tutorials" / folder / "12-what-gpt2-is-used-for.md" for folder in (".", "zh"))
    )
    assert english == chinese
    for row, state in zip(english, (HELD, STAYED, WENT_ON), strict=True):
        for said, (first, below) in zip(row, LENGTHS[1:], strict=True):
            wrong, n = share_wrong(asked, state, first, below)
            assert 100 * wrong == pytest.approx(float(said), abs=100 / n + 0.05)  # another BLAS may break a tie


@pytest.mark.slow
@pytest.mark.skipif("NUMPYGPT_CORPUS" not in os.environ, reason="needs the stories: NUMPYGPT_CORPUS names the folder")
def test_the_scores_are_those_of_the_weights(model: GPT2, measured: dict[str, Any]) -> None:
    sys.path.insert(0, str(ROOT / "weights"))
    try:
        from questions_scores import errors, single_questions, test_files
    finally:
        sys.path.pop(0)
    from numpygpt.train.stories import read_file

    files = test_files(Path(os.environ["NUMPYGPT_CORPUS"]) / "questions" / "babi" / "en-10k")
    found = errors(model, {task: single_questions(read_file(path)) for task, path in files.items()})
    for task, error in found.items():
        assert error == pytest.approx(measured["error"][str(task)], abs=0.3)  # another BLAS may break a tie differently
