"""The pages: their figures, links and notebooks, the tool that refreshes them, what they say of the official weights.

Their code blocks are run as doctests by pytest itself.
"""

from __future__ import annotations

import codeop
import doctest
import importlib
import json
import re
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from numpygpt import GPT2
from numpygpt.engine import generate
from tutorials import chinese, notebooks
from tutorials.figures import FOLDER, NAMES, checksum, rounded
from tutorials.notebooks import BLOCK
from tutorials.refresh import refresh

ROOT = FOLDER.parents[1]
PAGES = sorted(FOLDER.parent.glob("*.md"))
OTHERS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/use.md")]
OTHERS += sorted(path for folder in ("tests", "benchmarks", "weights") for path in (ROOT / folder).rglob("README.md"))
OTHERS += [*chinese.pages(), *ROOT.glob("README.zh.md")]
IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)]+)\)")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The fragments that a page's headings make, as forges make them, and those of headings that it had once."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings} | set(
        re.findall(r'<a id="([^"]+)"></a>', text)
    )


# ---- Figures


SLOW = ("page08_context", "page09_overfitting", "page10_ablation")  # a training, and hundreds of passes of a model


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in NAMES])
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
    found = [Path(path) for page in PAGES for _, path in IMAGE.findall(page.read_text(encoding="utf-8"))]
    shown = {path.stem for path in found if path.parent.name == "figures"}  # and one beside a model's card
    assert shown == set(NAMES) == {path.name.split(".")[0] for path in FOLDER.glob("*.svg")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pictures_are_described_for_those_who_do_not_see_them(page: Path) -> None:
    for description, path in IMAGE.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / path).is_file()
        assert len(description) >= 40, f"{path}: {description!r} does not say what there is to see"


# ---- Links


@pytest.mark.parametrize("page", PAGES + OTHERS, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if not target.startswith("http"):
            path, _, fragment = target.partition("#")
            file = page.parent / path if path else page
            assert file.exists(), target
            assert not fragment or fragment in anchors(file), target


OLD = {  # headings that pages had once; links from elsewhere may still name them
    "02-numbers-become-vectors.md": (
        "step-7-positions-from-a-formula",
        "the-same-turn-everywhere",
        "step-8-side-by-side",
        "step-9-what-enters-the-model",
    ),
    "05-the-whole-model.md": ("the-numbers-in-the-paper",),
    "07-fast-decoding.md": ("step-10-share-the-weights-out",),
    "08-how-good-is-it.md": ("step-9-the-numbers-of-the-gpt-2-paper",),
    "12-what-gpt2-is-used-for.md": (
        "step-6-pictures-are-sequences-too",
        "step-7-what-came-after",
        "step-8-the-same-lines-in-transformers",
    ),
    "README.md": ("other-names-for-the-same-things",),
}


@pytest.mark.parametrize("name", OLD)
def test_old_anchors_lead_somewhere(name: str) -> None:
    assert anchors(FOLDER.parent / name) >= set(OLD[name])


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


# ---- The appendix: what it says of the official weights (the loss of llm.c: tests/test_published.py)


def test_appendix_quotes_the_paper() -> None:
    page = (FOLDER.parent / "appendix-engine.md").read_text(encoding="utf-8")
    published = json.loads((ROOT / "numpygpt" / "data" / "published-gpt2.json").read_text(encoding="utf-8"))
    columns = {"WikiText2": 2, "WikiText103": 3, "enwik8 bpb": 4, "LAMBADA ppl": 5}
    for model, figures in published["paper_table_3"]["rows"].items():
        (row,) = re.findall(rf"^\| {model} .*$", page, re.MULTILINE)
        cells = row.split("|")
        for name, column in columns.items():
            assert name not in figures or float(cells[column]) == figures[name]
    assert f"{published['llm.c_test']['mean_loss']:.3f} nats" in page


# ---- Page 12: its lines of `transformers`, and what it says of the official weights


def test_page_12_shows_lines_of_transformers_that_do_the_same() -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    page = (FOLDER.parent / "12-what-gpt2-is-used-for.md").read_text(encoding="utf-8")
    there: dict[str, Any] = {"GPT2": GPT2}
    for block in re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        exec(block, there)
    here = GPT2.from_pretrained("stories")
    prompt = "Once upon a time"
    ids = here.tokenizer.encode(prompt)
    *_, (continuation,) = generate([ids], here.params, here.config, max_new_tokens=20)
    assert there["outputs"][0].tolist() == ids + list(continuation.ids)
    assert there["results"][0]["generated_text"] == prompt + str(here.generate(prompt, max_new_tokens=20))


def test_page_12_quotes_the_paper() -> None:
    page = (FOLDER.parent / "12-what-gpt2-is-used-for.md").read_text(encoding="utf-8")
    published = json.loads((ROOT / "numpygpt" / "data" / "published-gpt2.json").read_text(encoding="utf-8"))
    accuracy = [figures["LAMBADA acc"] for figures in published["paper_table_3"]["rows"].values()]
    assert " | ".join(map(str, accuracy)) in page


# ---- The form: blocks that can be pasted, and notebooks


def stripped(block: str) -> list[str]:
    """The lines of a block as the site's copy button gives them: without prompts and outputs."""
    lines = textwrap.dedent(block).splitlines()
    return [line[4:] for line in lines if line.startswith((">>>", "...")) or not line]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_can_be_pasted_into_python(page: Path) -> None:
    """Line by line, as Python's own prompt takes them: a line that ends no statement waits for more."""
    text = page.read_text(encoding="utf-8")
    for block in BLOCK.finditer(text):
        compiler, waiting = codeop.CommandCompiler(), list[str]()
        for line in [*stripped(block[1]), ""]:
            waiting += [line] if waiting or line else []
            if waiting and compiler("\n".join(waiting), f"line {text[: block.start()].count(chr(10)) + 2}"):
                waiting = []
        assert not waiting


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_can_be_pasted_into_ipython(page: Path) -> None:
    inputs = pytest.importorskip("IPython.core.inputtransformer2")
    for block in BLOCK.finditer(page.read_text(encoding="utf-8")):
        compile(inputs.TransformerManager().transform_cell("\n".join(stripped(block[1]))), page.name, "exec")


@pytest.mark.parametrize(
    "page", notebooks.PAGES + notebooks.CHINESE, ids=lambda page: f"{page.parent.name}-{page.stem}"
)
def test_notebooks_are_those_of_the_pages(page: Path) -> None:
    assert notebooks.path_of(page).read_bytes() == notebooks.content(page), "run python -m tutorials.notebooks"


def test_a_notebook_says_what_its_page_says() -> None:
    """Every statement and every output of the page, in order; links lead where the page's lead."""
    for page in notebooks.PAGES + notebooks.CHINESE:
        cells = json.loads(notebooks.path_of(page).read_text(encoding="utf-8"))["cells"]
        text = page.read_text(encoding="utf-8")
        code = [cell for cell in cells if cell["cell_type"] == "code"]
        examples = doctest.DocTestParser().get_examples(text)
        statements = "".join(cell["source"] for cell in code[1:])
        for example in examples:
            assert notebooks.DIRECTIVE.sub("", example.source).strip() in statements
        assert sum(bool(cell["outputs"]) for cell in code) == sum(bool(example.want) for example in examples)
        for cell in cells:
            for target in LINK.findall("" if cell["cell_type"] == "code" else FENCE.sub("", cell["source"])):
                if not target.startswith(("http", "#")):
                    assert (notebooks.path_of(page).parent / target.partition("#")[0]).exists(), target
