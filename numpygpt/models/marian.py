"""A translator's folder on disk <-> a configuration and a tree of parameters, as `MarianMTModel` has them.

Marian's matrices are stored as [n_out, n_in]. They are turned over here, when they are read and written, so that the
book has one `linear`; all names are the book's own.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from numpygpt.arrays import Array, Params, Tensors, flatten, unflatten
from numpygpt.files import atomic_folder, atomic_write
from numpygpt.models import formats, tokenizer_files
from numpygpt.models.stored import CONFIG, WEIGHTS, CheckpointError, read_json, stored_tensors
from numpygpt.models.tokenizer_json import OtherTokenizerError
from numpygpt.safetensors import save_file
from numpygpt.tokenizer import Tokenizer
from numpygpt.transformer import sines_first
from numpygpt.transformer_config import TransformerConfig, parameter_shapes

SHARED, BIAS = "model.shared.weight", "final_logits_bias"
COPIES = ("model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight", "lm_head.weight")
POSITIONS = ("model.encoder.embed_positions.weight", "model.decoder.embed_positions.weight")
REQUIRED: dict[str, Any] = {  # what else a config may say, and the value that this arithmetic has
    "is_encoder_decoder": True,
    "share_encoder_decoder_embeddings": True,
    "tie_word_embeddings": True,
    "normalize_before": False,
    "normalize_embedding": False,
    "add_final_layer_norm": False,
    "add_bias_logits": False,
    "static_position_embeddings": True,
    "extra_pos_embeddings": None,
    "quantization_config": None,
}


def is_stored_turned(name: str, shape: tuple[int, ...]) -> bool:
    """Whether a tensor is stored as the transpose of what the book's functions take."""
    return len(shape) == 2 and name not in (SHARED, BIAS)


def load_config(folder: str | os.PathLike[str]) -> TransformerConfig:
    """Read a folder's `config.json`.

    Raises FileNotFoundError or NotADirectoryError where there is none, and CheckpointError where it is not a
    Marian's or asks for arithmetic that this package does not do.
    """
    folder = Path(folder).expanduser()
    path = folder / CONFIG
    if not folder.is_dir():
        kind = NotADirectoryError if folder.exists() else FileNotFoundError
        raise kind(f"{folder} is not a folder; give one that holds config.json and the weights")
    if not path.is_file():
        raise FileNotFoundError(formats.explain(folder) or f"{folder} is not a model folder: it has no config.json")
    options = read_json(path)
    if options.get("model_type") != "marian":
        raise CheckpointError(
            f"{path}: model_type is {options.get('model_type')!r}; a translator is of type 'marian', an encoder-decoder"
        )
    for name, required in REQUIRED.items():
        if (value := options.get(name, required)) not in (required, None):
            raise CheckpointError(f"{path}: {name} is {value!r}, which this package does not implement")
    if options.get("decoder_vocab_size") not in (None, options.get("vocab_size")):
        raise CheckpointError(f"{path}: decoder_vocab_size differs from vocab_size: the languages must share a table")
    defaults: dict[str, Any] = {
        "vocab_size": 58101,
        "max_position_embeddings": 1024,
        "activation_function": "gelu",
        "d_model": 1024,
    }
    defaults |= {"encoder_layers": 12, "decoder_layers": 12, "encoder_ffn_dim": 4096, "decoder_ffn_dim": 4096}
    defaults |= {"encoder_attention_heads": 16, "decoder_attention_heads": 16, "scale_embedding": False}
    defaults |= {"eos_token_id": 0, "pad_token_id": 58100, "decoder_start_token_id": 58100}
    chosen = {name: options[name] if options.get(name) is not None else value for name, value in defaults.items()}
    if type(chosen["scale_embedding"]) is not bool or type(chosen["activation_function"]) is not str:
        raise CheckpointError(f"{path}: scale_embedding must be true or false, and activation_function a name")
    try:
        return TransformerConfig(**chosen)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from None


