"""The shape of a GPT-2: its `config.json`, and the tensors that a model of that shape has."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec

import numpy as np
from numpy.typing import ArrayLike

from numpygpt.activations import ACTIVATIONS
from numpygpt.arrays import Array, Ids, Params, check_ids, unflatten

P = ParamSpec("P")


@dataclass(frozen=True)
class GPT2Config:
    """The shape of a GPT-2, with the names of its `config.json` and the values of the smallest official model.

    >>> GPT2Config().n_embd
    768
    >>> GPT2Config(n_embd=100, n_head=3)
    Traceback (most recent call last):
    ValueError: n_embd 100 is not a multiple of n_head 3: every head needs the same number of dimensions
    """

    vocab_size: int = 50257
    n_ctx: int = 1024  # the context window, in tokens
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    n_inner: int | None = None  # width of the MLP; None means 4 · n_embd
    activation_function: str = "gelu_new"
    layer_norm_epsilon: float = 1e-5
    scale_attn_weights: bool = True  # divide scores by sqrt(n_embd / n_head)
    scale_attn_by_inverse_layer_idx: bool = False  # and by the layer's number, from 1, as Stanford's Mistral does
    tie_word_embeddings: bool = True  # the output weights are the token embedding

    def __post_init__(self) -> None:
        for name in ("vocab_size", "n_ctx", "n_embd", "n_layer", "n_head", "n_inner"):
            value = getattr(self, name)
            if not (name == "n_inner" and value is None) and (type(value) is not int or value < 1):
                raise ValueError(f"{name} must be a whole number above 0, not {value!r}")
        if self.n_embd % self.n_head:
            raise ValueError(
                f"n_embd {self.n_embd} is not a multiple of n_head {self.n_head}: "
                "every head needs the same number of dimensions"
            )
        if self.activation_function not in ACTIVATIONS:
            raise ValueError(
                f"activation_function {self.activation_function!r} is not supported; known: {', '.join(ACTIVATIONS)}"
            )

    def attention_scale(self, layer: int) -> float:
        """Return what the attention scores of one layer are multiplied by."""
        scale = 1 / math.sqrt(self.n_embd // self.n_head) if self.scale_attn_weights else 1.0
        return scale / (layer + 1) if self.scale_attn_by_inverse_layer_idx else scale

    def check_ids(self, ids: ArrayLike, n_past: int = 0) -> Ids:
        """Return ids [..., n_seq] as an array, if this model can read them behind n_past others.

        Raises TypeError where they are no integers, and ValueError for no ids, an id outside the vocabulary, and more
        of them than fit the context window.
        """
        array = check_ids(ids, self.vocab_size)
        if (n_seq := n_past + array.shape[-1]) > self.n_ctx:
            raise ValueError(f"{n_seq} tokens do not fit the context window of {self.n_ctx}; shorten the text")
        return array


def parameter_shapes(config: GPT2Config) -> dict[str, tuple[int, ...]]:
    """Return the shape of every parameter, under the name of its tensor in a checkpoint.

    >>> parameter_shapes(GPT2Config())["h.11.mlp.c_fc.weight"]
    (768, 3072)
    >>> sum(math.prod(shape) for shape in parameter_shapes(GPT2Config()).values())
    124439808
    """
    n_embd, n_inner = config.n_embd, config.n_inner or 4 * config.n_embd
    block: dict[str, tuple[int, ...]] = {
        "ln_1": (n_embd,),
        "attn.c_attn": (n_embd, 3 * n_embd),
        "attn.c_proj": (n_embd, n_embd),
        "ln_2": (n_embd,),
        "mlp.c_fc": (n_embd, n_inner),
        "mlp.c_proj": (n_inner, n_embd),
    }
    shapes: dict[str, tuple[int, ...]] = {
        "wte.weight": (config.vocab_size, n_embd),
        "wpe.weight": (config.n_ctx, n_embd),
    }
    for layer in range(config.n_layer):
        for name, weight in block.items():
            shapes[f"h.{layer}.{name}.weight"] = weight
            shapes[f"h.{layer}.{name}.bias"] = weight[-1:]
    shapes.update({"ln_f.weight": (n_embd,), "ln_f.bias": (n_embd,)})
    if not config.tie_word_embeddings:
        shapes["lm_head.weight"] = (config.vocab_size, n_embd)
    return shapes


def initialize(config: GPT2Config, seed: int) -> Params:
    """Draw the weights to begin with.

    Matrices are normal with a standard deviation of 0.02, those that add to the residual stream 1 / sqrt(2 · n_layer)
    of it, so that the stream's variance does not grow with depth; biases are 0, scales 1.

    Source: Radford et al. 2019, section 2.3, for the scaling; 0.02 for both embeddings as in `transformers` (OpenAI's
    code has 0.01 for wpe).
    """
    rng = np.random.default_rng([seed, 1])
    tensors: dict[str, Array] = {}
    for name, shape in parameter_shapes(config).items():
        if name.endswith(".bias"):
            tensors[name] = np.zeros(shape, np.float32)
        elif len(shape) == 1:
            tensors[name] = np.ones(shape, np.float32)
        else:
            scale = 0.02 / (math.sqrt(2 * config.n_layer) if name.endswith("c_proj.weight") else 1)
            tensors[name] = scale * rng.standard_normal(shape, np.float32)
    return unflatten(tensors)


def names_the_engine(function: Callable[P, Array]) -> Callable[P, Array]:
    """Make the book's function answer the engine's keywords with an error that says where they belong."""

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> Array:
        for name in ("config", "cache", "n_pad", "logits_to_keep", "lm_head"):
            if name in kwargs:
                raise TypeError(
                    f"numpygpt.gpt2, the plain one, takes n_head= and no {name}=; numpygpt.engine.gpt2 takes it"
                )
        return function(*args, **kwargs)

    return checked
