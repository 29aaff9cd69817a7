"""What passes between the functions: arrays, and the tree of parameters that a checkpoint's names spell.

The checkpoint calls a tensor `h.3.mlp.c_fc.weight`. Split at the dots, its names make a tree:
`params["h"][3]["mlp"]["c_fc"]["weight"]`, in which each branch holds the keyword arguments of the function that
uses it. `unflatten` grows the tree from named tensors, `flatten` names the tensors of a tree; gradients are a tree
of the same shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]  # of floats: float32 everywhere in use, float64 where the arithmetic is checked
Ids = NDArray[np.integer[Any]]  # token ids
Tensors = dict[str, Array]  # the tensors of one layer, by name: {"weight": ..., "bias": ...}
Params = dict[str, Any]  # the tree of parameters: {"wte": {"weight": ...}, "h": [{"ln_1": ...}, ...], ...}


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
    return {name: _with_lists(branch, name) for name, branch in params.items()}


def _with_lists(branch: Any, place: str) -> Any:
    """Turn the branches of numbered layers, called "h" or "layers", into lists."""
    if not isinstance(branch, dict):
        return branch
    branch = {name: _with_lists(inner, f"{place}.{name}") for name, inner in branch.items()}
    if place.split(".")[-1] not in ("h", "layers"):
        return branch
    numbers = [str(layer) for layer in range(len(branch))]
    if missing := [number for number in numbers if number not in branch]:
        raise ValueError(f"no tensor is called {place}.{missing[0]}...; layers must be numbered from 0 without a gap")
    return [branch[number] for number in numbers]


def flatten(params: Params) -> Tensors:
    """Name every tensor of the tree, the inverse of `unflatten`.

    >>> flatten({"wte": {"weight": 1}, "h": [{"ln_1": {"bias": 2}}, {"ln_1": {"bias": 3}}]})
    {'wte.weight': 1, 'h.0.ln_1.bias': 2, 'h.1.ln_1.bias': 3}
    """
    tensors: Tensors = {}
    for name, branch in params.items():
        if isinstance(branch, list):
            branch = {str(i): item for i, item in enumerate(branch)}
        if isinstance(branch, dict):
            tensors.update({f"{name}.{rest}": tensor for rest, tensor in flatten(branch).items()})
        else:
            tensors[name] = branch
    return tensors


def check_ids(ids: ArrayLike, vocab_size: int, where: str = "") -> Ids:
    """Return ids [..., n_seq] as an array, if they are ids of a vocabulary; `where` they are, the error says.

    Raises TypeError where they are no integers, and ValueError for no ids and an id outside the vocabulary.
    """
    array = np.atleast_1d(ids)
    if array.size == 0:
        raise ValueError(f"no token ids{where}: give at least one, [n_seq] or [batch, n_seq]")
    if not np.issubdtype(array.dtype, np.integer):
        raise TypeError(f"token ids must be integers, not {array.dtype}; a tokenizer's encode makes them from text")
    outside = array[(array < 0) | (array >= vocab_size)]
    if outside.size:
        raise ValueError(
            f"token id {outside[0]} is outside the vocabulary of {vocab_size} tokens "
            f"(0 to {vocab_size - 1}); encode the text with the tokenizer of this model"
        )
    return array
