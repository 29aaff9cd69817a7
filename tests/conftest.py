"""What tests share: the reference model, a model folder, a hub with an empty cache, and a text to learn from."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import random_models
from browser import Browser, running_browser
from command_runs import Call
from hub_checks import FILES, NAME, SETTINGS
from hub_server import HubServer
from hypothesis import settings
from model_folders import OFFICIAL_CONFIG, TOKENIZER, causal_mask, random_params, write_safetensors
from random_models import REFERENCE

from numpygpt import GPT2, GPT2Config
from numpygpt import __main__ as command
from numpygpt.arrays import flatten
from numpygpt.models import cache as models_cache
from numpygpt.models import checkpoint, connection, hub
from numpygpt.models.tokenizer_files import save_tokenizer
from numpygpt.safetensors import load_file

OFFICIAL_ON_DISK = models_cache.find("gpt2")  # now, for tests may point the cache elsewhere


def pytest_configure(config: pytest.Config) -> None:
    """Try fewer random inputs in a plain run than where the slow tests run, too."""
    plain = config.option.markexpr == "not slow"
    settings.register_profile("numpygpt", deadline=None, max_examples=50 if plain else 300)
    settings.load_profile("numpygpt")


@pytest.fixture(scope="session", autouse=True)
def _leave_the_users_cache_alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUMPYGPT_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """The command within this process, for what needs none of its own: exit status, and what it printed."""

    def call(*arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), "utf-8"))
        try:
            command.main(list(arguments))
            status = 0
        except SystemExit as ended:
            status = int(ended.code or 0)
        return status, *capsys.readouterr()

    return call


@pytest.fixture(scope="session")
def endless(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options for a text that takes minutes, of a model that is quick at the beginning."""
    folder = tmp_path_factory.mktemp("models") / "endless"
    config = GPT2Config(vocab_size=300, n_ctx=100_000, n_embd=8, n_layer=1, n_head=1)
    checkpoint.save(folder, config, random_models.random_params(config), TOKENIZER)
    return ["--model", str(folder), "-n", "100000"]


@pytest.fixture(scope="session")
def tiny() -> GPT2:
    """The reference model: random weights, 3 layers, 512 tokens, a context window of 64."""
    return GPT2.from_pretrained(REFERENCE / "tiny")


@pytest.fixture(scope="session")
def stories() -> GPT2:
    """The embedded model."""
    return GPT2.from_pretrained("stories")


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser, where there is one; tests that use it are skipped elsewhere."""
    with running_browser(tmp_path_factory.mktemp("pages")) as browser:
        yield browser


@pytest.fixture(scope="session")
def expected() -> dict[str, Any]:
    """What `transformers` computed with the reference model."""
    return load_file(REFERENCE / "expected.safetensors")


@pytest.fixture(scope="session")
def official() -> GPT2:
    """OpenAI's gpt2, where it is on disk; tests that use it are skipped elsewhere."""
    folder = os.environ.get("NUMPYGPT_GPT2") or OFFICIAL_ON_DISK
    if folder is None:
        pytest.skip(
            "the official weights are not here: set NUMPYGPT_GPT2 to a folder that holds them, or run "
            "`python -m numpygpt.models download gpt2`"
        )
    return GPT2.from_pretrained(folder)


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


@pytest.fixture
def text(tmp_path: Path) -> str:
    """120 items of a few words, all different."""
    path = tmp_path / "text.txt"
    path.write_text("\n<|endoftext|>\n".join(f"{n} sheep jump.\nThen {n + 1} sleep." for n in range(120)))
    return str(path)
