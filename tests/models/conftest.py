"""A model folder to begin with, an empty cache and a hub."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_checks import FILES, NAME, SETTINGS
from hub_server import HubServer
from model_folders import (
    OFFICIAL_CONFIG,
    TOKENIZER,
    causal_mask,
    random_params,
    write_safetensors,
)

from numpygpt.arrays import flatten
from numpygpt.models import connection, hub
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


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Empty caches in a folder of the test's own, no settings of the user's, and little patience."""
    for setting in SETTINGS:
        monkeypatch.delenv(setting, raising=False)
    monkeypatch.setenv("NUMPYGPT_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # no test cuts the power, and disks take their time
    monkeypatch.setattr(connection, "BACKOFF_SECONDS", 0.001)
    monkeypatch.setattr(connection, "READ_SECONDS", 0.25)
    monkeypatch.setattr(hub, "CHUNK_BYTES", 2**12)
    return tmp_path / "cache"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[HubServer]:
    """A hub with one model, which `HF_ENDPOINT` points to."""
    with HubServer() as server:
        server.add(NAME, FILES)
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server
