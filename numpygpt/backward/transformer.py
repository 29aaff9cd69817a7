"""The gradient of every function in `transformer.py`: same names, same order.

The forward passes differ from the book's in dropout, and in the options that a `TransformerConfig` has.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from numpygpt import layers
from numpygpt.arrays import Array, Ids, Params, Tensors
from numpygpt.backward import forward
from numpygpt.backward.activations import ACTIVATIONS
from numpygpt.backward.dropout import Dropout, dropout
from numpygpt.backward.layers import (
    Activation,
    SavedAttention,
    SavedMLP,
    attention,
    forward_attention,
    forward_mlp,
    layer_norm,
    linear,
    merge_heads,
    mlp,
    token_embedding,
)
from numpygpt.backward.loss import output_layer
from numpygpt.transformer import padding_mask, sines_first
from numpygpt.transformer_config import TransformerConfig


def forward_embed(ids: Ids, weight: Array, config: TransformerConfig, drop: Dropout) -> tuple[Array, Array | None]:
    """`transformer.embed`, with dropout: ids [..., n_seq] -> y [..., n_seq, n_embd], dropout's mask."""
    y = layers.token_embedding(ids, weight)
    y *= _scale(config)
    y += sines_first(*y.shape[-2:])
    mask = drop.mask(y)
    return dropout(y, mask), mask


def embed(dy: Array, mask: Array | None, ids: Ids, weight: Array, config: TransformerConfig) -> Array:
    """Send each row's gradient to its token, by the scale: y = weight[ids] · sqrt(n_embd) + encoding.

    dy: [..., n_seq, n_embd] -> dweight [n_vocab, n_embd]
    """
    return token_embedding(dropout(dy, mask) * _scale(config), ids, weight)["weight"]


def _scale(config: TransformerConfig) -> float:
    return math.sqrt(config.d_model) if config.scale_embedding else 1.0


class SavedMultiHeadAttention(NamedTuple):
    x: Array  # [..., n_query, n_embd]
    memory: Array  # [..., n_key, n_embd]
    qkv: tuple[Array, Array, Array]  # [..., n_head, n_query or n_key, n_dim] each
    heads: SavedAttention
    merged: Array  # [..., n_query, n_embd]


