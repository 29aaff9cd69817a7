"""Other right implementations of the original Transformer's layers, and of the whole."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
from alternatives import other

from numpygpt.layers import causal_mask, layer_norm, linear, relu
from numpygpt.transformer import decoder_layer, embed, encoder_layer, feed_forward, multi_head_attention, padding_mask


@other("encoder_layer")
def encoder_by_names(
    x: Any,
    self_attn: Any,
    self_attn_layer_norm: Any,
    fc1: Any,
    fc2: Any,
    final_layer_norm: Any,
    *,
    n_head: int,
    mask: Any,
) -> Any:
    attended = multi_head_attention(
        x,
        x,
        self_attn["q_proj"],
        self_attn["k_proj"],
        self_attn["v_proj"],
        self_attn["out_proj"],
        n_head,
        mask,
    )
    first = layer_norm(attended + x, self_attn_layer_norm["weight"], self_attn_layer_norm["bias"])
    second = linear(np.maximum(0, linear(first, **fc1)), **fc2) + first
    return layer_norm(second, final_layer_norm["weight"], final_layer_norm["bias"])


@other("encoder_layer")
def encoder_of_branches(x: Any, *, n_head: int, mask: Any, **p: Any) -> Any:
    branches = [
        (p["self_attn_layer_norm"], lambda x: multi_head_attention(x, x, **p["self_attn"], n_head=n_head, mask=mask)),
        (p["final_layer_norm"], lambda x: feed_forward(x, p["fc1"], p["fc2"])),
    ]
    return reduce(lambda x, step: layer_norm(x + step[1](x), **step[0]), branches, x)


@other("encoder_layer")
def encoder_into_a_copy(
    x: Any,
    self_attn: Any,
    self_attn_layer_norm: Any,
    fc1: Any,
    fc2: Any,
    final_layer_norm: Any,
    *,
    n_head: int,
    mask: Any,
) -> Any:
    y = x.copy()
    y += multi_head_attention(x, memory=x, **self_attn, n_head=n_head, mask=mask)
    y = layer_norm(y, **self_attn_layer_norm)
    y += feed_forward(y, fc1=fc1, fc2=fc2)
    return layer_norm(y, **final_layer_norm)


@other("encoder_layer")
def encoder_in_float64(x: Any, *, n_head: int, mask: Any, **p: Any) -> Any:
    x = np.asarray(x, np.float64)
    x = x + multi_head_attention(x, x, **p["self_attn"], n_head=n_head, mask=mask)
    x = layer_norm(x, **p["self_attn_layer_norm"])
    return layer_norm(x + linear(relu(linear(x, **p["fc1"])), **p["fc2"]), **p["final_layer_norm"])


@other("encoder_layer")
def encoder_position_by_position(x: Any, *, n_head: int, mask: Any, **p: Any) -> Any:
    rows = []
    for t in range(x.shape[-2]):
        row = x[..., t : t + 1, :]
        row = layer_norm(
            row + multi_head_attention(row, x, **p["self_attn"], n_head=n_head, mask=mask), **p["self_attn_layer_norm"]
        )
        rows.append(layer_norm(row + feed_forward(row, p["fc1"], p["fc2"]), **p["final_layer_norm"]))
    return np.concatenate(rows, axis=-2)


@other("decoder_layer")
def decoder_by_names(
    x: Any,
    memory: Any,
    self_attn: Any,
    self_attn_layer_norm: Any,
    encoder_attn: Any,
    encoder_attn_layer_norm: Any,
    fc1: Any,
    fc2: Any,
    final_layer_norm: Any,
    *,
    n_head: int,
    memory_mask: Any,
) -> Any:
    n = x.shape[-2]
    mask = np.where(np.arange(n) > np.arange(n)[:, None], -1e9, 0)
    a = layer_norm(
        x + multi_head_attention(x, x, **self_attn, n_head=n_head, mask=mask),
        self_attn_layer_norm["weight"],
        self_attn_layer_norm["bias"],
    )
    b = layer_norm(
        a + multi_head_attention(a, memory, **encoder_attn, n_head=n_head, mask=memory_mask), **encoder_attn_layer_norm
    )
    return layer_norm(b + feed_forward(b, fc1, fc2), **final_layer_norm)


@other("decoder_layer")
def decoder_of_branches(x: Any, memory: Any, *, n_head: int, memory_mask: Any, **p: Any) -> Any:
    causal = causal_mask(x.shape[-2])
    branches: dict[str, Any] = {
        "self_attn": lambda x: multi_head_attention(x, x, **p["self_attn"], n_head=n_head, mask=causal),
        "encoder_attn": lambda x: multi_head_attention(x, memory, **p["encoder_attn"], n_head=n_head, mask=memory_mask),
        "final": lambda x: feed_forward(x, p["fc1"], p["fc2"]),
    }
    for name, branch in branches.items():
        x = layer_norm(branch(x) + x, **p[f"{name}_layer_norm"])
    return x


@other("decoder_layer")
def decoder_on_top_of_an_encoder(x: Any, memory: Any, *, n_head: int, memory_mask: Any, **p: Any) -> Any:
    """Feed forward and its norm are the end of both layers; what comes before is attention twice."""
    for name, keys, mask in (("self_attn", None, causal_mask(x.shape[-2])), ("encoder_attn", memory, memory_mask)):
        found = multi_head_attention(x, x if keys is None else keys, **p[name], n_head=n_head, mask=mask)
        x = layer_norm(np.add(x, found), **p[name + "_layer_norm"])
    hidden = np.clip(linear(x, **p["fc1"]), 0, np.inf)
    return layer_norm(linear(hidden, **p["fc2"]) + x, **p["final_layer_norm"])


@other("decoder_layer")
def decoder_position_by_position(x: Any, memory: Any, *, n_head: int, memory_mask: Any, **p: Any) -> Any:
    """Without a causal mask: a position is only shown what comes before it."""
    rows = []
    for t in range(x.shape[-2]):
        row, seen = x[..., t : t + 1, :], x[..., : t + 1, :]
        row = row + multi_head_attention(row, seen, **p["self_attn"], n_head=n_head)
        row = layer_norm(row, **p["self_attn_layer_norm"])
        row = row + multi_head_attention(row, memory, **p["encoder_attn"], n_head=n_head, mask=memory_mask)
        row = layer_norm(row, **p["encoder_attn_layer_norm"])
        rows.append(layer_norm(row + feed_forward(row, p["fc1"], p["fc2"]), **p["final_layer_norm"]))
    return np.concatenate(rows, axis=-2)


@other("decoder_layer")
def decoder_without_the_padding(x: Any, memory: Any, *, n_head: int, memory_mask: Any, **p: Any) -> Any:
    """Cut hidden positions of the source away where all sequences have the same ones."""
    x = layer_norm(
        x + multi_head_attention(x, x, **p["self_attn"], n_head=n_head, mask=causal_mask(x.shape[-2])),
        **p["self_attn_layer_norm"],
    )
    seen = np.broadcast_to(memory_mask, (*memory.shape[:-2], 1, 1, memory.shape[-2]))
    kept = (seen.reshape(-1, memory.shape[-2]) == 0).all(axis=0)
    if (kept == (seen == 0)).all():
        found = multi_head_attention(x, memory[..., kept, :], **p["encoder_attn"], n_head=n_head)
    else:
        found = multi_head_attention(x, memory, **p["encoder_attn"], n_head=n_head, mask=memory_mask)
    x = layer_norm(x + found, **p["encoder_attn_layer_norm"])
    return layer_norm(x + feed_forward(x, p["fc1"], p["fc2"]), **p["final_layer_norm"])


@other("transformer")
def transformer_by_reduce(
    source_ids: Any, target_ids: Any, model: Any, final_logits_bias: Any, *, n_head: int, pad_token_id: int
) -> Any:
    table, mask = model["shared"]["weight"], padding_mask(source_ids, pad_token_id)
    memory = reduce(
        lambda x, layer: encoder_layer(x, **layer, n_head=n_head, mask=mask),
        model["encoder"]["layers"],
        embed(source_ids, table),
    )
    y = reduce(
        lambda x, layer: decoder_layer(x, memory, **layer, n_head=n_head, memory_mask=mask),
        model["decoder"]["layers"],
        embed(target_ids, table),
    )
    return linear(y, table.T, final_logits_bias[0])


@other("transformer")
def transformer_by_einsum(
    source_ids: Any, target_ids: Any, model: Any, final_logits_bias: Any, *, n_head: int, pad_token_id: int
) -> Any:
    weight = model["shared"]["weight"]
    hidden = np.where(np.asarray(source_ids) == pad_token_id, -1e9, 0.0)[..., None, None, :]
    memory, x = embed(source_ids, weight), embed(target_ids, weight)
    for i in range(len(model["encoder"]["layers"])):
        memory = encoder_layer(memory, **model["encoder"]["layers"][i], n_head=n_head, mask=hidden)
    for i in range(len(model["decoder"]["layers"])):
        x = decoder_layer(x, memory, **model["decoder"]["layers"][i], n_head=n_head, memory_mask=hidden)
    return np.einsum("...e,ve->...v", x, weight) + np.squeeze(final_logits_bias)


@other("transformer")
def transformer_one_pair_at_a_time(
    source_ids: Any, target_ids: Any, model: Any, final_logits_bias: Any, *, n_head: int, pad_token_id: int
) -> Any:
    """Every sentence by itself, without its padding: then nothing has to be hidden."""
    if np.ndim(source_ids) > 1:
        pairs = zip(source_ids, target_ids, strict=True)
        options = {"n_head": n_head, "pad_token_id": pad_token_id}
        return np.stack([transformer_one_pair_at_a_time(*pair, model, final_logits_bias, **options) for pair in pairs])
    memory = embed([i for i in source_ids if i != pad_token_id], model["shared"]["weight"])
    for layer in model["encoder"]["layers"]:
        memory = encoder_layer(memory, **layer, n_head=n_head, mask=0.0)
    x = embed(target_ids, model["shared"]["weight"])
    for layer in model["decoder"]["layers"]:
        x = decoder_layer(x, memory, **layer, n_head=n_head, memory_mask=0.0)
    return x @ model["shared"]["weight"].T + final_logits_bias


@other("transformer")
def transformer_by_halves(
    source_ids: Any, target_ids: Any, model: Any, final_logits_bias: Any, *, n_head: int, pad_token_id: int
) -> Any:
    mask = padding_mask(ids=source_ids, pad_token_id=pad_token_id)

    def encode(x: Any) -> Any:
        for layer in model["encoder"]["layers"]:
            x = encoder_layer(x, **layer, n_head=n_head, mask=mask)
        return x

    def decode(x: Any, memory: Any) -> Any:
        for layer in model["decoder"]["layers"]:
            x = decoder_layer(x, memory, **layer, n_head=n_head, memory_mask=mask)
        return x

    table = model["shared"]["weight"]
    states = decode(embed(target_ids, table), encode(embed(source_ids, table)))
    return np.tensordot(states, table, (-1, -1)) + final_logits_bias.ravel()


@other("transformer")
def transformer_by_recursion(
    source_ids: Any, target_ids: Any, model: Any, final_logits_bias: Any, *, n_head: int, pad_token_id: int
) -> Any:
    mask = padding_mask(source_ids, pad_token_id).astype(np.float64)

    def through(x: Any, layers: Any, **more: Any) -> Any:
        if not layers:
            return x
        first, *rest = layers
        one = decoder_layer(x, **first, **more) if "memory" in more else encoder_layer(x, **first, **more)
        return through(one, rest, **more)

    source, target = (embed(ids, model["shared"]["weight"]) for ids in (source_ids, target_ids))
    memory = through(source, model["encoder"]["layers"], n_head=n_head, mask=mask)
    x = through(target, model["decoder"]["layers"], memory=memory, n_head=n_head, memory_mask=mask)
    return np.matmul(x, model["shared"]["weight"].T) + final_logits_bias[0]
