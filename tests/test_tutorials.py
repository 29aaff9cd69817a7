"""The pages: their figures, their links, the tool that refreshes them, and what they say of the official weights.

Their code blocks are run as doctests by pytest itself.
"""

from __future__ import annotations

import doctest
import importlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from numpygpt import GPT2, layer_norm
from numpygpt.engine import generate
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
    published = json.loads(
        (FOLDER.parents[1] / "numpygpt" / "data" / "published-gpt2.json").read_text(encoding="utf-8")
    )
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
    published = json.loads(
        (FOLDER.parents[1] / "numpygpt" / "data" / "published-gpt2.json").read_text(encoding="utf-8")
    )
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
