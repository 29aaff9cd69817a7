"""The command: a learner's folder from start to green, mistakes in it, and what happens to code that goes wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from course_folders import replace_stub, write_solutions, write_stubs

from numpygpt.course.__main__ import main
from numpygpt.course.exercises import EXERCISES
from numpygpt.course.learner import is_written
from numpygpt.course.run import check_in_process

SOFTMAX = "def softmax(x):\n    e = np.exp(x - x.max(-1, keepdims=True))\n    return e / e.sum(-1, keepdims=True)"
WRONG = "def softmax(x):\n    return np.exp(x - x.max(-1, keepdims=True))"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_stubs(tmp_path / "mine")


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as exit_info:
        main([str(argument) for argument in arguments])
    return int(str(exit_info.value.code))


@pytest.mark.parametrize("name", ["join", "softmax", "perplexity", "update", "backward.softmax", "complete"])
def test_an_empty_stub_fails_at_stage_1_with_a_friendly_line(folder: Path, name: str) -> None:
    result = check_in_process(folder, name)
    assert (result.status, result.stage) == ("not written", 1)
    assert "not written yet: open " in result.message
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


def test_reset_keeps_the_old_text(folder: Path) -> None:
    replace_stub(folder, "layers.py", "softmax", SOFTMAX)
    path = folder / "layers.py"
    old = path.read_text(encoding="utf-8")
    assert run("reset", folder, "softmax") == 0
    assert not is_written(folder, EXERCISES["softmax"])
    assert [kept.read_text(encoding="utf-8") for kept in folder.glob("layers-*.txt")] == [old]
    assert run("reset", folder, "perplexity") == 0
    assert check_in_process(folder, "perplexity").status == "not written"


def test_show_prints_the_solution(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", "softmax") == 0
    assert "exp / exp.sum(axis=-1, keepdims=True)" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["check", "nowhere"], ["show", "nothing"], ["chekc", "x"], []])
def test_a_mistake_in_the_command_is_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*arguments) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_an_exception_shows_the_learners_lines_alone(folder: Path) -> None:
    replace_stub(folder, "layers.py", "softmax", "def softmax(x):\n    return x / undefined")
    result = check_in_process(folder, "softmax")
    assert "layers.py" in result.message
    assert "return x / undefined" in result.message
    assert "NameError" in result.message
    assert "stages.py" not in result.message


def test_a_syntax_error_points_to_its_place(folder: Path) -> None:
    replace_stub(folder, "layers.py", "softmax", "def softmax(x)\n    return x")
    message = check_in_process(folder, "softmax").message
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
    assert check_in_process(folder, "attention").passed, "another's mistake is not attention's"
    own = "def softmax(x, axis):\n    e = np.exp(x - x.max(axis, keepdims=True))\n"
    own += "    return e / e.sum(axis, keepdims=True)"
    replace_stub(folder, "layers.py", "softmax", own)
    replace_stub(folder, "layers.py", "attention", attention.replace("+ mask)", "+ mask, -1)"))
    assert check_in_process(folder, "attention").passed, "the learner's own signature serves the learner's own call"


def test_the_whole_course_done_is_a_gpt2_that_runs_alone(tmp_path: Path) -> None:
    folder = write_solutions(tmp_path)
    for name in ("merge_steps", "gpt2", "backward.attention", "complete"):
        result = check_in_process(folder, name)
        assert result.passed, result.text()
    command = [sys.executable, str(folder / "main.py"), "Once upon a time"]
    result_of_main = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result_of_main.stdout.startswith("Once upon a time")
    assert len(result_of_main.stdout) > 60
