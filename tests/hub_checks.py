"""What the tests of downloads share."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hub_files import tiny_gpt2

from numpygpt.arrays import flatten
from numpygpt.models import cache as models_cache
from numpygpt.models import checkpoint, hub
from numpygpt.models.__main__ import main
from numpygpt.models.repos import HubError
from numpygpt.safetensors import load_file

NAME = "someone/tiny-gpt2"
FILES = tiny_gpt2()
SIZE = len(FILES["model.safetensors"])
SETTINGS = ["HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE"]
SETTINGS += ["TRANSFORMERS_OFFLINE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"]
SETTINGS += ["http_proxy", "https_proxy", "all_proxy", "no_proxy"]
ON_HUB: dict[str, Any] = {"on": "hub", "methods": ("GET", "HEAD")}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def run(*arguments: str, code: str = "", **options: Any) -> subprocess.Popen[str]:
    """Start a Python process with short delays; `code` may change the module `hub` before its `main` runs."""
    script = (
        "import os, signal, sys\nfrom numpygpt.models import cache, checkpoint, connection, hub\n"
        "from numpygpt.models.__main__ import main\nconnection.BACKOFF_SECONDS = 0.01\n"
        f"hub.CHUNK_BYTES = 4096\n{code}\nmain(sys.argv[1:])"
    )
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def error_of(name: str = NAME) -> str:
    """Return the one line that a download fails with."""
    with pytest.raises(HubError) as caught:
        hub.download(name, progress=False)
    message = str(caught.value)
    assert "\n" not in message
    assert 10 < len(message) < 500
    return message


def assert_is_right(folder: Path, files: dict[str, bytes] = FILES) -> None:
    """Check a converted folder against the files that the server has."""
    assert models_cache.verify(NAME) == folder
    config, params, tokenizer = checkpoint.load(folder)
    source = load_file_bytes(files["model.safetensors"], folder.parent.parent)
    tensors = flatten(params)
    assert set(tensors) == {name for name in source if not name.endswith(".attn.bias")}
    assert all(np.array_equal(tensors[name], source[name]) for name in tensors)
    assert tokenizer is not None
    assert (tokenizer.n_vocab, config.n_layer) == (config.vocab_size, 12)


def load_file_bytes(content: bytes, folder: Path) -> dict[str, Any]:
    path = folder / "source.safetensors"
    path.write_bytes(content)
    try:
        return load_file(path)
    finally:
        path.unlink()


def assert_nothing_half_written(cache: Path) -> None:
    """Check that no model has appeared; what is under way may wait in .partial."""
    assert not list((cache / "models").glob("*"))
    assert models_cache.find(NAME) is None
    assert {path.name for path in cache.glob("*")} <= {"models", ".partial"}


def assert_matches(pattern: str, text: str) -> None:
    assert re.search(pattern, text), text


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int | str | None, str, str]:
    try:
        main(list(arguments))
        status: int | str | None = 0
    except SystemExit as error:
        status = error.code
    captured = capsys.readouterr()
    return status, captured.out, captured.err
