"""A model folder on disk <-> a configuration, a tree of parameters and a tokenizer.

A model folder is what the Hugging Face hub holds for GPT-2 and what `transformers` reads and writes:

    config.json             the shape of the model
    model.safetensors       the tensors (or shards of them, named in model.safetensors.index.json)
    vocab.json, merges.txt  the tokenizer (or tokenizer.json)

The tree of parameters is the tensors' names split at the dots: `h.3.mlp.c_fc.weight` is
`params["h"][3]["mlp"]["c_fc"]["weight"]`. Loading is an unflatten and saving a flatten.

Run as a command, it converts: `python -m numpygpt.models.checkpoint SOURCE DESTINATION`.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from numpygpt.arrays import Array, Params
from numpygpt.config import GPT2Config, parameter_shapes
from numpygpt.engine.bpe import Tokenizer
from numpygpt.files import atomic_folder, atomic_write
from numpygpt.models import tokenizer_files
from numpygpt.safetensors import SafetensorsFile, load_file, save_file

PREFIX = "transformer."  # transformers' name for the model without its output weights
MASKS = (".attn.bias", ".attn.masked_bias")  # causal masks that some files carry: not parameters
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
OUTPUT_WEIGHT = "lm_head.weight"
TIED = "wte.weight"  # what the output weights are, unless the config unties them
RENAMED = {  # transformers writes the first of these and takes them all; what it takes counts more than n_ctx
    "n_positions": "n_ctx",
    "max_position_embeddings": "n_ctx",
    "hidden_size": "n_embd",
    "num_hidden_layers": "n_layer",
    "num_attention_heads": "n_head",
}
REFUSED: dict[str, Any] = {  # options that would change the arithmetic, and the value that leaves it as it is
    "add_cross_attention": False,
    "is_encoder_decoder": False,
    "pruned_heads": {},
    "quantization_config": None,
}
REPLACED = (  # what a folder may hold of an older model and would speak against a new one that lacks it
    INDEX,
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
)


class CheckpointError(ValueError):
    """A model folder that cannot be used: the message names the file, what is wrong with it and what to do."""


def load(
    folder: str | os.PathLike[str], dtype: DTypeLike = np.float32, tokenizer_class: type = Tokenizer
) -> tuple[GPT2Config, Params, Tokenizer | None]:
    """Load a model folder. The tokenizer is None where the folder holds none.

    Tensors are cast to `dtype`. Those that are stored in it, aligned, stay on disk and are mapped into memory,
    read-only: a converted folder loads without a copy, and processes that use it share its pages.

    Raises FileNotFoundError where the folder or one of its files is missing, and ValueError where a file is damaged
    or (as CheckpointError) what the folder holds is not a GPT-2 or not consistent.
    """
    config = load_config(folder)
    return config, load_params(folder, config, dtype), load_tokenizer(folder, config)


def load_params(folder: str | os.PathLike[str], config: GPT2Config, dtype: DTypeLike = np.float32) -> Params:
    """Load a model folder's parameters alone, as `load` does."""
    places = _Tensors(_expand(folder), config).places
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
) -> None:
    """Save a model folder that this package, `transformers` and what reads its folders can open.

    `dtype` casts the tensors, `np.float16` for half the size on disk. The folder appears when it is complete;
    with `overwrite`, the files of an existing one are replaced one by one.

    Raises FileExistsError where the folder exists, and ValueError where a tensor's name, shape or type or the
    tokenizer's size contradicts the config.
    """
    folder = _expand(folder)
    tensors = {name: np.asarray(tensor) for name, tensor in flatten(params).items()}
    for name, tensor in tensors.items():
        kind = tensor.dtype if dtype is None else np.dtype(dtype)
        if kind.kind != "f":
            raise CheckpointError(f"params: tensor {name} would be saved as {kind}; only floating-point weights work")
    _check_shapes({name: tensor.shape for name, tensor in tensors.items()}, config, "params")
    _check_vocabulary(tokenizer, config, "params")
    with atomic_folder(folder, overwrite=overwrite) as beside:
        _write_folder(beside, config, tensors, tokenizer, dtype)
        obsolete = {*REPLACED} - {path.name for path in beside.iterdir()}
    for name in sorted(obsolete):
        (folder / name).unlink(missing_ok=True)


def convert(source: str | os.PathLike[str], destination: str | os.PathLike[str]) -> None:
    """Rewrite a model folder so that it loads without a copy: plain names, no masks, float32, aligned to 64 bytes.

    Goes through the tensors one at a time: needs memory for the largest of them, not for the model. Where
    `destination` ends in `.npz`, the tensors alone go into one file that `np.load` opens.

    Raises what `load` raises, and FileExistsError where the destination exists.
    """
    source, destination = _expand(source), _expand(destination)
    config = load_config(source)
    _check_free(destination, source)
    tensors = _Tensors(source, config)
    if destination.suffix == ".npz":
        _write_npz(destination, tensors)
    else:
        tokenizer = load_tokenizer(source, config)
        with atomic_folder(destination) as beside:
            _write_folder(beside, config, tensors, tokenizer, np.float32)


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
    options = _read_json(path)
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


def load_tokenizer(folder: str | os.PathLike[str], config: GPT2Config) -> Tokenizer | None:
    """Read a folder's tokenizer. Where it holds none, a model of GPT-2's vocabulary size gets GPT-2's, others None.

    Raises ValueError where its files are damaged, or (as CheckpointError) it has more tokens than the model.
    """
    folder = _expand(folder)
    try:
        tokenizer = tokenizer_files.load_tokenizer(folder, Tokenizer)
    except FileNotFoundError:
        if (folder / "vocab.json").exists():
            raise CheckpointError(f"{folder} has a vocab.json without merges.txt; put the model's own there") from None
        return Tokenizer() if config.vocab_size == GPT2Config.vocab_size else None
    _check_vocabulary(tokenizer, config, str(folder))
    return tokenizer


