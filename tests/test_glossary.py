"""The glossary: every term has a page that explains it, and no page uses it before."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from tutorials.figures import FOLDER

PAGES = sorted(FOLDER.parent.glob("*.md"))
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)

GLOSSARY = FOLDER.parent / "glossary.md"
NUMBERED = {int(page.name[:2]): page for page in PAGES if page.name[:2].isdigit()}
ENTRY = re.compile(r"^### (.+)\n\n(?:\*Also: (.+?)\.\*)?([^#]+)", re.MULTILINE)
CODE = re.compile(r"`[^`\n]+`")
OPENING = re.compile(r"\A.*?(?=^## )", re.MULTILINE | re.DOTALL)  # says what the page is going to explain
SOURCES = re.compile(r"^\*\*The source\*\*.*\Z", re.MULTILINE | re.DOTALL)
PAPER = re.compile(r'"Attention Is\s+All\s+You\s+Need"')
TARGET = re.compile(r"(?<=\])\([^)]+\)")
SENTENCE = re.compile(r"(?:[^.?!:;\n]|[.?!:;](?!\s)|\n(?!\n))+[.?!:;]?")
POINTER = re.compile(r"\bpages?\s+(\d+)(?:\s*(?:and|to)\s+(\d+))?", re.IGNORECASE)
EVERYDAY = {  # words that are not the term, most of the time
    "Mean": "the verb, and the average that everybody knows",
    "Step": "the pages count their own",
}
EXEMPT = {  # a term and a page before the one that explains it
    ("Dtype", 0): "explained there for those who need it, and again on its page",
    ("Length", 0): "of an axis",
    ("Shape", 0): "explained there for those who need it, and again on its page",
    ("Bit", 5): "a binary digit",
    ("Bit", 7): "a binary digit",
    ("Training", 1): "what a model or a tokenizer was made from",
    ("Value", 2): "of a function",
}


class Entry(NamedTuple):
    page: int
    forms: list[str]
    text: str


@cache
def read_glossary() -> dict[str, Entry]:
    """Every term with the page that explains it, its forms, and its definition."""
    entries = {}
    for term, also, text in ENTRY.findall(GLOSSARY.read_text(encoding="utf-8")):
        link = re.search(r"\[Page (\d+)\]\(([^)]+)\)\s*\Z", text)
        assert link is not None, f"{term}: no page"
        assert link[2].startswith(f"{int(link[1]):02}-"), f"{term}: page {link[1]} is not {link[2]}"
        forms = [term, *(also.replace("\n", " ").split(", ") if also else [])]
        entries[term] = Entry(int(link[1]), forms, text[: link.start()].strip())
    return entries


@cache
def as_pattern(form: str) -> re.Pattern[str]:
    """A form of a term as whole words: with any white space or hyphen between them, in the plural too.

    Letters may be large or small, but for an abbreviation, which has a capital after its first letter.
    """
    if form.startswith("`"):
        return re.compile(rf"(?<!\w){re.escape(form.strip('`'))}(?!\w)")
    words = r"[\s-]+".join(map(re.escape, re.split(r"[ -]", form)))
    plural = rf"{words[:-1]}(?:y|ies)" if form.endswith("y") else rf"{words}(?:{'e' * (form[-1] in 'sxh')}s)?"
    return re.compile(rf"(?<![\w-]){plural}(?![\w-])", 0 if form[1:].lower() != form[1:] else re.IGNORECASE)


def blank(pattern: re.Pattern[str], text: str) -> str:
    """Replace what matches by spaces, line by line, so that the rest stays where it was."""
    return pattern.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def only(pattern: re.Pattern[str], text: str) -> str:
    """Replace all that does not match by spaces, line by line."""
    parts = re.split(f"({pattern.pattern})", text)  # what matches stands at the odd places
    return "".join(part if i % 2 else re.sub(r"[^\n]", " ", part) for i, part in enumerate(parts))


@cache
def prose(page: Path, code: bool) -> tuple[str, list[tuple[int, str, int]]]:
    """A page's prose, or the code within it alone; of each sentence its place, itself, the last page it points to."""
    text = page.read_text(encoding="utf-8")
    for hidden in (FENCE, OPENING, SOURCES, TARGET, PAPER):
        text = blank(hidden, text)
    text = only(CODE, text) if code else blank(CODE, text)
    sentences = []
    for found in SENTENCE.finditer(text):
        pointers = [int(number) for pointer in POINTER.findall(found[0]) for number in pointer if number]
        sentences.append((found.start(), found[0], max(pointers, default=0)))
    return text, sentences


def uses(page: Path, entry: Entry) -> Iterator[int]:
    """The lines of a page whose prose uses a term, but for sentences that point to the page that explains it."""
    for form in entry.forms:
        text, sentences = prose(page, form.startswith("`"))
        if as_pattern(form).search(text):
            for start, sentence, pointer in sentences:
                if pointer < entry.page:
                    for match in as_pattern(form).finditer(sentence):
                        yield text.count("\n", 0, start + match.start()) + 1


def test_glossary_is_in_alphabetical_order_and_brief() -> None:
    entries = read_glossary()
    assert len(entries) == GLOSSARY.read_text(encoding="utf-8").count("\n### ")
    keys = [re.sub(r"[^a-z0-9]+", " ", term.lower()).strip() for term in entries]
    assert keys == sorted(keys)
    for term, entry in entries.items():
        assert 1 <= len(re.findall(r"[.?!](?=\s|$)", entry.text)) <= 2, term


@pytest.mark.parametrize("page", NUMBERED.values(), ids=lambda page: page.name)
def test_page_names_the_terms_that_it_explains(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    terms = {term: entry for term, entry in read_glossary().items() if NUMBERED.get(entry.page) == page}
    unnamed = {term for term, entry in terms.items() if not any(as_pattern(form).search(text) for form in entry.forms)}
    assert unnamed == set()


@pytest.mark.parametrize("number", NUMBERED)
def test_no_term_is_used_before_it_is_explained(number: int) -> None:
    early = {
        term: sorted(set(lines))
        for term, entry in read_glossary().items()
        if entry.page > number and term not in EVERYDAY and (lines := list(uses(NUMBERED[number], entry)))
    }
    exempt = {term for term, page in EXEMPT if page == number}
    assert {term: lines for term, lines in early.items() if term not in exempt} == {}, "term: lines of this page"
    assert exempt <= early.keys(), "no longer used there: take it from EXEMPT"


def test_terms_are_found_as_whole_words_in_prose(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# Logit\n\nOpening: logits.\n\n## Step\n\nLogits-like, logitse, `logits`; [a\nlogit](logit.md).\n\n"
        "```pycon\n>>> logits\n```\nPage 5 explains logits. No\nlogits here, and none on page 4.\n\n"
        "## Exercises\n\nTwo logits.\n\n**The source**: logits.\n",
        encoding="utf-8",
    )
    assert list(uses(page, Entry(5, ["Logits", "logit"], ""))) == [14, 18, 8, 14, 18]
    assert list(uses(page, Entry(5, ["`logits`"], ""))) == [7]
    assert as_pattern("KV cache").search("kv cache") is None
    assert as_pattern("Vocabulary").search("two vocabularies") is not None
    assert as_pattern("Bit").search("he bites") is None
