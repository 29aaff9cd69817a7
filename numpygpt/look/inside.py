"""What the page says of a run: attention, residual stream and neurons, each computed from the arrays of a trace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from numpygpt.arrays import Array, Ids, Params
from numpygpt.config import GPT2Config
from numpygpt.layers import layer_norm, softmax
from numpygpt.look.packing import pack, pack_shares
from numpygpt.look.tokens import largest

Kept = Mapping[str, Array]  # what `trace` returns

HABITS = {  # name: the sign on the map of a head that has it
    "the token before": "B",
    "the first token": "1",
    "the same token before": "S",
    "what followed this token before": "I",  # induction
}
MARKED_SHARE = 0.25  # of its attention that a head with a habit gives at least, and
MARKED_TIMES = 2  # so many times what an even head gives
N_LENS = 5  # tokens that the logit lens names
N_NEURONS, N_PUSHED = 8, 6  # neurons of a layer at a position, and tokens that each makes likelier or less likely
ROWS = 512  # neurons whose effect on the vocabulary is computed at once


def unembedding(params: Params) -> Array:
    """Return the output matrix: [n_vocab, n_embd]."""
    matrix: Array = params["lm_head" if "lm_head" in params else "wte"]["weight"]
    return matrix


def attention(kept: Kept, ids: Ids, config: GPT2Config) -> dict[str, Any]:
    """Return every head's pattern, its entropy in bits for every query, and which habits it has."""
    patterns = np.stack([kept[f"h.{layer}.attn.probabilities"] for layer in range(config.n_layer)])
    return {
        "patterns": pack_shares(patterns),  # [n_layer, n_head, n_seq, n_seq], a row for every query
        "entropy": pack(entropy(patterns), "float16"),  # [n_layer, n_head, n_seq]
        "habits": habits(ids, patterns),
    }


def entropy(patterns: Array) -> Array:
    """Return the entropy of every row, in bits: [..., n_query, n_key] -> [..., n_query].

    >>> entropy(np.array([[1.0, 0.0], [0.5, 0.5]]))
    array([0., 1.])
    """
    bits: Array = -(patterns * np.log2(np.where(patterns > 0, patterns, 1))).sum(axis=-1)
    return bits + 0.0  # no -0.0


def habits(ids: Ids, patterns: Array) -> list[dict[str, Any]]:
    """Measure habits of heads: the share of attention that the keys asked for get, the mean over queries that have any.

    ids: [n_seq], patterns: [n_layer, n_head, n_seq, n_seq]; a habit that no query of the text allows is left out.

    An induction head looks at the token that followed the present one before. Source: Olsson et al. 2022, "In-context
    Learning and Induction Heads" (arXiv:2209.11895).
    """
    query, key = np.indices((len(ids), len(ids)))
    earlier, same = key < query, ids[:, None] == ids
    asked_for = [key == query - 1, (key == 0) & earlier, same & earlier, np.roll(same, 1, axis=1) & (key > 0) & earlier]
    even = np.tri(len(ids)) / np.arange(1, len(ids) + 1)[:, None]  # a head that gives all keys it sees the same
    found = []
    for (name, sign), keys in zip(HABITS.items(), asked_for, strict=True):
        if not (queries := keys.any(axis=-1)).any():
            continue
        share = (patterns * keys).sum(axis=-1)[..., queries].mean(axis=-1)  # [n_layer, n_head]
        evenly = float((even * keys).sum(axis=-1)[queries].mean())
        marked = (share >= MARKED_SHARE) & (share >= MARKED_TIMES * evenly)
        found.append(
            {"name": name, "sign": sign, "even": evenly, "share": pack(share, "float16"), "marked": marked.tolist()}
        )
    return found


