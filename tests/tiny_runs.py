"""Training runs that take a moment."""

from __future__ import annotations

from numpygpt.train import TrainingConfig

TINY = TrainingConfig(
    merges=0, n_layer=1, n_head=2, n_embd=16, n_ctx=16, steps=4, batch_size=3, evaluate_every=2, warmup=2
)
SHAPE_FLAGS = [f"--{name}={value}" for name, value in [("merges", 0), ("n-layer", 1), ("n-head", 2), ("n-embd", 16)]]
SHAPE_FLAGS += ["--n-ctx=16", "--batch-size=4", "--dropout=0.1"]
