"""What tests share: the reference model, and what `transformers` computed with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from numpygpt import GPT2
from numpygpt.safetensors import load_file

REFERENCE = Path(__file__).parent / "reference"


@pytest.fixture(scope="session")
def tiny() -> GPT2:
    """The reference model: random weights, 3 layers, 512 tokens, a context window of 64."""
    return GPT2.from_pretrained(REFERENCE / "tiny")


@pytest.fixture(scope="session")
def expected() -> dict[str, Any]:
    """What `transformers` computed with the reference model."""
    return load_file(REFERENCE / "expected.safetensors")