def stream(kept: Kept, targets: Ids, params: Params, config: GPT2Config) -> dict[str, Any]:
    """Return what each part adds to the residual stream, and how much that is worth to the likeliest next token.

    targets: [n_seq], the likeliest next token after every position

    "push" is direct logit attribution: a part's share of the lead that the token's logit has over the mean of all
    logits, where the final layer norm divides by what it does for the whole stream. "head_push" shares the attention
    layers' further among their heads. Source: Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits".
    """
    layers = range(config.n_layer)
    names = ["wte", "wpe", *(f"h.{layer}.{part}" for layer in layers for part in ("attn", "mlp"))]
    parts = np.stack([kept[name] for name in names])  # [n_parts, n_seq, n_embd]
    final = kept[f"h.{config.n_layer - 1}"]
    spread = np.sqrt(final.var(axis=-1, keepdims=True) + config.layer_norm_epsilon)
    matrix = unembedding(params)
    direction = (matrix[targets] - matrix.mean(axis=0)) * params["ln_f"]["weight"] / spread  # [n_seq, n_embd]

    def push(part: Array) -> Array:
        return np.asarray(((part - part.mean(axis=-1, keepdims=True)) * direction).sum(axis=-1))

    head_push = []
    for layer in layers:
        heads = kept[f"h.{layer}.attn.heads"]  # [n_head, n_seq, n_dim]
        rows = params["h"][layer]["attn"]["c_proj"]["weight"].reshape(config.n_head, -1, config.n_embd)
        head_push.append(push(heads @ rows))
    return {
        "parts": names,
        "added": pack(np.linalg.norm(parts, axis=-1), "float16"),  # [n_parts, n_seq]
        "norm": pack(np.linalg.norm(parts.cumsum(axis=0), axis=-1), "float16"),  # of the stream after each part
        "push": pack(push(parts), "float16"),  # [n_parts, n_seq]
        "head_push": pack(np.stack(head_push), "float16"),  # [n_layer, n_head, n_seq]
        "targets": pack(targets, "int32"),
    }


def lens(kept: Kept, params: Params, config: GPT2Config) -> dict[str, Any]:
    """Return the logit lens: the likeliest tokens if the model ended with the embeddings, or with any of its blocks.

    Source: nostalgebraist 2020, "interpreting GPT: the logit lens" (LessWrong).
    """
    streams = {"wte + wpe": kept["wte"] + kept["wpe"]} | {f"h.{i}": kept[f"h.{i}"] for i in range(config.n_layer)}
    ids, shares = [], []
    for x in streams.values():
        logits = layer_norm(x, **params["ln_f"], eps=config.layer_norm_epsilon) @ unembedding(params).T
        best = largest(logits, N_LENS)
        ids.append(best)
        shares.append(np.take_along_axis(softmax(logits), best, axis=-1))
    return {
        "rows": list(streams),
        "ids": pack(np.stack(ids), "int32"),  # [n_layer + 1, n_seq, n_lens]
        "probabilities": pack(np.stack(shares), "float16"),
    }


def neurons(kept: Kept, params: Params, config: GPT2Config) -> dict[str, Any]:
    """Return the strongest neurons of each layer at every position, and which tokens each pushes up and down.

    A neuron adds its row of the MLP's `c_proj` to the stream, times its activation, so the row's logits through the
    final layer norm's weight say in which direction it pushes. Source: Geva et al. 2021, "Transformer Feed-Forward
    Layers Are Key-Value Memories" (arXiv:2012.14913).
    """
    strongest, activations, rows = [], [], []
    layers: list[int] = []
    numbers: list[int] = []  # of neurons, within their layers
    for layer in range(config.n_layer):
        active = kept[f"h.{layer}.mlp.activation"]  # [n_seq, n_inner]
        best = largest(np.abs(active), N_NEURONS)
        shown, index = np.unique(best, return_inverse=True)
        strongest.append(index.reshape(best.shape) + len(numbers))
        layers += [layer] * len(shown)
        numbers += shown.tolist()
        activations.append(active[:, shown].T)
        rows.append(params["h"][layer]["mlp"]["c_proj"]["weight"][shown])
    written = np.concatenate(rows)  # [n_shown, n_embd]
    written = (written - written.mean(axis=-1, keepdims=True)) * params["ln_f"]["weight"]
    more, less = [], []
    for first in range(0, len(written), ROWS):
        logits = written[first : first + ROWS] @ unembedding(params).T
        more.append(largest(logits, N_PUSHED))
        less.append(largest(-logits, N_PUSHED))
    return {
        "strongest": pack(np.stack(strongest), "int32"),  # [n_layer, n_seq, n]: places in the lists below
        "layer": layers,
        "neuron": numbers,
        "activation": pack(np.concatenate(activations), "float16"),  # [n_shown, n_seq]
        "more": pack(np.concatenate(more), "int32"),  # [n_shown, n_pushed]
        "less": pack(np.concatenate(less), "int32"),
    }
