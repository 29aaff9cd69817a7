"""Mistakes in `gpt2.py`."""

from __future__ import annotations

from typing import Any

import numpy as np

from numpygpt import layers
from numpygpt.course.mistakes.registry import mistake
from numpygpt.gpt2 import transformer_block
from numpygpt.layers import causal_mask, layer_norm, multi_head_attention, token_embedding


def _attended(x: Any, attn: Any, n_head: int) -> Any:
    return multi_head_attention(x, **attn, n_head=n_head, mask=causal_mask(x.shape[-2]))


@mistake("transformer_block", "What becomes of x itself?", "Each branch is *added* to x: the residual stream.")
def no_residual(x: Any, ln_1: Any, attn: Any, ln_2: Any, mlp: Any, *, n_head: int) -> Any:
    return layers.mlp(layer_norm(_attended(layer_norm(x, **ln_1), attn, n_head), **ln_2), **mlp)


@mistake(
    "transformer_block", "When is layer norm applied?", "To the input of each branch, not to the sum: x + f(norm(x))."
)
def norm_after(x: Any, ln_1: Any, attn: Any, ln_2: Any, mlp: Any, *, n_head: int) -> Any:
    x = layer_norm(x + _attended(x, attn, n_head), **ln_1)
    return layer_norm(x + layers.mlp(x, **mlp), **ln_2)


@mistake("transformer_block", "Does the future change the past?", "Give attention causal_mask(n_seq).")
def no_mask(x: Any, ln_1: Any, attn: Any, ln_2: Any, mlp: Any, *, n_head: int) -> Any:
    x = x + multi_head_attention(layer_norm(x, **ln_1), **attn, n_head=n_head)
    return x + layers.mlp(layer_norm(x, **ln_2), **mlp)


@mistake("transformer_block", "What does the MLP read?", "The stream *with* what attention has added.")
def in_parallel(x: Any, ln_1: Any, attn: Any, ln_2: Any, mlp: Any, *, n_head: int) -> Any:
    return x + _attended(layer_norm(x, **ln_1), attn, n_head) + layers.mlp(layer_norm(x, **ln_2), **mlp)


@mistake("transformer_block", "Which layer norm is whose?", "ln_1 is attention's and ln_2 the MLP's.")
def norms_swapped(x: Any, ln_1: Any, attn: Any, ln_2: Any, mlp: Any, *, n_head: int) -> Any:
    return transformer_block(x, ln_2, attn, ln_1, mlp, n_head=n_head)


@mistake("transformer_block", "What is added to: x, or the normed x?", "To x itself: the stream is never normed.")
def residual_of_normed(x: Any, ln_1: Any, attn: Any, ln_2: Any, mlp: Any, *, n_head: int) -> Any:
    x = layer_norm(x, **ln_1)
    x = layer_norm(x + _attended(x, attn, n_head), **ln_2)
    return x + layers.mlp(x, **mlp)


@mistake("transformer_block", "What is the MLP's output added to?", "To the stream, as attention's is: x + mlp(...).")
def second_residual_lost(x: Any, ln_1: Any, attn: Any, ln_2: Any, mlp: Any, *, n_head: int) -> Any:
    x = x + _attended(layer_norm(x, **ln_1), attn, n_head)
    return layers.mlp(layer_norm(x, **ln_2), **mlp)


@mistake("transformer_block", "What is attention's output added to?", "To the stream: x + attention(...).")
def first_residual_lost(x: Any, ln_1: Any, attn: Any, ln_2: Any, mlp: Any, *, n_head: int) -> Any:
    x = _attended(layer_norm(x, **ln_1), attn, n_head)
    return x + layers.mlp(layer_norm(x, **ln_2), **mlp)


@mistake("transformer_block", "What comes first?", "Attention gathers, then the MLP thinks about it.")
def mlp_first(x: Any, ln_1: Any, attn: Any, ln_2: Any, mlp: Any, *, n_head: int) -> Any:
    x = x + layers.mlp(layer_norm(x, **ln_2), **mlp)
    return x + _attended(layer_norm(x, **ln_1), attn, n_head)


@mistake("transformer_block", "Are the branches normed?", "Both: ln_1 before attention, ln_2 before the MLP.")
def no_norms(x: Any, ln_1: Any, attn: Any, ln_2: Any, mlp: Any, *, n_head: int) -> Any:
    x = x + _attended(x, attn, n_head)
    return x + layers.mlp(x, **mlp)


@mistake("transformer_block", "Is ln_2 used?", "The MLP has a layer norm of its own: ln_2.")
def first_norm_twice(x: Any, ln_1: Any, attn: Any, ln_2: Any, mlp: Any, *, n_head: int) -> Any:
    return transformer_block(x, ln_1, attn, ln_1, mlp, n_head=n_head)


