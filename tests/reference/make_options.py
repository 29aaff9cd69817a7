"""Write what `transformers` computes with two tiny models of unusual options: logits and gradients of the loss.

    python tests/reference/make_options.py

writes `options.json`, the configs, and `options.safetensors`. The weights are those of `random_params(config)`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent))

from random_models import random_ids, random_params, transformers_model  # noqa: E402

from numpygpt import GPT2Config  # noqa: E402
from numpygpt.safetensors import save_file  # noqa: E402

SHAPE = {"vocab_size": 11, "n_ctx": 140, "n_embd": 12, "n_layer": 2}
CONFIGS: dict[str, dict[str, Any]] = {
    "a": SHAPE
    | {
        "n_head": 3,
        "n_inner": 10,
        "activation_function": "gelu",
        "layer_norm_epsilon": 0.05,
        "scale_attn_by_inverse_layer_idx": True,
        "tie_word_embeddings": False,
    },
    "b": SHAPE | {"n_head": 1, "layer_norm_epsilon": 0.01, "scale_attn_weights": False},
}


def main() -> None:
    """Compute and write."""
    tensors: dict[str, Any] = {}
    for name, options in CONFIGS.items():
        config = GPT2Config(**options)
        ids = random_ids(config, 2, config.n_ctx)
        model = transformers_model(config, random_params(config))
        for parameter in model.parameters():
            parameter.requires_grad_(True)
        logits = model(torch.from_numpy(ids)).logits
        loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), torch.from_numpy(ids[:, 1:]).flatten())
        loss.backward()
        tensors |= {f"{name}.ids": ids, f"{name}.logits": logits.detach().numpy()}
        gradients = {key: parameter.grad.numpy() for key, parameter in model.named_parameters()}
        if config.tie_word_embeddings:  # which `transformers_model` keeps apart
            gradients["transformer.wte.weight"] += gradients.pop("lm_head.weight")
        tensors |= {f"{name}.{key.removeprefix('transformer.')}": np.array(array) for key, array in gradients.items()}
    (FOLDER / "options.json").write_text(json.dumps(CONFIGS, indent=1) + "\n", encoding="utf-8")
    save_file(tensors, FOLDER / "options.safetensors")


if __name__ == "__main__":
    main()
