"""A translator's folder that takes a moment to make."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from numpygpt.arrays import Params
from numpygpt.engine import Tokenizer
from numpygpt.models import marian
from numpygpt.train.pairs import make_tokenizer
from numpygpt.transformer_config import TransformerConfig, initialize

LINES = [
    ("Go.", "Va !"),
    ("I see the red cat.", "Je vois le chat rouge."),
    ("The cat sees me.", "Le chat me voit."),
    ("Where is the station?", "Où est la gare ?"),
    ("It's the big house.", "C'est la grande maison."),
]


def tiny_translator(folder: Path, seed: int = 0, **options: int) -> tuple[TransformerConfig, Params, Tokenizer]:
    """Write a folder with random weights and a tokenizer of 300 tokens."""
    tokenizer = make_tokenizer(LINES, 300)
    shape = {"vocab_size": tokenizer.n_vocab, "d_model": 16, "max_position_embeddings": 12, "encoder_layers": 1}
    config = TransformerConfig(**shape | {"decoder_layers": 1} | options)  # type: ignore[arg-type]
    params = initialize(config, seed)
    params["final_logits_bias"] = np.random.default_rng(seed).normal(size=(1, config.vocab_size)).astype(np.float32)
    marian.save(folder, config, params, tokenizer, overwrite=True)
    return config, params, tokenizer
