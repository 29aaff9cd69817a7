"""What tests share: the reference model, and what `transformers` computed with it."""

from __future__ import annotations

import os
from typing import Any

import pytest
from random_models import REFERENCE

from numpygpt import GPT2
from numpygpt.models import cache
from numpygpt.safetensors import load_file

OFFICIAL_ON_DISK = cache.find("gpt2")  # now, for tests may point the cache elsewhere


@pytest.fixture(scope="session")
def tiny() -> GPT2:
    """The reference model: random weights, 3 layers, 512 tokens, a context window of 64."""
    return GPT2.from_pretrained(REFERENCE / "tiny")


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
