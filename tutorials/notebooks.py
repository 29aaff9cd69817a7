"""Turn the pages into notebooks: the same text, the same code, the same outputs.

    python -m tutorials.notebooks [--check]

writes `notebooks/NAME.ipynb` for every page, and `notebooks/zh/NAME.ipynb` for its Chinese twin; `--check` only says
which ones are stale, and ends with status 1.
"""

from __future__ import annotations

import argparse
import ast
import doctest
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from numpygpt.files import atomic_write
from tutorials import chinese

FOLDER = Path(__file__).parent
OTHERS = [FOLDER / "gpt2-on-one-screen.md", FOLDER / "what-articles-get-wrong.md"]
PAGES = sorted([*FOLDER.glob("[0-9]*.md"), *FOLDER.glob("appendix-*.md"), *OTHERS])
CHINESE = [page for page in chinese.pages() if chinese.english(page) in PAGES]
BLOCK = re.compile(r"^ *```pycon\n(.*?)^ *```\n", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<=\]\()(?!https?:|#)([^)#\s]+)")
DIRECTIVE = re.compile(r"[ ]*# doctest:.*")
FIRST_CELL = """\
try:
    import numpygpt
except ModuleNotFoundError:
    print("{} %pip install {}")
    raise"""
INSTALL = "Install numpygpt first, from your clone of its repository:"
INSTALL_CHINESE = "请先安装 numpygpt，在你克隆的仓库里："


def notebook(page: Path) -> dict[str, Any]:
    """Return a page as a notebook, in the form that JSON holds (nbformat 4.5)."""
    text, end, folder = page.read_text(encoding="utf-8"), 0, path_of(page).parent
    clone = Path(os.path.relpath(FOLDER.parent, folder)).as_posix()
    first = FIRST_CELL.format(INSTALL_CHINESE if page in CHINESE else INSTALL, clone)

    def moved(link: re.Match[str]) -> str:
        """Return a link of the page as it must be in the notebook."""
        target = Path(os.path.normpath(page.parent / link[1]))
        target = path_of(target) if target in PAGES + CHINESE else target
        return Path(os.path.relpath(target, folder)).as_posix()

    cells: list[dict[str, Any]] = []
    for block in BLOCK.finditer(text):
        if prose := text[end : block.start()].strip("\n"):
            cells.append({"cell_type": "markdown", "metadata": {}, "source": LINK.sub(moved, prose)})
        if not any(cell["cell_type"] == "code" for cell in cells):
            cells.append(code_cell(first))
        cells += code_cells(block[1])
        end = block.end()
    if prose := text[end:].strip("\n"):
        cells.append({"cell_type": "markdown", "metadata": {}, "source": LINK.sub(moved, prose)})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": [{"id": f"cell-{number}", **cell} for number, cell in enumerate(cells)],
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def code_cells(block: str) -> list[dict[str, Any]]:
    r"""Return a block as cells, each of which ends where there is an output.

    >>> [cell["source"] for cell in code_cells(">>> x = 1\n>>> x\n1\n>>> print(2)\n2\n")]
    ['x = 1\nx', 'print(2)']
    """
    cells: list[dict[str, Any]] = []
    source = ""
    for example in doctest.DocTestParser().get_examples(block):
        is_skipped = bool(example.options.get(doctest.SKIP))
        if is_skipped and source:
            cells, source = [*cells, code_cell(source)], ""
        gap = "\n" if source and (example.source.count("\n") > 1 or source.endswith("\n\n")) else ""
        source += gap + example.source
        if example.want or is_skipped:
            cells.append(code_cell(source, example, is_skipped))
            source = ""
    if source:
        cells.append(code_cell(source))
    return cells


def code_cell(source: str, example: doctest.Example | None = None, is_skipped: bool = False) -> dict[str, Any]:
    """Return a cell with the output of its last example."""
    source = DIRECTIVE.sub("", source).strip("\n")
    outputs: list[dict[str, Any]] = []
    tags = ["skip-execution"] if is_skipped else []
    if example is not None and example.exc_msg is not None:
        name, _, message = example.exc_msg.strip().partition(": ")
        outputs.append(
            {"output_type": "error", "ename": name, "evalue": message, "traceback": [example.exc_msg.strip()]}
        )
        tags.append("raises-exception")
    elif example is not None and example.want:
        shown = example.want.replace("<BLANKLINE>", "")
        last = ast.parse(example.source).body[-1]
        if isinstance(last, ast.Expr) and not prints(last.value):
            data = {"text/plain": shown.rstrip("\n")}
            outputs.append({"output_type": "execute_result", "execution_count": None, "data": data, "metadata": {}})
        else:
            outputs.append({"output_type": "stream", "name": "stdout", "text": shown})
    metadata = {"tags": tags} if tags else {}
    return {"cell_type": "code", "execution_count": None, "metadata": metadata, "outputs": outputs, "source": source}


def prints(value: ast.expr) -> bool:
    """Say whether an expression is a call of `print`."""
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "print"


def path_of(page: Path) -> Path:
    """Return where a page's notebook is."""
    return FOLDER / "notebooks" / page.relative_to(FOLDER).with_suffix(".ipynb")


def content(page: Path) -> bytes:
    """Return the bytes of a page's notebook."""
    return json.dumps(notebook(page), ensure_ascii=False, indent=1).encode() + b"\n"


def main() -> None:
    """Write the notebooks, or check them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; end with status 1 if one is stale")
    options = parser.parse_args()
    known = {path_of(page) for page in PAGES + CHINESE}
    stale = [path for path in (FOLDER / "notebooks").rglob("*.ipynb") if path not in known]
    for page in PAGES + CHINESE:
        path, expected = path_of(page), content(page)
        if not path.is_file() or path.read_bytes() != expected:
            stale.append(path)
            if not options.check:
                path.parent.mkdir(parents=True, exist_ok=True)
                with atomic_write(path) as file:
                    file.write(expected)
    for path in stale:
        print(f"{path}: {'stale' if options.check else 'written' if path in known else 'of no page; remove it'}")
    if options.check and stale:
        sys.exit("run python -m tutorials.notebooks")


if __name__ == "__main__":
    main()
