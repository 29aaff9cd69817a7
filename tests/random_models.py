"""Where the reference models are, and random models, ours and `transformers`' with the same weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from numpygpt.arrays import Array, Params, flatten, unflatten
from numpygpt.config import GPT2Config, parameter_shapes

REFERENCE = Path(__file__).parent / "reference"
OPTIONS: list[dict[str, Any]] = [  # every option of config.json, and shapes that are not GPT-2's
    {},
    {"n_embd": 8, "n_head": 1, "n_layer": 1},
    {"n_embd": 64, "n_head": 16},
    {"n_inner": 40},
    {"activation_function": "gelu"},
    {"activation_function": "gelu_pytorch_tanh"},
    {"activation_function": "gelu_fast"},
    {"activation_function": "relu"},
    {"activation_function": "silu"},
    {"activation_function": "swish"},
    {"activation_function": "tanh"},
    {"activation_function": "quick_gelu"},
    {"layer_norm_epsilon": 1e-2},
    {"scale_attn_weights": False},
    {"scale_attn_by_inverse_layer_idx": True},
    {"tie_word_embeddings": False},
]


def random_params(config: GPT2Config, seed: int = 0, scale: float = 0.2, dtype: type = np.float32) -> Params:
    """A tree of random parameters, layer norms around 1."""
    rng = np.random.default_rng(seed)
    tensors: dict[str, Array] = {}
    for name, shape in parameter_shapes(config).items():
        values = rng.standard_normal(shape, dtype=np.float32) * np.float32(scale)
        tensors[name] = (values + ("ln_" in name and name.endswith("weight"))).astype(dtype)
    return unflatten(tensors)


def random_ids(config: GPT2Config, *shape: int) -> Any:
    """Random ids of the model's vocabulary, the same ones each time."""
    return np.random.default_rng(1).integers(0, config.vocab_size, shape)


def transformers_model(config: GPT2Config, params: Params) -> Any:
    """`transformers`' GPT2LMHeadModel with our parameters; skips the test where it is not installed."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    options = dataclasses.asdict(config) | {"n_positions": config.n_ctx}
    hf_config = transformers.GPT2Config(**options, bos_token_id=0, eos_token_id=0, attn_implementation="eager")
    dtype = getattr(torch, str(params["wte"]["weight"].dtype))
    with torch.device("meta"):
        model = transformers.GPT2LMHeadModel(hf_config)
    state = {
        name if name.startswith("lm_head") else f"transformer.{name}": torch.from_numpy(np.array(tensor)).to(dtype)
        for name, tensor in flatten(params).items()
    }
    state.setdefault("lm_head.weight", state["transformer.wte.weight"])
    model.load_state_dict(state, assign=True)
    return model.eval()
