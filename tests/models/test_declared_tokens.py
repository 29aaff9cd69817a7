"""Tokenizers that are declared in all the ways that people have, against the ids that `transformers` gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from random_models import REFERENCE

from numpygpt import Tokenizer
from numpygpt.models.tokenizer_files import load_tokenizer, save_tokenizer

STORED = json.loads((REFERENCE / "tokenizers.json").read_text(encoding="utf-8"))
CASES = STORED["cases"]


def write(folder: Path, files: dict[str, Any]) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return folder


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_ids_are_those_of_transformers(case: dict[str, Any], tmp_path: Path) -> None:
    """And so they are once the tokenizer has been saved and loaded."""
    tokenizer = load_tokenizer(write(tmp_path / "theirs", case["files"]), Tokenizer)
    save_tokenizer(tokenizer, tmp_path / "ours")
    loaded = load_tokenizer(tmp_path / "ours", Tokenizer)
    assert loaded == tokenizer
    for each in (tokenizer, loaded):
        assert [each.encode(text) for text in case["texts"]] == case["ids"]
        assert [each.encode(text, allowed_special="all") for text in case["texts"]] == case["ids_with_special"]
