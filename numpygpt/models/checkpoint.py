"""A model folder on disk <-> a configuration, a tree of parameters and a tokenizer.

A model folder is what the Hugging Face hub holds for GPT-2 and what `transformers` reads and writes:

    config.json             the shape of the model
    model.safetensors       the tensors (or shards of them, named in model.safetensors.index.json)
    vocab.json, merges.txt  the tokenizer (or tokenizer.json)

The tree of parameters is the tensors' names split at the dots: `h.3.mlp.c_fc.weight` is
`params["h"][3]["mlp"]["c_fc"]["weight"]`. Loading is an unflatten and saving a flatten.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import DTypeLike

from numpygpt.arrays import Array, Params, flatten, unflatten
from numpygpt.config import GPT2Config
from numpygpt.files import atomic_folder, atomic_write
from numpygpt.models import tokenizer_files
from numpygpt.models.stored import INDEX, WEIGHTS, CheckpointError, LazyTensors, check_shapes, find_tensors, read_json
from numpygpt.safetensors import load_file, save_file
from numpygpt.tokenizer import Tokenizer

T = TypeVar("T", bound=Tokenizer)

RENAMED = {  # transformers writes the first of these and takes them all; what it takes counts more than n_ctx
    "n_positions": "n_ctx",
    "max_position_embeddings": "n_ctx",
    "hidden_size": "n_embd",
    "num_hidden_layers": "n_layer",
    "num_attention_heads": "n_head",
}
IDS = ("bos_token_id", "eos_token_id", "pad_token_id")  # of config.json: no part of the arithmetic, but carried over
REFUSED: dict[str, Any] = {  # options that would change the arithmetic, and the value that leaves it as it is
    "add_cross_attention": False,
    "is_encoder_decoder": False,
    "pruned_heads": {},
    "quantization_config": None,
}
KEPT = (  # of a folder that is converted or saved anew, as they are
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "generation_config.json",
    "chat_template.jinja",
)


def load(
    folder: str | os.PathLike[str],
    dtype: DTypeLike = np.float32,
    tokenizer_class: type[T] = Tokenizer,  # type: ignore[assignment]
) -> tuple[GPT2Config, Params, T | None]:
    """Load a model folder. The tokenizer is None where the folder holds none.

    Tensors are cast to `dtype`. Those that are stored in it, aligned, stay on disk and are mapped into memory,
    read-only: a converted folder loads without a copy, and processes that use it share its pages.

    Raises FileNotFoundError where the folder or one of its files is missing, and ValueError where a file is damaged
    or (as CheckpointError) what the folder holds is not a GPT-2 or not consistent.
    """
    config = load_config(folder)
    return config, load_params(folder, config, dtype), load_tokenizer(folder, config, tokenizer_class)


def load_params(folder: str | os.PathLike[str], config: GPT2Config, dtype: DTypeLike = np.float32) -> Params:
    """Load a model folder's parameters alone, as `load` does."""
    places = find_tensors(_expand(folder), config)
    files = {path: load_file(path) for path in {file.path for file, _ in places.values()}}
    return unflatten({name: np.asarray(files[file.path][stored], dtype) for name, (file, stored) in places.items()})


def save(
    folder: str | os.PathLike[str],
    config: GPT2Config,
    params: Params,
    tokenizer: Tokenizer | None,
    *,
    dtype: DTypeLike | None = None,
    overwrite: bool = False,
    source: str | os.PathLike[str] | None = None,
) -> None:
    """Save a model folder that this package, `transformers` and what reads its folders can open.

    What else the folder `source` says, of the tokenizer, of generation and of chats, is carried over. `dtype` casts the
    tensors, `np.float16` for half the size on disk. The folder appears when it is complete;
    with `overwrite`, the files of an existing one are replaced one by one.

    Raises FileExistsError where the folder exists, and ValueError where a tensor's name, shape or type or the
    tokenizer's size contradicts the config.
    """
    folder, kept = _expand(folder), None if source is None else _expand(source)
    tensors = {name: np.asarray(tensor) for name, tensor in flatten(params).items()}
    for name, tensor in tensors.items():
        kind = tensor.dtype if dtype is None else np.dtype(dtype)
        if kind.kind != "f":
            raise CheckpointError(f"params: tensor {name} would be saved as {kind}; only floating-point weights work")
    check_shapes({name: tensor.shape for name, tensor in tensors.items()}, config, "params")
    _check_vocabulary(tokenizer, config, "params")
    with atomic_folder(folder, overwrite=overwrite) as beside:
        _write_model(beside, config, tensors, tokenizer, dtype, _ids(kept))
        copied = _copy_kept(kept, beside)
        if tokenizer is not None and not copied:
            if not (beside / "tokenizer_config.json").exists():
                named = {"tokenizer_class": "GPT2Tokenizer", "model_max_length": config.n_ctx}
                _write_json(beside / "tokenizer_config.json", named)
            tokenizer_files.save_tokenizer(tokenizer, beside)
        written = {path.name for path in beside.iterdir()}
    for name in {INDEX, *KEPT} - written:  # of an older model, which would speak against the new one
        (folder / name).unlink(missing_ok=True)


