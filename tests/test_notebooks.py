"""Notebooks that a real kernel runs: the pages', what models show of themselves, and a cell that is interrupted.

All in one file, for kernels choose their ports: two files may be run at the same time.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tutorials import notebooks

pytestmark = pytest.mark.slow

CELLS = [
    "from numpygpt import GPT2\nmodel = GPT2.from_pretrained('stories')\nmodel",
    "before = model.generate('Once upon a time', 20)\nmodel.trace(model.tokenizer.encode('Once'))",
    "for _ in range(10**6):\n    model.generate('Once upon a time', 200)",
    "model.generate('Once upon a time', 20) == before",
]


def test_a_notebook_shows_tables_and_survives_an_interruption(tmp_path: Path) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    client = nbclient.NotebookClient(
        notebook,
        allow_errors=True,
        interrupt_on_timeout=True,  # after three seconds of the cell that does not end
        timeout_func=lambda cell: 3 if "range" in cell["source"] else 120,
        resources={"metadata": {"path": tmp_path}},
    )
    client.execute()
    model, trace, endless, after = (cell["outputs"][-1] for cell in notebook.cells)
    assert "<caption>GPT2 stories</caption>" in model["data"]["text/html"]
    assert model["data"]["text/plain"].startswith("<GPT2 stories: parameters 5,853,440")
    assert "<td>h.0.attn.probabilities</td>" in trace["data"]["text/html"]
    assert endless["ename"] == "KeyboardInterrupt"
    assert after["data"]["text/plain"] == "True"


@pytest.mark.parametrize("page", notebooks.PAGES, ids=lambda page: page.stem)
def test_a_notebook_runs_from_top_to_bottom(page: Path, tmp_path: Path) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    notebook = nbformat.read(notebooks.path_of(page), as_version=4)
    nbformat.validate(notebook)
    expected = [cell.get("outputs", []) for cell in notebook.cells]
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": tmp_path}}).execute()
    for cell, outputs in zip(notebook.cells, expected, strict=True):
        if outputs and "skip-execution" not in cell["metadata"].get("tags", []):
            assert shown(cell["outputs"]) == shown(outputs), cell["source"]


def shown(outputs: list[Any]) -> list[str]:
    """What the outputs of a cell say, word by word: IPython breaks long lists into lines."""
    texts = [output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in outputs]
    texts += [f"{output['ename']}: {output['evalue']}" for output in outputs if output["output_type"] == "error"]
    return re.findall(r"[^\s\[\](){}]+|[\[\](){}]", " ".join(texts))
