"""The page in Chinese: no label of page.html, page.js or the server is left in English, and all of it is used."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from catalogues import CHINESE, faults, read, said, unsaid
from look_pages import SENTENCE, data_of, serving
from test_server import ask

from numpygpt import GPT2
from numpygpt.look import __main__ as command
from numpygpt.look import page, server
from numpygpt.look.inside import HABITS
from numpygpt.look.page import look
from numpygpt.look.view import view

FOLDER = Path(page.__file__).parent
CATALOGUE = FOLDER / "zh.json"
NAMES = {"numpygpt.trace", "numpygpt.translate"}  # of Python, the same in every language
STRING = r'"((?:[^"\\]|\\.)*)"'
CALL = re.compile(rf"\b(?:say|pieces)\((?:\w+(?:\(\))? \? )?{STRING}(?: : {STRING})?")  # one text, or one of two
DYNAMIC = re.compile(r"\b(?:say|pieces)\((?!\"|\w+(?:\(\))? \? \")([^)]*)\)")
MODULES = sorted(FOLDER.glob("*.py"))


class Texts(HTMLParser):
    """What a reader sees and hears of some HTML: its texts, and those attributes that are said."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.hidden = False
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.hidden = tag in ("style", "script")
        self.found |= {
            str(value)
            for name, value in attributes
            if name in ("aria-label", "placeholder", "title", "alt", "data-page")
        }

    def handle_endtag(self, tag: str) -> None:
        self.hidden = False

    def handle_data(self, data: str) -> None:
        if not self.hidden and re.search("[A-Za-z]", data):
            self.found.add(" ".join(data.split()))


def of_html() -> set[str]:
    return Texts((FOLDER / "page.html").read_text(encoding="utf-8")).found - NAMES


def of_script() -> set[str]:
    script = (FOLDER / "page.js").read_text(encoding="utf-8")
    return {json.loads(f'"{text}"') for found in CALL.findall(script) for text in found if text}


def test_every_text_has_its_twin_and_no_other() -> None:
    assert min(len(of_html()), len(of_script())) > 50
    messages = set[str]().union(*map(said, MODULES))
    assert read(CATALOGUE).keys() == of_html() | of_script() | set(HABITS) | messages


def test_twins_are_alike() -> None:
    catalogue = read(CATALOGUE)
    assert [fault for pair in catalogue.items() for fault in faults(*pair, "name", "head")] == []
    assert {text for text, twin in catalogue.items() if not CHINESE.search(twin)} == {"Top-k", "Top-p", ", "}


def test_the_script_says_nothing_else() -> None:
    """Strings with words in them are texts to translate, or else names of classes, attributes and properties."""
    script = re.sub(
        r"/\*.*?\*/|(?<=[;{,(\s])// .*", "", (FOLDER / "page.js").read_text(encoding="utf-8"), flags=re.DOTALL
    )
    names = {"name", "text", "text, fields", "name: say(name"}  # a habit's name, and the functions' own parameters
    assert set(DYNAMIC.findall(script)) <= names
    styles = set(re.findall(r"[a-z-]+", (FOLDER / "page.css").read_text(encoding="utf-8")))
    rest = CALL.sub("", script)
    for text in re.findall(STRING, rest):
        words = re.findall("[A-Za-z-]{2,}", text)
        is_markup = set(words) <= styles or re.match(r"[#.\[:]|use strict|http|rgb|image/|application/", text)
        assert is_markup or " " not in text.strip() or text == "0 0", text


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_nothing_is_said_in_english_alone(path: Path) -> None:
    exceptions = {"default-src 'none'; img-src data:; style-src '{style}'; script-src '{script}'; connect-src {own}; "}
    english = {
        text for text in unsaid(path) if not text.startswith(("<iframe", " bytes; .save", "<unused "))
    } - exceptions
    assert english == set()


def test_the_page_in_chinese(stories: GPT2) -> None:
    html = look(stories, SENTENCE, tutorials="../tutorials/", lang="zh").html
    assert '<html lang="zh-CN">' in html
    assert "<title>看看提示里面</title>" in html
    assert {text for text in Texts(html).found if not CHINESE.search(text)} <= NAMES | {"Top-k", "Top-p"}
    data = data_of(html)
    assert data["texts"] == read(CATALOGUE)
    assert data["view"] == view(stories, SENTENCE)
    assert data["tutorials"] == "../tutorials/"
    english = look(stories, SENTENCE)
    assert english.html == look(stories, SENTENCE, lang="en").html
    assert data_of(english.html)["texts"] == {}
    assert not CHINESE.search(english.html)


def test_in_a_notebook(stories: GPT2) -> None:
    shown = stories.look("Once upon", lang="zh")
    assert shown.html == look(stories, "Once upon", lang="zh").html
    assert 'title="看看提示里面"' in shown._repr_html_()
    with pytest.raises(ValueError, match="there is no language 'fr'; choose one of en, zh"):
        stories.look("Once", lang="fr")


def test_errors_on_the_page(tiny: GPT2) -> None:
    with serving(tiny, "Once upon", lang="zh") as own:
        assert ask(own, "/look", {"text": ""})[:2] == (400, {"error": "文本是空的；至少要有一个词元"})
        assert ask(own, "/what-if", {"heads": [[9, 9]]})[1]["error"].startswith("头写成 [layer, head]")
        assert ask(own, "/look", b"no")[1] == {"error": "问题不是 JSON"}
        assert '<html lang="zh-CN">' in ask(own, "/", method="GET")[1]


@pytest.mark.parametrize(
    ("locale", "arguments", "lang"),
    [
        ({}, [], "en"),
        ({"LANG": "zh_CN.UTF-8"}, [], "zh-CN"),
        ({"LC_ALL": "en_US.UTF-8", "LANG": "zh_CN.UTF-8"}, [], "en"),
        ({"LANG": "zh_CN.UTF-8"}, ["--lang", "en"], "en"),
        ({}, ["--lang", "zh"], "zh-CN"),
    ],
)
def test_the_command(
    locale: dict[str, str],
    arguments: list[str],
    lang: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in locale.items():
        monkeypatch.setenv(name, value)
    out = tmp_path / "a.html"
    command.main(["--model", "stories", "--out", str(out), *arguments, "Once upon"])
    assert f'<html lang="{lang}">' in out.read_text(encoding="utf-8")
    assert capsys.readouterr().out.strip() == f"{out}: written" if lang == "en" else f"{out}：写好了"


def test_an_unknown_language_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["--lang", "fr", "a"])
    err = capsys.readouterr().err
    assert (ended.value.code, err.count("\n")) == (2, 1)
    assert "'fr'" in err


def test_serve_says_where_in_chinese(
    tiny: GPT2, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.LookServer, "serve_forever", lambda self: None)
    server.serve(tiny, "Once", 0, lang="zh")
    assert re.fullmatch(r"在浏览器里打开 http://127\.0\.0\.1:\d+/；按 Ctrl-C 结束服务器\n", capsys.readouterr().out)