def convert(source: str | os.PathLike[str], destination: str | os.PathLike[str]) -> None:
    """Rewrite a model folder so that it loads without a copy: plain names, no masks, float32, aligned to 64 bytes.

    Goes through the tensors one at a time: needs memory for the largest of them, not for the model. The files of the
    tokenizer, of generation and of the chat template are copied as they are.

    Raises what `load` raises, and FileExistsError where the destination exists.
    """
    source, destination = _expand(source), _expand(destination)
    config = load_config(source)
    if destination.exists() and destination.samefile(source):
        raise FileExistsError(f"{destination} is the source; give the name of a new folder")
    places = find_tensors(source, config)
    tokenizer = load_tokenizer(source, config)
    with atomic_folder(destination) as beside:
        _write_model(beside, config, LazyTensors(places), tokenizer, np.float32, _ids(source))
        _copy_kept(source, beside)


def load_config(folder: str | os.PathLike[str]) -> GPT2Config:
    """Read a folder's `config.json`.

    Raises FileNotFoundError or NotADirectoryError where there is none, and CheckpointError where it is not a
    GPT-2's or asks for arithmetic that this package does not do.
    """
    folder = _expand(folder)
    path = folder / "config.json"
    if not folder.exists():
        raise FileNotFoundError(f"{folder}: there is no such folder; give one that holds config.json and the weights")
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not a folder; give the one that holds config.json and the weights")
    if not path.is_file():
        raise FileNotFoundError(f"{folder} is not a model folder: it has no config.json; is it another one you mean?")
    options = read_json(path)
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


def load_tokenizer(
    folder: str | os.PathLike[str],
    config: GPT2Config,
    kind: type[T] = Tokenizer,  # type: ignore[assignment]
) -> T | None:
    """Read a folder's tokenizer. Where it holds none, a model of GPT-2's vocabulary size gets GPT-2's, others None.

    It is None too where the folder's is of another kind: the model still computes logits.

    Raises ValueError where its files are damaged, or (as CheckpointError) it has more tokens than the model.
    """
    folder = _expand(folder)
    try:
        tokenizer = tokenizer_files.load_tokenizer(folder, kind)
    except tokenizer_files.OtherTokenizerError:
        return None
    except FileNotFoundError:
        if (folder / "vocab.json").exists():
            raise CheckpointError(f"{folder} has a vocab.json without merges.txt; put the model's own there") from None
        return kind() if config.vocab_size == GPT2Config.vocab_size else None
    _check_vocabulary(tokenizer, config, str(folder))
    return tokenizer


def load_eos_token_id(folder: str | os.PathLike[str]) -> list[int] | None:
    """Read which tokens end a text: `generation_config.json` says it, else `config.json`, else nobody (None).

    Raises CheckpointError where it is neither an id nor a list of them.
    """
    for name in ("generation_config.json", "config.json"):
        path = _expand(folder) / name
        said = read_json(path).get("eos_token_id") if path.is_file() else None
        if said is not None:
            ids = said if isinstance(said, list) else [said]
            if not all(type(token_id) is int and token_id >= 0 for token_id in ids):
                raise CheckpointError(f"{path}: eos_token_id must be a token id or a list of them, not {said!r}")
            return ids
    return None


def _ids(folder: Path | None) -> dict[str, Any]:
    """Read the ids of a folder's `config.json` that mark the beginning and the end of texts, and padding."""
    if folder is None or not (folder / "config.json").is_file():
        return {}
    options = read_json(folder / "config.json")
    return {name: options[name] for name in IDS if name in options}


def _copy_kept(source: Path | None, destination: Path) -> bool:
    """Copy what is kept as it is, and tell whether a tokenizer is among it."""
    names = [name for name in KEPT if source is not None and (source / name).is_file()]
    for name in names:
        shutil.copyfile(cast(Path, source) / name, destination / name)
    return "vocab.json" in names or "tokenizer.json" in names


def _check_vocabulary(tokenizer: Tokenizer | None, config: GPT2Config, where: str) -> None:
    if tokenizer is not None and tokenizer.n_vocab > config.vocab_size:
        raise CheckpointError(
            f"{where}: the tokenizer has {tokenizer.n_vocab} tokens, but the config says vocab_size "
            f"{config.vocab_size}; use the model's own vocab.json and merges.txt"
        )


def _check_type(value: Any, field: dataclasses.Field[Any], path: Path) -> None:
    """Refuse an option of another type than the config's. Whole numbers are the config's own to check."""
    if isinstance(field.default, (bool, str)) and type(value) is not type(field.default):
        kind = "text" if isinstance(field.default, str) else "true or false"
        raise CheckpointError(f"{path}: {field.name} must be {kind}, not {value!r}")
    if isinstance(field.default, float) and not (type(value) in (int, float) and 0 < value < math.inf):
        raise CheckpointError(f"{path}: {field.name} must be a number above 0, not {value!r}")


def _write_model(
    folder: Path,
    config: GPT2Config,
    tensors: Mapping[str, Array],
    tokenizer: Tokenizer | None,
    dtype: DTypeLike | None,
    ids: dict[str, Any],
) -> None:
    options = {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        **dataclasses.asdict(config),
        "n_positions": config.n_ctx,
    }
    if tokenizer is not None:
        options |= {"bos_token_id": tokenizer.eot_id, "eos_token_id": tokenizer.eot_id}
    _write_json(folder / "config.json", options | ids)
    save_file(tensors, folder / WEIGHTS, {"format": "pt"}, dtype=dtype)  # transformers wants this "format"


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with atomic_write(path) as file:
        file.write(json.dumps(content, indent=2).encode() + b"\n")


def _expand(path: str | os.PathLike[str]) -> Path:
    return Path(os.path.expanduser(path))
