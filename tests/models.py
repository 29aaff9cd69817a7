"""Where the reference models are, and random models, ours and `transformers`' with the same weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from numpygpt import GPT2Config, checkpoint
from numpygpt.layers import Array
from numpygpt.model import Params, parameter_shapes

REFERENCE = Path(__file__).parent / "reference"


def random_params(config: GPT2Config, seed: int = 0, scale: float = 0.2, dtype: type = np.float32) -> Params:
    """A tree of random parameters, layer norms around 1."""
    rng = np.random.default_rng(seed)
    tensors: dict[str, Array] = {}
    for name, shape in parameter_shapes(config).items():
        values = rng.standard_normal(shape, dtype=np.float32) * np.float32(scale)
        tensors[name] = (values + ("ln_" in name and name.endswith("weight"))).astype(dtype)
    return checkpoint.unflatten(tensors)


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
        for name, tensor in checkpoint.flatten(params).items()
    }
    state.setdefault("lm_head.weight", state["transformer.wte.weight"])
    model.load_state_dict(state, assign=True)
    return model.eval()
