"""A model folder on disk <-> a configuration, a tree of parameters and a tokenizer.

A model folder is what the Hugging Face hub holds for GPT-2 and what `transformers` reads and writes:

    config.json             the shape of the model
    model.safetensors       the tensors (or shards of them, named in model.safetensors.index.json)
    vocab.json, merges.txt  the tokenizer (or tokenizer.json)

The tree of parameters is the tensors' names split at the dots: `h.3.mlp.c_fc.weight` is
`params["h"][3]["mlp"]["c_fc"]["weight"]`. Loading is an unflatten and saving a flatten.

Run as a command, it converts: `python -m numpygpt.checkpoint SOURCE DESTINATION`.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from numpygpt.files import folder_written_whole, written_whole
from numpygpt.layers import Array
from numpygpt.model import GPT2Config, Params, parameter_shapes
from numpygpt.safetensors import SafetensorsFile, load_file, save_file
from numpygpt.tokenizer import Tokenizer

PREFIX = "transformer."  # transformers' name for the model without its output weights
MASKS = (".attn.bias", ".attn.masked_bias")  # causal masks that some files carry: not parameters
OUTPUT_WEIGHT = "lm_head.weight"
REFUSED: dict[str, Any] = {  # options that would change the arithmetic, and the value that leaves it as it is
    "add_cross_attention": False,
    "is_encoder_decoder": False,
    "pruned_heads": {},
    "quantization_config": None,
}


class CheckpointError(ValueError):
    """A model folder that cannot be used: the message names the file, what is wrong with it and what to do."""


def load(folder: str | os.PathLike[str], dtype: DTypeLike = np.float32) -> tuple[GPT2Config, Params, Tokenizer | None]:
    """Load a model folder. The tokenizer is None where the folder holds none.

    Tensors are cast to `dtype`. Those that are stored in it, aligned, stay on disk and are mapped into memory:
    a converted folder loads without a copy, and processes that use it share its pages.

    Raises FileNotFoundError where the folder or one of its files is missing and CheckpointError (a ValueError)
    where what it holds is not a GPT-2 or not consistent.
    """
    config = load_config(folder)
    places = _Tensors(Path(folder), config).places
    files = {path: load_file(path) for path in {file.path for file, _ in places.values()}}
    tensors = {name: np.asarray(files[file.path][stored], dtype) for name, (file, stored) in places.items()}
    params = unflatten(tensors)
    return config, params, load_tokenizer(folder, config)


def save(
    folder: str | os.PathLike[str],
    config: GPT2Config,
    params: Params,
    tokenizer: Tokenizer | None,
    *,
    dtype: DTypeLike | None = None,
    overwrite: bool = False,
) -> None:
    """Save a model folder that this package, `transformers` and what reads its folders can open.

    `dtype` casts the tensors, `np.float16` for half the size on disk. The folder appears when it is complete;
    with `overwrite`, the files of an existing one are replaced one by one.

    Raises FileExistsError where the folder exists and ValueError where a tensor's shape or name contradicts config.
    """
    tensors = flatten(params)
    _check_shapes({name: np.shape(tensor) for name, tensor in tensors.items()}, config, "params")
    with folder_written_whole(folder, overwrite=overwrite) as beside:
        _write_folder(beside, config, tensors, tokenizer, dtype)


def convert(source: str | os.PathLike[str], destination: str | os.PathLike[str]) -> None:
    """Rewrite a model folder so that it loads without a copy: plain names, no masks, float32, aligned to 64 bytes.

    Goes through the tensors one at a time: needs memory for the largest of them, not for the model. Where
    `destination` ends in `.npz`, the tensors alone go into one file that `np.load` opens.

    Raises what `load` raises, and FileExistsError where the destination exists.
    """
    destination = Path(destination)
    if destination.exists() and not (destination.is_dir() and not any(destination.iterdir())):
        raise FileExistsError(f"{destination} exists already; give a new name, or remove it first")
    config = load_config(source)
    tensors = _Tensors(Path(source), config)
    if destination.suffix == ".npz":
        with written_whole(destination) as file:
            np.savez(
                file, allow_pickle=False, **{name: tensors[name].astype(np.float32, copy=False) for name in tensors}
            )
        return
    tokenizer = load_tokenizer(source, config)
    with folder_written_whole(destination) as beside:
        _write_folder(beside, config, tensors, tokenizer, np.float32)


def load_config(folder: str | os.PathLike[str]) -> GPT2Config:
    """Read a folder's `config.json`.

    Raises FileNotFoundError where there is none, and CheckpointError where it is not a GPT-2's or asks for
    arithmetic that this package does not do.
    """
    path = Path(folder) / "config.json"
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"{folder}: there is no such folder; a model folder holds config.json and weights")
    if not path.is_file():
        raise FileNotFoundError(f"{folder} is not a model folder: it has no config.json")
    options = _read_json(path)
    if options.get("model_type") != "gpt2":
        raise CheckpointError(f"{path}: model_type is {options.get('model_type')!r}; only 'gpt2' models can be loaded")
    for name, harmless in REFUSED.items():
        if options.get(name, harmless) not in (harmless, None):
            raise CheckpointError(f"{path}: {name} is {options[name]!r}, which this package does not implement")
    n_ctx = options.get("n_positions", options.get("n_ctx"))  # some files have one of them; n_positions sizes wpe
    options = {**options, **({} if n_ctx is None else {"n_ctx": n_ctx})}
    known = {field.name for field in dataclasses.fields(GPT2Config)}
    try:
        return GPT2Config(**{name: value for name, value in options.items() if name in known})
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from None


def load_tokenizer(folder: str | os.PathLike[str], config: GPT2Config) -> Tokenizer | None:
    """Read a folder's tokenizer. Where it holds none, a model of GPT-2's vocabulary size gets GPT-2's, others None.

    Raises CheckpointError where the tokenizer has more tokens than the model.
    """
    try:
        tokenizer = Tokenizer.load(folder)
    except FileNotFoundError:
        tokenizer = Tokenizer()
        return tokenizer if config.vocab_size == tokenizer.n_vocab else None
    if tokenizer.n_vocab > config.vocab_size:
        raise CheckpointError(
            f"{folder}: the tokenizer has {tokenizer.n_vocab} tokens, but config.json says vocab_size "
            f"{config.vocab_size}; put the model's own vocab.json and merges.txt there"
        )
    return tokenizer


def unflatten(tensors: Mapping[str, Array]) -> Params:
    """Grow the tree of parameters from named tensors: split at the dots, with a list for the numbered layers.

    >>> unflatten({"wte.weight": 1, "h.0.ln_1.bias": 2, "h.1.ln_1.bias": 3})
    {'wte': {'weight': 1}, 'h': [{'ln_1': {'bias': 2}}, {'ln_1': {'bias': 3}}]}
    """
    params: Params = {}
    for name, tensor in tensors.items():
        *path, last = name.split(".")
        branch = params
        for part in path:
            branch = branch.setdefault(part, {})
        branch[last] = tensor
    if "h" in params:
        params["h"] = [params["h"][str(layer)] for layer in range(len(params["h"]))]
    return params


def flatten(params: Params) -> dict[str, Array]:
    """Name every tensor of the tree, the inverse of `unflatten`.

    >>> flatten({"wte": {"weight": 1}, "h": [{"ln_1": {"bias": 2}}, {"ln_1": {"bias": 3}}]})
    {'wte.weight': 1, 'h.0.ln_1.bias': 2, 'h.1.ln_1.bias': 3}
    """
    tensors: dict[str, Array] = {}
    for name, branch in params.items():
        if isinstance(branch, list):
            branch = {str(i): item for i, item in enumerate(branch)}
        if isinstance(branch, dict):
            tensors |= {f"{name}.{rest}": tensor for rest, tensor in flatten(branch).items()}
        else:
            tensors[name] = branch
    return tensors


class _Tensors(Mapping[str, Array]):
    """The parameters in a folder's safetensors files by their plain names, each mapped when it is looked up.

    Checks on opening that they are exactly those of the config, with its shapes.
    """

    def __init__(self, folder: Path, config: GPT2Config) -> None:
        self.places: dict[str, tuple[SafetensorsFile, str]] = {}
        for file, name in _stored_tensors(folder):
            plain = name.removeprefix(PREFIX)
            if plain.startswith("h.") and plain.endswith(MASKS):
                continue
            if plain in self.places:
                raise CheckpointError(f"{file.path}: tensor {plain} is there twice, with and without {PREFIX!r}")
            if not file.dtypes[name].lstrip("B").startswith("F"):
                raise CheckpointError(
                    f"{file.path}: tensor {name} holds {file.dtypes[name]} numbers; only floating-point weights work"
                )
            self.places[plain] = file, name
        if config.tie_word_embeddings and OUTPUT_WEIGHT in self.places:
            self._check_tie(folder)
            del self.places[OUTPUT_WEIGHT]
        _check_shapes({name: file.shapes[stored] for name, (file, stored) in self.places.items()}, config, str(folder))

    def _check_tie(self, folder: Path) -> None:
        if not np.array_equal(self[OUTPUT_WEIGHT], self.get("wte.weight", np.empty(0))):
            raise CheckpointError(
                f"{folder}: {OUTPUT_WEIGHT} differs from wte.weight although config.json ties them; "
                'set "tie_word_embeddings": false there to use both'
            )

    def __getitem__(self, name: str) -> Array:
        file, stored = self.places[name]
        return file[stored]

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)


def _stored_tensors(folder: Path) -> Iterator[tuple[SafetensorsFile, str]]:
    """Yield every tensor of the folder: the file that holds it, and its name there."""
    index = folder / "model.safetensors.index.json"
    if (folder / "model.safetensors").is_file():
        file = SafetensorsFile(folder / "model.safetensors")
        yield from ((file, name) for name in file)
    elif index.is_file():
        shards: dict[str, SafetensorsFile] = {}
        for name, shard in _weight_map(index).items():
            if shard not in shards:
                shards[shard] = SafetensorsFile(folder / shard)
            if name not in shards[shard]:
                raise CheckpointError(f"{index}: tensor {name} is not in {shard} as the index says")
            yield shards[shard], name
    else:
        pickled = any(folder.glob("pytorch_model*.bin"))
        hint = "its pytorch_model.bin is never opened, for a pickle can run code" if pickled else "download it again"
        raise FileNotFoundError(f"{folder} has no model.safetensors; {hint}")


def _weight_map(index: Path) -> dict[str, str]:
    """Read which shard holds which tensor."""
    weight_map = _read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(shard, str) for shard in weight_map.values()):
        raise CheckpointError(f"{index}: weight_map is missing, or not from tensor names to file names")
    for name, shard in weight_map.items():
        if shard != os.path.basename(shard) or not shard.endswith(".safetensors"):
            raise CheckpointError(f"{index}: tensor {name} is in {shard!r}, which is not a safetensors file beside it")
    return weight_map


def _check_shapes(shapes: Mapping[str, tuple[int, ...]], config: GPT2Config, where: str) -> None:
    expected = parameter_shapes(config)
    for name, shape in expected.items():
        if name not in shapes:
            raise CheckpointError(f"{where}: tensor {name} is missing; config.json asks for {config.n_layer} layers")
        if tuple(shapes[name]) != shape:
            raise CheckpointError(
                f"{where}: tensor {name} has shape {list(shapes[name])}, but config.json asks for {list(shape)}; "
                "they must come from the same model"
            )
    for name in shapes:
        if name not in expected:
            raise CheckpointError(
                f"{where}: tensor {name} is not part of a GPT-2 language model of {config.n_layer} layers"
            )


def _write_folder(
    folder: Path, config: GPT2Config, tensors: Mapping[str, Array], tokenizer: Tokenizer | None, dtype: DTypeLike | None
) -> None:
    options = {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        **dataclasses.asdict(config),
        "n_positions": config.n_ctx,
    }
    if tokenizer is not None:
        options |= {"bos_token_id": tokenizer.eot_id, "eos_token_id": tokenizer.eot_id}
        named = {"tokenizer_class": "GPT2Tokenizer", "model_max_length": config.n_ctx}
        _write_json(folder / "tokenizer_config.json", named)
        tokenizer.save(folder)
    _write_json(folder / "config.json", options)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"}, dtype=dtype)  # transformers wants this "format"


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with written_whole(path) as file:
        file.write(json.dumps(content, indent=2).encode() + b"\n")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}; download it again") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} must hold a JSON object, not a {type(content).__name__}")
    return content


def main(argv: list[str] | None = None) -> None:
    """Convert a model folder, from the command line."""
    from numpygpt.command_line import Parser, friendly_exit

    parser = Parser(
        "python -m numpygpt.checkpoint",
        "Convert a GPT-2 model folder so that it loads without a copy: names without prefix, causal masks\n"
        "dropped, float32, data aligned to 64 bytes. `transformers` opens the result as well.",
        "example: python -m numpygpt.checkpoint downloads/gpt2 gpt2-converted\n"
        '         python -m numpygpt --model gpt2-converted "Alan Turing"',
    )
    parser.add_argument("source", metavar="SOURCE", help="a folder with config.json and model.safetensors")
    parser.add_argument("destination", metavar="DESTINATION", help="a new folder, or a new file NAME.npz for np.load")
    options = parser.parse_args(argv)
    with friendly_exit(parser.prog):
        convert(options.source, options.destination)
        print(f"{options.destination}: converted from {options.source}", file=sys.stderr)


if __name__ == "__main__":
    main()
