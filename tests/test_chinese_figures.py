"""The Chinese pictures: the words of the English ones, each in Chinese or for a reason not, in outlines."""

from __future__ import annotations

import json
import re
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
from test_chinese import HAN, entries

from tutorials.figures import FOLDER, NAMES, checksum
from tutorials.figures._chinese import WORDS, pattern, translated

COMMENT = re.compile(r"<!-- (.*) -->")  # Matplotlib writes each line of text above its outlines
NUMBER = re.compile(r"[-−]?[\d.,]+%?|\$.*\$|[^A-Za-z]+")
KEYS = {"tokens", "token", "words", "letters", "text", "read", "predicted", "source", "target", "prompts", "sentences"}
KEYS |= {"functions", "parameters", "results", "models", "parts", "names"}  # of data that is English or code
NAMED = (  # what has the same name in Chinese
    r"Once upon a time.* …|transformer_block|h\[\d\]( … h\[\d\])?|h\.\d|wte \+ wpe|[abvwxy]|[xqkv] \[.*\]|n_dim = \d+"
    r"|top_k = \d+|top_p = 0\.9|GELU|AdamW"
)
LINES = {
    english: chinese or ""
    for key, value in WORDS.items()
    for english, chinese in zip_longest(key.split("\n"), value.split("\n"))
    if english != "{}"
}


def lines(picture: Path) -> list[str]:
    """The lines of text in a picture, without numbers: the ticks of an axis are where there is room."""
    found = COMMENT.findall(picture.read_text(encoding="utf-8"))
    return [line for line in found if not NUMBER.fullmatch(line) or re.search(f"[{HAN}]", line)]


def kept(values: Any) -> set[str]:
    """The lines of a figure's tokens and names of code, as its picture has them."""
    if isinstance(values, str):
        return {form for line in values.split("\n") for form in _forms(line)}
    return {form for value in values for form in kept(value)}


def _forms(line: str) -> tuple[str, ...]:
    return line, line.strip(), line.replace(" ", "␣"), f"{line} …", f"“{line}”", *line


@pytest.mark.parametrize("name", NAMES)
def test_a_chinese_picture_says_what_the_english_one_says(name: str) -> None:
    expected = [translated(line, LINES) for line in lines(FOLDER / f"{name}.svg")]
    picture = FOLDER / f"{name}.zh.svg"
    assert picture.is_file() == any(re.search(f"[{HAN}]", line) for line in expected)
    if picture.is_file():
        assert lines(picture) == [line for line in expected if line], "run python -m tutorials.figures --keep-numbers"


@pytest.mark.parametrize("name", NAMES)
def test_what_stays_in_english_is_a_token_or_a_name(name: str) -> None:
    data = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    stays = kept([data[key] for key in KEYS & data.keys()])
    for line in set(lines(FOLDER / f"{name}.svg")):
        if translated(line, LINES) == line:
            assert line in stays or re.fullmatch(NAMED, line), f"tutorials/figures/_chinese.py has no {line!r}"


@pytest.mark.parametrize("picture", sorted(FOLDER.glob("*.zh.svg")), ids=lambda path: path.stem)
def test_a_chinese_picture_needs_no_font(picture: Path) -> None:
    text = picture.read_text(encoding="utf-8")
    assert not re.search(r"<(text|tspan|foreignObject)\b|font-family|@font-face", text)
    assert '<use xlink:href="#NotoSansCJK' in text
    assert checksum(FOLDER / picture.name.replace(".zh.svg", ".json")) in text
    assert picture.stat().st_size < 150_000


def test_every_word_of_the_table_is_in_a_figure() -> None:
    shown = {line for name in NAMES for line in lines(FOLDER / f"{name}.svg")}
    unused = [
        line
        for line, chinese in LINES.items()
        if line != chinese and not any(pattern(line).fullmatch(text) for text in shown)
    ]
    assert unused == []


def test_the_table_has_the_words_of_the_glossary() -> None:
    terms = {english.lower(): chinese for english, chinese, _ in entries()} | {"step": "步"}
    assert {key: value for key, value in WORDS.items() if terms.get(key, value) != value} == {}
    others = [word for _, _, words in entries() for word in words.split("、") if word]
    assert [word for word in others if word in "\n".join(WORDS.values())] == []
