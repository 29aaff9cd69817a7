"""The parts put together: GPT-2 from token ids to logits.

The whole model is `gpt2`, and it reads the tree of parameters by its own names: `params["h"][3]["mlp"]["c_fc"]`
is the tensor group `h.3.mlp.c_fc` of the checkpoint.

Source: Radford et al. 2019, section 2.3, and https://github.com/openai/gpt-2/blob/master/src/model.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from numpygpt import layers
from numpygpt.layers import MASKED, Array, Tensors, layer_norm, positional_embedding, token_embedding

Params = dict[str, Any]  # the tree of parameters: {"wte": {"weight": ...}, "h": [{"ln_1": ...}, ...], ...}

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu_new": layers.gelu,
    "gelu_fast": layers.gelu,
    "gelu_pytorch_tanh": layers.gelu,
    "gelu": layers.gelu_exact,
    "gelu_python": layers.gelu_exact,
}


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
    scale_attn_by_inverse_layer_idx: bool = (
        False  # and by the layer's number, from 1 (as Stanford's Mistral GPT-2s ask)
    )
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


def parameter_shapes(config: GPT2Config) -> dict[str, tuple[int, ...]]:
    """Return the shape of every parameter, under the name of its tensor in a checkpoint.

    >>> parameter_shapes(GPT2Config())["h.11.mlp.c_fc.weight"]
    (768, 3072)
    >>> sum(math.prod(shape) for shape in parameter_shapes(GPT2Config()).values())
    124439808
    """
    n_embd, n_inner = config.n_embd, config.n_inner or 4 * config.n_embd
    linears = {
        "attn.c_attn": (n_embd, 3 * n_embd),
        "attn.c_proj": (n_embd, n_embd),
        "mlp.c_fc": (n_embd, n_inner),
        "mlp.c_proj": (n_inner, n_embd),
    }
    shapes: dict[str, tuple[int, ...]] = {
        "wte.weight": (config.vocab_size, n_embd),
        "wpe.weight": (config.n_ctx, n_embd),
    }
    for layer in range(config.n_layer):
        for name in ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj"):
            weight = linears.get(name, (n_embd,))
            shapes[f"h.{layer}.{name}.weight"] = weight
            shapes[f"h.{layer}.{name}.bias"] = weight[-1:]
    shapes |= {"ln_f.weight": (n_embd,), "ln_f.bias": (n_embd,)}
    if not config.tie_word_embeddings:
        shapes["lm_head.weight"] = (config.vocab_size, n_embd)
    return shapes


class LayerCache:
    """One layer's keys and values of the positions seen so far: [..., n_head, n_ctx, n_embd / n_head] each."""

    def __init__(self, keys: Array, values: Array) -> None:
        self.keys, self.values = keys, values
        self.n_seq = 0

    def append(self, k: Array, v: Array) -> tuple[Array, Array]:
        """Remember k and v, [..., n_head, n_new, n_embd / n_head], and return all keys and values so far, as views."""
        end = self.n_seq + k.shape[-2]
        self.keys[..., self.n_seq : end, :] = k
        self.values[..., self.n_seq : end, :] = v
        self.n_seq = end
        return self.keys[..., :end, :], self.values[..., :end, :]


