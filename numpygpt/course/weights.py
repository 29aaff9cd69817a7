"""The reader of weights that a learner's own GPT-2 uses: the embedded model's merges, parameters and heads."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from numpygpt.arrays import Params
from numpygpt.config import GPT2Config
from numpygpt.models import checkpoint, names
from numpygpt.tokenizer import Tokenizer


def read_weights(folder: Path | None = None) -> tuple[list[tuple[bytes, bytes]], Params, int]:
    """Return the merges of a model's tokenizer, the tree of its parameters, and its number of heads.

    Without a folder, they are those of `stories`, the model that comes along.

    Raises FileNotFoundError and ValueError where the folder holds no such model.
    """
    config, params, tokenizer = _load(folder)
    return tokenizer.merges, params, config.n_head


@cache
def _load(folder: Path | None) -> tuple[GPT2Config, Params, Tokenizer]:
    config, params, tokenizer = checkpoint.load(folder or names.find_or_download("stories"))
    if tokenizer is None:
        raise ValueError(f"{folder} has no tokenizer")
    return config, params, tokenizer
