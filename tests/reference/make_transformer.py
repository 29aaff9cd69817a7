"""Write what `transformers` computes with a tiny Marian of random weights: logits, gradients, and generated ids.

    python tests/reference/make_transformer.py

writes `transformer.safetensors` and `translations.json`. The weights are those of `random_transformer()`.
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

from random_transformers import ending_transformer, marian_logits, marian_model, random_pairs, random_transformer  # noqa: E402

from numpygpt.models.marian import is_stored_turned  # noqa: E402
from numpygpt.safetensors import save_file  # noqa: E402

LENGTHS = [(7, 5), (2, 9), (4, 1)]
SEARCHES = [(1, 1.0), (2, 1.0), (4, 1.0), (3, 0.6), (5, 2.0)]  # beams and length penalty
SEEDS = range(8)


def main() -> None:
    """Compute and write."""
    config, params = random_transformer(dtype=np.float32)
    source, read, targets = random_pairs(config, LENGTHS)
    model = marian_model(config, params)
    logits = marian_logits(model, config, source, read).logits
    options: Any = {"ignore_index": -1, "label_smoothing": 0.1}
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.tensor(targets).flatten(), **options)
    loss.backward()
    tensors = {"logits": logits.detach().numpy(), "loss": np.array([loss.item()], np.float32)}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            gradient = parameter.grad.numpy()
            gradient = gradient.T if is_stored_turned(name, gradient.shape) else gradient
            tensors[f"gradients/{name}"] = np.ascontiguousarray(gradient)
    save_file(tensors, FOLDER / "transformer.safetensors")

    texts = []
    for seed in SEEDS:
        config, params = ending_transformer(seed)
        model = marian_model(config, params)
        source, _, _ = random_pairs(config, [(3, 2), (9, 2), (5, 2)], seed)
        for num_beams, length_penalty in SEARCHES:
            rows = model.generate(
                torch.tensor(source),
                attention_mask=torch.tensor(source != config.pad_token_id).long(),
                num_beams=num_beams,
                length_penalty=length_penalty,
                max_length=12,
                bad_words_ids=[[config.pad_token_id]],
            ).tolist()
            ends = [row.index(config.eos_token_id, 1) if config.eos_token_id in row[1:] else len(row) for row in rows]
            found = [row[1:end] for row, end in zip(rows, ends, strict=True)]
            texts.append({"seed": seed, "num_beams": num_beams, "length_penalty": length_penalty, "ids": found})
    (FOLDER / "translations.json").write_text(json.dumps(texts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
