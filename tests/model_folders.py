"""Model folders as others and we write them."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import random_models

from numpygpt import GPT2
from numpygpt.arrays import Array, Params, flatten, unflatten
from numpygpt.config import GPT2Config, parameter_shapes
from numpygpt.engine import Tokenizer, gpt2
from numpygpt.models import checkpoint
from numpygpt.safetensors import SafetensorsFile

Tensors = dict[str, Array]

CONFIG = GPT2Config(vocab_size=300, n_ctx=16, n_embd=8, n_layer=2, n_head=2)
OFFICIAL_CONFIG = {  # of the kind that lies beside the official weights, with what other programs want to know
    "activation_function": "gelu_new",
    "architectures": ["GPT2LMHeadModel"],
    "attn_pdrop": 0.1,
    "bos_token_id": 50256,
    "layer_norm_epsilon": 1e-05,
    "model_type": "gpt2",
    "n_ctx": 16,
    "n_embd": 8,
    "n_head": 2,
    "n_layer": 2,
    "n_positions": 16,
    "summary_type": "cls_index",
    "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
    "vocab_size": 300,
}
TOKENIZER = Tokenizer(Tokenizer().merges[:43])  # with the bytes and <|endoftext|>, 300 tokens
SMALL_CONFIG = GPT2Config(vocab_size=320, n_ctx=64, n_embd=32, n_layer=2, n_head=4)  # the last 20 ids only pad
SMALL = GPT2(SMALL_CONFIG, random_models.random_params(SMALL_CONFIG, scale=0.3), TOKENIZER)
IDS = np.array([[5, 299, 0, 17, 17, 256, 3], [1, 2, 3, 4, 5, 6, 7]])
NUMPY_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "U8": "u1", "BOOL": "?"}


def random_params(config: GPT2Config = CONFIG, seed: int = 0) -> Params:
    rng = np.random.default_rng(seed)
    shapes = parameter_shapes(config)
    return unflatten({name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()})


def logits(config: GPT2Config, params: Params) -> Array:
    return gpt2(IDS, **params, config=config)


def write_safetensors(path: Path, tensors: Tensors, types: dict[str, str] | None = None, odd: bool = False) -> None:
    """Write a file by the format's specification, in the order given, with data from an even or an odd byte on."""
    header: dict[str, Any] = {}
    data = b""
    for name, tensor in tensors.items():
        kind = (types or {}).get(name, "F32")
        raw = tensor.astype(NUMPY_TYPES[kind]).tobytes()
        header[name] = {"dtype": kind, "shape": tensor.shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8 + odd)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def read_safetensors(path: Path) -> Tensors:
    file = SafetensorsFile(path)
    return {name: file[name].copy() for name in file}


def causal_mask() -> Array:
    return np.tril(np.ones((1, 1, 16, 16)))


def tree(folder: Path) -> dict[str, bytes | str | None]:
    """Everything in a folder: the content of files, where links lead, None for folders."""

    def content(path: Path) -> bytes | str | None:
        if path.is_symlink():
            return os.readlink(path)
        return None if path.is_dir() else path.read_bytes()

    return {str(path.relative_to(folder)): content(path) for path in folder.rglob("*")}


def assert_same(params: Params, expected: Params) -> None:
    tensors, others = flatten(params), flatten(expected)
    assert tensors.keys() == others.keys()
    for name, tensor in tensors.items():
        assert tensor.dtype == others[name].dtype, name
        np.testing.assert_array_equal(tensor, others[name], name)


def is_mapped(array: Array) -> bool:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return isinstance(array, np.memmap)


def sparse_folder(folder: Path, config: GPT2Config, kind: str, extra: dict[str, tuple[int, ...]]) -> int:
    """A model folder of zeros that take no room on disk; returns the size of the weights in bytes."""
    folder.mkdir()
    (folder / "config.json").write_text(
        json.dumps({"model_type": "gpt2", **dataclasses.asdict(config), "n_positions": config.n_ctx})
    )
    header, end = {}, 0
    for name, shape in (parameter_shapes(config) | extra).items():
        begin, end = end, end + math.prod(shape) * np.dtype(NUMPY_TYPES[kind]).itemsize
        header[f"transformer.{name}"] = {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    return end


def chat_folder(folder: Path, template: str | list[Any] | None = None, **settings: Any) -> Path:
    """A model whose texts `<|im_end|>` ends, with a chat template in `tokenizer_config.json`."""
    special = {"<|endoftext|>": 299, "<|im_start|>": 300, "<|im_end|>": 301}
    tokenizer = Tokenizer(Tokenizer().merges[:43], special_tokens=special)
    config = GPT2Config(vocab_size=302, n_ctx=256, n_embd=16, n_layer=1, n_head=1)
    checkpoint.save(folder, config, random_models.random_params(config), tokenizer)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [299, 301]}))
    settings = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", **settings} | (
        {} if template is None else {"chat_template": template}
    )
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder
