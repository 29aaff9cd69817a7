"""Write what PyTorch's clipping and AdamW make of a few tensors: `python tests/reference/make_adamw.py`.

`adamw.safetensors` holds the tensors to begin with, six steps' gradients, and the tensors after every step.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from numpygpt.safetensors import save_file

BETAS, EPS, WEIGHT_DECAY, CLIP, LR = (0.9, 0.95), 1e-3, 0.1, 2.0, 0.05
SHAPES = {"c_fc.weight": (4, 3), "c_fc.bias": (3,), "ln_1.weight": (4,)}


def main() -> None:
    """Compute and write."""
    rng = np.random.default_rng(0)
    first = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in SHAPES.items()}
    leaves = {name: torch.nn.Parameter(torch.tensor(tensor)) for name, tensor in first.items()}
    groups = [
        {"params": [w for w in leaves.values() if w.ndim >= 2], "weight_decay": WEIGHT_DECAY},
        {"params": [w for w in leaves.values() if w.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=LR, betas=BETAS, eps=EPS)
    tensors = {f"start/{name}": tensor for name, tensor in first.items()}
    for step in range(6):
        for name, leaf in leaves.items():  # some steps are clipped, some are not
            gradient = (rng.standard_normal(leaf.shape) * (0.1 if step % 2 else 3)).astype(np.float32)
            tensors[f"gradient/{step}/{name}"] = gradient
            leaf.grad = torch.tensor(gradient)
        torch.nn.utils.clip_grad_norm_(leaves.values(), CLIP)
        optimizer.step()
        tensors |= {f"after/{step}/{name}": leaf.detach().numpy().copy() for name, leaf in leaves.items()}
    save_file(tensors, Path(__file__).parent / "adamw.safetensors", {"torch": torch.__version__})


if __name__ == "__main__":
    main()
