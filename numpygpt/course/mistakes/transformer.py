"""Mistakes in `transformer.py`."""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

import numpy as np

from numpygpt.course.mistakes.registry import mistake
from numpygpt.layers import MASKED, causal_mask, gelu, layer_norm, linear, token_embedding

book: Any = import_module("numpygpt.transformer")  # the page, not the function of its name


def _angles(n_seq: int, n_embd: int, exponent: Any) -> Any:
    column = np.arange(n_embd)
    angles = np.arange(n_seq)[:, None] / 10000 ** exponent(column)
    return np.where(column % 2 == 0, np.sin(angles), np.cos(angles))


@mistake("sinusoidal_encoding", "Which columns share a wavelength?", "Sine and cosine come in pairs: column // 2 * 2.")
def no_pairs(n_seq: int, n_embd: int) -> Any:
    return _angles(n_seq, n_embd, lambda column: column / n_embd)


@mistake("sinusoidal_encoding", "How fast do the wavelengths grow?", "The exponent is 2i / n_embd, not i / n_embd.")
def half_exponent(n_seq: int, n_embd: int) -> Any:
    return _angles(n_seq, n_embd, lambda column: column // 2 / n_embd)


@mistake("sinusoidal_encoding", "Sine or cosine first?", "Even columns are sines, odd ones cosines.")
def cosines_first(n_seq: int, n_embd: int) -> Any:
    column = np.arange(n_embd)
    angles = np.arange(n_seq)[:, None] / 10000 ** (column // 2 * 2 / n_embd)
    return np.where(column % 2 == 0, np.cos(angles), np.sin(angles))


@mistake(
    "sinusoidal_encoding",
    "In turn, or one half after the other?",
    "Here they are in turn; `sines_first` has them in halves.",
)
def in_halves(n_seq: int, n_embd: int) -> Any:
    return book.sines_first(n_seq, n_embd)


@mistake("sinusoidal_encoding", "Which position is the first?", "Positions count from 0.")
def positions_from_one(n_seq: int, n_embd: int) -> Any:
    return book.sinusoidal_encoding(n_seq + 1, n_embd)[1:]


@mistake("sines_first", "In halves, or in turn?", "All sines, then all cosines: columns 0::2, then 1::2.")
def in_turn(n_seq: int, n_embd: int) -> Any:
    return book.sinusoidal_encoding(n_seq, n_embd)


@mistake("sines_first", "Which half comes first?", "The sines, columns 0::2.")
def cosines_before(n_seq: int, n_embd: int) -> Any:
    encoding = book.sinusoidal_encoding(n_seq, n_embd)
    return np.concatenate([encoding[:, 1::2], encoding[:, 0::2]], axis=-1)


@mistake("sines_first", "Halves of what?", "Of the even and odd columns, not of positions.")
def columns_halved(n_seq: int, n_embd: int) -> Any:
    encoding = book.sinusoidal_encoding(n_seq, n_embd)
    return np.concatenate([encoding[:, n_embd // 2 :], encoding[:, : n_embd // 2]], axis=-1)


@mistake("padding_mask", "What is hidden?", "The padding: MASKED where the id is pad_token_id, 0 elsewhere.")
def inverted(ids: Any, pad_token_id: int) -> Any:
    mask = book.padding_mask(ids, pad_token_id)
    return np.where(mask == 0, np.float32(MASKED), np.float32(0))


@mistake("padding_mask", "Whom does it serve?", "Every head and every query: two axes of 1 before n_seq.")
def no_axes(ids: Any, pad_token_id: int) -> Any:
    return book.padding_mask(ids, pad_token_id)[..., 0, 0, :]


@mistake("padding_mask", "Added or multiplied?", "It is added: 0 and MASKED, not 1 and 0.")
def ones(ids: Any, pad_token_id: int) -> Any:
    return (book.padding_mask(ids, pad_token_id) == 0).astype(np.float32)


@mistake("padding_mask", "Which id is the padding?", "pad_token_id: it need not be 0.")
def zero_is_padding(ids: Any, pad_token_id: int) -> Any:
    return book.padding_mask(ids, 0)


@mistake(
    "embed", "How long are embeddings, how long the encoding?", "Multiply by sqrt(n_embd) before the encoding is added."
)
def not_scaled(ids: Any, weight: Any) -> Any:
    return token_embedding(ids, weight) + book.sines_first(np.shape(ids)[-1], weight.shape[-1])


@mistake("embed", "What is scaled?", "The embedding alone, not the sum.")
def sum_scaled(ids: Any, weight: Any) -> Any:
    return not_scaled(ids, weight) * math.sqrt(weight.shape[-1])


@mistake("embed", "Is the position in it?", "Add sines_first(n_seq, n_embd).")
def no_positions(ids: Any, weight: Any) -> Any:
    return token_embedding(ids, weight) * math.sqrt(weight.shape[-1])


@mistake("embed", "Which order of columns?", "Sines first, as the checkpoints have it.")
def columns_in_turn(ids: Any, weight: Any) -> Any:
    return no_positions(ids, weight) + book.sinusoidal_encoding(np.shape(ids)[-1], weight.shape[-1])


_ATTENTION = "transformer.multi_head_attention"


def _swapped(a: str, b: str) -> Any:
    def attend(x: Any, memory: Any, n_head: int, mask: Any = 0.0, **parts: Any) -> Any:
        parts[a], parts[b] = parts[b], parts[a]
        return book.multi_head_attention(x, memory, n_head=n_head, mask=mask, **parts)

    return attend


@mistake(_ATTENTION, "Where do keys and values come from?", "From the memory: x only asks.")
def memory_ignored(x: Any, memory: Any, n_head: int, mask: Any = 0.0, **parts: Any) -> Any:
    return book.multi_head_attention(x, x, n_head=n_head, mask=mask, **parts)


@mistake(_ATTENTION, "Who asks?", "The queries come from x.")
def memory_asks(x: Any, memory: Any, n_head: int, mask: Any = 0.0, **parts: Any) -> Any:
    return book.multi_head_attention(memory, memory, n_head=n_head, mask=mask, **parts)


@mistake(_ATTENTION, "Which matrix makes the keys?", "k_proj makes keys and v_proj values: they are swapped.")
def matrices_swapped(x: Any, memory: Any, n_head: int, mask: Any = 0.0, **parts: Any) -> Any:
    return _swapped("k_proj", "v_proj")(x, memory, n_head, mask, **parts)


@mistake(_ATTENTION, "Does the mask arrive anywhere?", "Hand it on to attention.")
def mask_not_passed(x: Any, memory: Any, n_head: int, mask: Any = 0.0, **parts: Any) -> Any:
    return book.multi_head_attention(x, memory, n_head=n_head, **parts)


@mistake("feed_forward", "Which activation?", "The original has relu; gelu is GPT-2's.")
def with_gelu(x: Any, fc1: Any, fc2: Any) -> Any:
    return linear(gelu(linear(x, **fc1)), **fc2)


@mistake("feed_forward", "What happens between the layers?", "relu: without it two linear layers are one.")
def no_activation(x: Any, fc1: Any, fc2: Any) -> Any:
    return linear(linear(x, **fc1), **fc2)


@mistake("feed_forward", "Is relu used after the second layer?", "Only between the two.")
def relu_at_the_end(x: Any, fc1: Any, fc2: Any) -> Any:
    return np.maximum(book.feed_forward(x, fc1, fc2), 0)


@mistake(
    "encoder_layer", "When does layer norm come here?", "After each sum: norm(x + f(x)); before it is GPT-2's way."
)
def norm_first(x: Any, *, n_head: int, mask: Any, **p: Any) -> Any:
    normed = layer_norm(x, **p["self_attn_layer_norm"])
    x = x + book.multi_head_attention(normed, normed, **p["self_attn"], n_head=n_head, mask=mask)
    return x + book.feed_forward(layer_norm(x, **p["final_layer_norm"]), p["fc1"], p["fc2"])


@mistake("encoder_layer", "What is added before the norm?", "x itself: norm(x + f(x)).")
def no_residual(x: Any, *, n_head: int, mask: Any, **p: Any) -> Any:
    x = layer_norm(
        book.multi_head_attention(x, x, **p["self_attn"], n_head=n_head, mask=mask), **p["self_attn_layer_norm"]
    )
    return layer_norm(book.feed_forward(x, p["fc1"], p["fc2"]), **p["final_layer_norm"])


@mistake("encoder_layer", "May the source see its later words?", "Yes: no causal mask in the encoder.")
def causal(x: Any, *, n_head: int, mask: Any, **p: Any) -> Any:
    return book.encoder_layer(x, **p, n_head=n_head, mask=mask + causal_mask(x.shape[-2]))


@mistake("encoder_layer", "Who sees the padding?", "Hand the mask on to attention.")
def padding_seen(x: Any, *, n_head: int, mask: Any, **p: Any) -> Any:
    return book.encoder_layer(x, **p, n_head=n_head, mask=0.0)


def _decoder(x: Any, memory: Any, p: Any, n_head: int, memory_mask: Any, mask: Any, order: str = "sc") -> Any:
    for step in order:
        name, at = ("self_attn", x) if step == "s" else ("encoder_attn", memory)
        seen = mask if step == "s" else memory_mask
        found = book.multi_head_attention(x, at, **p[name], n_head=n_head, mask=seen)
        x = layer_norm(x + found, **p[f"{name}_layer_norm"])
    return layer_norm(x + book.feed_forward(x, p["fc1"], p["fc2"]), **p["final_layer_norm"])


@mistake("decoder_layer", "May the target see its later words?", "No: self-attention needs causal_mask.")
def not_causal(x: Any, memory: Any, *, n_head: int, memory_mask: Any, **p: Any) -> Any:
    return _decoder(x, memory, p, n_head, memory_mask, 0.0)


@mistake("decoder_layer", "What comes first?", "Self-attention, then cross-attention.")
def cross_first(x: Any, memory: Any, *, n_head: int, memory_mask: Any, **p: Any) -> Any:
    return _decoder(x, memory, p, n_head, memory_mask, causal_mask(x.shape[-2]), "cs")


@mistake("decoder_layer", "Does it look at the source?", "Cross-attention is missing: encoder_attn asks the memory.")
def no_cross(x: Any, memory: Any, *, n_head: int, memory_mask: Any, **p: Any) -> Any:
    return _decoder(x, memory, p, n_head, memory_mask, causal_mask(x.shape[-2]), "s")


@mistake("decoder_layer", "Who sees the source's padding?", "Nobody: hand memory_mask on to cross-attention.")
def memory_mask_ignored(x: Any, memory: Any, *, n_head: int, memory_mask: Any, **p: Any) -> Any:
    return _decoder(x, memory, p, n_head, 0.0, causal_mask(x.shape[-2]))


def _whole(source: Any, target: Any, model: Any, final: Any, n_head: int, pad: int, **how: Any) -> Any:
    shared, mask = model["shared"]["weight"], how.get("mask", book.padding_mask(source, pad))
    memory = book.embed(source, shared)
    for layer in model["encoder"]["layers"]:
        memory = book.encoder_layer(memory, **layer, n_head=n_head, mask=mask)
    if how.get("skip"):
        memory = book.embed(source, shared)
    x = book.embed(target, shared)
    for layer in model["decoder"]["layers"]:
        x = book.decoder_layer(x, memory, **layer, n_head=n_head, memory_mask=mask)
    return x @ shared.T + (0 if how.get("no_bias") else final[0])


@mistake("transformer", "What is added to the logits?", "final_logits_bias[0].")
def bias_forgotten(
    source_ids: Any, target_ids: Any, model: Any, final_logits_bias: Any, *, n_head: int, pad_token_id: int
) -> Any:
    return _whole(source_ids, target_ids, model, final_logits_bias, n_head, pad_token_id, no_bias=True)


@mistake("transformer", "Who sees the source's padding?", "Nobody: padding_mask goes to encoder and decoder.")
def padding_not_hidden(
    source_ids: Any, target_ids: Any, model: Any, final_logits_bias: Any, *, n_head: int, pad_token_id: int
) -> Any:
    return _whole(source_ids, target_ids, model, final_logits_bias, n_head, pad_token_id, mask=0.0)


@mistake("transformer", "What does the decoder look at?", "What the encoder made of the source, after all its layers.")
def encoder_skipped(
    source_ids: Any, target_ids: Any, model: Any, final_logits_bias: Any, *, n_head: int, pad_token_id: int
) -> Any:
    return _whole(source_ids, target_ids, model, final_logits_bias, n_head, pad_token_id, skip=True)
