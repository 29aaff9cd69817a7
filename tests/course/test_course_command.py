"""The command: a learner's folder from start to green, mistakes in it, and what happens to code that goes wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from course_folders import check_here, check_in_this_process, replace_stub, write_solutions, write_stubs

from numpygpt.course.__main__ import main
from numpygpt.course.exercises import EXERCISES
from numpygpt.course.learner import is_written
from numpygpt.course.run import check_in_process, check_many

SOFTMAX = "def softmax(x):\n    e = np.exp(x - x.max(-1, keepdims=True))\n    return e / e.sum(-1, keepdims=True)"
CROSS_ENTROPY = (
    "def cross_entropy(logits, targets):\n    at = np.take_along_axis(logits, np.asarray(targets)[..., None], -1)"
)
CROSS_ENTROPY += "\n    return np.logaddexp.reduce(logits, axis=-1) - at[..., 0]"
WRONG = "def softmax(x):\n    return np.exp(x - x.max(-1, keepdims=True))"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_stubs(tmp_path / "mine")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    check_in_this_process(monkeypatch)


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as exit_info:
        main([str(argument) for argument in arguments])
    return int(str(exit_info.value.code))


@pytest.mark.parametrize("name", ["join", "softmax", "perplexity", "update", "backward.softmax", "complete"])
def test_an_empty_stub_fails_at_stage_1_with_a_friendly_line(folder: Path, name: str) -> None:
    result = check_in_process(folder, name)
    assert (result.status, result.stage) == ("not written", 1)
    assert "not written yet: " in result.message
    assert "Traceback" not in result.text()


def test_no_stub_counts_as_written(folder: Path) -> None:
    assert not any(is_written(folder, exercise) for exercise in EXERCISES.values())


def test_start_writes_stubs_without_annotations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("start", tmp_path / "course") == 0
    text = (tmp_path / "course" / "layers.py").read_text(encoding="utf-8")
    assert "def softmax(x):" in text
    assert "Array" not in text.replace("Arrays", "")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "course").rglob("*") if path.is_file()}
    assert run("start", tmp_path / "course") == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert "nothing is new" in capsys.readouterr().out


def test_start_in_an_older_folder_adds_what_is_new(folder: Path) -> None:
    path = folder / "cache.py"
    path.write_text("import numpy as np\nmine = 1\n", encoding="utf-8")
    assert run("start", folder) == 0
    text = path.read_text(encoding="utf-8")
    assert text.startswith("import numpy as np\nmine = 1\n")
    assert "def cached_attention(" in text


@pytest.mark.usefixtures("here")
def test_check_status_and_hint(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    replace_stub(folder, "layers.py", "softmax", WRONG)
    before = (folder / "layers.py").read_bytes()
    assert run("check", folder, "softmax") == 1
    assert "hint: Do rows sum to 1?" in capsys.readouterr().out
    assert run("hint", folder, "softmax") == 0
    first = capsys.readouterr().out
    assert run("hint", folder, "softmax") == 0
    assert capsys.readouterr().out not in ("", first)
    assert (folder / "layers.py").read_bytes() == before
    replace_stub(folder, "layers.py", "softmax", SOFTMAX)
    assert run("check", folder, "softmax") == 0
    capsys.readouterr()
    assert run("status", folder, "--json") == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["softmax"]["status"] == "done"
    assert rows["linear"]["status"] == "open"


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "code",
    [
        "",
        "def softmax(x)\n    return x",
        "def softmax(x):\n    np.exp(x)",
        "def softmax(x):\n    x -= x.max(-1, keepdims=True)\n    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)",
    ],
)
def test_what_says_itself_what_is_missing_is_not_called_unknown(
    folder: Path, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    replace_stub(folder, "layers.py", "softmax", code)
    assert run("hint", folder, "softmax") == 0
    assert "not a known one" not in capsys.readouterr().out


@pytest.mark.usefixtures("here")
def test_a_mistake_that_is_not_known_is_called_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    replace_stub(folder, "layers.py", "softmax", "def softmax(x):\n    return np.tanh(x)")
    assert run("hint", folder, "softmax") == 0
    assert "not a known one" in capsys.readouterr().out


def test_show_prints_the_solution(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", "softmax") == 0
    assert "exp / exp.sum(axis=-1, keepdims=True)" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["check", "nowhere"], ["show", "nothing"], ["chekc", "x"], []])
def test_a_mistake_in_the_command_is_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*arguments) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_an_exception_shows_the_learners_lines_alone(folder: Path) -> None:
    replace_stub(folder, "layers.py", "softmax", "def softmax(x):\n    return x / undefined")
    result = check_here(folder, "softmax")
    assert "layers.py" in result.message
    assert "return x / undefined" in result.message
    assert "NameError" in result.message
    assert "stages.py" not in result.message


def test_a_syntax_error_points_to_its_place(folder: Path) -> None:
    replace_stub(folder, "layers.py", "softmax", "def softmax(x)\n    return x")
    message = check_here(folder, "softmax").message
    assert "layers.py, line" in message
    assert "def softmax(x)\n" in message
    assert "^" in message


def test_an_endless_loop_is_stopped(folder: Path) -> None:
    replace_stub(folder, "layers.py", "softmax", "def softmax(x):\n    while True:\n        pass")
    result = check_in_process(folder, "softmax", limit=2)
    assert not result.passed
    assert "stopped after 2 seconds" in result.message


def test_the_end_of_the_program_is_said(folder: Path) -> None:
    replace_stub(folder, "layers.py", "softmax", "def softmax(x):\n    import os\n    os._exit(3)")
    assert "exit status 3" in check_in_process(folder, "softmax").message


def test_printing_is_passed_on(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    replace_stub(folder, "layers.py", "softmax", SOFTMAX.replace("    e =", "    print('here I am')\n    e =", 1))
    assert check_in_process(folder, "softmax").passed
    assert "here I am" in capfd.readouterr().out


def test_a_function_stands_on_the_book_or_on_the_learners_own(folder: Path) -> None:
    replace_stub(folder, "layers.py", "softmax", WRONG)
    attention = (
        "def attention(q, k, v, mask=0.0):\n    return softmax(q @ k.swapaxes(-1, -2) / q.shape[-1]**.5 + mask) @ v"
    )
    replace_stub(folder, "layers.py", "attention", attention)
    assert check_here(folder, "attention").passed, "another's mistake is not attention's"
    own = "def softmax(x, axis):\n    e = np.exp(x - x.max(axis, keepdims=True))\n"
    own += "    return e / e.sum(axis, keepdims=True)"
    replace_stub(folder, "layers.py", "softmax", own)
    replace_stub(folder, "layers.py", "attention", attention.replace("+ mask)", "+ mask, -1)"))
    assert check_here(folder, "attention").passed, "the learner's own signature serves the learner's own call"


def test_the_whole_course_done_is_a_gpt2_that_runs_alone(tmp_path: Path) -> None:
    folder = write_solutions(tmp_path)
    for result in check_many(folder, ["merge_steps", "gpt2", "backward.attention", "complete"]):
        assert result.passed, result.text()
    command = [sys.executable, str(folder / "main.py"), "Once upon a time"]
    result_of_main = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result_of_main.stdout.startswith("Once upon a time")
    assert len(result_of_main.stdout) > 60


def outside(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "numpygpt.course", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_json_is_all_that_stands_on_standard_output(folder: Path) -> None:
    replace_stub(folder, "layers.py", "softmax", WRONG.replace("    return", "    print('here I am')\n    return"))
    replace_stub(folder, "cache.py", "cached_attention", "def cached_attention(x, **options):\n    return 1 / 0")
    replace_stub(folder, "sampling.py", "sample", "def sample(logits, rng)\n    return 0")
    code = "def clip_gradients(gradients, norm, limit):\n    gradients['bias'] *= 0.5\n    return gradients"
    replace_stub(folder, "optimizer.py", "clip_gradients", code)
    replace_stub(folder, "loss.py", "cross_entropy", CROSS_ENTROPY)
    names = ["softmax", "cached_attention", "sample", "clip_gradients", "cross_entropy", "global_norm"]
    ended = outside("check", folder, *names, "--json")
    rows = json.loads(ended.stdout)
    assert ended.returncode == 1
    assert "here I am" in ended.stderr
    assert [row["name"] for row in rows] == names
    assert [row["passed"] for row in rows] == [False, False, False, False, True, False]
    assert [row["stage"] for row in rows] == [2, 1, 1, 1, 4, 1]
    assert rows[0]["hint"] == "Do rows sum to 1?"
    assert [row["status"] for row in rows][-2:] == ["passed", "not written"]
    for row, said in zip(rows, ["", "return 1 / 0\nZeroDivisionError", "sampling.py, line", "in place"], strict=False):
        assert said in row["message"]
    rows = json.loads(outside("status", folder, "--json").stdout)
    assert [row["name"] for row in rows if row["status"] == "done"] == ["cross_entropy"]
    assert all({"page", "file", "tries", "minutes", "minutes_planned"} <= row.keys() for row in rows)


def test_json_of_what_passes_and_of_nothing(folder: Path) -> None:
    ended = outside("check", folder, "--json")
    assert (ended.returncode, json.loads(ended.stdout)) == (1, [])
    replace_stub(folder, "loss.py", "cross_entropy", CROSS_ENTROPY)
    ended = outside("check", folder, "--json")
    assert ended.returncode == 0
    assert [(row["name"], row["passed"], row["hint"]) for row in json.loads(ended.stdout)] == [
        ("cross_entropy", True, "")
    ]


@pytest.mark.parametrize("arguments", [["check", "nowhere", "--json"], ["check", ".", "sofmax", "--json"]])
def test_a_wrong_call_prints_no_json(arguments: list[str]) -> None:
    ended = outside(*arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert len(ended.stderr.strip().splitlines()) == 1


LOOPS = """
def linear(x, weight, bias=0.0):
    if x.ndim > 1:
        return np.array([linear(row, weight, bias) for row in x])
    y = []
    for j in range(weight.shape[1]):
        total = 0.0
        for i in range(len(x)):
            total += x[i] * weight[i][j]
        y.append(total)
    return np.array(y) + bias
