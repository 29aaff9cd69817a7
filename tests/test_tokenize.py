"""The command `python -m numpygpt.tokenize`."""

from __future__ import annotations

import io
import sys

import pytest

from numpygpt import GPT2, Tokenizer, tokenize


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(*arguments: str, stdin: str = "", terminal: bool = False, **settings: str) -> str:
    """What the command prints."""
    stdout = Terminal() if terminal else io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        patch.setattr(sys, "stdout", stdout)
        for name in ("NO_COLOR", "TERM"):
            patch.setenv(name, settings.get(name, ""))
        tokenize.main(list(arguments))
    return stdout.getvalue()


def test_a_text_is_cut_and_numbered() -> None:
    assert shown("Hello,", "world") == 'Hello|,| world\n 15496  "Hello"\n    11  ","\n   995  " world"\n'


def test_every_id_is_there_and_what_is_no_character_is_shown_as_bytes() -> None:
    text = 'a "quoted"\tcafé 🐈'
    ids = Tokenizer().encode(text)
    lines = shown(text).splitlines()[-len(ids) :]
    assert [int(line.split()[0]) for line in lines] == ids
    assert [line[8:] for line in lines[-3:]] == [r"b' \xf0\x9f'", r"b'\x90'", r"b'\x88'"]
    assert r'   366  " \""' in lines


def test_merges_are_shown_one_by_one() -> None:
    steps = shown("--merges", "hello").splitlines()
    assert steps == ['"h" "e" "l" "l" "o"', '"he" "l" "l" "o"', '"he" "ll" "o"', '"hell" "o"', '"hello"', ""]


def test_colors_on_a_terminal_and_nowhere_else() -> None:
    assert "\x1b[30;44mHello\x1b[0m\x1b[30;42m,\x1b[0m" in shown("Hello,", terminal=True, TERM="xterm")
    for settings in ({"NO_COLOR": "1", "TERM": "xterm"}, {"TERM": "dumb"}):
        assert "\x1b" not in shown("Hello,", terminal=True, **settings)
    assert "\x1b" not in shown("Hello,")


def test_another_models_tokens_and_standard_input() -> None:
    ids = GPT2.from_pretrained("stories").tokenizer.encode("Once upon")
    lines = shown("--model", "stories", stdin="Once upon\n").splitlines()[1:]
    assert [int(line.split()[0]) for line in lines] == ids


@pytest.mark.parametrize("arguments", [["--model", "/nowhere", "a"], ["--colour", "a"], ["a\udcff"]])
def test_a_mistake_is_one_line_and_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        tokenize.main(arguments)
    out, err = capsys.readouterr()
    assert (ended.value.code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("python -m numpygpt.tokenize: ")
