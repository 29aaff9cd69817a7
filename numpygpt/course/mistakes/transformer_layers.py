"""Mistakes in the layers of the original Transformer, and in the whole."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from numpygpt.course.mistakes.registry import mistake
from numpygpt.layers import causal_mask, gelu, layer_norm, linear, softmax

book: Any = import_module("numpygpt.transformer")  # the page, not the function of its name


@mistake("feed_forward", "Which activation?", "The original has relu; gelu is GPT-2's.")
def with_gelu(x: Any, fc1: Any, fc2: Any) -> Any:
    return linear(gelu(linear(x, **fc1)), **fc2)


@mistake("feed_forward", "What happens between the layers?", "relu: without it two linear layers are one.")
def no_activation(x: Any, fc1: Any, fc2: Any) -> Any:
    return linear(linear(x, **fc1), **fc2)


@mistake("feed_forward", "Is relu used after the second layer?", "Only between the two.")
def relu_at_the_end(x: Any, fc1: Any, fc2: Any) -> Any:
    return np.maximum(book.feed_forward(x, fc1, fc2), 0)


@mistake("feed_forward", "Where does the residual belong?", "In the layer: return the branch alone.")
def adds_x(x: Any, fc1: Any, fc2: Any) -> Any:
    return x + book.feed_forward(x, fc1, fc2)


@mistake("feed_forward", "Do both layers have a bias?", "Both have: linear(..., **fc2) adds the second one.")
def no_last_bias(x: Any, fc1: Any, fc2: Any) -> Any:
    return np.maximum(linear(x, **fc1), 0) @ fc2["weight"]


@mistake("encoder_layer", "Which layer norm comes when?", "self_attn_layer_norm first; final_layer_norm comes last.")
def norms_swapped(x: Any, *, n_head: int, mask: Any, **p: Any) -> Any:
    norms = {"self_attn_layer_norm": p["final_layer_norm"], "final_layer_norm": p["self_attn_layer_norm"]}
    return book.encoder_layer(x, **p | norms, n_head=n_head, mask=mask)


@mistake("encoder_layer", "How many heads are there?", "Hand n_head on to attention.")
def one_head_in_the_encoder(x: Any, *, n_head: int, mask: Any, **p: Any) -> Any:
    return book.encoder_layer(x, **p, n_head=1, mask=mask)


@mistake("encoder_layer", "How often is it normed?", "Twice: after the second sum, too.")
def no_final_norm(x: Any, *, n_head: int, mask: Any, **p: Any) -> Any:
    attended = book.multi_head_attention(x, x, **p["self_attn"], n_head=n_head, mask=mask)
    x = layer_norm(x + attended, **p["self_attn_layer_norm"])
    return x + book.feed_forward(x, p["fc1"], p["fc2"])


@mistake(
    "encoder_layer", "To what is the second branch added?", "To what the first norm returned, not to the layer's input."
)
def input_added_again(x: Any, *, n_head: int, mask: Any, **p: Any) -> Any:
    attended = book.multi_head_attention(x, x, **p["self_attn"], n_head=n_head, mask=mask)
    normed = layer_norm(x + attended, **p["self_attn_layer_norm"])
    return layer_norm(x + book.feed_forward(normed, p["fc1"], p["fc2"]), **p["final_layer_norm"])


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


@mistake("decoder_layer", "Whom does the second attention ask?", "The memory: x asks itself in the first one.")
def asks_itself(x: Any, memory: Any, *, n_head: int, memory_mask: Any, **p: Any) -> Any:
    return _decoder(x, x, p, n_head, 0.0, causal_mask(x.shape[-2]))


@mistake("decoder_layer", "When does layer norm come here?", "After each sum; before each branch is GPT-2's way.")
def norm_before(x: Any, memory: Any, *, n_head: int, memory_mask: Any, **p: Any) -> Any:
    mask, normed = causal_mask(x.shape[-2]), layer_norm(x, **p["self_attn_layer_norm"])
    x = x + book.multi_head_attention(normed, normed, **p["self_attn"], n_head=n_head, mask=mask)
    normed = layer_norm(x, **p["encoder_attn_layer_norm"])
    x = x + book.multi_head_attention(normed, memory, **p["encoder_attn"], n_head=n_head, mask=memory_mask)
    return x + book.feed_forward(layer_norm(x, **p["final_layer_norm"]), p["fc1"], p["fc2"])


@mistake("decoder_layer", "What is added to what was found in the source?", "x itself: norm(x + found).")
def found_alone(x: Any, memory: Any, *, n_head: int, memory_mask: Any, **p: Any) -> Any:
    mask = causal_mask(x.shape[-2])
    x = layer_norm(
        x + book.multi_head_attention(x, x, **p["self_attn"], n_head=n_head, mask=mask), **p["self_attn_layer_norm"]
    )
    found = book.multi_head_attention(x, memory, **p["encoder_attn"], n_head=n_head, mask=memory_mask)
    x = layer_norm(found, **p["encoder_attn_layer_norm"])
    return layer_norm(x + book.feed_forward(x, p["fc1"], p["fc2"]), **p["final_layer_norm"])


@mistake("decoder_layer", "Which parameters are whose?", "self_attn is for x alone, encoder_attn for the memory.")
def attentions_swapped(x: Any, memory: Any, *, n_head: int, memory_mask: Any, **p: Any) -> Any:
    parts = {"self_attn": p["encoder_attn"], "encoder_attn": p["self_attn"]}
    return book.decoder_layer(x, memory, **p | parts, n_head=n_head, memory_mask=memory_mask)


def _whole(source: Any, target: Any, model: Any, final: Any, n_head: int, pad: int, **how: Any) -> Any:
    shared, mask = model["shared"]["weight"], how.get("mask", book.padding_mask(source, pad))
    memory = book.embed(source, shared)
    for layer in model["encoder"]["layers"]:
        memory = book.encoder_layer(memory, **layer, n_head=n_head, mask=how.get("source_mask", mask))
    if how.get("skip"):
        memory = book.embed(source, shared)
    x = book.embed(target, shared)
    for layer in model["decoder"]["layers"]:
        x = book.decoder_layer(x, memory, **layer, n_head=n_head, memory_mask=how.get("memory_mask", mask))
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


@mistake("transformer", "Who sees the source's padding?", "The decoder does not either: hand the mask to both.")
def padding_seen_by_the_decoder(
    source_ids: Any, target_ids: Any, model: Any, final_logits_bias: Any, *, n_head: int, pad_token_id: int
) -> Any:
    return _whole(source_ids, target_ids, model, final_logits_bias, n_head, pad_token_id, memory_mask=0.0)


@mistake("transformer", "Logits or probabilities?", "Logits: no softmax at the end.")
def probabilities(
    source_ids: Any, target_ids: Any, model: Any, final_logits_bias: Any, *, n_head: int, pad_token_id: int
) -> Any:
    return softmax(_whole(source_ids, target_ids, model, final_logits_bias, n_head, pad_token_id))


@mistake("transformer", "Which ids does the encoder read?", "The source's: source and target are swapped.")
def source_and_target_swapped(
    source_ids: Any, target_ids: Any, model: Any, final_logits_bias: Any, *, n_head: int, pad_token_id: int
) -> Any:
    return _whole(target_ids, source_ids, model, final_logits_bias, n_head, pad_token_id)


@mistake("transformer", "How many heads are there?", "Hand n_head on to every layer.")
def one_head(
    source_ids: Any, target_ids: Any, model: Any, final_logits_bias: Any, *, n_head: int, pad_token_id: int
) -> Any:
    return _whole(source_ids, target_ids, model, final_logits_bias, 1, pad_token_id)


@mistake("transformer", "Who sees the source's padding?", "The encoder does not either: hand the mask to both.")
def padding_seen_by_the_encoder(
    source_ids: Any, target_ids: Any, model: Any, final_logits_bias: Any, *, n_head: int, pad_token_id: int
) -> Any:
    return _whole(source_ids, target_ids, model, final_logits_bias, n_head, pad_token_id, source_mask=0.0)


@mistake("transformer", "In which order do the layers come?", "From the first on, in both stacks.")
def layers_reversed(
    source_ids: Any, target_ids: Any, model: Any, final_logits_bias: Any, *, n_head: int, pad_token_id: int
) -> Any:
    turned = {stack: {"layers": model[stack]["layers"][::-1]} for stack in ("encoder", "decoder")}
    return _whole(source_ids, target_ids, model | turned, final_logits_bias, n_head, pad_token_id)
