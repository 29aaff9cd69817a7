"""The shape of an encoder-decoder: its `config.json`, by Marian's names, and the tensors that it has."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from numpygpt.activations import ACTIVATIONS
from numpygpt.arrays import Array, Ids, Params, check_ids, unflatten

SIZES = ("vocab_size", "d_model", "max_position_embeddings", "encoder_layers", "decoder_layers")
Shape = tuple[int, ...]
PER_STACK = ("encoder_attention_heads", "decoder_attention_heads", "encoder_ffn_dim", "decoder_ffn_dim")


@dataclass(frozen=True)
class TransformerConfig:
    """The shape of an encoder-decoder, with the names of its `config.json`.

    A feed-forward layer of 0 is 4 · d_model wide, and what the decoder has of its own is the encoder's where it is 0.
    A special token's id below 0 counts from the vocabulary's end, as an index does.

    >>> TransformerConfig(vocab_size=4096, d_model=256).eos_token_id
    4093
    >>> TransformerConfig(vocab_size=4096, d_model=255)
    Traceback (most recent call last):
    ValueError: d_model must be even, for a sine and a cosine of every wavelength, not 255
    """

    vocab_size: int = 4096
    d_model: int = 256
    max_position_embeddings: int = 128  # the longest text, in tokens
    encoder_layers: int = 3
    decoder_layers: int = 3
    encoder_attention_heads: int = 4
    decoder_attention_heads: int = 0
    encoder_ffn_dim: int = 0
    decoder_ffn_dim: int = 0
    activation_function: str = "relu"
    scale_embedding: bool = True  # by sqrt(d_model)
    eos_token_id: int = -3
    pad_token_id: int = -2
    decoder_start_token_id: int = -1  # what a target begins with

    def __post_init__(self) -> None:
        for name in (*SIZES, *PER_STACK[:1]):
            self._check_size(name)
        for name, other in zip(PER_STACK[1:], (PER_STACK[0], "", "encoder_ffn_dim"), strict=True):
            if getattr(self, name) == 0:
                object.__setattr__(self, name, getattr(self, other) if other else 4 * self.d_model)
            self._check_size(name)
        if self.d_model % 2:
            raise ValueError(f"d_model must be even, for a sine and a cosine of every wavelength, not {self.d_model}")
        for name in PER_STACK[:2]:
            if self.d_model % getattr(self, name):
                raise ValueError(
                    f"d_model {self.d_model} is not a multiple of {name} {getattr(self, name)}: "
                    "every head needs the same number of dimensions"
                )
        for name in ("eos_token_id", "pad_token_id", "decoder_start_token_id"):
            value = getattr(self, name)
            if type(value) is not int or not -self.vocab_size <= value < self.vocab_size:
                raise ValueError(f"{name} must be a token id from 0 to {self.vocab_size - 1}, not {value!r}")
            object.__setattr__(self, name, value % self.vocab_size)
        if self.activation_function not in ACTIVATIONS:
            raise ValueError(
                f"activation_function {self.activation_function!r} is not supported; known: {', '.join(ACTIVATIONS)}"
            )

    def _check_size(self, name: str) -> None:
        value = getattr(self, name)
        if type(value) is not int or value < 1:
            raise ValueError(f"{name} must be a whole number above 0, not {value!r}")

    def check_ids(self, ids: ArrayLike, what: str = "the text") -> Ids:
        """Return ids [..., n_seq] as an array, if this model can read them.

        Raises TypeError where they are no integers, and ValueError for no ids, an id outside the vocabulary, and more
        of them than there are positions.
        """
        array = check_ids(ids, self.vocab_size, f" in {what}")
        if array.shape[-1] > self.max_position_embeddings:
            raise ValueError(
                f"{what} has {array.shape[-1]} tokens, more than the {self.max_position_embeddings} positions of this "
                "model; shorten it"
            )
        return array


def parameter_shapes(config: TransformerConfig) -> dict[str, Shape]:
    """Return the shape of every parameter, by its tensor's name; matrices as the functions take them, [n_in, n_out].

    >>> parameter_shapes(TransformerConfig())["model.decoder.layers.2.fc1.weight"]
    (256, 1024)
    >>> sum(math.prod(shape) for shape in parameter_shapes(TransformerConfig()).values())
    6582272
    """
    d = config.d_model
    attention = {f"{part}_proj": (d, d) for part in ("q", "k", "v", "out")}
    norm: Shape = (d,)
    shapes: dict[str, Shape] = {"model.shared.weight": (config.vocab_size, d)}
    for stack, n_layer, n_inner, kinds in (
        ("encoder", config.encoder_layers, config.encoder_ffn_dim, ("self_attn",)),
        ("decoder", config.decoder_layers, config.decoder_ffn_dim, ("self_attn", "encoder_attn")),
    ):
        layer: dict[str, Shape] = {f"{kind}.{name}": shape for kind in kinds for name, shape in attention.items()}
        layer = {**layer, **{f"{kind}_layer_norm": norm for kind in kinds}}
        layer = {**layer, "fc1": (d, n_inner), "fc2": (n_inner, d), "final_layer_norm": norm}
        for number in range(n_layer):
            for name, shape in layer.items():
                shapes[f"model.{stack}.layers.{number}.{name}.weight"] = shape
                shapes[f"model.{stack}.layers.{number}.{name}.bias"] = shape[-1:]
    return {**shapes, "final_logits_bias": (1, config.vocab_size)}


def initialize(config: TransformerConfig, seed: int) -> Params:
    """Draw the weights to begin with.

    Matrices are uniform between ± sqrt(6 / (n_in + n_out)), which keeps the variance on the way forward and back;
    embeddings are normal, about 1 long; biases are 0, scales 1.

    Source: Glorot & Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks", eq. 16,
    as the paper's own program did.
    """
    rng = np.random.default_rng([seed, 1])
    tensors: dict[str, Array] = {}
    for name, shape in parameter_shapes(config).items():
        if name.endswith("bias"):
            tensors[name] = np.zeros(shape, np.float32)
        elif len(shape) == 1:
            tensors[name] = np.ones(shape, np.float32)
        elif name == "model.shared.weight":
            tensors[name] = rng.standard_normal(shape, np.float32) / np.float32(math.sqrt(config.d_model))
        else:
            limit = math.sqrt(6 / sum(shape))
            tensors[name] = rng.uniform(-limit, limit, shape).astype(np.float32)
    return unflatten(tensors)
