"""The course in Chinese: no message or hint is left without its translation, and none is there for nothing."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from catalogues import CHINESE, faults, read, said, strings, unsaid
from course_folders import check_here, check_in_this_process, replace_stub, write_stubs

from numpygpt.course import describe, exercises, result, stages
from numpygpt.course.__main__ import main
from numpygpt.course.exercises import EXERCISES
from numpygpt.course.mistakes import mistakes_of
from numpygpt.course.notebook import check
from numpygpt.course.progress import Progress
from numpygpt.course.run import check_in_process
from numpygpt.languages import speaking

ROOT = Path(__file__).parents[2]
COURSE = ROOT / "numpygpt" / "course"
MODULES = [path for path in sorted(COURSE.glob("*.py")) if not path.stem.startswith("inputs")]
CHOSEN = {
    *result.STAGES,
    describe.RESULTS["update"],
    "done",
    "begun",
    "open",
    "shares of the tokens",
    "chance comes from rng alone",
    "tokens",
}
CHOSEN |= {"the same seed gives the same tokens", "another seed gives others"}  # at run time
ENGLISH = {  # by module: what is printed, raised or returned and is no message to the learner
    "folder": {"    python -m numpygpt.course check "},
    "exercises": strings(ast.parse(Path(exercises.__file__).read_text(encoding="utf-8"))),  # of the tutorials' pages
    "weights": {" has no tokenizer"},  # of the learner's own program, which has no language
}
WRONG = "def softmax(x):\n    return np.exp(x - x.max(-1, keepdims=True))"


@pytest.fixture(autouse=True)
def no_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)


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


# ---- The catalogues


def hints() -> Iterator[str]:
    for name in EXERCISES:
        for mistake in mistakes_of(name):
            yield from mistake.hints


def test_every_hint_has_its_twin_and_no_other() -> None:
    assert read(COURSE / "mistakes" / "zh.json").keys() == set(hints())


def test_every_message_has_its_twin_and_no_other() -> None:
    messages = set[str]().union(*map(said, MODULES)) | CHOSEN
    assert read(COURSE / "zh.json").keys() == messages
    assert messages >= {"{name}: passed", "right but slow: it was waited for, and the text is cut after new token {n}"}
    everything = set[str]().union(*(strings(ast.parse(p.read_text(encoding="utf-8"))) for p in COURSE.glob("*.py")))
    assert everything >= CHOSEN


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_nothing_is_said_in_english_alone(path: Path) -> None:
    assert set(unsaid(path)) <= ENGLISH.get(path.stem, set())


@pytest.mark.parametrize("path", [COURSE / "zh.json", COURSE / "mistakes" / "zh.json"], ids=lambda p: p.parent.name)
def test_twins_are_alike(path: Path) -> None:
    assert [fault for pair in read(path).items() for fault in faults(*pair)] == []


def test_the_hints_name_the_same_code() -> None:
    """A name or a piece of code of a translation stands in the original, too."""
    for english, chinese in read(COURSE / "mistakes" / "zh.json").items():
        for word in re.findall(r"[A-Za-z_][A-Za-z_0-9.]*[A-Za-z_0-9]", chinese):
            assert word in english or word in {"yield", "return", "logits"}, (english, chinese)


# ---- What the learner reads


def test_start_remembers_the_language(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("start", tmp_path / "mine", "--lang", "zh") == 0
    assert "从 " in capsys.readouterr().out
    assert Progress(tmp_path / "mine").lang == "zh"
    text = (tmp_path / "mine" / "layers.py").read_text(encoding="utf-8")
    assert "def softmax(x):" in text
    assert "先读：tutorials/zh/02-numbers-become-vectors.md, tutorials/zh/03-attention.md" in text
    assert run("status", tmp_path / "mine") == 0
    out = capsys.readouterr().out
    assert "未开始 第  1 页  join" in out
    assert "54 个里完成了 0 个" in out
    assert run("status", tmp_path / "mine", "--lang", "en") == 0
    assert "0 of 54 done" in capsys.readouterr().out
    assert run("start", tmp_path / "mine") == 0
    assert "没有新内容" in capsys.readouterr().out
    assert run("start", tmp_path / "mine", "--lang", "en") == 0
    assert run("status", tmp_path / "mine") == 0
    assert "0 of 54 done" in capsys.readouterr().out


@pytest.mark.usefixtures("here")
def test_check_hint_and_reset(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", folder, "softmax", "--lang", "zh") == 1
    assert "softmax 还没写：打开 layers.py 第 " in capsys.readouterr().out
    replace_stub(folder, "layers.py", "softmax", WRONG)
    assert run("start", folder, "--lang", "zh") == 0
    capsys.readouterr()
    assert run("check", folder, "softmax") == 1
    out = capsys.readouterr().out
    assert "softmax：第 2 关，例子" in out
    assert "    应为 [" in out
    assert "    提示：每一行加起来等于 1 吗？" in out
    assert run("hint", folder, "softmax") == 0
    assert run("hint", folder, "softmax") == 0
    assert capsys.readouterr().out == "每一行加起来等于 1 吗？\n光有 exp 还不是份额：要除以这一行的和。\n"
    assert run("check", folder, "softmax", "--json") == 1
    [result] = json.loads(capsys.readouterr().out)
    assert result.keys() >= {"name", "status", "stage", "message", "hints"}
    assert (result["status"], result["mistake"]) == ("failed", "no_division")
    assert run("reset", folder, "softmax") == 0
    assert "又变回留空的函数了" in capsys.readouterr().out
    assert run("check", folder, "nothing") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_status_for_programs_is_in_english(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("status", folder, "--json", "--lang", "zh") == 0
    assert json.loads(capsys.readouterr().out)[0]["status"] == "open"


@pytest.mark.parametrize(
    ("locale", "passed"),
    [
        ({"LANG": "zh_CN.UTF-8"}, "通过"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_TW"}, "通过"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "done"),
        ({}, "done"),
    ],
)
def test_the_locale_decides_where_nobody_did(
    locale: dict[str, str],
    passed: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in locale.items():
        monkeypatch.setenv(name, value)
    assert run("status", folder) == 0
    assert ("完成了 0 个" if passed == "通过" else "0 of 54 done") in capsys.readouterr().out


def test_an_unknown_language_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("status", folder, "--lang", "fr") == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "fr" in err
    with pytest.raises(ValueError, match="there is no language 'fr'; choose one of en, zh"):
        check(len, "softmax", lang="fr")


def test_in_a_notebook(capsys: pytest.CaptureFixture[str]) -> None:
    from numpygpt import relu

    assert check(relu, lang="zh")
    assert capsys.readouterr().out.startswith("relu：通过\n    用上你写的 relu（其余都是书里的代码），")
    assert check(relu)
    assert capsys.readouterr().out.startswith("relu: passed\n    with your relu (the rest is the book's), ")


@pytest.mark.parametrize("name", ["join", "encode", "gpt2", "sample", "cached_attention", "cross_entropy", "complete"])
def test_a_pass_is_said_in_chinese(name: str, folder: Path) -> None:
    exercise = EXERCISES[name]
    with speaking("zh"):
        result = stages.check(exercise, exercise.book(), folder)
        assert result.passed
        assert all(CHINESE.search(line) for line in result.text().splitlines())


@pytest.mark.parametrize(
    "code",
    [
        "def softmax(x):\n    return None",
        "def softmax(x):\n    return x.tolist()",
        "def softmax(x):\n    return x[:1]",
        "def softmax(x):\n    return x / undefined",
        "def softmax(x)\n    return x",
        "def softmax(x):\n    x -= 1\n    return x",
        "def softmax(x):\n    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)",
    ],
)
def test_what_is_wrong_is_said_in_chinese(code: str, folder: Path) -> None:
    replace_stub(folder, "layers.py", "softmax", code)
    with speaking("zh"):
        text = check_here(folder, "softmax").text()
    first, *_ = text.splitlines()
    assert CHINESE.search(first)
    assert CHINESE.search(text.replace(first, ""))


def test_the_end_of_the_program_is_said_in_chinese(folder: Path) -> None:
    replace_stub(folder, "layers.py", "softmax", "def softmax(x):\n    import os\n    os._exit(3)")
    with speaking("zh"):
        assert "你的代码让整个程序结束了（退出状态 3）" in check_in_process(folder, "softmax").text()


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_terminal_of_another_encoding_is_no_crash(folder: Path, encoding: str) -> None:
    command = [sys.executable, "-m", "numpygpt.course", "status", str(folder), "--lang", "zh"]
    environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert b"join" in ended.stdout
