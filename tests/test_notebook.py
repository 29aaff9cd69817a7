"""A notebook, run by a real kernel: what models show of themselves, and a cell that is interrupted."""

from __future__ import annotations

from pathlib import Path

import pytest

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