"""


@pytest.mark.slow
def test_loops_alone_are_waited_for(folder: Path) -> None:
    replace_stub(folder, "layers.py", "linear", LOOPS)
    result = check_in_process(folder, "linear", limit=400)  # of a busy machine; alone, it takes seconds
    assert result.passed, result.text()
    assert "right but slow: it was waited for, and the text is cut after new token 1" in result.remarks
    assert json.loads(json.dumps(result.as_dict()))["name"] == "linear"


def test_an_endless_generator_is_stopped(folder: Path) -> None:
    code = "def generate(prompt, model, **options):\n    ids = list(prompt)\n    while True:\n"
    code += "        ids.append(int(model(ids)[-1].argmax()))\n        yield ids[-1]"
    replace_stub(folder, "generate.py", "generate", code)
    result = check_in_process(folder, "generate", limit=200)
    assert not result.passed
    assert result.message


@pytest.mark.slow
def test_a_process_that_ends_is_started_again(folder: Path) -> None:
    replace_stub(folder, "layers.py", "relu", "def relu(x):\n    import os\n    os._exit(3)")
    replace_stub(folder, "layers.py", "softmax", "def softmax(x):\n    input()")
    replace_stub(folder, "gpt2.py", "gpt2", "def gpt2(*ids, **params):\n    while True:\n        pass")
    replace_stub(folder, "loss.py", "cross_entropy", CROSS_ENTROPY)
    results = list(check_many(folder, ["relu", "softmax", "gpt2", "cross_entropy"], limit=10))
    assert [result.name for result in results] == ["relu", "softmax", "gpt2", "cross_entropy"]
    assert "exit status 3" in results[0].message
    assert "EOFError" in results[1].message
    assert "stopped after 10 seconds" in results[2].message
    assert results[3].status != "not written"