class KVCache:
    """The keys and values of every layer, so that a position is computed once however many follow it.

    Pass the same cache with every next chunk of ids: `gpt2(ids[:5], ..., cache=cache)` and then
    `gpt2(ids[5:], ..., cache=cache)` give the logits of `gpt2(ids, ...)`. The memory for `n_ctx` positions
    (the model's context window, if None) of every sequence in `batch_shape` is set aside at the start. `dtype` is
    best that of the parameters.
    """

    def __init__(
        self,
        config: GPT2Config,
        batch_shape: Sequence[int] = (),
        n_ctx: int | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.batch_shape = tuple(batch_shape)
        self.n_ctx = config.n_ctx if n_ctx is None else n_ctx
        shape = (*batch_shape, config.n_head, self.n_ctx, config.n_embd // config.n_head)
        memory = np.empty((config.n_layer, 2, *shape), dtype)  # in one piece, for which NumPy asks for larger pages
        self.layers = [LayerCache(keys, values) for keys, values in memory]

    @property
    def n_seq(self) -> int:
        """The number of positions remembered."""
        return self.layers[0].n_seq

    def truncate(self, n_seq: int) -> None:
        """Forget all positions but the first `n_seq`."""
        for layer in self.layers:
            layer.n_seq = min(layer.n_seq, n_seq)

    def select(self, rows: ArrayLike) -> None:
        """Make a batch of the sequences `rows` of this one, [batch, ...]; some may be left out or repeated."""
        rows = np.asarray(rows)
        self.batch_shape = rows.shape
        for layer in self.layers:
            layer.keys = layer.keys[rows]
            layer.values = layer.values[rows]


def transformer_block(
    x: Array,
    ln_1: Tensors,
    attn: Params,
    ln_2: Tensors,
    mlp: Params,
    *,
    n_head: int,
    eps: float = 1e-5,
    activation: Callable[[Array], Array] = layers.gelu,
    cache: LayerCache | None = None,
    mask: Array | None = None,
    scale: float | None = None,
) -> Array:
    """Add to the residual stream what attention finds at other positions, then what the MLP makes of each.

        x = x + multi_head_attention(layer_norm(x))
        x = x + mlp(layer_norm(x))

    x: [..., n_seq, n_embd] -> [..., n_seq, n_embd]

    Source: Radford et al. 2019, section 2.3 (layer norm moved to the input of each sub-block).
    """
    x = x + layers.multi_head_attention(
        layer_norm(x, **ln_1, eps=eps), **attn, n_head=n_head, cache=cache, mask=mask, scale=scale
    )
    return x + layers.mlp(layer_norm(x, **ln_2, eps=eps), **mlp, activation=activation)


def gpt2(
    ids: ArrayLike,
    wte: Tensors,
    wpe: Tensors,
    h: Sequence[Params],
    ln_f: Tensors,
    lm_head: Tensors | None = None,
    *,
    config: GPT2Config,
    cache: KVCache | None = None,
    n_pad: ArrayLike | None = None,
    logits_to_keep: int = 0,
) -> Array:
    """GPT-2: the logits of the next token after every position.

    ids: [..., n_seq] -> [..., n_seq, n_vocab]. Call it as `gpt2(ids, **params, config=config)`.

    With a `cache`, ids follow the positions that the cache holds. `n_pad` [...] says how many ids at the start of
    each sequence are padding, which nothing attends to and which take no position: sequences of different lengths
    make a batch when `pad_left` has aligned their ends. `logits_to_keep` asks for the last positions only (0: all).
    `lm_head` holds the output weights where they are not the token embedding.

    Raises ValueError for no ids, an id outside the vocabulary, or more ids than the context window or the cache hold,
    and TypeError for ids that are no integers.
    """
    if logits_to_keep < 0:
        raise ValueError(f"logits_to_keep must be at least 0, not {logits_to_keep}")
    x = residual_stream(ids, wte, wpe, h, config=config, cache=cache, n_pad=n_pad)  # [..., n_seq, n_embd]
    return unembed(x[..., -logits_to_keep:, :], wte, ln_f, lm_head, config=config)  # [..., n_seq, n_vocab]


def residual_stream(
    ids: ArrayLike,
    wte: Tensors,
    wpe: Tensors,
    h: Sequence[Params],
    *,
    config: GPT2Config,
    cache: KVCache | None = None,
    n_pad: ArrayLike | None = None,
) -> Array:
    """Embed tokens and their positions, and let every block add to the sum: what `gpt2` makes its logits of.

    ids: [..., n_seq] -> [..., n_seq, n_embd]. `cache`, `n_pad` and what is raised: as in `gpt2`.
    """
    ids = np.atleast_1d(ids)
    if ids.size == 0:
        raise ValueError("no token ids: give at least one, [n_seq] or [batch, n_seq]")
    n_past = 0 if cache is None else cache.n_seq
    n_key = n_past + ids.shape[-1]
    if cache is not None and n_key > cache.n_ctx:
        raise ValueError(f"{n_key} tokens do not fit the cache, made for {cache.n_ctx}; make it with a larger n_ctx")
    positions: NDArray[np.intp] = np.arange(n_past, n_key)  # [n_seq]
    mask = None
    if n_pad is not None:
        n_pad = np.asarray(n_pad)[..., None]
        mask = np.where(np.arange(n_key) < n_pad, np.float32(MASKED), np.float32(0))[..., None, None, :]
        positions = np.maximum(positions - n_pad, 0)  # [..., n_seq]
    x = token_embedding(ids, **wte) + positional_embedding(positions, **wpe)  # [..., n_seq, n_embd]
    for layer, block in enumerate(h):
        x = transformer_block(
            x,
            **block,
            n_head=config.n_head,
            eps=config.layer_norm_epsilon,
            activation=ACTIVATIONS[config.activation_function],
            cache=None if cache is None else cache.layers[layer],
            mask=mask,
            scale=config.attention_scale(layer),
        )
    return x


def unembed(x: Array, wte: Tensors, ln_f: Tensors, lm_head: Tensors | None = None, *, config: GPT2Config) -> Array:
    """Turn the finished residual stream into logits, with the token embedding as output weights or `lm_head`'s.

    x: [..., n_seq, n_embd] -> [..., n_seq, n_vocab]
    """
    x = layer_norm(x, **ln_f, eps=config.layer_norm_epsilon)
    output_weight = (lm_head or wte)["weight"]  # [n_vocab, n_embd]
    return layers.linear(x, output_weight.T)


def pad_left(sequences: Sequence[Sequence[int]], pad_id: int = 0) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Align the ends of sequences of different lengths: the ids and n_pad of a batch for `gpt2`.

    -> ids [batch, n_seq], n_pad [batch]

    >>> ids, n_pad = pad_left([[5, 6, 7], [8]])
    >>> ids
    array([[5, 6, 7],
           [0, 0, 8]])
    >>> n_pad
    array([0, 2])
    """
    n_seq = max(map(len, sequences))
    ids = np.array([[pad_id] * (n_seq - len(sequence)) + list(sequence) for sequence in sequences])
    return ids, np.array([n_seq - len(sequence) for sequence in sequences])
