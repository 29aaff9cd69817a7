"""The shape of a model, and the names and shapes of its tensors."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from random_models import random_params, transformers_model

from numpygpt import GPT2Config
from numpygpt.activations import ACTIVATIONS
from numpygpt.arrays import flatten
from numpygpt.config import parameter_shapes
from numpygpt.engine import kernels

TINY = GPT2Config(vocab_size=97, n_ctx=200, n_embd=24, n_layer=3, n_head=3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_embd": 25}, "n_embd 25 is not a multiple of n_head 3"),
        ({"n_layer": 0}, "n_layer must be a whole number above 0, not 0"),
        ({"n_ctx": -5}, "n_ctx must be a whole number above 0, not -5"),
        ({"vocab_size": "97"}, "vocab_size must be a whole number above 0, not '97'"),
        ({"n_inner": 0}, "n_inner must be a whole number above 0, not 0"),
        ({"activation_function": "mish"}, "activation_function 'mish' is not supported"),
    ],
)
def test_config_refuses_what_makes_no_model(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **change)


def test_parameter_counts_of_the_official_models() -> None:
    """124,439,808 and so on: the sums that the checkpoints' sizes and the papers that use them agree on."""
    sizes = {
        124_439_808: (768, 12, 12),
        354_823_168: (1024, 24, 16),
        774_030_080: (1280, 36, 20),
        1_557_611_200: (1600, 48, 25),
    }
    for count, (n_embd, n_layer, n_head) in sizes.items():
        shapes = parameter_shapes(GPT2Config(n_embd=n_embd, n_layer=n_layer, n_head=n_head))
        assert sum(int(np.prod(shape)) for shape in shapes.values()) == count


def test_parameter_shapes_are_those_of_transformers() -> None:
    config = dataclasses.replace(TINY, tie_word_embeddings=False, n_inner=40)
    state = transformers_model(config, random_params(config)).state_dict()
    theirs = {name.removeprefix("transformer."): tuple(tensor.shape) for name, tensor in state.items()}
    assert parameter_shapes(config) == theirs


def test_the_tree_gives_the_functions_their_arguments() -> None:
    params = random_params(TINY)
    assert list(params) == ["wte", "wpe", "h", "ln_f"]
    assert list(params["h"][2]) == ["ln_1", "attn", "ln_2", "mlp"]
    assert flatten(params)["h.2.mlp.c_fc.weight"] is params["h"][2]["mlp"]["c_fc"]["weight"]


def test_the_engine_knows_every_activation() -> None:
    x = np.linspace(-6, 6, 101)
    assert kernels.ACTIVATIONS.keys() == ACTIVATIONS.keys()
    for name, activation in ACTIVATIONS.items():
        np.testing.assert_allclose(kernels.ACTIVATIONS[name](x), activation(x), atol=1e-14)