@mistake("transformer_block", "How many heads are there?", "Hand n_head on: one head attends in another way.")
def one_head(x: Any, ln_1: Any, attn: Any, ln_2: Any, mlp: Any, *, n_head: int) -> Any:
    return transformer_block(x, ln_1, attn, ln_2, mlp, n_head=1)


def _stream(ids: Any, wte: Any, wpe: Any, h: Any, n_head: int, first: int = 0, positions: bool = True) -> Any:
    x = token_embedding(ids, **wte)
    if positions:
        x = x + wpe["weight"][np.arange(first, first + np.shape(ids)[-1]) % len(wpe["weight"])]
    for block in h:
        x = transformer_block(x, **block, n_head=n_head)
    return x


@mistake("gpt2", "How does the model know the order?", "Add the positional embedding to the tokens'.")
def no_positions(ids: Any, wte: Any, wpe: Any, h: Any, ln_f: Any, *, n_head: int) -> Any:
    return layer_norm(_stream(ids, wte, wpe, h, n_head, positions=False), **ln_f) @ wte["weight"].T


@mistake("gpt2", "What comes before the logits?", "One last layer norm: ln_f.")
def no_last_norm(ids: Any, wte: Any, wpe: Any, h: Any, ln_f: Any, *, n_head: int) -> Any:
    return _stream(ids, wte, wpe, h, n_head) @ wte["weight"].T


@mistake("gpt2", "How many blocks are there?", "All of h, one after the other; the loop must hand x on.")
def one_block(ids: Any, wte: Any, wpe: Any, h: Any, ln_f: Any, *, n_head: int) -> Any:
    return layer_norm(_stream(ids, wte, wpe, h[-1:], n_head), **ln_f) @ wte["weight"].T


@mistake("gpt2", "Which block is the last?", "h[-1]: the loop goes through all of h.")
def last_block_left_out(ids: Any, wte: Any, wpe: Any, h: Any, ln_f: Any, *, n_head: int) -> Any:
    return layer_norm(_stream(ids, wte, wpe, h[:-1], n_head), **ln_f) @ wte["weight"].T


@mistake("gpt2", "Which position is the first?", "Positions count from 0.")
def first_position_one(ids: Any, wte: Any, wpe: Any, h: Any, ln_f: Any, *, n_head: int) -> Any:
    return layer_norm(_stream(ids, wte, wpe, h, n_head, first=1), **ln_f) @ wte["weight"].T


@mistake("gpt2", "Logits or probabilities?", "Logits: no softmax at the end.")
def probabilities(ids: Any, wte: Any, wpe: Any, h: Any, ln_f: Any, *, n_head: int) -> Any:
    return layers.softmax(layer_norm(_stream(ids, wte, wpe, h, n_head), **ln_f) @ wte["weight"].T)


@mistake("gpt2", "After which positions are logits returned?", "After every one, not after the last alone.")
def last_position_alone(ids: Any, wte: Any, wpe: Any, h: Any, ln_f: Any, *, n_head: int) -> Any:
    return (layer_norm(_stream(ids, wte, wpe, h, n_head), **ln_f) @ wte["weight"].T)[..., -1:, :]


@mistake("gpt2", "How do vectors become logits?", "By the token embedding once more: @ wte's weight, transposed.")
def no_logits(ids: Any, wte: Any, wpe: Any, h: Any, ln_f: Any, *, n_head: int) -> Any:
    return layer_norm(_stream(ids, wte, wpe, h, n_head), **ln_f)


@mistake("gpt2", "In which order do the blocks come?", "From h[0] on.")
def blocks_reversed(ids: Any, wte: Any, wpe: Any, h: Any, ln_f: Any, *, n_head: int) -> Any:
    return layer_norm(_stream(ids, wte, wpe, h[::-1], n_head), **ln_f) @ wte["weight"].T


@mistake("gpt2", "Where is ln_f used?", "Once, after the last block, not after each.")
def norm_after_every_block(ids: Any, wte: Any, wpe: Any, h: Any, ln_f: Any, *, n_head: int) -> Any:
    x = _stream(ids, wte, wpe, [], n_head)
    for block in h:
        x = layer_norm(transformer_block(x, **block, n_head=n_head), **ln_f)
    return x @ wte["weight"].T


@mistake("gpt2", "How many heads are there?", "Hand n_head on to every block.")
def one_head_alone(ids: Any, wte: Any, wpe: Any, h: Any, ln_f: Any, *, n_head: int) -> Any:
    return layer_norm(_stream(ids, wte, wpe, h, 1), **ln_f) @ wte["weight"].T
