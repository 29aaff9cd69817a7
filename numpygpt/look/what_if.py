"""What if: a token replaced, heads and MLPs switched off, and what the model then says, by `trace` and its hook."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from numpygpt.arrays import Array, Ids
from numpygpt.config import GPT2Config
from numpygpt.layers import softmax
from numpygpt.look.packing import pack
from numpygpt.look.say import say
from numpygpt.look.view import Model, available, check_ids, threads_that_pay
from numpygpt.trace import Hook

MOST_NEW = 20  # tokens of a continuation


def ablation(heads: list[list[int]], mlps: list[int], config: GPT2Config) -> Hook:
    """Return a hook for `trace` that silences heads, given as [layer, head], and MLPs, given as layers.

    What a silent head has found, and what a silent MLP adds, is 0.

    Raises ValueError for a head or a layer that the model does not have.
    """
    shape = (config.n_layer, config.n_head)
    if not all(_is_place(place, shape) for place in heads) or not all(_is_place([place], shape[:1]) for place in mlps):
        text = "a head is [layer, head] and an MLP a layer, below {layers} layers and {heads} heads"
        raise ValueError(say(text, layers=shape[0], heads=shape[1]))
    loud = np.ones(shape)
    for layer, head in heads:
        loud[layer, head] = 0
    silent_heads = {f"h.{layer}.attn.heads": loud[layer, :, None, None] for layer, _ in heads}
    silent_mlps = {f"h.{layer}.mlp" for layer in mlps}

    def hook(name: str, array: Array) -> Array | None:
        if name in silent_heads:
            return (array * silent_heads[name]).astype(array.dtype)
        return np.zeros_like(array) if name in silent_mlps else None

    return hook


def _is_place(place: Any, shape: tuple[int, ...]) -> bool:
    return (
        isinstance(place, list)
        and len(place) == len(shape)
        and all(type(i) is int and 0 <= i < n for i, n in zip(place, shape, strict=True))
    )


def replace_tokens(model: Model, ids: list[int], replaced: Mapping[str, str]) -> list[int]:
    """Put other text in the place of some tokens: {"position": text}. The text may be of several tokens, or of none.

    Raises ValueError for a position that there is not.
    """
    if not all(place.isdecimal() and int(place) < len(ids) for place in replaced):
        raise ValueError(say("a token to replace is given by its position, below {n}", n=len(ids)))
    pieces = [model.tokenizer.encode(replaced[str(i)]) if str(i) in replaced else [ids[i]] for i in range(len(ids))]
    return [token_id for piece in pieces for token_id in piece]


def until(deadline: float, hook: Hook | None = None) -> Hook:
    """Return a hook that does what another does, and raises TimeoutError when `time.monotonic` is past a deadline."""

    def watched(name: str, array: Array) -> Array | None:
        if time.monotonic() > deadline:
            raise TimeoutError(say("this takes too long; try a shorter text"))
        return None if hook is None else hook(name, array)

    return watched


def what_if(
    model: Model,
    text: str,
    heads: list[list[int]],
    mlps: list[int],
    replaced: Mapping[str, str],
    *,
    n_new: int = 0,
    deadline: float = float("inf"),
) -> dict[str, Any]:
    """Compare what a model says after a text with what it says after the changes.

    Returns the changed ids, the logits of the next token after both, how far apart the two distributions are
    (Kullback-Leibler divergence of the changed from the original, in bits), and `n_new` tokens of both greedy
    continuations. Raises ValueError for what cannot be, and TimeoutError after the deadline.
    """
    ids = check_ids(model, model.tokenizer.encode(text)).tolist()
    changed_ids = check_ids(model, replace_tokens(model, ids, replaced)).tolist()
    hook = until(deadline, ablation(heads, mlps, model.config))
    with threads_that_pay(model.config):
        original, changed = next_logits(model, ids, until(deadline)), next_logits(model, changed_ids, hook)
        texts = {
            "original": continuation(model, ids, n_new, until(deadline)),
            "changed": continuation(model, changed_ids, n_new, hook),
        }
    return {
        "ids": changed_ids,
        "original": pack(original, "float32"),
        "changed": pack(changed, "float32"),
        "divergence": divergence(original, changed),
        "continuation": texts,
    }


def next_logits(model: Model, ids: list[int] | Ids, hook: Hook | None = None) -> Array:
    """Return the logits of the next token after ids: [n_seq] -> [n_vocab]."""
    return available(model.trace(ids, hook)["logits"][-1], model.tokenizer)


def continuation(model: Model, ids: list[int], n_new: int, hook: Hook) -> list[int]:
    """Return the greedy continuation of ids, by the model as the hook changes it; shorter where the text ends."""
    new: list[int] = []
    while len(new) < n_new and len(ids) + len(new) < model.config.n_ctx:
        new.append(int(next_logits(model, ids + new, hook).argmax()))
        if new[-1] == model.tokenizer.eot_id:
            break
    return new


def divergence(logits: Array, others: Array) -> float:
    """Return the Kullback-Leibler divergence of the second distribution from the first, in bits: Σ p log2(p / q).

    >>> round(divergence(np.log([0.5, 0.5]), np.log([0.75, 0.25])), 3)
    0.208
    """
    p, q = (softmax(x.astype(np.float64)) for x in (logits, others))
    seen = p > 0
    return float((p[seen] * np.log2(p[seen] / np.maximum(q[seen], np.finfo(np.float64).tiny))).sum())
