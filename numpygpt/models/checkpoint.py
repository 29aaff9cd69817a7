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
from numpygpt.models import nanogpt, tokenizer_files
from numpygpt.models.config_json import load_carried_over
from numpygpt.models.config_json import load_config as load_config  # who opens a folder needs both modules
from numpygpt.models.config_json import load_eos_token_id as load_eos_token_id
from numpygpt.models.stored import (
    CONFIG,
    INDEX,
    WEIGHTS,
    CheckpointError,
    LazyTensors,
    TransposedError,
    check_shapes,
    find_tensors,
    read_json,
)
from numpygpt.models.tokenizer_json import OtherTokenizerError
from numpygpt.pictures import CODEBOOK
from numpygpt.safetensors import load_file, save_file
from numpygpt.tokenizer import Tokenizer

T = TypeVar("T", bound=Tokenizer)

PADDED = (GPT2Config.vocab_size, 50304)  # GPT-2's vocabulary, as it is and as nanoGPT rounds it up
KEPT = (  # of a folder that is converted or saved anew, as they are
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "generation_config.json",
    "chat_template.jinja",
    CODEBOOK,
    *tokenizer_files.OTHER_KINDS,
)


def load(
    folder: str | os.PathLike[str],
    dtype: DTypeLike = np.float32,
    tokenizer_class: type[T] = Tokenizer,  # type: ignore[assignment]
    *,
    memory_map: bool = True,
) -> tuple[GPT2Config, Params, T | None]:
    """Load a model folder. The tokenizer is None where the folder holds none.

    Tensors are cast to `dtype`. Those that are stored in it, aligned, stay on disk and are mapped into memory,
    read-only: a converted folder loads without a copy, and processes that use it share its pages. Without
    `memory_map`, all are copied to where decoding reads them fastest (`numpygpt.engine.memory`).

    Raises FileNotFoundError where the folder or one of its files is missing, and ValueError where a file is damaged
    or (as CheckpointError) what the folder holds is not a GPT-2 or not consistent.
    """
    config = load_config(folder)
    params = load_params(folder, config, dtype, memory_map=memory_map)
    return config, params, load_tokenizer(folder, config, tokenizer_class)


def load_params(
    folder: str | os.PathLike[str], config: GPT2Config, dtype: DTypeLike = np.float32, *, memory_map: bool = True
) -> Params:
    """Load a model folder's parameters alone, as `load` does."""
    places = find_tensors(_expand(folder), config)
    if not memory_map:
        from numpygpt.engine import memory  # here, for the book reads a model without the engine

        shapes = {name: file.shapes[stored] for name, (file, stored) in places.items()}
        return unflatten(memory.load(LazyTensors(places), shapes, dtype))
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
        _write_model(beside, config, tensors, tokenizer, dtype, load_carried_over(kept))
        copied = _copy_kept(kept, beside)
        if tokenizer is not None and not copied:
            settings = {"tokenizer_class": "GPT2Tokenizer", "model_max_length": config.n_ctx}
            if (beside / "tokenizer_config.json").exists():
                settings = read_json(beside / "tokenizer_config.json")
            tokenizer_files.save_tokenizer(tokenizer, beside, **settings)
        written = {path.name for path in beside.iterdir()}
    for name in {INDEX, *KEPT} - written:  # of an older model, which would speak against the new one
        (folder / name).unlink(missing_ok=True)


def convert(
    source: str | os.PathLike[str], destination: str | os.PathLike[str], *, n_head: int | None = None
) -> GPT2Config:
    """Rewrite a model folder so that it loads without a copy: plain names, no masks, float32, aligned to 64 bytes.

    The source may also be a safetensors file, or a folder of nanoGPT's, or one without a config; `n_head` says then
    how many heads there are. Goes through the tensors one at a time: needs memory for the largest of them, not for
    the model. The files of the tokenizer, of generation and of the chat template are copied as they are. Returns the
    config.

    Raises what `load` raises, and FileExistsError where the destination exists.
    """
    source, destination = _expand(source), _expand(destination)
    if destination.exists() and source.exists() and destination.samefile(source):
        raise FileExistsError(f"{destination} is the source; give the name of a new folder")
    folder = source if source.is_dir() else source.parent
    config, tensors = _read_any(source, folder, n_head)
    tokenizer = load_tokenizer(folder, config)
    with atomic_folder(destination) as beside:
        _write_model(beside, config, tensors, tokenizer, np.float32, load_carried_over(folder))
        if not _copy_kept(folder, beside) and tokenizer is not None:
            tokenizer_files.save_tokenizer(tokenizer, beside)
    return config


def _read_any(source: Path, folder: Path, n_head: int | None) -> tuple[GPT2Config, Mapping[str, Array]]:
    """Find the config and the tensors of a model folder, or of what `nanogpt.read` reads."""
    said = read_json(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    if source.is_file() or ("model_type" not in said and any(folder.glob("*.safetensors"))):
        return nanogpt.read(source, said, n_head)
    config = load_config(source)
    if n_head not in (None, config.n_head):
        raise CheckpointError(f"{source}: its config.json says n_head {config.n_head}, not {n_head}")
    try:
        return config, LazyTensors(find_tensors(source, config))
    except TransposedError:
        return nanogpt.read(source, dataclasses.asdict(config), n_head)


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
        tokenizer = tokenizer_files.load_tokenizer(
            folder, kind, n_rows=config.vocab_size, eos_token_id=next(iter(load_eos_token_id(folder) or []), None)
        )
    except OtherTokenizerError:
        return None
    except FileNotFoundError:
        if (folder / "vocab.json").exists():
            raise CheckpointError(f"{folder} has a vocab.json without merges.txt; put the model's own there") from None
        return kind() if config.vocab_size in PADDED else None
    _check_vocabulary(tokenizer, config, str(folder))
    return tokenizer


def _copy_kept(source: Path | None, destination: Path) -> bool:
    """Copy what is kept as it is, and tell whether a tokenizer is among it."""
    names = [name for name in KEPT if source is not None and (source / name).is_file()]
    for name in names:
        shutil.copyfile(cast(Path, source) / name, destination / name)
    return "vocab.json" in names or "tokenizer.json" in names


def _check_vocabulary(tokenizer: Tokenizer | None, config: GPT2Config, where: str) -> None:
    """Refuse a tokenizer with more tokens than the model, but for those that were only added to it."""
    if tokenizer is not None and max(tokenizer.vocab.values(), default=0) >= config.vocab_size:
        raise CheckpointError(
            f"{where}: the tokenizer has {tokenizer.n_vocab} tokens, but the config says vocab_size "
            f"{config.vocab_size}; use the model's own vocab.json and merges.txt"
        )


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
        roles = tokenizer.roles if hasattr(tokenizer, "roles") else {"eos_token": tokenizer.eot_id}
        begin_with = roles.get("bos_token", roles.get("eos_token"))
        options |= {"bos_token_id": begin_with, "eos_token_id": roles.get("eos_token")}
    _write_json(folder / "config.json", options | ids)
    save_file(tensors, folder / WEIGHTS, {"format": "pt"}, dtype=dtype)  # transformers wants this "format"


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with atomic_write(path) as file:
        file.write(json.dumps(content, indent=2).encode() + b"\n")


def _expand(path: str | os.PathLike[str]) -> Path:
    return Path(os.path.expanduser(path))
