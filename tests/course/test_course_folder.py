"""The learner's folder and the command around it: names that are nearly right, a file that is no Python, the end."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
from course_folders import check_in_this_process, replace_stub, write_stubs

from numpygpt.course import commands
from numpygpt.course.__main__ import main
from numpygpt.course.exercises import EXERCISES, find
from numpygpt.course.folder import reset
from numpygpt.course.learner import is_written
from numpygpt.course.progress import Progress
from numpygpt.course.result import NOT_WRITTEN, Result

RELU = "def relu(x):\n    return np.maximum(x, 0)"
BROKEN = "def softmax(x):\n    y = np.exp(x\n    return y"


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


def write_in_place(folder: Path, file: str, name: str, code: str) -> None:
    """Write a function where its stub stands, as a learner does."""
    path = folder / file
    text = path.read_text(encoding="utf-8")
    [node] = [n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef) and n.name == name]
    lines = text.splitlines()
    lines[node.lineno - 1 : node.end_lineno] = code.splitlines()
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


# ---- The stubs


def test_a_stub_says_what_its_function_needs(folder: Path) -> None:
    texts = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.py")}
    for name in ("layers.py", "gpt2.py", "cache.py", "transformer.py"):
        assert "In a shape, ... stands for any axes, or none" in texts[name].split("import", 1)[0]
    assert "In a shape" not in texts["tokenizer.py"]
    assert "`sampling.choose(logits, [ids], [rng])` chooses the next id" in texts["generate.py"]
    assert '{"shared": {"weight": [n_vocab, n_embd]}' in texts["transformer.py"]
    backward = (folder / "backward" / "layers.py").read_text(encoding="utf-8")
    assert "mask: what dropout multiplied the\n    probabilities by, [..., n_query, n_key]" in backward


def test_no_example_of_a_stub_is_longer_than_a_line(folder: Path) -> None:
    for path in folder.rglob("*.py"):
        lines = path.read_text(encoding="utf-8").splitlines()
        assert [line for line in lines if ">>>" in line and len(line) > 120] == []
        assert [line for line in lines if line != line.rstrip()] == []


# ---- Names and options


@pytest.mark.parametrize(
    ("name", "near"),
    [("sofmax", "softmax"), ("Softmax", "softmax"), ("tranformer", "transformer"), ("cross_entrpy", "cross_entropy")],
)
def test_a_name_that_is_nearly_right(name: str, near: str) -> None:
    with pytest.raises(ValueError, match=rf"no exercise is called '{name}'; did you mean .*\b{near}\b"):
        find(name)


def test_a_name_may_stand_with_its_module_or_class() -> None:
    assert find("layers.softmax") is find("softmax")
    assert find("Tokenizer.encode") is find("encode")
    assert find("backward.layers.softmax") is find("backward.softmax")


@pytest.mark.parametrize("command", ["check", "hint", "reset", "show"])
def test_every_command_says_which_name_is_near(command: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, folder, "atention") == 2
    error = capsys.readouterr().err
    assert "did you mean" in error
    assert error.count("\n") == 1


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("order", ["cjfn", "jcfn", "cfjn", "cfnj", "tcfjn", "ctfnj", "cftnj", "cfntj"])
def test_options_stand_anywhere(order: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = {"c": ["check"], "f": [str(folder)], "n": ["relu", "gelu"], "j": ["--json"], "t": ["--time-limit", "9"]}
    assert run(*(word for letter in order for word in words[letter])) == 1
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == ["relu", "gelu"]


def test_show_takes_a_folder_and_several_names(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", folder, "relu", "backward.relu") == 0
    out = capsys.readouterr().out
    assert "return np.maximum(x, 0)" in out
    assert "return dy * (x > 0)" in out


def test_a_folder_that_is_none(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", "softmax", folder) == 2
    assert "the folder comes first: python -m numpygpt.course check FOLDER softmax" in capsys.readouterr().err
    assert run("check", folder / "layers.py") == 2
    assert "is a file; give the folder" in capsys.readouterr().err


# ---- A file that is no Python


def test_reset_keeps_the_old_text(folder: Path) -> None:
    write_in_place(folder, "layers.py", "relu", RELU)
    path = folder / "layers.py"
    old = path.read_text(encoding="utf-8")
    assert run("reset", folder, "relu") == 0
    assert not is_written(folder, EXERCISES["relu"])
    assert [kept.read_text(encoding="utf-8") for kept in folder.glob("layers-*.txt")] == [old]


@pytest.mark.parametrize(
    "code",
    [
        BROKEN,
        "def softmax(x)\n    return x",
        "def softmax(x):\nreturn x",
        'def softmax(x):\n    """Begun.\n    return x',
    ],
)
def test_reset_mends_a_file_that_is_no_python(folder: Path, code: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = (folder / "layers.py").read_text(encoding="utf-8")
    write_in_place(folder, "layers.py", "softmax", code)
    old = (folder / "layers.py").read_text(encoding="utf-8")
    reset(folder, EXERCISES["softmax"])
    assert (folder / "layers.py").read_text(encoding="utf-8") == before
    assert [kept.read_text(encoding="utf-8") for kept in folder.glob("layers-*.txt")] == [old]
    assert "no Python" not in capsys.readouterr().out


def test_reset_of_a_method_in_a_file_that_is_no_python(folder: Path) -> None:
    path = folder / "tokenizer.py"
    before = path.read_text(encoding="utf-8")
    stub = before.index("        raise NotImplementedError", before.index("def decode("))
    path.write_text(before[:stub] + "        return (\n" + before[stub:].split("\n", 1)[1], encoding="utf-8")
    reset(folder, EXERCISES["decode"])
    assert ast.dump(ast.parse(path.read_text(encoding="utf-8"))) == ast.dump(ast.parse(before))


def test_reset_says_what_is_still_wrong(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_in_place(folder, "layers.py", "relu", RELU + " +")
    reset(folder, EXERCISES["gelu"])
    out = capsys.readouterr().out
    assert "gelu is a stub again" in out
    assert "still is no Python, outside of gelu" in out


def test_in_a_file_that_is_no_python_only_what_is_begun_counts(folder: Path) -> None:
    write_in_place(folder, "layers.py", "relu", RELU)
    write_in_place(folder, "layers.py", "softmax", BROKEN)
    assert [e.name for e in EXERCISES.values() if is_written(folder, e)] == ["softmax", "relu"]


@pytest.mark.usefixtures("here")
def test_an_error_that_several_wait_for_is_shown_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_in_place(folder, "layers.py", "relu", RELU)
    write_in_place(folder, "layers.py", "softmax", BROKEN)
    assert run("check", folder) == 1
    out = capsys.readouterr().out
    assert out.count("the file does not run") == 1
    assert "relu: waits for the same line" in out


# ---- Everything at once


@pytest.mark.usefixtures("here")
def test_a_check_of_everything_is_short(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    replace_stub(folder, "layers.py", "relu", RELU)
    code = "def sines_first(n, d):\n    x = sinusoidal_encoding(n, d)\n    return np.hstack([x[:, ::2], x[:, 1::2]])"
    replace_stub(folder, "transformer.py", "sines_first", code)
    assert run("check", folder) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["relu: passed", "sines_first: passed"]
    assert lines[2].startswith("with your relu and sines_first, one at a time (the rest is the book's), the ")
    assert lines[3:] == [
        "2 of 2 passed",
        "2 of 54 done",
        "next: join in tokenizer.py; page 1 of the tutorials explains it (about 10 minutes)",
    ]


def test_nothing_written_yet(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", folder) == 1
    assert capsys.readouterr().out.splitlines()[0] == "0 of 54 done"
    assert not (folder / ".course.json").exists()


@pytest.mark.parametrize("names", [["relu"], ["relu", "gelu"]])
def test_the_end_of_the_course(
    names: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, exercise in EXERCISES.items():
        if exercise.method:
            continue
        replace_stub(folder, exercise.file, name, f"def {exercise.attribute}(*a, **k):\n    return 0")
    methods = {"tokenizer.py": "Tokenizer", "loss.py": "TextLoss", "optimizer.py": "AdamW"}
    for file, cls in methods.items():
        replace_stub(folder, file, cls, f"{cls} = None")
        text = (folder / file).read_text(encoding="utf-8").replace("raise NotImplementedError", "return 0")
        (folder / file).write_text(text, encoding="utf-8")
    progress = Progress(folder)
    for name in EXERCISES:
        progress.note(Result(name))
    progress.save()
    monkeypatch.setattr(commands, "check_many", lambda folder, names, limit, quiet: map(Result, names))
    assert run("check", folder, *names) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f'All 54 done. Now run: python {folder / "main.py"} "Once upon a time"'
    failed = Result("relu", NOT_WRITTEN, 1)
    monkeypatch.setattr(commands, "check_many", lambda folder, names, limit, quiet: [failed])
    assert run("check", folder, "relu") == 1
    assert "All 54 done" not in capsys.readouterr().out