def is_marian(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder's config says that it is a translator."""
    path = Path(folder).expanduser() / CONFIG
    return path.is_file() and read_json(path).get("model_type") == "marian"


def load(folder: str | os.PathLike[str], dtype: DTypeLike = np.float32) -> tuple[TransformerConfig, Params]:
    """Load a folder's config and parameters, cast to `dtype`.

    Raises FileNotFoundError where the folder or one of its files is missing, and ValueError where a file is damaged or
    (as CheckpointError) what it holds is no such model.
    """
    folder = Path(folder).expanduser()
    config = load_config(folder)
    tensors: Tensors = {}
    for file, name in stored_tensors(folder):
        if not file.dtypes[name].lstrip("B").startswith("F"):
            raise CheckpointError(f"{file.path}: tensor {name} holds {file.dtypes[name]} numbers, not floating-point")
        tensors[name] = np.asarray(file[name], dtype)
    _drop_copies(tensors, config, folder)
    for name, tensor in tensors.items():
        tensors[name] = tensor.T if is_stored_turned(name, tensor.shape) else tensor
    tensors.setdefault(BIAS, np.zeros((1, config.vocab_size), dtype))
    _check(tensors, config, str(folder))
    return config, unflatten(tensors)


def copy(source: str | os.PathLike[str], destination: str | os.PathLike[str]) -> TransformerConfig:
    """Copy a folder's files as they are, once they have been found right. Raises what `load` raises."""
    config, _ = load(source)
    with atomic_folder(destination) as beside:
        for path in Path(source).expanduser().iterdir():
            if path.is_file() and path.suffix in (".json", ".safetensors", ".spm", ".model"):
                shutil.copyfile(path, beside / path.name)
    return config


def load_tokenizer(folder: str | os.PathLike[str], config: TransformerConfig) -> Tokenizer | None:
    """Read a folder's tokenizer if it is a byte-level BPE; None where it is another kind's, or there is none.

    Raises ValueError where its files are damaged or have more tokens than the model.
    """
    from numpygpt.engine.bpe import Tokenizer as Fast

    folder = Path(folder).expanduser()
    if not (folder / "tokenizer.json").is_file():
        return None
    try:
        tokenizer = tokenizer_files.load_tokenizer(folder, Fast, n_rows=config.vocab_size)
    except OtherTokenizerError:
        return None
    if max(tokenizer.vocab.values(), default=0) >= config.vocab_size:
        raise CheckpointError(f"{folder}: the tokenizer has {tokenizer.n_vocab} tokens, the model {config.vocab_size}")
    if config.eos_token_id not in tokenizer.suffix:
        tokenizer.suffix = [*tokenizer.suffix, config.eos_token_id]
    return tokenizer


def why_no_tokenizer(folder: Path | None) -> str:
    """Say why a model reads ids alone, and no text."""
    if folder is None:
        return "the model was made without a tokenizer; its logits work"
    if found := [name for name in tokenizer_files.SENTENCEPIECE if (folder / name).is_file()]:
        kind = f"its tokenizer is SentencePiece ({', '.join(found)}), not byte-level BPE"
    elif (folder / "tokenizer.json").is_file():
        kind = "its tokenizer.json is of another kind than byte-level BPE"
    else:
        kind = "it has no tokenizer.json"
    return f"{folder}: {kind}, so it takes no text; its logits, of ids, work"


def _drop_copies(tensors: Tensors, config: TransformerConfig, folder: Path) -> None:
    """Leave out what old files hold besides: the table under other names, and the encoding of positions."""
    for name in COPIES:
        if name in tensors:
            copy = tensors.pop(name)
            if not np.array_equal(copy, tensors.setdefault(SHARED, copy)):
                raise CheckpointError(f"{folder}: {name} differs from {SHARED}: the languages must share a table")
    for name in POSITIONS:
        if name in tensors:
            stored = tensors.pop(name)
            if stored.ndim != 2 or not np.allclose(stored, sines_first(*stored.shape), atol=1e-2):
                raise CheckpointError(f"{folder}: {name} is not the sinusoidal encoding, which alone is implemented")


def _check(tensors: Mapping[str, Array], config: TransformerConfig, where: str) -> None:
    """Refuse tensors that are not exactly those of the config. The files are what bounds the work, not the config."""
    layers = {name: min(getattr(config, name), len(tensors) + 1) for name in ("encoder_layers", "decoder_layers")}
    expected = parameter_shapes(dataclasses.replace(config, **layers))
    for name in (*tensors, *expected):
        shape = tensors[name].shape if name in tensors else None
        if shape == expected.get(name):
            continue
        if shape is None:
            said = f"tensor {name} is missing"
        elif name not in expected:
            said = f"tensor {name} is not part of the model that the config describes"
        else:
            said = f"tensor {name} has shape {list(shape)}, but the config asks for {list(expected[name])}"
        raise CheckpointError(f"{where}: {said}; config and tensors must come from the same model")


def save(
    folder: str | os.PathLike[str],
    config: TransformerConfig,
    params: Params,
    tokenizer: Tokenizer | None,
    *,
    dtype: DTypeLike | None = None,
    overwrite: bool = False,
    about: Mapping[str, Any] | None = None,
) -> None:
    """Save a folder that this package and `transformers` open. It appears when it is complete.

    `dtype` casts the tensors; `about` goes to `config.json` as well. Raises FileExistsError where the folder exists,
    unless `overwrite`, and CheckpointError where tensors and config contradict each other.
    """
    folder = Path(folder).expanduser()
    tensors = {name: np.asarray(tensor) for name, tensor in flatten(params).items()}
    _check(tensors, config, "params")
    stored = {
        name: np.ascontiguousarray(tensor.T) if is_stored_turned(name, tensor.shape) else tensor
        for name, tensor in tensors.items()
    }
    generation = {
        "eos_token_id": config.eos_token_id,
        "forced_eos_token_id": config.eos_token_id,
        "pad_token_id": config.pad_token_id,
        "decoder_start_token_id": config.decoder_start_token_id,
        "bad_words_ids": [[config.pad_token_id]],
        "max_length": config.max_position_embeddings,
    }
    options = {"architectures": ["MarianMTModel"], "model_type": "marian", **dataclasses.asdict(config)}
    options |= {"is_encoder_decoder": True, "dtype": str(np.dtype(dtype or np.float32)), **generation}
    del options["max_length"]
    with atomic_folder(folder, overwrite=overwrite) as beside:
        for name, content in ((CONFIG, options | dict(about or {})), ("generation_config.json", generation)):
            with atomic_write(beside / name) as file:
                file.write(json.dumps(content, indent=2).encode() + b"\n")
        save_file(stored, beside / WEIGHTS, {"format": "pt"}, dtype=dtype)
        if tokenizer is not None:
            tokenizer_files.save_tokenizer(
                tokenizer, beside, pad_token="<|pad|>", model_max_length=config.max_position_embeddings
            )