def unflatten(tensors: Mapping[str, Array]) -> Params:
    """Grow the tree of parameters from named tensors: split at the dots, with a list for the numbered layers.

    >>> unflatten({"wte.weight": 1, "h.0.ln_1.bias": 2, "h.1.ln_1.bias": 3})
    {'wte': {'weight': 1}, 'h': [{'ln_1': {'bias': 2}}, {'ln_1': {'bias': 3}}]}

    Raises ValueError where the layers are not numbered from 0 without a gap.
    """
    params: Params = {}
    for name, tensor in tensors.items():
        *path, last = name.split(".")
        branch = params
        for part in path:
            branch = branch.setdefault(part, {})
        branch[last] = tensor
    if "h" in params:
        numbers = [str(layer) for layer in range(len(params["h"]))]
        if missing := [number for number in numbers if number not in params["h"]]:
            raise ValueError(f"no tensor is called h.{missing[0]}...; layers must be numbered from 0 without a gap")
        params["h"] = [params["h"][number] for number in numbers]
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
            self._tie(folder)
        _check_shapes({name: file.shapes[stored] for name, (file, stored) in self.places.items()}, config, str(folder))

    def _tie(self, folder: Path) -> None:
        """Drop the second copy of the token embedding. Some savers keep it under the other name alone."""
        if TIED in self.places and not np.array_equal(self[OUTPUT_WEIGHT], self[TIED]):
            raise CheckpointError(
                f"{folder}: {OUTPUT_WEIGHT} differs from {TIED} although config.json ties them; "
                'set "tie_word_embeddings": false there to use both'
            )
        self.places.setdefault(TIED, self.places.pop(OUTPUT_WEIGHT))

    def __getitem__(self, name: str) -> Array:
        file, stored = self.places[name]
        return file[stored]

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)


def _stored_tensors(folder: Path) -> Iterator[tuple[SafetensorsFile, str]]:
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
    elif pickled := sorted(folder.glob("pytorch_model*.bin")):
        raise FileNotFoundError(
            f"{folder} has no {WEIGHTS}; {pickled[0].name} is a pickle, which can run code, and is never opened here; "
            "if you trust it, load it with transformers and use save_pretrained"
        )
    else:
        raise FileNotFoundError(f"{folder} has no {WEIGHTS}; download it again")


def _weight_map(index: Path) -> dict[str, str]:
    """Read which shard holds which tensor."""
    weight_map = _read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(shard, str) for shard in weight_map.values()):
        raise CheckpointError(f"{index}: weight_map must give each tensor's file name; download it again")
    for name, shard in weight_map.items():
        if shard != os.path.basename(shard) or not shard.endswith(".safetensors"):
            raise CheckpointError(f"{index}: tensor {name} is in {shard!r}, which is not a safetensors file beside it")
        if not (index.parent / shard).is_file():
            raise FileNotFoundError(f"{index.parent / shard} is missing, which should hold {name}; download it again")
    return weight_map


def _check_shapes(shapes: Mapping[str, tuple[int, ...]], config: GPT2Config, where: str) -> None:
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


def _check_free(destination: Path, source: Path) -> None:
    if destination.exists() and destination.samefile(source):
        raise FileExistsError(f"{destination} is the source; give the name of a new folder or .npz file")
    if os.path.lexists(destination) and not (destination.is_dir() and not any(destination.iterdir())):
        raise FileExistsError(f"{destination} exists already; give the name of a new folder or .npz file")


def _write_npz(path: Path, tensors: Mapping[str, Array]) -> None:
    """Write what `np.savez` writes, a zip file of .npy files, without having all tensors in memory."""
    with atomic_write(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, tensor in tensors.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, tensor.astype(np.float32, copy=False), allow_pickle=False)


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
        tokenizer_files.save_tokenizer(tokenizer, folder)
    _write_json(folder / "config.json", options)
    save_file(tensors, folder / WEIGHTS, {"format": "pt"}, dtype=dtype)  # transformers wants this "format"


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with atomic_write(path) as file:
        file.write(json.dumps(content, indent=2).encode() + b"\n")


def _expand(path: str | os.PathLike[str]) -> Path:
    return Path(os.path.expanduser(path))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}; download it again") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} must hold a JSON object, not a {type(content).__name__}; download it again")
    return content


def main(argv: list[str] | None = None) -> None:
    """Convert a model folder, from the command line."""
    from numpygpt.command_line import Parser, friendly_exit

    parser = Parser(
        "python -m numpygpt.models.checkpoint",
        "Convert a GPT-2 model folder so that it loads without a copy: names without prefix, causal masks\n"
        "dropped, float32, data aligned to 64 bytes. `transformers` opens the result as well.",
        "example: python -m numpygpt.models.checkpoint downloads/gpt2 gpt2-converted\n"
        '         python -m numpygpt --model gpt2-converted "Alan Turing"',
    )
    parser.add_argument("source", metavar="SOURCE", help="a folder with config.json and model.safetensors")
    parser.add_argument("destination", metavar="DESTINATION", help="a new folder, or a new file NAME.npz for np.load")
    options = parser.parse_args(argv)
    with friendly_exit(parser.prog):
        convert(options.source, options.destination)
        print(f"{options.destination}: converted from {options.source}")


if __name__ == "__main__":
    main()
