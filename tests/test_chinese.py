"""The Chinese pages: the English pages' blocks, headings and figures, one word for each term, and the typography."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_tutorials import FENCE, IMAGE

from tutorials import chinese

ENGLISH = sorted(chinese.FOLDER.parent.glob("*.md"))
PAGES = chinese.pages()
ROOT = chinese.FOLDER.parents[1]
GLOSSARY = chinese.FOLDER / "glossary.md"
README = ROOT / "README.zh.md"
TERM = re.compile(r"(?<!\*)\*([^*\n]+)\*(?!\*)")
HAN, FULL = "一-鿿", "，。；：？！、（）“”《》"
WRONG = {
    "a half-width sign after a Chinese character": rf"[{HAN}{FULL}][,.;:?!()]|[{HAN}]\"",
    "a half-width sign before a Chinese character": rf"[,;:?!\"()][{HAN}]",
    "no space between a Chinese character and a Latin one, a digit, code or a formula": (
        rf"[{HAN}][A-Za-z0-9]|[A-Za-z0-9][{HAN}]"
    ),
    "a space beside a full-width sign": rf"[{FULL}] +[^|\s]|[^|\s>\d] +[{FULL.replace('“', '')}]",
    "a line that is broken, which shows as a space": rf"[{HAN}{FULL}A-Za-z]\n *[{HAN}{FULL}A-Za-z]",
    "您": "您",
}


def prose(text: str) -> str:
    """A page without blocks; code and formulas become an x, links and pictures their text, without stars."""
    text = re.sub(r"<!--.*?-->|(?<=\n\n)( {4}.*\n)+", "", FENCE.sub("```", text))
    text = re.sub(r"(`+)[^`].*?\1|\$\$.*?\$\$|\$[^$\n]+\$|https?:[\w/.:?=&%#-]+", "x", text)
    text = re.sub(r"!?\[((?:[^\[\]]|\[[^\]]*\])*)\]\([^)\s]+\)", r"\1", text)
    return re.sub(r"</?\w[^>]*>|\*", "", text)


def entries() -> list[tuple[str, str, str]]:
    """The table of the glossary: an English term, its Chinese form or an empty string, and the words not to use."""
    text = GLOSSARY.read_text(encoding="utf-8").partition("###")[0]
    rows = re.findall(r"^\| (.*?) \| (.*?) \| (.*?) \|$", text, re.MULTILINE)[2:]
    return [(row[0].replace("\\|", "|"), row[1].strip(), row[2].strip()) for row in rows]


def headings(text: str) -> list[str]:
    """The headings of a page."""
    return re.findall(r"^#+ .*$", FENCE.sub("", text), re.MULTILINE)


def test_every_page_has_a_twin() -> None:
    assert {page.name for page in PAGES} == {page.name for page in ENGLISH}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_headings_and_figures_are_those_of_the_english_page(page: Path) -> None:
    here, there = page.read_text(encoding="utf-8"), chinese.english(page).read_text(encoding="utf-8")
    assert chinese.refreshed(here, chinese.blocks(there)) == here, "run python -m tutorials.chinese"
    assert "@@" not in prose(here)
    assert [heading.split()[0] for heading in headings(here)] == [heading.split()[0] for heading in headings(there)]
    pictures = [path.replace(".zh.svg", ".svg") for _, path in IMAGE.findall(here)]
    assert pictures == [f"../{path}" for _, path in IMAGE.findall(there)]
    assert all((page.parent / path).is_file() for _, path in IMAGE.findall(here))
    assert all(len(re.findall(f"[{HAN}]", description)) >= 15 for description, _ in IMAGE.findall(here))
    assert here.count("<details>") == there.count("<details>")
    assert here.splitlines()[2] == f"[English](../{page.name})"


def test_blocks_that_only_a_chinese_page_has_are_run() -> None:
    from tutorials.conftest import collect_ignore

    own = {page.name for page in PAGES if chinese.OWN in page.read_text(encoding="utf-8")}
    assert own.isdisjoint(Path(name).name for name in collect_ignore)
    assert {Path(name).name for name in collect_ignore} == {path.name for path in chinese.FOLDER.glob("*.md")} - own


@pytest.mark.parametrize("page", [*PAGES, README], ids=lambda page: page.name)
def test_typography(page: Path) -> None:
    text = prose(page.read_text(encoding="utf-8"))
    for what, pattern in WRONG.items():
        found = [text[max(match.start() - 12, 0) : match.end() + 12] for match in re.finditer(pattern, text)]
        assert not found, what


def test_typography_is_seen() -> None:
    for text in (
        "词元,它",
        "好.",
        "用GPT 写",
        "用`x`写",
        "见 [GPT](a.md)的",
        "它 ，是",
        "好。 它",
        "一\n二",
        "您",
        "问(答)",
    ):
        assert any(re.search(pattern, prose(text)) for pattern in WRONG.values()), text
    right = "*词元*（token）是 `x` 的[第 1 页](a.md)，共 50,257 个：`a`、$b$。\n\n| 一 | 二 |\n\n1. “三”\n2. 四\n"
    assert not any(re.search(pattern, prose(right)) for pattern in WRONG.values())


def test_the_glossary_has_a_word_for_every_term() -> None:
    text = (chinese.FOLDER.parent / "glossary.md").read_text(encoding="utf-8")
    assert [entry[0] for entry in entries()] == re.findall(r"^### (.+)$", text, re.MULTILINE)
    if GLOSSARY in PAGES:
        heads = [heading.removeprefix("### ") for heading in headings(GLOSSARY.read_text(encoding="utf-8"))]
        heads = [head for head in heads if not head.startswith("#")]
        for head, (term, word, _) in zip(heads, entries(), strict=True):
            assert head.lower() == (f"{word}（{term}）" if word else term).lower()


@pytest.mark.parametrize("page", [*PAGES, README], ids=lambda page: page.name)
def test_no_page_has_another_word_for_a_term(page: Path) -> None:
    text = prose(page.read_text(encoding="utf-8"))
    if page == GLOSSARY:
        text = text.partition("###")[2]
    others = [word for _, _, words in entries() for word in words.split("、") if word]
    assert [word for word in others if word in text] == []


@pytest.mark.parametrize("page", [page for page in PAGES if page != GLOSSARY], ids=lambda page: page.name)
def test_what_a_page_puts_in_italics_is_a_term_of_the_glossary(page: Path) -> None:
    text = re.sub(r"`[^`\n]+`|\$[^$\n]+\$", "", FENCE.sub("", page.read_text(encoding="utf-8")))
    known = {form.lower() for term, word, _ in entries() for form in (term, word)}
    for others in re.findall(r"又称：(.+?)\*", GLOSSARY.read_text(encoding="utf-8")):
        known |= {form.lower() for form in others.split("、")}
    assert {term for term in TERM.findall(text) if term.lower() not in known} == set()


def test_the_readme_shows_the_commands_and_the_figures_of_the_english_one() -> None:
    here, there = README.read_text(encoding="utf-8"), (ROOT / "README.md").read_text(encoding="utf-8")
    assert chinese.blocks(here) == chinese.blocks(there)
    lines = [line for line in re.findall(r"^    .*$", here, re.MULTILINE) if line not in there]
    assert [line for line in lines if "-i https://" not in line and "HF_ENDPOINT" not in line] == []
    links = re.sub(r"https?:[^ >)]+", "", here)
    assert set(re.findall(r"\d+\.\d+", links)) - set(re.findall(r"\d+\.\d+", there)) == set()
