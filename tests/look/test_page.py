"""The one file: what is in it, how large it is, and that no prompt becomes markup."""

from __future__ import annotations

import re
import signal
import sys
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from subprocess import PIPE

import pytest
from command_runs import PATIENCE, posix, started
from look_pages import SENTENCE, data_of
from random_models import random_params

from numpygpt import GPT2, GPT2Config, Tokenizer
from numpygpt.look import __main__ as command
from numpygpt.look import page
from numpygpt.look.page import Page, look
from numpygpt.look.view import facts, view

HOSTILE = "</script><img src=x onerror=alert(1)> {{data}} & \u2028 \u202e \x00 🐈 <!--<script>"


class Elements(HTMLParser):
    """The elements of a page, and their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attributes


def test_the_page_holds_the_view_and_the_facts(stories: GPT2) -> None:
    data = data_of(look(stories, SENTENCE).html)
    assert data["view"] == view(stories, SENTENCE)
    assert data["model"] == facts(stories)
    assert data["live"] is False


def test_no_prompt_becomes_markup(stories: GPT2) -> None:
    harmless, hostile = (look(stories, text).html for text in ("Once", HOSTILE))
    assert Elements(hostile).names == Elements(harmless).names
    assert "onerror" not in dict(Elements(hostile).attributes)
    assert data_of(hostile)["view"]["text"] == HOSTILE
    assert "onerror=alert(1)>" not in hostile.replace(r"\u003cimg src=x onerror=alert(1)>", "")


def test_it_asks_nothing_of_any_network(stories: GPT2) -> None:
    html = look(stories, SENTENCE).html
    addresses = set(re.findall(r"https?://[^\"'\s)]+", html))
    assert addresses <= {"http://www.w3.org/2000/svg"}  # the name of a format, which nobody fetches
    [policy] = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy.startswith("default-src 'none'; ")
    assert "connect-src 'none'" in policy
    for kind in ("css", "js"):
        text = (page.FOLDER / f"page.{kind}").read_text(encoding="utf-8")
        assert page.fingerprint(text) in policy
        assert text in html
        assert "</s" not in text.lower()


def test_no_text_becomes_markup_in_the_script_either() -> None:
    script = (page.FOLDER / "page.js").read_text(encoding="utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write\b|\beval\b|new Function", script)


def test_twenty_tokens_of_the_embedded_model_are_below_2_mb(stories: GPT2) -> None:
    text = "Once upon a time there was a little girl named Lily. She had a red ball."
    assert len(stories.tokenizer.encode(text)) == 20
    assert len(look(stories, text).html.encode()) < 2e6


@pytest.mark.slow
def test_64_tokens_of_a_model_as_large_as_gpt2_are_below_25_mb() -> None:
    model = GPT2(GPT2Config(), random_params(GPT2Config(), scale=0.02), Tokenizer())
    text = " ball" * 64
    assert len(model.tokenizer.encode(text)) == 64
    assert len(look(model, text).html.encode()) < 25e6


def test_links_to_the_tutorials_only_where_an_address_is_given(stories: GPT2) -> None:
    assert data_of(look(stories, "Once").html)["tutorials"] == ""
    assert data_of(look(stories, "Once", tutorials="../").html)["tutorials"] == "../"


def test_a_notebook_shows_the_same_page(stories: GPT2, tmp_path: Path) -> None:
    shown = stories.look("Once upon")
    [inner] = re.findall(r'srcdoc="([^"]*)"', shown._repr_html_())
    assert unescape(inner) == shown.html == look(stories, "Once upon").html
    shown.save(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == shown.html
    assert repr(shown) == f"<Page: {len(shown.html.encode()):,} bytes; .save(path) writes it to a file>"
    assert isinstance(shown, Page)


# The command


def test_the_command_writes_the_page_and_says_where(
    stories: GPT2, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.chdir(tmp_path)
    command.main(["--model", "stories", "Once", "upon"])
    command.main(["--model", "stories", "--open", "--out", "b.html", "Once upon"])
    assert capsys.readouterr().out == "look.html: written\nb.html: written\n"
    assert (tmp_path / "look.html").read_text(encoding="utf-8") == look(stories, "Once upon").html
    assert opened == [(tmp_path / "b.html").as_uri()]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--model", "stories", ""], "the text is empty"),
        (["--model", "stories", "ball " * 300], "shows at most 256 of them; shorten it"),
        (["--model", "/nowhere", "a"], "/nowhere"),
        (["--model", "stories", "--out", "/nowhere/a.html", "a"], "/nowhere/a.html"),
        (["--serve", "99999", "a"], "a port is a number up to 65535"),
        (["--serve", "9" * 5000, "a"], "a port is a number up to 65535"),
        (["--sevre", "a"], "--sevre"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    out, err = capsys.readouterr()
    assert (ended.value.code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("python -m numpygpt.look: ")
    assert error in err


@pytest.mark.parametrize(
    ("arguments", "port", "text"),
    [
        (["--serve", "The boat"], 8000, "The boat"),
        (["The boat", "--serve"], 8000, "The boat"),
        (["--serve", "9000", "The", "boat"], 9000, "The boat"),
        (["--serve", "The", "boat"], 8000, "The boat"),
        (["--serve", "--open", "The boat"], 8000, "The boat"),
    ],
)
def test_the_port_may_be_left_out(arguments: list[str], port: int, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []
    monkeypatch.setattr(command, "serve", lambda model, text, port, ready, lang: asked.append((text, port)))
    command.main(["--model", "stories", *arguments])
    assert asked == [(text, port)]


@posix
def test_ctrl_c_ends_the_server_without_a_word() -> None:
    arguments = [sys.executable, "-m", "numpygpt.look", "--model", "stories", "--serve", "0", "Once upon"]
    with started(arguments, stdout=PIPE, stderr=PIPE) as process:
        assert process.stdout
        assert re.fullmatch(rb"http://127\.0\.0\.1:\d+/ shows it; Ctrl-C ends the server\n", process.stdout.readline())
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=PATIENCE) == (b"", b"")
    assert process.returncode == 130
