"""The command `python -m numpygpt.tokenize`."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest

from numpygpt import GPT2, Tokenizer, tokenize


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(monkeypatch: pytest.MonkeyPatch, *arguments: str, stdout: io.StringIO | None = None, **setting: str) -> str:
    """What the command prints."""
    stream = stdout or io.StringIO()
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", stream)
    tokenize.main(list(arguments))
    return stream.getvalue()


def test_a_text_is_cut_and_numbered(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, "Hello,", "world") == 'Hello|,| world\n 15496  "Hello"\n    11  ","\n   995  " world"\n'


def test_every_id_is_there_and_what_is_no_character_is_shown_as_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'a "quoted"\tcafé 🐈'
    ids = Tokenizer().encode(text)
    lines = shown(monkeypatch, text).splitlines()[-len(ids) :]
    assert [int(line.split()[0]) for line in lines] == ids
    assert [line[8:] for line in lines[-3:]] == [r"b' \xf0\x9f'", r"b'\x90'", r"b'\x88'"]
    assert r'   366  " \""' in lines


def test_merges_are_shown_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = shown(monkeypatch, "--merges", "hello").splitlines()
    assert steps == ['"h" "e" "l" "l" "o"', '"he" "l" "l" "o"', '"he" "ll" "o"', '"hell" "o"', '"hello"', ""]


def test_colors_on_a_terminal_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[30;44mHello\x1b[0m\x1b[30;42m,\x1b[0m" in shown(monkeypatch, "Hello,", stdout=Terminal(), TERM="xterm")
    for settings in ({"NO_COLOR": "1", "TERM": "xterm"}, {"TERM": "dumb"}):
        assert "\x1b" not in shown(monkeypatch, "Hello,", stdout=Terminal(), **settings)
    assert "\x1b" not in shown(monkeypatch, "Hello,")


def test_another_models_tokens_and_standard_input() -> None:
    command = [sys.executable, "-m", "numpygpt.tokenize", "--model", "stories"]
    process = subprocess.run(command, input="Once upon\n", capture_output=True, encoding="utf-8", check=True)
    ids = GPT2.from_pretrained("stories").tokenizer.encode("Once upon")
    assert [int(line.split()[0]) for line in process.stdout.splitlines()[1:]] == ids


def test_mistakes_are_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--model", "/nowhere", "a"], ["--colour", "a"], ["a\udcff"]):
        with pytest.raises(SystemExit) as ended:
            tokenize.main(arguments)
        assert ended.value.code == 2
        captured = capsys.readouterr()
        assert (captured.out, captured.err.count("\n")) == ("", 1)
        assert captured.err.startswith("python -m numpygpt.tokenize: ")
