"""Tokenizers that are declared in all the ways that people have, against the ids that `transformers` gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
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


JUNK: Any = st.none() | st.booleans() | st.integers(-2, 300) | st.text(max_size=3) | st.lists(st.integers(), max_size=1)
NAMES = [
    "content",
    "id",
    "type",
    "single",
    "special_tokens",
    "SpecialToken",
    "ids",
    "cls",
    "sep",
    "processors",
    "vocab",
]
NAMES += ["added_tokens_decoder", "bos_token", "additional_special_tokens", "tokenizer_class", "add_bos_token", "model"]
NAMES += ["vocab", "added_tokens", "unk_token", "post_processor", "merges"]


@given(st.data(), st.sampled_from(CASES))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_malformed_file_is_one_line(tmp_path: Path, data: st.DataObject, case: dict[str, Any]) -> None:
    """Whatever stands in the place of one value."""
    files = json.loads(json.dumps(case["files"]))
    file = data.draw(st.sampled_from(sorted(name for name in files if name.endswith("json"))))
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        for key in node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else []:
            if len(places) < 200 or key in NAMES:
                places.append((node, key))
            walk(node[key])

    walk(files[file])
    if places:
        node, key = data.draw(st.sampled_from(places))
        node[key] = data.draw(JUNK | st.dictionaries(st.sampled_from(NAMES), JUNK, max_size=2))
    folder = write(tmp_path / str(len(list(tmp_path.iterdir()))), files)
    try:
        tokenizer = load_tokenizer(folder, Tokenizer)
    except ValueError as error:
        message = str(error)
        assert str(folder) in message
        assert "\n" not in message
    else:
        tokenizer.decode(tokenizer.encode("the cat", allowed_special="all"))
