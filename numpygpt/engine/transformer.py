"""The original Transformer, fast: the encoder once, and a decoder that remembers what it has read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from numpygpt.arrays import Array, Ids, Params, Tensors
from numpygpt.engine.kernels import ACTIVATIONS, attention, layer_norm, linear
from numpygpt.layers import merge_heads, split_heads, token_embedding
from numpygpt.transformer import padding_mask, sines_first
from numpygpt.transformer_config import TransformerConfig


def embed(ids: Ids, weight: Array, config: TransformerConfig, n_past: int = 0) -> Array:
    """`transformer.embed` of tokens behind n_past others: ids [..., n_seq] -> [..., n_seq, n_embd]."""
    x = token_embedding(ids, weight)
    if config.scale_embedding:
        x *= math.sqrt(config.d_model)
    x += sines_first(n_past + ids.shape[-1], config.d_model)[n_past:]
    return x


def feed_forward(x: Array, layer: Params, config: TransformerConfig) -> Array:
    """The last third of a layer: x [..., n_seq, n_embd] -> the same."""
    y = linear(ACTIVATIONS[config.activation_function](linear(x, **layer["fc1"])), **layer["fc2"])
    return layer_norm(x + y, **layer["final_layer_norm"])


def encoder(source_ids: Ids, params: Params, config: TransformerConfig) -> tuple[Array, Array]:
    """Read a source.

    source_ids: [..., n_source] -> memory [..., n_source, n_embd], its mask [..., 1, 1, n_source]
    """
    model, n_head = params["model"], config.encoder_attention_heads
    mask = padding_mask(source_ids, config.pad_token_id)
    x = embed(source_ids, model["shared"]["weight"], config)
    for layer in model["encoder"]["layers"]:
        q, k, v = (heads(x, layer["self_attn"][name], n_head) for name in ("q_proj", "k_proj", "v_proj"))
        y = linear(merge_heads(attention(q, k, v, mask)), **layer["self_attn"]["out_proj"])
        x = feed_forward(layer_norm(x + y, **layer["self_attn_layer_norm"]), layer, config)
    return x, mask


def heads(x: Array, projection: Tensors, n_head: int) -> Array:
    """Project, and cut into heads: x [..., n_seq, n_embd] -> [..., n_head, n_seq, n_dim]."""
    return split_heads(linear(x, **projection), n_head)


@dataclass
class LayerMemory:
    """What a layer of the decoder remembers: keys and values of the source, and of the target so far."""

    source_k: Array  # [..., n_head, n_source, n_dim]
    source_v: Array
    k: Array | None = None  # [..., n_head, n_past, n_dim]
    v: Array | None = None

    def append(self, k: Array, v: Array) -> tuple[Array, Array]:
        """Add keys and values of new positions; return those of all."""
        if self.k is None or self.v is None:
            self.k, self.v = k, v
        else:
            self.k, self.v = np.concatenate([self.k, k], axis=-2), np.concatenate([self.v, v], axis=-2)
        return self.k, self.v


class Decoder:
    """A decoder at work on a batch of sources: it reads each target token once, and the sources once in all.

    Cross-attention's weights of the latest tokens stand in `looked_at`, [n_layer][..., n_head, n_new, n_source], where
    they are asked for.
    """

    def __init__(
        self, source_ids: ArrayLike, params: Params, config: TransformerConfig, *, keep_weights: bool = False
    ) -> None:
        memory, self.mask = encoder(np.asarray(source_ids), params, config)
        self.params, self.config, self.n_past = params, config, 0
        self.keep_weights, self.looked_at = keep_weights, list[Array]()
        n_head = config.decoder_attention_heads
        self.layers = [
            LayerMemory(*(heads(memory, layer["encoder_attn"][name], n_head) for name in ("k_proj", "v_proj")))
            for layer in params["model"]["decoder"]["layers"]
        ]

    def logits(self, ids: Ids) -> Array:
        """Read more of the targets: ids [..., n_new] -> the logits after each, [..., n_new, n_vocab]."""
        model, config, n_head = self.params["model"], self.config, self.config.decoder_attention_heads
        x = embed(ids, model["shared"]["weight"], config, self.n_past)
        self.n_past += ids.shape[-1]
        self.looked_at = []
        for layer, memory in zip(model["decoder"]["layers"], self.layers, strict=True):
            q, k, v = (heads(x, layer["self_attn"][name], n_head) for name in ("q_proj", "k_proj", "v_proj"))
            y = linear(merge_heads(attention(q, *memory.append(k, v), causal=True)), **layer["self_attn"]["out_proj"])
            x = layer_norm(x + y, **layer["self_attn_layer_norm"])
            q = heads(x, layer["encoder_attn"]["q_proj"], n_head)
            if self.keep_weights:
                same = np.eye(memory.source_k.shape[-2], dtype=x.dtype)  # as values: the weights themselves
                self.looked_at.append(attention(q, memory.source_k, same, self.mask))
            y = attention(q, memory.source_k, memory.source_v, self.mask)
            y = linear(merge_heads(y), **layer["encoder_attn"]["out_proj"])
            x = feed_forward(layer_norm(x + y, **layer["encoder_attn_layer_norm"]), layer, config)
        logits: Array = x @ model["shared"]["weight"].T
        logits += self.params["final_logits_bias"][0]
        return logits

    def choose(self, rows: Sequence[int] | Ids) -> None:
        """Go on with some rows of the batch, in this order, each as often as it is named."""
        chosen = np.asarray(rows, np.intp)
        if self.mask.ndim == 4 and not np.array_equal(chosen, np.arange(len(self.mask))):
            self.mask = self.mask[chosen]
            for memory in self.layers:
                memory.source_k, memory.source_v = memory.source_k[chosen], memory.source_v[chosen]
                if memory.k is not None and memory.v is not None:
                    memory.k, memory.v = memory.k[chosen], memory.v[chosen]


def transformer(source_ids: ArrayLike, target_ids: ArrayLike, params: Params, config: TransformerConfig) -> Array:
    """`numpygpt.transformer.transformer`, with every option: the logits after every position of the target.

    source_ids: [..., n_source], target_ids: [..., n_target] -> [..., n_target, n_vocab]

    Raises TypeError and ValueError for what are no ids of this model, or too many.
    """
    source, target = config.check_ids(source_ids, "the source"), config.check_ids(target_ids, "the target")
    return Decoder(source, params, config).logits(target)
