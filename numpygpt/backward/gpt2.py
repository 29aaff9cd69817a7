"""The gradient of every function in `gpt2.py`, for every option of `GPT2Config`: same names, same order."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from numpygpt import layers
from numpygpt.arrays import Array, Ids, Params
from numpygpt.backward import forward
from numpygpt.backward.activations import ACTIVATIONS
from numpygpt.backward.dropout import Dropout, dropout
from numpygpt.backward.layers import (
    SavedMLP,
    SavedMultiHeadAttention,
    forward_mlp,
    forward_multi_head_attention,
    layer_norm,
    mlp,
    multi_head_attention,
    positional_embedding,
    token_embedding,
)
from numpygpt.backward.loss import output_layer
from numpygpt.config import GPT2Config


class SavedBlock(NamedTuple):
    """What the gradient of a block needs of its forward pass."""

    x: Array  # [..., n_seq, n_embd], the residual stream at the block's start
    attn: SavedMultiHeadAttention
    attn_mask: Array | None
    middle: Array  # the stream between attention and MLP
    mlp: SavedMLP
    mlp_mask: Array | None


def forward_transformer_block(
    x: Array, block: Params, config: GPT2Config, layer: int, drop: Dropout
) -> tuple[Array, SavedBlock]:
    """`gpt2.transformer_block`, with dropout of what each half adds to the stream.

    x: [..., n_seq, n_embd] -> y [..., n_seq, n_embd], saved
    """
    eps, activation = config.layer_norm_epsilon, ACTIVATIONS[config.activation_function]
    y, attn = forward_multi_head_attention(
        forward.layer_norm(x, **block["ln_1"], eps=eps),
        **block["attn"],
        n_head=config.n_head,
        scale=config.attention_scale(layer),
        drop=drop,
    )
    attn_mask = drop.mask(y)
    middle = x + dropout(y, attn_mask)
    y, saved_mlp = forward_mlp(
        forward.layer_norm(middle, **block["ln_2"], eps=eps), **block["mlp"], activation=activation
    )
    mlp_mask = drop.mask(y)
    return middle + dropout(y, mlp_mask), SavedBlock(x, attn, attn_mask, middle, saved_mlp, mlp_mask)


def transformer_block(
    dy: Array, saved: SavedBlock, block: Params, config: GPT2Config, layer: int
) -> tuple[Array, Params]:
    """Go back through the MLP and through attention; the residual stream hands dy on as it is.

        y = x + f(layer_norm(x))   so   dx = dy + ∂f/∂x · dy, for each half in turn

    dy: [..., n_seq, n_embd] -> dx [..., n_seq, n_embd], {"ln_1": ..., "attn": ..., "ln_2": ..., "mlp": ...}
    """
    eps, activation = config.layer_norm_epsilon, ACTIVATIONS[config.activation_function]
    dnormed, dmlp = mlp(dropout(dy, saved.mlp_mask), saved.mlp, **block["mlp"], activation=activation)
    dmiddle, dln_2 = layer_norm(dnormed, saved.middle, **block["ln_2"], eps=eps)
    dmiddle += dy
    dnormed, dattn = multi_head_attention(
        dropout(dmiddle, saved.attn_mask),
        saved.attn,
        **block["attn"],
        n_head=config.n_head,
        scale=config.attention_scale(layer),
    )
    dx, dln_1 = layer_norm(dnormed, saved.x, **block["ln_1"], eps=eps)
    dx += dmiddle
    return dx, {"ln_1": dln_1, "attn": dattn, "ln_2": dln_2, "mlp": dmlp}


class SavedStream(NamedTuple):
    """What the gradient of the residual stream needs of its forward pass."""

    embedding_mask: Array | None
    blocks: list[SavedBlock]


def forward_residual_stream(ids: Ids, params: Params, config: GPT2Config, drop: Dropout) -> tuple[Array, SavedStream]:
    """Embed tokens and their positions, and let every block add to the sum, with dropout of the embeddings.

    ids: [..., n_seq] -> x [..., n_seq, n_embd], saved
    """
    x = layers.token_embedding(ids, **params["wte"])
    x += layers.positional_embedding(np.arange(ids.shape[-1]), **params["wpe"])
    embedding_mask = drop.mask(x)
    x = dropout(x, embedding_mask)
    blocks = []
    for layer, block in enumerate(params["h"]):
        x, saved_block = forward_transformer_block(x, block, config, layer, drop)
        blocks.append(saved_block)
    return x, SavedStream(embedding_mask, blocks)


def residual_stream(dx: Array, saved: SavedStream, ids: Ids, params: Params, config: GPT2Config) -> Params:
    """Go back through every block, the last one first, and let go of what it saved.

    dx: [..., n_seq, n_embd] -> the gradients of "wte" (as embedding), "wpe" and "h"
    """
    dh: list[Params] = []
    for layer in reversed(range(config.n_layer)):
        dx, dblock = transformer_block(dx, saved.blocks.pop(), params["h"][layer], config, layer)
        dh.insert(0, dblock)
    dx = dropout(dx, saved.embedding_mask)
    dwte, dwpe = token_embedding(dx, ids, **params["wte"]), positional_embedding(dx, **params["wpe"])
    return {"wte": dwte, "wpe": dwpe, "h": dh}


def gpt2(
    ids: Ids, targets: Ids, params: Params, config: GPT2Config, *, drop: Dropout | None = None, n_targets: int = 0
) -> tuple[float, Params]:
    """The loss of the whole model, and its gradient as a tree of the shape of params.

        loss = Σ cross_entropy(gpt2(ids), targets) / n_targets

    ids: [..., n_seq], targets: [..., n_seq], the token after each -> loss, gradients

    A target below 0 counts for nothing. `n_targets` is what the sum is divided by; 0 stands for the number of targets
    that count here. To compute a large batch in parts, give the number of targets of the whole: then losses and
    gradients of the parts add up to the batch's.

    The token embedding is also the output layer's matrix (unless params has an lm_head), so its gradient has two parts.
    """
    drop = drop or Dropout()
    x, saved = forward_residual_stream(ids, params, config, drop)
    normed = forward.layer_norm(x, **params["ln_f"], eps=config.layer_norm_epsilon)
    output = params.get("lm_head") or params["wte"]
    loss, dnormed, doutput = output_layer(
        normed.reshape(-1, config.n_embd),
        targets.ravel(),
        output["weight"],
        n_targets or max(1, int(np.count_nonzero(targets >= 0))),
    )
    dx, dln_f = layer_norm(dnormed.reshape(x.shape), x, **params["ln_f"], eps=config.layer_norm_epsilon)
    gradients = residual_stream(dx, saved, ids, params, config) | {"ln_f": dln_f}
    if "lm_head" in params:
        gradients["lm_head"] = {"weight": doutput}
    else:
        gradients["wte"]["weight"] += doutput
    return loss, gradients
