"""The tensors in a model's folder: in one safetensors file or in shards, under the names of several savers."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from numpygpt.arrays import Array
from numpygpt.config import GPT2Config, parameter_shapes
from numpygpt.models import formats
from numpygpt.safetensors import SafetensorsFile

PREFIXES = re.compile(r"(_orig_mod\.|module\.|transformer\.)*")  # by torch.compile, DataParallel and transformers
LANGUAGE_MODEL = ("wte.", "wpe.", "h.", "ln_f.", "lm_head.")
MASKS = (".attn.bias", ".attn.masked_bias")  # causal masks that some files carry: not parameters
CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
OUTPUT_WEIGHT = "lm_head.weight"
TIED = "wte.weight"  # what the output weights are, unless the config unties them

log = logging.getLogger("numpygpt.models")

Places = dict[str, tuple[SafetensorsFile, str]]  # a tensor's plain name -> the file that holds it, its name there


class CheckpointError(ValueError):
    """A model folder that cannot be used: the message names the file, what is wrong with it and what to do."""


class TransposedError(CheckpointError):
    """Tensors whose matrices are the other way around."""


class LazyTensors(Mapping[str, Array]):
    """Tensors that are read when they are looked up, for `save_file` to take one at a time."""

    def __init__(self, places: Places) -> None:
        self.places = places

    def __getitem__(self, name: str) -> Array:
        file, stored = self.places[name]
        return file[stored]

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)


def find_tensors(folder: Path, config: GPT2Config) -> Places:
    """Find the parameters in a folder's safetensors files, by their plain names.

    Tensors of something else, such as a classifier on top of the language model, are left out with a warning.

    Raises CheckpointError where the others are not exactly those of the config, with its shapes.
    """
    places = plain_names(folder, stored_tensors(folder))
    c_attn = places.get("h.0.attn.c_attn.weight")
    if c_attn and c_attn[0].shapes[c_attn[1]] == (3 * config.n_embd, config.n_embd):
        raise TransposedError(
            f"{folder}: its matrices are transposed, as nanoGPT has them; make a folder of it that works: "
            f"python -m numpygpt.models convert {folder} NEW-FOLDER"
        )
    if config.tie_word_embeddings and OUTPUT_WEIGHT in places:  # a second copy; some savers keep it under this name
        tensors = LazyTensors(places)
        if TIED in places and not np.array_equal(tensors[OUTPUT_WEIGHT], tensors[TIED]):
            raise CheckpointError(
                f"{folder}: {OUTPUT_WEIGHT} differs from {TIED} although config.json ties them; "
                'set "tie_word_embeddings": false there to use both'
            )
        places.setdefault(TIED, places.pop(OUTPUT_WEIGHT))
    check_shapes({name: file.shapes[stored] for name, (file, stored) in places.items()}, config, str(folder))
    return places


def plain_names(where: Path, tensors: Iterable[tuple[SafetensorsFile, str]]) -> Places:
    """Return the tensors of the language model among those stored, by their plain names."""
    places: Places = {}
    others = []
    for file, name in tensors:
        plain = name[PREFIXES.match(name).end() :]  # type: ignore[union-attr]
        if not plain.startswith(LANGUAGE_MODEL):
            others.append(name)
        elif not (plain.startswith("h.") and plain.endswith(MASKS)):
            if plain in places:
                raise CheckpointError(f"{file.path}: tensor {plain} is there twice, as {places[plain][1]} and {name}")
            if not file.dtypes[name].lstrip("B").startswith("F"):
                raise CheckpointError(
                    f"{file.path}: tensor {name} holds {file.dtypes[name]} numbers; only floating-point weights work"
                )
            places[plain] = file, name
    if others and places:
        named = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
        log.warning("%s: left out what is no part of the language model: %s", where, named)
    return places


def stored_tensors(folder: Path) -> Iterator[tuple[SafetensorsFile, str]]:
    """Yield every tensor of the folder: the file that holds it, and its name there."""
    index = folder / INDEX
    if (folder / WEIGHTS).is_file():
        file = SafetensorsFile(folder / WEIGHTS)
        yield from ((file, name) for name in file)
    elif index.is_file():
        shards: dict[str, SafetensorsFile] = {}
        for name, shard in _weight_map(index).items():
            if shard not in shards:
                shards[shard] = SafetensorsFile(folder / shard)
            if name not in shards[shard]:
                raise CheckpointError(f"{index}: tensor {name} is not in {shard} as it says; download both again")
            yield shards[shard], name
    else:
        raise FileNotFoundError(formats.explain(folder) or f"{folder} has no {WEIGHTS}; download it again")


def _weight_map(index: Path) -> dict[str, str]:
    """Read which shard holds which tensor."""
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(shard, str) for shard in weight_map.values()):
        raise CheckpointError(f"{index}: weight_map must give each tensor's file name; download it again")
    for name, shard in weight_map.items():
        if shard != os.path.basename(shard) or not shard.endswith(".safetensors"):
            raise CheckpointError(f"{index}: tensor {name} is in {shard!r}, which is not a safetensors file beside it")
        if not (index.parent / shard).is_file():
            raise FileNotFoundError(f"{index.parent / shard} is missing, which should hold {name}; download it again")
    return weight_map


def check_shapes(shapes: Mapping[str, tuple[int, ...]], config: GPT2Config, where: str) -> None:
    """Refuse tensors that are not exactly those of the config. The files are what bounds the work, not the config."""
    expected = parameter_shapes(dataclasses.replace(config, n_layer=min(config.n_layer, len(shapes) + 1)))
    for name in shapes:
        if name not in expected:
            raise CheckpointError(
                f"{where}: tensor {name} is not part of a GPT-2 language model of {config.n_layer} layers; "
                "config and tensors must come from the same model"
            )
    for name, shape in expected.items():
        if name not in shapes:
            raise CheckpointError(
                f"{where}: tensor {name} is missing, which the config (n_layer {config.n_layer}) asks for; "
                "config and tensors must come from the same model"
            )
        if shapes[name] != shape:
            raise CheckpointError(
                f"{where}: tensor {name} has shape {list(shapes[name])}, but the config asks for {list(shape)}; "
                "config and tensors must come from the same model"
            )


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object. Raises CheckpointError where there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}; download it again") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} must hold a JSON object, not a {type(content).__name__}; download it again")
    return content
