"""The pages: their figures, their links, the tool that refreshes them, and what they say of the official weights.

Their code blocks are run as doctests by pytest itself.
"""

from __future__ import annotations

import doctest
import importlib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from numpygpt import GPT2, layer_norm
from numpygpt.generate import generate
from tutorials.figures import FOLDER, NAMES, checksum, page11_alignment, rounded
from tutorials.refresh import refresh

PAGES = sorted(FOLDER.parent.glob("*.md"))
IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)]+)\)")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The fragments that a page's headings make, as forges make them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# ---- Figures


@pytest.mark.parametrize("name", NAMES)
def test_figure_shows_what_is_computed_now(name: str) -> None:
    """With room for the last digits that another processor computes."""
    committed = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    computed = rounded(importlib.import_module(f"tutorials.figures.{name}").data())
    assert computed.keys() == committed.keys()
    for key, expected in committed.items():
        if np.asarray(expected).dtype.kind in "iuf":
            atol = 0.01 * np.abs(expected).max(initial=0)
            np.testing.assert_allclose(computed[key], expected, rtol=0.01, atol=atol, err_msg=key)
        else:
            assert computed[key] == expected


@pytest.mark.parametrize("name", NAMES)
def test_picture_was_drawn_from_these_numbers(name: str) -> None:
    picture = (FOLDER / f"{name}.svg").read_text(encoding="utf-8")
    assert checksum(FOLDER / f"{name}.json") in picture, "run python -m tutorials.figures"


def test_every_picture_has_a_module_and_a_page() -> None:
    shown = {Path(path).stem for page in PAGES for _, path in IMAGE.findall(page.read_text(encoding="utf-8"))}
    assert shown == set(NAMES) == {path.stem for path in FOLDER.glob("*.svg")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pictures_are_described_for_those_who_do_not_see_them(page: Path) -> None:
    for description, path in IMAGE.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / path).is_file()
        assert len(description) >= 40, f"{path}: {description!r} does not say what there is to see"


# ---- Links


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if not target.startswith("http"):
            path, _, fragment = target.partition("#")
            file = page.parent / path if path else page
            assert file.exists(), target
            assert not fragment or fragment in anchors(file), target


# ---- The glossary

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
    ("Bit", 5): "a binary digit",
    ("Heat map", 2): "in the description of a picture",
    ("Loss", 5): "of published figures",
    ("Loss", 7): "what does not pay",
    ("Scale", 2): "to make smaller",
    ("Training", 1): "what a model or a tokenizer was made from",
    ("Value", 2): "of a function",
}


class Entry(NamedTuple):
    page: int
    forms: list[str]
    text: str


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


def uses(page: Path, entry: Entry) -> Iterator[int]:
    """The lines of a page whose prose uses a term, but for sentences that point to the page that explains it."""
    text = page.read_text(encoding="utf-8")
    for hidden in (FENCE, OPENING, SOURCES, TARGET, PAPER):
        text = blank(hidden, text)
    for form in entry.forms:
        searched = only(CODE, text) if form.startswith("`") else blank(CODE, text)
        for sentence in SENTENCE.finditer(searched):
            pointers = [int(number) for found in POINTER.findall(sentence[0]) for number in found if number]
            if max(pointers, default=0) < entry.page:
                for match in as_pattern(form).finditer(sentence[0]):
                    yield searched.count("\n", 0, sentence.start() + match.start()) + 1


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


# ---- The tool


def test_refresh_writes_what_is_printed_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    text = "Text.\n\n```pycon\n>>> x = 1\n>>> x  +  1\n{}\n>>> for i in range(2):\n...     print(i)\n{}\n\n```\nMore.\n"
    page.write_text(text.format(5, "0\n1\n2"), encoding="utf-8")
    assert refresh(page) == 2
    assert page.read_text(encoding="utf-8") == text.format(2, "0\n1")
    assert refresh(page) == 0
    assert doctest.testfile(str(page), module_relative=False) == (0, 3)


def test_refresh_leaves_a_page_whose_code_fails(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(">>> 1\n2\n>>> 1 / 0\n3\n", encoding="utf-8")
    with pytest.raises(SystemExit, match=r"page.md, line 3: ZeroDivisionError: division by zero"):
        refresh(page)
    assert page.read_text(encoding="utf-8") == ">>> 1\n2\n>>> 1 / 0\n3\n"


# ---- Page 8: what it says of the official weights (the loss of llm.c: tests/test_published.py)


def test_page_8_quotes_the_paper() -> None:
    page = (FOLDER.parent / "08-how-good-is-it.md").read_text(encoding="utf-8")
    published = json.loads((Path(__file__).parent / "reference/published-gpt2.json").read_text(encoding="utf-8"))
    columns = {"WikiText2": 2, "WikiText103": 3, "enwik8 bpb": 4, "LAMBADA ppl": 5}
    for model, figures in published["paper_table_3"]["rows"].items():
        (row,) = re.findall(rf"^\| {model} .*$", page, re.MULTILINE)
        cells = row.split("|")
        for name, column in columns.items():
            assert name not in figures or float(cells[column]) == figures[name]
    assert f"{published['llm.c_test']['mean_loss']:.3f} nats" in page


# ---- Page 12: its lines of `transformers`, and what it says of the official weights


def test_page_12_shows_lines_of_transformers_that_do_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    monkeypatch.chdir(FOLDER.parents[1])
    page = (FOLDER.parent / "12-what-gpt2-is-used-for.md").read_text(encoding="utf-8")
    there: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        exec(block, there)
    here = GPT2.from_pretrained("weights/stories")
    prompt = "Once upon a time"
    ids = here.tokenizer.encode(prompt)
    *_, (continuation,) = generate([ids], here.params, here.config, max_new_tokens=20)
    assert there["outputs"][0].tolist() == ids + list(continuation.ids)
    assert there["results"][0]["generated_text"] == prompt + str(here.generate(prompt, max_new_tokens=20))


def test_page_12_quotes_the_paper() -> None:
    page = (FOLDER.parent / "12-what-gpt2-is-used-for.md").read_text(encoding="utf-8")
    published = json.loads((Path(__file__).parent / "reference/published-gpt2.json").read_text(encoding="utf-8"))
    accuracy = [figures["LAMBADA acc"] for figures in published["paper_table_3"]["rows"].values()]
    assert " | ".join(map(str, accuracy)) in page


# ---- Page 11: the original Transformer


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("pre_norm", [False, True], ids=["post-norm", "pre-norm"])
def test_the_transformer_of_page_11_is_pytorchs(pre_norm: bool) -> None:
    """The page's own functions, with random weights in double precision."""
    torch = pytest.importorskip("torch")
    page = page11_alignment.names_of(page11_alignment.PAGE, until="words = ")
    n_embd, n_head, n_layer = 24, 3, 2
    options = {"dropout": 0.0, "batch_first": True, "norm_first": pre_norm, "dtype": torch.float64}
    torch.manual_seed(0)
    peer = torch.nn.Transformer(n_embd, n_head, n_layer, n_layer, 4 * n_embd, activation="relu", **options).eval()
    if not pre_norm:  # the paper has no layer norm after its stacks; PyTorch puts one there
        peer.encoder.norm = peer.decoder.norm = None
    for parameter in peer.parameters():
        torch.nn.init.normal_(parameter, std=0.3)

    def attention_of(module: Any) -> dict[str, Any]:
        weights, biases = (array.detach().numpy() for array in (module.in_proj_weight, module.in_proj_bias))
        parts = zip("qkv", np.split(weights.T, 3, axis=1), np.split(biases, 3), strict=True)
        return {name: {"weight": w, "bias": b} for name, w, b in parts} | {"c_proj": linear_of(module.out_proj)}

    def linear_of(module: Any) -> dict[str, Any]:
        return {"weight": module.weight.detach().numpy().T, "bias": module.bias.detach().numpy()}

    def layer_of(module: Any, norms: Sequence[str]) -> dict[str, Any]:
        layer = {
            "attn": attention_of(module.self_attn),
            "mlp": {"c_fc": linear_of(module.linear1), "c_proj": linear_of(module.linear2)},
        }
        for name in norms:
            norm = getattr(module, name.replace("ln_", "norm"))
            layer[name] = {"weight": norm.weight.detach().numpy(), "bias": norm.bias.detach().numpy()}
        return layer

    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(7, n_embd)), rng.normal(size=(5, n_embd))
    encoded, decoded = source, target
    for module in peer.encoder.layers:
        layer = layer_of(module, ["ln_1", "ln_2"])
        encoded = page["encoder_layer"](encoded, **layer, n_head=n_head, pre_norm=pre_norm)
    if pre_norm:
        encoded = layer_norm(encoded, **linear_of(peer.encoder.norm))
    for module in peer.decoder.layers:
        layer = layer_of(module, ["ln_1", "ln_2", "ln_3"]) | {"cross": attention_of(module.multihead_attn)}
        decoded = page["decoder_layer"](decoded, encoded, **layer, n_head=n_head, pre_norm=pre_norm)
    if pre_norm:
        decoded = layer_norm(decoded, **linear_of(peer.decoder.norm))
    with torch.no_grad():
        expected = peer(
            torch.from_numpy(source)[None],
            torch.from_numpy(target)[None],
            tgt_mask=torch.nn.Transformer.generate_square_subsequent_mask(len(target), dtype=torch.float64),
        )
    np.testing.assert_allclose(decoded, expected[0].numpy(), rtol=0, atol=1e-10)
