"""What each exercise is tried with: first one sequence, then a batch, then what is likely to go wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from numpygpt.arrays import Array, Tensors
from numpygpt.course import inputs_learning as learning
from numpygpt.course import inputs_text as text
from numpygpt.course.inputs_learning import Case, case, floats
from numpygpt.layers import MASKED, causal_mask, softmax


def _linear(rng: Any, n_in: int, n_out: int) -> Tensors:
    return {"weight": floats(rng, n_in, n_out) / math.sqrt(n_in), "bias": floats(rng, n_out)}


def _norm(rng: Any, n: int) -> Tensors:
    return {"weight": 1 + 0.5 * floats(rng, n), "bias": floats(rng, n)}


def _tables(rng: Any) -> list[Case]:
    weight = floats(rng, 7, 4)
    return [case(np.array(ids), weight) for ids in ([3, 0, 3, 6], [[1, 2, 3], [6, 5, 0]])] + [case([2, 0], weight)]


def _xs(rng: Any) -> list[Case]:
    return [
        case(floats(rng, 3, 5)),
        case(floats(rng, 2, 3, 5)),
        case(4 * floats(rng, 6)),
        case(floats(rng, 2, 2, 3, 4)),
    ]


def _softmax(rng: Any) -> list[Case]:
    huge = np.array([[1000.0, 1001.0, 999.0], [-1000.0, -1001.0, 3.0]], np.float32)
    hidden = np.array([[0.5, MASKED, MASKED], [1.0, 2.0, MASKED]], np.float32)
    return [*_xs(rng), case(huge), case(hidden), case(floats(rng, 4, 4) * 50)]


def _layer_norm(rng: Any) -> list[Case]:
    shapes = [(3, 6), (2, 3, 6), (6,)]
    cases = [case(3 + 2 * floats(rng, *shape), **_norm(rng, 6)) for shape in shapes]
    tiny = [case(0.1 * floats(rng, 4, 6), **_norm(rng, 6), eps=eps) for eps in (0.01, 0.5)]
    even = [case(np.full((2, 6), 3, np.float32), **_norm(rng, 6)), case(0.004 * floats(rng, 3, 6), **_norm(rng, 6))]
    return [*cases, *tiny, *even]


def _linears(rng: Any) -> list[Case]:
    x3, x4 = floats(rng, 3, 4), floats(rng, 2, 3, 4)
    square = case(floats(rng, 3, 4), **_linear(rng, 4, 4))
    return [case(x3, **_linear(rng, 4, 5)), case(x4, **_linear(rng, 4, 5)), square, case(x3, floats(rng, 4, 2))]


def _masks(rng: Any) -> list[Case]:
    return [case(n) for n in (4, 1, 7)]


LARGE_LAST = np.array([[1], [1], [300]], np.float32)  # a row whose scores are large; those of the others are not


def _attention(rng: Any) -> list[Case]:
    def qkv(*lead: int, n_query: int = 5, n_key: int = 5, n_dim: int = 4) -> list[Array]:
        return [floats(rng, *lead, n, n_dim) for n in (n_query, n_key, n_key)]

    wide = [floats(rng, 3, 4), floats(rng, 6, 4), floats(rng, 6, 2)]
    padding = np.where(np.arange(5) < 3, np.float32(0), np.float32(MASKED))
    return [
        case(*qkv(), causal_mask(5)),
        case(*qkv(2, 3), causal_mask(5)),
        case(*qkv(2)),
        case(*wide),
        case(*qkv(n_query=2), padding),
        case(*[4 * part for part in qkv(n_query=4, n_key=4)], causal_mask(4)),
        case(LARGE_LAST * floats(rng, 3, 4), *qkv(n_key=3)[1:], causal_mask(3)),
    ]


def _split(rng: Any) -> list[Case]:
    shapes = [((3, 8), 2), ((2, 3, 8), 2), ((4, 4), 4), ((2, 2, 5, 6), 3), ((4, 8), 4)]
    return [case(floats(rng, *shape), n_head) for shape, n_head in shapes]


def _merge(rng: Any) -> list[Case]:
    return [case(floats(rng, *shape)) for shape in ((2, 3, 4), (2, 2, 3, 4), (4, 4, 1), (3, 3, 2), (2, 5, 2, 3, 4))]


def _self_attention(rng: Any) -> list[Case]:
    def params() -> dict[str, Any]:
        return {"c_attn": _linear(rng, 8, 24), "c_proj": _linear(rng, 8, 8)}

    lead: list[tuple[int, ...]] = [(), (2,), (2, 2)]
    cases = [case(floats(rng, *axes, 4, 8), **params(), n_head=2, mask=causal_mask(4)) for axes in lead]
    return [*cases, case(floats(rng, 3, 8), **params(), n_head=4), case(floats(rng, 3, 8), **params(), n_head=1)]


def _mlp(rng: Any) -> list[Case]:
    return [
        case(floats(rng, *shape), c_fc=_linear(rng, 4, 16), c_proj=_linear(rng, 16, 4)) for shape in ((3, 4), (2, 3, 4))
    ]


def _block_params(rng: Any, n: int = 8) -> dict[str, Any]:
    return {
        "ln_1": _norm(rng, n),
        "attn": {"c_attn": _linear(rng, n, 3 * n), "c_proj": _linear(rng, n, n)},
        "ln_2": _norm(rng, n),
        "mlp": {"c_fc": _linear(rng, n, 4 * n), "c_proj": _linear(rng, 4 * n, n)},
    }


def _block(rng: Any) -> list[Case]:
    return [case(floats(rng, *shape, 8), **_block_params(rng), n_head=2) for shape in ((4,), (2, 4), (1,))]


def _gpt2(rng: Any) -> list[Case]:
    def params(n_layer: int) -> dict[str, Any]:
        h = [_block_params(rng) for _ in range(n_layer)]
        return {
            "wte": {"weight": floats(rng, 9, 8)},
            "wpe": {"weight": floats(rng, 6, 8)},
            "h": h,
            "ln_f": _norm(rng, 8),
        }

    ids = [np.array([3, 1, 4, 1]), np.array([[3, 1, 4], [8, 0, 2]]), [5], [2, 2, 7, 7, 0, 1]]
    return [case(each, **params(2), n_head=2) for each in ids]


def _cached(rng: Any) -> list[Case]:
    def one(*lead: int, n_new: int, n_past: int) -> Case:
        past = (floats(rng, *lead, 2, n_past, 4), floats(rng, *lead, 2, n_past, 4)) if n_past else None
        params = {"c_attn": _linear(rng, 8, 24), "c_proj": _linear(rng, 8, 8)}
        return case(floats(rng, *lead, n_new, 8), **params, n_head=2, past=past)

    return [one(n_new=4, n_past=0), one(2, n_new=1, n_past=3), one(n_new=3, n_past=2), one(2, n_new=2, n_past=4)]


def _sizes(rng: Any) -> list[Case]:
    return [case(5, 8), case(3, 6), case(50, 16), case(1, 2)]


def _padding(rng: Any) -> list[Case]:
    batch, padding = np.array([[7, 8, 9], [7, 2, 2], [2, 2, 2]]), np.array([[4, 4, 4]])
    cases = [case([7, 8, 0], 0), case(batch, 2), case(np.array([[0, 0]]), 5), case([3, 7, 3, 8], 3)]
    return [*cases, case(padding, 4, scores=np.array([[[[2, 1, 0]]]], np.float32))]


def hide_padding(padding_mask: Any, ids: Any, pad_token_id: int, scores: Any = None) -> Any:
    """Make the mask; or, with scores, the shares that softmax gives to them and the mask."""
    mask = padding_mask(ids, pad_token_id)
    return mask if scores is None else softmax((scores + mask).astype(np.float32))


def _embed(rng: Any) -> list[Case]:
    return [case(np.array(ids), floats(rng, 7, 6)) for ids in ([3, 0, 3], [[1, 2, 3], [6, 5, 0]])]


def _projections(rng: Any, n: int = 8) -> dict[str, Tensors]:
    return {name: _linear(rng, n, n) for name in ("q_proj", "k_proj", "v_proj", "out_proj")}


def _cross(rng: Any) -> list[Case]:
    pad = np.where(np.arange(5) < 3, np.float32(0), np.float32(MASKED))
    shapes: list[tuple[tuple[int, ...], int]] = [((), 2), ((2,), 4), ((2,), 1)]
    cases = [
        case(floats(rng, *lead, 4, 8), floats(rng, *lead, 5, 8), **_projections(rng), n_head=n) for lead, n in shapes
    ]
    masks = [pad, EACH_PAD, pad[None, None]]
    leads: list[tuple[int, ...]] = [(), (2,), ()]
    return cases + [
        case(floats(rng, *lead, 4, 8), floats(rng, *lead, 5, 8), **_projections(rng), n_head=2, mask=mask)
        for lead, mask in zip(leads, masks, strict=True)
    ]


def _feed_forward(rng: Any) -> list[Case]:
    return [case(floats(rng, *lead, 3, 8), fc1=_linear(rng, 8, 16), fc2=_linear(rng, 16, 8)) for lead in ((), (2,))]


def _layer(rng: Any, decoder: bool) -> dict[str, Any]:
    attentions = ("self_attn", "encoder_attn") if decoder else ("self_attn",)
    layer: dict[str, Any] = {name: _projections(rng) for name in attentions}
    layer |= {f"{name}_layer_norm": _norm(rng, 8) for name in attentions}
    return layer | {"fc1": _linear(rng, 8, 16), "fc2": _linear(rng, 16, 8), "final_layer_norm": _norm(rng, 8)}


PAD = np.where(np.arange(5) < 3, np.float32(0), np.float32(MASKED))
EACH_PAD = np.where(np.arange(5) < np.array([[[[4]]], [[[2]]]]), np.float32(0), np.float32(MASKED))  # padding_mask's


def _encoder(rng: Any) -> list[Case]:
    masks: list[Any] = [0.0, PAD, PAD[None, None], EACH_PAD]
    leads: list[tuple[int, ...]] = [(), (2,), (), (2,)]
    return [
        case(floats(rng, *lead, 5, 8), **_layer(rng, False), n_head=2, mask=mask)
        for lead, mask in zip(leads, masks, strict=True)
    ]


def _decoder(rng: Any) -> list[Case]:
    masks: list[Any] = [0.0, PAD, PAD[None, None], EACH_PAD]
    leads: list[tuple[int, ...]] = [(), (2,), (), (2,)]
    return [
        case(floats(rng, *lead, 4, 8), floats(rng, *lead, 5, 8), **_layer(rng, True), n_head=2, memory_mask=mask)
        for lead, mask in zip(leads, masks, strict=True)
    ]


def _transformer(rng: Any) -> list[Case]:
    def params() -> dict[str, Any]:
        stacks = {
            stack: {"layers": [_layer(rng, stack == "decoder") for _ in range(2)]} for stack in ("encoder", "decoder")
        }
        return {"model": {"shared": {"weight": floats(rng, 9, 8)}, **stacks}, "final_logits_bias": floats(rng, 1, 9)}

    one, batch = ([5, 3, 6, 7], [8, 1, 2]), (np.array([[5, 3, 6], [2, 7, 7]]), np.array([[8, 1], [8, 3]]))
    return [case(*ids, **params(), n_head=2, pad_token_id=7) for ids in (one, batch)]


CASES: dict[str, Callable[[Any], list[Case]]] = {
    "token_embedding": _tables,
    "positional_embedding": _tables,
    "linear": _linears,
    "softmax": _softmax,
    "causal_mask": _masks,
    "attention": _attention,
    "split_heads": _split,
    "merge_heads": _merge,
    "multi_head_attention": _self_attention,
    "layer_norm": _layer_norm,
    "relu": _xs,
    "gelu": _xs,
    "mlp": _mlp,
    "transformer_block": _block,
    "gpt2": _gpt2,
    "cached_attention": _cached,
    "sinusoidal_encoding": _sizes,
    "sines_first": _sizes,
    "padding_mask": _padding,
    "embed": _embed,
    "transformer.multi_head_attention": _cross,
    "feed_forward": _feed_forward,
    "encoder_layer": _encoder,
    "decoder_layer": _decoder,
    "transformer": _transformer,
    **learning.CASES,
    **text.CASES,
}
PROBES = {**learning.PROBES, **text.PROBES, "padding_mask": hide_padding}


def cases(name: str) -> list[Case]:
    """Return the inputs of an exercise, the same ones each time."""
    return CASES[name](np.random.default_rng(7))


def probe(name: str, implementation: Any, args: Any, kwargs: Any) -> Any:
    """Call an implementation with an input: a function as it is, a class by the method that the exercise is."""
    if name in PROBES:
        return PROBES[name](implementation, *args, **kwargs)
    return implementation(*args, **kwargs)
