"""GPT-2's tensors without a config, or as nanoGPT saves them: with transposed matrices, and perhaps without biases.

nanoGPT computes with `nn.Linear`, whose weights are [n_out, n_in] where GPT-2's are [n_in, n_out]; a bias that it
leaves out is a bias of 0; its activation is the exact GELU.

Source: `model.py` in https://github.com/karpathy/nanoGPT.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from numpygpt.arrays import Array
from numpygpt.config import GPT2Config, parameter_shapes
from numpygpt.models import formats
from numpygpt.models.stored import (
    OUTPUT_WEIGHT,
    TIED,
    CheckpointError,
    LazyTensors,
    Places,
    check_shapes,
    plain_names,
    stored_tensors,
)
from numpygpt.safetensors import SafetensorsFile

C_ATTN, C_FC = "h.0.attn.c_attn.weight", "h.0.mlp.c_fc.weight"
ARITHMETIC = (  # what tensors do not say
    "activation_function",
    "layer_norm_epsilon",
    "scale_attn_weights",
    "scale_attn_by_inverse_layer_idx",
)
MATRICES = ("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")


class Completed(LazyTensors):
    """Tensors whose missing biases are 0, and whose matrices are transposed if they `are_transposed`."""

    def __init__(self, places: Places, config: GPT2Config, are_transposed: bool) -> None:
        super().__init__(places)
        self.expected = parameter_shapes(config)
        self.are_transposed = are_transposed

    def __getitem__(self, name: str) -> Array:
        if self._is_left_out(name):
            return np.zeros(self.expected[name], np.float32)
        tensor = super().__getitem__(name)
        return tensor.T if self.are_transposed and name.endswith(MATRICES) else tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes())

    def __len__(self) -> int:
        return len(self.shapes())

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every tensor."""
        shapes = {name: file.shapes[stored] for name, (file, stored) in self.places.items()}
        if self.are_transposed:
            shapes = {name: shape[::-1] if name.endswith(MATRICES) else shape for name, shape in shapes.items()}
        return shapes | {name: shape for name, shape in self.expected.items() if self._is_left_out(name)}

    def _is_left_out(self, name: str) -> bool:
        return name not in self.places and name.endswith(".bias")


def read(source: Path, said: Mapping[str, Any], n_head: int | None) -> tuple[GPT2Config, Mapping[str, Array]]:
    """Find the config and the tensors of a safetensors file, or of a folder that holds one.

    said: what a `config.json` says, GPT-2's or nanoGPT's, {} without one; n_head: the number of heads where it does not

    Raises CheckpointError where the tensors are not a GPT-2's, or nobody says how many heads there are.
    """
    if source.is_file() and source.suffix != ".safetensors":
        raise CheckpointError(formats.explain(source) or f"{source} is not a safetensors file; give one, or a folder")
    files = [SafetensorsFile(source)] if source.is_file() else []
    places = plain_names(source, [(file, name) for file in files for name in file] or stored_tensors(source))
    if OUTPUT_WEIGHT in places and TIED not in places:  # one array under two names, of which savers drop either
        places[TIED] = places.pop(OUTPUT_WEIGHT)
    shapes = {name: file.shapes[stored] for name, (file, stored) in places.items()}
    for name in (TIED, "wpe.weight", C_ATTN, C_FC):
        if len(shapes.get(name, ())) != 2:
            raise CheckpointError(f"{source}: it has no matrix {name}, so it is neither a GPT-2 nor of nanoGPT's form")
    n_embd = shapes[TIED][1]
    are_transposed = shapes[C_ATTN] == (3 * n_embd, n_embd)
    if n_head is not None and said.get("n_head", n_head) != n_head:
        raise CheckpointError(f"{source}: its config.json says n_head {said['n_head']}, not {n_head}")
    n_head = said.get("n_head", n_head)
    if n_head is None:
        raise CheckpointError(
            f"{source} has no config.json, and its tensors do not say how many attention heads they are for; "
            f"give their number with --n-head (n_embd is {n_embd})"
        )
    n_inner = shapes[C_FC][0 if are_transposed else 1]
    if OUTPUT_WEIGHT in places and np.array_equal(LazyTensors(places)[OUTPUT_WEIGHT], LazyTensors(places)[TIED]):
        del places[OUTPUT_WEIGHT]
    options: dict[str, Any] = {"activation_function": "gelu" if are_transposed else "gelu_new"}
    options |= {name: said[name] for name in ARITHMETIC if name in said}
    try:
        config = GPT2Config(
            vocab_size=shapes[TIED][0],
            n_ctx=shapes["wpe.weight"][0],
            n_embd=n_embd,
            n_layer=len({name.split(".")[1] for name in places if name.startswith("h.")}),
            n_head=n_head,
            n_inner=None if n_inner == 4 * n_embd else n_inner,
            tie_word_embeddings=OUTPUT_WEIGHT not in places,
            **options,
        )
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{source}: {error}") from None
    tensors = Completed(places, config, are_transposed)
    check_shapes(tensors.shapes(), config, str(source))
    return config, tensors
