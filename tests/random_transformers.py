"""Random encoder-decoders, ours and `transformers`' with the same weights."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from numpygpt.arrays import Array, Ids, Params, flatten, unflatten
from numpygpt.models.marian import is_stored_turned
from numpygpt.transformer import sines_first
from numpygpt.transformer_config import TransformerConfig, parameter_shapes

SHAPE: dict[str, Any] = {"vocab_size": 31, "d_model": 12, "max_position_embeddings": 24, "encoder_attention_heads": 3}
SHAPES: list[dict[str, Any]] = [
    {},
    {"encoder_layers": 1, "decoder_layers": 2},
    {"d_model": 16, "encoder_attention_heads": 1, "decoder_attention_heads": 4},
    {"encoder_ffn_dim": 7, "decoder_ffn_dim": 30},
    {"activation_function": "swish"},
    {"activation_function": "gelu"},
    {"scale_embedding": False},
    {"eos_token_id": 0, "pad_token_id": 30, "decoder_start_token_id": 30},  # as Opus-MT has them
]


def random_transformer(
    seed: int = 0, dtype: type = np.float64, scale: float = 0.3, **options: Any
) -> tuple[TransformerConfig, Params]:
    """A config and a tree of random parameters, layer norms around 1."""
    config = TransformerConfig(**SHAPE | {"encoder_layers": 2, "decoder_layers": 2} | options)
    rng = np.random.default_rng(seed)
    tensors: dict[str, Array] = {}
    for name, shape in parameter_shapes(config).items():
        values = scale * rng.standard_normal(shape)
        tensors[name] = (values + (name.endswith("layer_norm.weight"))).astype(dtype)
    return config, unflatten(tensors)


def ending_transformer(seed: int) -> tuple[TransformerConfig, Params]:
    """A random model in float32 whose texts end after a few tokens: with every seed a little later."""
    config, params = random_transformer(seed, np.float32)
    params["final_logits_bias"][0, config.eos_token_id] += 3 - seed / 2
    return config, params


def random_pairs(config: TransformerConfig, lengths: list[tuple[int, int]], seed: int = 1) -> tuple[Ids, Ids, Ids]:
    """Sources and targets of some lengths, padded, and the targets one position ahead, -1 where there is none."""
    rng = np.random.default_rng(seed)
    special = {config.eos_token_id, config.pad_token_id, config.decoder_start_token_id}
    words = np.array([token_id for token_id in range(config.vocab_size) if token_id not in special])
    n_source, n_target = (max(sizes) for sizes in zip(*lengths, strict=True))
    source = np.full((len(lengths), n_source), config.pad_token_id)
    read, targets = np.full((len(lengths), n_target), config.pad_token_id), np.full((len(lengths), n_target), -1)
    for row, (a, b) in enumerate(lengths):
        source[row, :a] = [*rng.choice(words, a - 1), config.eos_token_id]
        text = rng.choice(words, b - 1)
        read[row, :b], targets[row, :b] = [config.decoder_start_token_id, *text], [*text, config.eos_token_id]
    return source, read, targets


def marian_model(config: TransformerConfig, params: Params) -> Any:
    """`transformers`' MarianMTModel with our parameters; skips the test where it is not installed."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    options = dataclasses.asdict(config) | {"forced_eos_token_id": config.eos_token_id, "dropout": 0.0}
    model = transformers.MarianMTModel(transformers.MarianConfig(**options, attn_implementation="eager"))
    tensors = flatten(params)
    dtype = getattr(torch, str(tensors["model.shared.weight"].dtype))
    model = model.to(dtype).eval()
    state = {
        name: torch.tensor(tensor.T if is_stored_turned(name, tensor.shape) else tensor)
        for name, tensor in tensors.items()
    }
    positions = torch.tensor(sines_first(config.max_position_embeddings, config.d_model), dtype=dtype)
    state |= {f"model.{stack}.embed_positions.weight": positions for stack in ("encoder", "decoder")}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected
    assert set(missing) <= {"model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight", "lm_head.weight"}
    return model


def marian_logits(model: Any, config: TransformerConfig, source: Ids, read: Ids, **options: Any) -> Any:
    """What `MarianMTModel` returns, as an array's container."""
    import torch

    mask = torch.tensor(source != config.pad_token_id).long()
    return model(input_ids=torch.tensor(source), attention_mask=mask, decoder_input_ids=torch.tensor(read), **options)
