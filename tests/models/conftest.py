"""A model folder to begin with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from model_folders import (
    OFFICIAL_CONFIG,
    TOKENIZER,
    causal_mask,
    random_params,
    write_safetensors,
)

from numpygpt.arrays import flatten
from numpygpt.models.tokenizer_files import save_tokenizer


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A model folder with the layout of OpenAI's official one, its tensors in no order and its data at odd bytes."""
    folder = tmp_path / "source"
    folder.mkdir()
    tensors = flatten(random_params()) | {f"h.{layer}.attn.bias": causal_mask() for layer in range(2)}
    shuffled = {name: tensors[name] for name in sorted(tensors, key=lambda name: name[::-1])}
    write_safetensors(folder / "model.safetensors", shuffled, odd=True)
    (folder / "config.json").write_text(json.dumps(OFFICIAL_CONFIG))
    save_tokenizer(TOKENIZER, folder)
    return folder
