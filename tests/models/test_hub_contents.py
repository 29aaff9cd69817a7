"""What a repository holds and is refused, before or after it was fetched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hub_checks import (
    FILES,
    NAME,
    ON_HUB,
    error_of,
)
from hub_files import Fault
from hub_server import HubServer

pytestmark = pytest.mark.usefixtures("cache")


def test_another_architecture_is_refused_before_its_weights(server: HubServer, cache: Path) -> None:
    config = {**json.loads(FILES["config.json"]), "model_type": "llama"}
    server.add(NAME, {**FILES, "config.json": json.dumps(config).encode()})
    assert error_of().startswith(f"{NAME}/config.json: model_type is 'llama'")
    assert not server.seen("HEAD", on="hub")
    assert not any((cache / ".partial").glob("*/*"))


def test_a_pickle_is_never_fetched(server: HubServer) -> None:
    files = {name: content for name, content in FILES.items() if name != "model.safetensors"}
    server.add(NAME, {**files, "pytorch_model.bin": b"cos\nsystem\n(S'false'\ntR."})
    assert "no model.safetensors. Pickles such as pytorch_model.bin can run code" in error_of()
    assert not [r for r in server.requests if "pytorch_model.bin" in r.path]


def test_weights_that_contradict_the_config_are_refused_and_not_kept(server: HubServer, cache: Path) -> None:
    config = {**json.loads(FILES["config.json"]), "n_layer": 11}
    server.add(NAME, {**FILES, "config.json": json.dumps(config).encode()})
    assert "is not part of a GPT-2 language model of 11 layers" in error_of()
    assert str(cache) not in error_of()
    assert not any((cache / ".partial").glob("*/*"))


@pytest.mark.parametrize("shard", ["../model.safetensors", "/etc/passwd", "a/b.safetensors", "x.bin", "", 3])
def test_an_index_cannot_name_files_elsewhere(server: HubServer, shard: Any) -> None:
    files = {name: content for name, content in FILES.items() if name != "model.safetensors"}
    index = json.dumps({"weight_map": {"wte.weight": shard}}).encode()
    server.add(NAME, {**files, "model.safetensors.index.json": index})
    assert "which is not a safetensors file beside it" in error_of()


def test_missing_repositories_revisions_and_huge_texts(server: HubServer) -> None:
    assert "no such model, or a private one" in error_of("someone/none")
    assert "has no revision v9" in error_of(f"{NAME}@v9")
    server.faults = [Fault("config.json", status=200, headers={"X-Linked-Size": str(2**40)}, **ON_HUB)]
    server.faults[0].headers |= {"X-Repo-Commit": "a" * 40, "ETag": f'"{"b" * 40}"'}
    assert "1099.5 GB long, which no GPT-2's is" in error_of()