def forward_multi_head_attention(
    x: Array,
    memory: Array,
    q_proj: Tensors,
    k_proj: Tensors,
    v_proj: Tensors,
    out_proj: Tensors,
    n_head: int,
    mask: Array,
) -> tuple[Array, SavedMultiHeadAttention]:
    """`transformer.multi_head_attention`: x [..., n_query, n_embd] -> y [..., n_query, n_embd], saved."""
    q, k, v = forward.linear(x, **q_proj), forward.linear(memory, **k_proj), forward.linear(memory, **v_proj)
    qkv = layers.split_heads(q, n_head), layers.split_heads(k, n_head), layers.split_heads(v, n_head)
    heads, saved = forward_attention(*qkv, 1 / math.sqrt(x.shape[-1] // n_head), Dropout(), mask)
    merged = layers.merge_heads(heads)
    return forward.linear(merged, **out_proj), SavedMultiHeadAttention(x, memory, qkv, saved, merged)


def multi_head_attention(
    dy: Array,
    saved: SavedMultiHeadAttention,
    q_proj: Tensors,
    k_proj: Tensors,
    v_proj: Tensors,
    out_proj: Tensors,
    n_head: int,
) -> tuple[Array, Array, Params]:
    """Go back through the last linear layer and attention, to who asked and to what was asked.

        q = linear(x), k = linear_k(memory), v = linear_v(memory)   so   dmemory is the sum of two ways

    dy: [..., n_query, n_embd] -> dx [..., n_query, n_embd], dmemory [..., n_key, n_embd], gradients

    In self-attention the memory is x: its gradient is then dx + dmemory.
    """
    x, memory, qkv, heads, merged = saved
    dmerged, dout_proj = linear(dy, merged, **out_proj)
    dq, dk, dv = attention(merge_heads(dmerged, n_head), heads, *qkv, scale=1 / math.sqrt(x.shape[-1] // n_head))
    dx, dq_proj = linear(layers.merge_heads(dq), x, **q_proj)
    dmemory, dk_proj = linear(layers.merge_heads(dk), memory, **k_proj)
    dmemory_by_v, dv_proj = linear(layers.merge_heads(dv), memory, **v_proj)
    dmemory += dmemory_by_v
    return dx, dmemory, {"q_proj": dq_proj, "k_proj": dk_proj, "v_proj": dv_proj, "out_proj": dout_proj}


class SavedSum(NamedTuple):
    """What the gradient of `layer_norm(x + dropout(branch))` needs."""

    mask: Array | None
    total: Array  # [..., n_embd], x + dropout(branch)


def forward_add_and_norm(x: Array, branch: Array, norm: Params, drop: Dropout) -> tuple[Array, SavedSum]:
    """Add a branch to what it branched from, and normalize the sum: x, branch [..., n_embd] -> [..., n_embd], saved."""
    mask = drop.mask(branch)
    total = x + dropout(branch, mask)
    return forward.layer_norm(total, **norm), SavedSum(mask, total)


def add_and_norm(dy: Array, saved: SavedSum, norm: Params) -> tuple[Array, Array, Tensors]:
    """Go back through layer norm and the sum, which hands its gradient to both: dy [..., n_embd] -> dx, dbranch."""
    dtotal, dnorm = layer_norm(dy, saved.total, **norm)
    return dtotal, dropout(dtotal, saved.mask), dnorm


class SavedLayer(NamedTuple):
    """What the gradient of a layer needs: of each attention, by its name, and of the last part."""

    attentions: dict[str, tuple[SavedMultiHeadAttention, SavedSum]]
    feed_forward: tuple[SavedMLP, SavedSum]


def _forward_attend(
    x: Array, memory: Array, name: str, layer: Params, n_head: int, mask: Array, drop: Dropout
) -> tuple[Array, tuple[SavedMultiHeadAttention, SavedSum]]:
    """The part of a layer called `name`, "self_attn" or "encoder_attn": x [..., n_query, n_embd] -> the same, saved."""
    y, attn = forward_multi_head_attention(x, memory, **layer[name], n_head=n_head, mask=mask)
    x, total = forward_add_and_norm(x, y, layer[f"{name}_layer_norm"], drop)
    return x, (attn, total)


def _attend(dy: Array, saved: SavedLayer, name: str, layer: Params, n_head: int) -> tuple[Array, Array, Params]:
    """Go back through that part: dy [..., n_query, n_embd] -> dx, dmemory [..., n_key, n_embd], gradients."""
    attn, total = saved.attentions[name]
    dx, dbranch, dnorm = add_and_norm(dy, total, layer[f"{name}_layer_norm"])
    dq, dmemory, dattn = multi_head_attention(dbranch, attn, **layer[name], n_head=n_head)
    dx += dq
    return dx, dmemory, {name: dattn, f"{name}_layer_norm": dnorm}


def _forward_feed_forward(
    x: Array, layer: Params, activation: Activation, drop: Dropout
) -> tuple[Array, tuple[SavedMLP, SavedSum]]:
    """The last part of a layer: x [..., n_embd] -> the same, saved."""
    y, saved = forward_mlp(x, layer["fc1"], layer["fc2"], activation)
    x, total = forward_add_and_norm(x, y, layer["final_layer_norm"], drop)
    return x, (saved, total)


def _feed_forward(dy: Array, saved: SavedLayer, layer: Params, activation: Activation) -> tuple[Array, Params]:
    """Go back through the last part of a layer: dy [..., n_embd] -> dx, gradients."""
    saved_mlp, total = saved.feed_forward
    dx, dbranch, dnorm = add_and_norm(dy, total, layer["final_layer_norm"])
    dinput, dmlp = mlp(dbranch, saved_mlp, layer["fc1"], layer["fc2"], activation)
    dx += dinput
    return dx, {"fc1": dmlp["c_fc"], "fc2": dmlp["c_proj"], "final_layer_norm": dnorm}


def forward_encoder_layer(
    x: Array, layer: Params, n_head: int, mask: Array, activation: Activation, drop: Dropout
) -> tuple[Array, SavedLayer]:
    """`transformer.encoder_layer`, with dropout of each branch: x [..., n_source, n_embd] -> the same, saved."""
    x, own = _forward_attend(x, x, "self_attn", layer, n_head, mask, drop)
    x, last = _forward_feed_forward(x, layer, activation, drop)
    return x, SavedLayer({"self_attn": own}, last)


def encoder_layer(
    dy: Array, saved: SavedLayer, layer: Params, n_head: int, activation: Activation
) -> tuple[Array, Params]:
    """Go back through both parts of an encoder's layer: dy [..., n_source, n_embd] -> dx, gradients."""
    dy, gradients = _feed_forward(dy, saved, layer, activation)
    dx, dmemory, dattn = _attend(dy, saved, "self_attn", layer, n_head)
    dx += dmemory  # who is asked is who asks
    return dx, gradients | dattn


def forward_decoder_layer(
    x: Array, memory: Array, layer: Params, n_head: int, memory_mask: Array, activation: Activation, drop: Dropout
) -> tuple[Array, SavedLayer]:
    """`transformer.decoder_layer`, with dropout of each branch: x [..., n_target, n_embd] -> the same, saved."""
    x, own = _forward_attend(x, x, "self_attn", layer, n_head, layers.causal_mask(x.shape[-2]), drop)
    x, cross = _forward_attend(x, memory, "encoder_attn", layer, n_head, memory_mask, drop)
    x, last = _forward_feed_forward(x, layer, activation, drop)
    return x, SavedLayer({"self_attn": own, "encoder_attn": cross}, last)


def decoder_layer(
    dy: Array, saved: SavedLayer, layer: Params, n_head: int, activation: Activation
) -> tuple[Array, Array, Params]:
    """Go back through the three parts of a decoder's layer.

    dy: [..., n_target, n_embd] -> dx [..., n_target, n_embd], dmemory [..., n_source, n_embd], gradients
    """
    dy, gradients = _feed_forward(dy, saved, layer, activation)
    dy, dmemory, dcross = _attend(dy, saved, "encoder_attn", layer, n_head)
    dx, dkv, dattn = _attend(dy, saved, "self_attn", layer, n_head)
    dx += dkv
    return dx, dmemory, gradients | dcross | dattn


def transformer(
    source_ids: Ids,
    target_ids: Ids,
    targets: Ids,
    params: Params,
    config: TransformerConfig,
    *,
    drop: Dropout | None = None,
    label_smoothing: float = 0.0,
    n_targets: int = 0,
) -> tuple[float, Params]:
    """The loss of the whole model, and its gradient as a tree of the shape of `params["model"]`.

        loss = Σ cross_entropy(transformer(source_ids, target_ids), targets) / n_targets

    source_ids: [..., n_source], target_ids, targets: [..., n_target], the token after each -> loss, {"model": ...}

    A target below 0 counts for nothing; so padding gets no gradient. `n_targets`: as in `backward.gpt2`. The one table
    embeds the source, embeds the target and gives the logits: its gradient has three parts.
    """
    drop, activation = drop or Dropout(), ACTIVATIONS[config.activation_function]
    model, shared = params["model"], params["model"]["shared"]["weight"]
    source_mask = padding_mask(source_ids, config.pad_token_id)
    n_heads = config.encoder_attention_heads, config.decoder_attention_heads
    memory, source_drop = forward_embed(source_ids, shared, config, drop)
    encoder, decoder = [], []
    for layer in model["encoder"]["layers"]:
        memory, saved = forward_encoder_layer(memory, layer, n_heads[0], source_mask, activation, drop)
        encoder.append(saved)
    x, target_drop = forward_embed(target_ids, shared, config, drop)
    for layer in model["decoder"]["layers"]:
        x, saved = forward_decoder_layer(x, memory, layer, n_heads[1], source_mask, activation, drop)
        decoder.append(saved)

    n_targets = n_targets or max(1, int(np.count_nonzero(targets >= 0)))
    bias = params["final_logits_bias"][0]
    loss, dx, dshared = output_layer(
        x.reshape(-1, config.d_model), targets.ravel(), shared, n_targets, bias, label_smoothing
    )
    dx, dmemory = dx.reshape(x.shape), np.zeros_like(memory)
    dencoder: list[Params] = []
    ddecoder: list[Params] = []
    for layer in reversed(model["decoder"]["layers"]):
        dx, dmemory_by_layer, gradients = decoder_layer(dx, decoder.pop(), layer, n_heads[1], activation)
        dmemory += dmemory_by_layer  # every layer of the decoder looks at the same memory
        ddecoder.insert(0, gradients)
    for layer in reversed(model["encoder"]["layers"]):
        dmemory, gradients = encoder_layer(dmemory, encoder.pop(), layer, n_heads[0], activation)
        dencoder.insert(0, gradients)
    dshared += embed(dx, target_drop, target_ids, shared, config)
    dshared += embed(dmemory, source_drop, source_ids, shared, config)
    tree = {"shared": {"weight": dshared}, "encoder": {"layers": dencoder}, "decoder": {"layers": ddecoder}}
    return loss, {"model": tree}
