"""What a model folder's `config.json` says: the shape of the model, and which tokens begin and end a text."""

from __future__ import annotations

import dataclasses
import math
import os
from pathlib import Path
from typing import Any

from numpygpt.config import GPT2Config
from numpygpt.models import formats
from numpygpt.models.stored import CONFIG, CheckpointError, read_json

RENAMED = {  # transformers writes the first of these and takes them all; what it takes counts more than n_ctx
    "n_positions": "n_ctx",
    "max_position_embeddings": "n_ctx",
    "hidden_size": "n_embd",
    "num_hidden_layers": "n_layer",
    "num_attention_heads": "n_head",
}
CARRIED_OVER = ("bos_token_id", "eos_token_id", "pad_token_id", "tokenizer_class")  # to a copy of the folder
REFUSED: dict[str, Any] = {  # options that would change the arithmetic, and the value that leaves it as it is
    "add_cross_attention": False,
    "is_encoder_decoder": False,
    "pruned_heads": {},
    "quantization_config": None,
}


def load_config(folder: str | os.PathLike[str]) -> GPT2Config:
    """Read a folder's `config.json`.

    Raises FileNotFoundError or NotADirectoryError where there is none, and CheckpointError where it is not a
    GPT-2's or asks for arithmetic that this package does not do.
    """
    folder = Path(folder).expanduser()
    path = folder / CONFIG
    if not folder.exists():
        raise FileNotFoundError(f"{folder}: there is no such folder; give one that holds config.json and the weights")
    if not folder.is_dir():
        said = (
            formats.explain(folder) or f"{folder} is not a folder; give the one that holds config.json and the weights"
        )
        raise NotADirectoryError(said)
    if not path.is_file():
        message = formats.explain(folder) or f"{folder} is not a model folder: it has no config.json"
        if any(folder.glob("*.safetensors")):
            message += f"; if its tensors are a GPT-2's, run python -m numpygpt.models convert {folder} NEW-FOLDER"
        raise FileNotFoundError(message)
    options = read_json(path)
    if options.get("model_type") == "marian":
        raise CheckpointError(f"{path}: this is a translator; use python -m numpygpt.translate --model {folder}")
    if options.get("model_type") != "gpt2":
        raise CheckpointError(f"{path}: model_type is {options.get('model_type')!r}; only 'gpt2' models can be loaded")
    for name, harmless in REFUSED.items():
        if options.get(name, harmless) not in (harmless, None):
            raise CheckpointError(f"{path}: {name} is {options[name]!r}, which this package does not implement")
    options |= {ours: options[theirs] for theirs, ours in RENAMED.items() if theirs in options}
    chosen = {}
    for field in dataclasses.fields(GPT2Config):
        if field.name in options:
            chosen[field.name] = options[field.name]
            _check_type(chosen[field.name], field, path)
    try:
        return GPT2Config(**chosen)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from None


def load_eos_token_id(folder: str | os.PathLike[str]) -> list[int] | None:
    """Read which tokens end a text: `generation_config.json` says it, else `config.json`, else nobody (None).

    Raises CheckpointError where it is neither an id nor a list of them.
    """
    for name in ("generation_config.json", "config.json"):
        path = Path(folder).expanduser() / name
        said = read_json(path).get("eos_token_id") if path.is_file() else None
        if said is not None:
            ids = said if isinstance(said, list) else [said]
            if not all(type(token_id) is int and token_id >= 0 for token_id in ids):
                raise CheckpointError(f"{path}: eos_token_id must be a token id or a list of them, not {said!r}")
            return ids
    return None


def load_carried_over(folder: Path | None) -> dict[str, Any]:
    """Read what a folder's `config.json` says of tokens, which is no part of the arithmetic."""
    if folder is None or not (folder / "config.json").is_file():
        return {}
    options = read_json(folder / "config.json")
    return {name: options[name] for name in CARRIED_OVER if name in options}


def _check_type(value: Any, field: dataclasses.Field[Any], path: Path) -> None:
    """Refuse an option of another type than the config's. Whole numbers are the config's own to check."""
    if isinstance(field.default, (bool, str)) and type(value) is not type(field.default):
        kind = "text" if isinstance(field.default, str) else "true or false"
        raise CheckpointError(f"{path}: {field.name} must be {kind}, not {value!r}")
    if isinstance(field.default, float) and not (type(value) in (int, float) and 0 < value < math.inf):
        raise CheckpointError(f"{path}: {field.name} must be a number above 0, not {value!r}")
