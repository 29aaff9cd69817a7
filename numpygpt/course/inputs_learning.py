"""What the exercises of losses, gradients and the optimizer are tried with."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from numpygpt.arrays import Array
from numpygpt.backward.layers import SavedAttention
from numpygpt.layers import causal_mask, softmax

Case = tuple[tuple[Any, ...], dict[str, Any]]  # positional and keyword arguments


def case(*args: Any, **kwargs: Any) -> Case:
    """Return the arguments of one call."""
    return args, kwargs


def floats(rng: np.random.Generator, *shape: int) -> Array:
    """Draw normal numbers in float32."""
    return rng.standard_normal(shape).astype(np.float32)


def _pairs(rng: Any) -> list[Case]:
    shapes = [(3, 5), (2, 3, 5), (6,)]
    bend = np.array([-1, -0.0, 0, 1e-3], np.float32)
    return [*(case(floats(rng, *shape), 2 * floats(rng, *shape)) for shape in shapes), case(floats(rng, 4), bend)]


def _cross_entropy(rng: Any) -> list[Case]:
    huge = np.array([[3000.0, 2999.0, -4000.0], [-3000.0, -3001.0, -3003.0]], np.float32)
    return [
        case(floats(rng, 3, 5), np.array([1, 0, 4])),
        case(floats(rng, 2, 3, 5), np.array([[1, 0, 4], [2, 2, 3]])),
        case(huge, np.array([2, 2])),
        case(floats(rng, 4), 2),
    ]


def _loss_gradient(rng: Any) -> list[Case]:
    huge = np.array([[3000.0, 2999.0, -4000.0], [-3000.0, -3001.0, -3003.0]], np.float32)
    targets = [np.array([1, 0, 4]), np.array([1, -100, 4, -1, 2])]
    plain = [*(case(floats(rng, len(each), 5), each) for each in targets), case(huge, np.array([2, 2]))]
    return [*plain, *(case(floats(rng, len(each), 5), each, label_smoothing=0.2) for each in targets)]


def _linear(rng: Any) -> list[Case]:
    def one(*lead: int, n_in: int = 4, n_out: int = 3) -> Case:
        return case(floats(rng, *lead, n_out), floats(rng, *lead, n_in), floats(rng, n_in, n_out), floats(rng, n_out))

    return [one(3), one(2, 3), one(3, n_out=4), one(5, n_in=5, n_out=5)]


def _softmax(rng: Any) -> list[Case]:
    shapes = [(3, 5), (2, 3, 5), (4, 4)]
    return [case(floats(rng, *shape), softmax(floats(rng, *shape))) for shape in shapes]


def _layer_norm(rng: Any) -> list[Case]:
    def one(*lead: int, scale: float = 2.0, **eps: float) -> Case:
        x = 1 + scale * floats(rng, *lead, 6)
        return case(floats(rng, *lead, 6), x.astype(np.float32), 1 + 0.5 * floats(rng, 6), floats(rng, 6), **eps)

    return [one(3), one(2, 3), one(4, scale=0.3, eps=0.2)]


def _token_embedding(rng: Any) -> list[Case]:
    return [
        case(floats(rng, *ids.shape, 4), ids, floats(rng, 7, 4))
        for ids in (np.array([2, 0, 2, 6]), np.array([[1, 1, 3], [1, 5, 0]]))
    ]


def _positional_embedding(rng: Any) -> list[Case]:
    return [case(floats(rng, *lead, 3, 4), floats(rng, 6, 4)) for lead in ((), (2,), (2, 2))]


def _attention(rng: Any) -> list[Case]:
    def one(
        *lead: int, n_query: int = 4, n_key: int = 4, causal: bool = True, scale: float = 0.5, dropout: bool = False
    ) -> Case:
        q, k, v = (floats(rng, *lead, n, 4) for n in (n_query, n_key, n_key))
        mask: Any = causal_mask(n_query) if causal else 0.0
        scores = q * np.float32(scale * math.sqrt(4)) @ k.swapaxes(-1, -2) / 2 + mask
        p = softmax(scores)
        kept = np.where(rng.random(p.shape) < 0.75, np.float32(4 / 3), np.float32(0)) if dropout else None
        saved = SavedAttention(p, kept, (p if kept is None else p * kept) @ v)
        return case(floats(rng, *lead, n_query, 4), saved, q, k, v, scale)

    return [one(), one(2, 3), one(n_query=3, n_key=5, causal=False), one(2, scale=0.7), one(2, dropout=True)]


def _rates(rng: Any) -> list[Case]:
    shapes: list[dict[str, Any]] = [
        {"lr": 1.0, "steps": 6, "warmup": 2},
        {"lr": 3e-4, "steps": 10, "lr_end": 3e-5},
        {"lr": 1.0, "steps": 9, "warmup": 3, "lr_end": 0.1},
    ]
    return [case(step, **shape) for shape in shapes for step in range(shape["steps"] + 1)]


def _gradients(rng: Any) -> dict[str, Array]:
    return {"weight": floats(rng, 3, 2), "bias": floats(rng, 2)}


def _norms(rng: Any) -> list[Case]:
    shorter_first = {"bias": floats(rng, 2), "weight": floats(rng, 5, 4)}
    return [case(_gradients(rng)), case({"a": floats(rng, 2, 3, 4), **_gradients(rng)}), case(shorter_first)]


def _clips(rng: Any) -> list[Case]:
    sizes = [(5.0, 1.0), (0.5, 1.0), (5.0, 2.0), (0.8, 0.5), (1.5, 2.0)]
    return [case(_gradients(rng), norm=norm, limit=limit) for norm, limit in sizes]


def _adamw(rng: Any) -> list[Case]:
    def one(lr: float, **options: float) -> Case:
        return case(_gradients(rng), [_gradients(rng) for _ in range(4)], lr, options)

    return [
        one(0.01),
        one(0.1, weight_decay=0.5),
        one(0.03, beta1=0.5, beta2=0.5, epsilon=0.1),
        one(0.1, weight_decay=0),
        case(_gradients(rng), [_gradients(rng) for _ in range(2)], 0.01, {}, begin=5),
    ]


def steps_of_adamw(optimizer: Any, tensors: Any, gradients: Any, lr: float, options: Any, begin: int = 0) -> Any:
    """Take a step for each of the gradients, from step `begin` on, and return the tensors after each."""
    tensors = {name: tensor.copy() for name, tensor in tensors.items()}
    of_the_model = dict(tensors)  # which keeps its arrays: a new one in the dict would not reach it
    made, seen = optimizer(tensors, **options), []
    for step, each in enumerate(gradients):
        made.update(tensors, each, step=begin + step, lr=lr * (1 + step))
        seen.append({name: tensor.copy() for name, tensor in of_the_model.items()})
    return seen


def _totals(rng: Any) -> list[Case]:
    return [case(12.5, 10, 40), case(3.0, 4, 9), case(700.0, 100, 433)]


def _property(name: str) -> Callable[..., Any]:
    def read(cls: Any, nats: float, n_tokens: int, n_bytes: int) -> Any:
        return getattr(cls(nats=nats, n_tokens=n_tokens, n_bytes=n_bytes), name)

    return read


CASES: dict[str, Callable[[Any], list[Case]]] = {
    "cross_entropy": _cross_entropy,
    "backward.cross_entropy": _loss_gradient,
    "backward.linear": _linear,
    "backward.relu": _pairs,
    "backward.gelu": _pairs,
    "backward.softmax": _softmax,
    "backward.layer_norm": _layer_norm,
    "backward.token_embedding": _token_embedding,
    "backward.positional_embedding": _positional_embedding,
    "backward.attention": _attention,
    "learning_rate": _rates,
    "global_norm": _norms,
    "clip_gradients": _clips,
    "update": _adamw,
    "loss": _totals,
    "perplexity": _totals,
    "bits_per_byte": _totals,
}
PROBES: dict[str, Callable[..., Any]] = {"update": steps_of_adamw}
PROBES |= {name: _property(name) for name in ("loss", "perplexity", "bits_per_byte")}
