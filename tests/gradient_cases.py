"""The functions whose gradients are tested: their arrays, the function, its gradient, and PyTorch's own."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from gradients import Arrays

from numpygpt import activations, backward, layers
from numpygpt.arrays import Array, flatten, unflatten
from numpygpt.backward import Dropout
from numpygpt.backward.activations import ACTIVATIONS
from numpygpt.engine import attention, multi_head_attention
from numpygpt.loss import cross_entropy

IDS = np.array([[2, 0, 2, 4], [1, 1, 3, 2]])


def torch_functions() -> Any:
    pytest.importorskip("torch")
    import torch.nn.functional

    return torch.nn.functional


# One entry per function: shapes of its arrays for given leading axes, the function, its gradient, and PyTorch's own.


class Embedding:
    def shapes(self, lead: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        return {"weight": (5, 3)}

    def forward(self, a: Arrays) -> Array:
        return layers.token_embedding(IDS, **a)

    def gradient(self, dy: Array, a: Arrays) -> Arrays:
        return backward.token_embedding(dy, IDS, **a)

    def torch(self, a: dict[str, Any]) -> Any:
        return a["weight"][IDS]


class Positions(Embedding):
    def forward(self, a: Arrays) -> Array:
        return np.broadcast_to(layers.positional_embedding(np.arange(4), **a), (2, 4, 3))

    def gradient(self, dy: Array, a: Arrays) -> Arrays:
        return backward.positional_embedding(dy, **a)

    def torch(self, a: dict[str, Any]) -> Any:
        return a["weight"][:4].expand(2, 4, 3)


class LayerNorm:
    def shapes(self, lead: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        return {"x": (*lead, 6), "weight": (6,), "bias": (6,)}

    def forward(self, a: Arrays) -> Array:
        return layers.layer_norm(**a, eps=1e-3)

    def gradient(self, dy: Array, a: Arrays) -> Arrays:
        dx, parameters = backward.layer_norm(dy, **a, eps=1e-3)
        return {"x": dx, **parameters}

    def torch(self, a: dict[str, Any]) -> Any:
        return torch_functions().layer_norm(a["x"], (6,), a["weight"], a["bias"], eps=1e-3)


class Gelu:
    def shapes(self, lead: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        return {"x": (*lead, 4)}

    def forward(self, a: Arrays) -> Array:
        return layers.gelu(**a)

    def gradient(self, dy: Array, a: Arrays) -> Arrays:
        return {"x": backward.gelu(dy, **a)}

    def torch(self, a: dict[str, Any]) -> Any:
        return torch_functions().gelu(a["x"], approximate="tanh")


def elementwise(forward: Any, gradient: Any, torch: Any) -> type[Gelu]:
    """A function of each number by itself."""
    methods = {
        "forward": lambda self, a: forward(a["x"]),
        "gradient": lambda self, dy, a: {"x": gradient(dy, a["x"])},
        "torch": lambda self, a: torch(a["x"]),
    }
    return type(forward.__name__.title(), (Gelu,), methods)


ELEMENTWISE = [
    elementwise(layers.relu, backward.relu, lambda x: x.relu()),
    elementwise(activations.gelu_exact, backward.gelu_exact, lambda x: torch_functions().gelu(x)),
    elementwise(activations.silu, backward.silu, lambda x: torch_functions().silu(x)),
    elementwise(activations.quick_gelu, backward.quick_gelu, lambda x: x * (1.702 * x).sigmoid()),
    elementwise(np.tanh, backward.tanh, lambda x: x.tanh()),
]


class Softmax(Gelu):
    def forward(self, a: Arrays) -> Array:
        return layers.softmax(**a)

    def gradient(self, dy: Array, a: Arrays) -> Arrays:
        return {"x": backward.softmax(dy, layers.softmax(**a))}

    def torch(self, a: dict[str, Any]) -> Any:
        return a["x"].softmax(-1)


class Linear:
    def shapes(self, lead: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        return {"x": (*lead, 4), "weight": (4, 3), "bias": (3,)}

    def forward(self, a: Arrays) -> Array:
        return layers.linear(**a)

    def gradient(self, dy: Array, a: Arrays) -> Arrays:
        dx, parameters = backward.linear(dy, **a)
        return {"x": dx, **parameters}

    def torch(self, a: dict[str, Any]) -> Any:
        return a["x"] @ a["weight"] + a["bias"]


class SplitHeads:
    def shapes(self, lead: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        return {"x": (*lead, 2, 6)}

    def forward(self, a: Arrays) -> Array:
        return layers.split_heads(a["x"], n_head=3)

    def gradient(self, dy: Array, a: Arrays) -> Arrays:
        return {"x": backward.split_heads(dy)}

    def torch(self, a: dict[str, Any]) -> Any:
        return a["x"].unflatten(-1, (3, 2)).swapaxes(-2, -3)


class MergeHeads:
    def shapes(self, lead: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        return {"x": (*lead, 3, 2, 4)}

    def forward(self, a: Arrays) -> Array:
        return layers.merge_heads(a["x"])

    def gradient(self, dy: Array, a: Arrays) -> Arrays:
        return {"x": backward.merge_heads(dy, n_head=3)}

    def torch(self, a: dict[str, Any]) -> Any:
        return a["x"].swapaxes(-2, -3).flatten(-2)


class Attention:
    p = 0.0  # of dropout

    def drop(self) -> Dropout:
        return Dropout(self.p, np.random.default_rng(3))

    def shapes(self, lead: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        return {"q": (*lead, 4, 3), "k": (*lead, 6, 3), "v": (*lead, 6, 3)}

    def forward(self, a: Arrays) -> Array:
        if self.p == 0:
            return attention(**a, causal=True, scale=0.7)
        return backward.forward_attention(**a, scale=0.7, drop=self.drop(), mask_of_last=layers.causal_mask(4))[0]

    def gradient(self, dy: Array, a: Arrays) -> Arrays:
        _, saved = backward.forward_attention(**a, scale=0.7, drop=self.drop(), mask_of_last=layers.causal_mask(4))
        return dict(zip("qkv", backward.attention(dy, saved, **a, scale=0.7), strict=True))

    def torch(self, a: dict[str, Any]) -> Any:
        import torch

        scores = 0.7 * a["q"] @ a["k"].swapaxes(-1, -2)
        hidden = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(3)  # the 4 queries are the last of 6 positions
        probabilities = scores.masked_fill(hidden, -math.inf).softmax(-1)
        mask = self.drop().mask(probabilities.detach().numpy())
        return (probabilities if mask is None else probabilities * torch.tensor(mask)) @ a["v"]


class AttentionWithDropout(Attention):
    p = 0.4


class MultiHeadAttention:
    def shapes(self, lead: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        linears = {"c_attn.weight": (6, 18), "c_attn.bias": (18,), "c_proj.weight": (6, 6), "c_proj.bias": (6,)}
        return {"x": (*lead, 5, 6), **linears}

    def forward(self, a: Arrays) -> Array:
        return multi_head_attention(**unflatten(a), n_head=2, causal=True, scale=0.6)

    def gradient(self, dy: Array, a: Arrays) -> Arrays:
        tree = unflatten(a)
        _, saved = backward.forward_multi_head_attention(**tree, n_head=2, scale=0.6, drop=Dropout())
        dx, parameters = backward.multi_head_attention(dy, saved, tree["c_attn"], tree["c_proj"], n_head=2, scale=0.6)
        return {"x": dx, **flatten(parameters)}

    def torch(self, a: dict[str, Any]) -> Any:
        qkv = a["x"] @ a["c_attn.weight"] + a["c_attn.bias"]
        q, k, v = (part.unflatten(-1, (2, 3)).swapaxes(-2, -3) for part in qkv.chunk(3, dim=-1))
        y = torch_functions().scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.6)
        return y.swapaxes(-2, -3).flatten(-2) @ a["c_proj.weight"] + a["c_proj.bias"]


class MLP:
    def shapes(self, lead: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        linears = {"c_fc.weight": (4, 7), "c_fc.bias": (7,), "c_proj.weight": (7, 4), "c_proj.bias": (4,)}
        return {"x": (*lead, 4), **linears}

    def forward(self, a: Arrays) -> Array:
        return layers.mlp(**unflatten(a))

    def gradient(self, dy: Array, a: Arrays) -> Arrays:
        tree = unflatten(a)
        _, saved = backward.forward_mlp(**tree, activation=ACTIVATIONS["gelu_new"])
        dx, parameters = backward.mlp(dy, saved, tree["c_fc"], tree["c_proj"], ACTIVATIONS["gelu_new"])
        return {"x": dx, **flatten(parameters)}

    def torch(self, a: dict[str, Any]) -> Any:
        neurons = a["x"] @ a["c_fc.weight"] + a["c_fc.bias"]
        return torch_functions().gelu(neurons, approximate="tanh") @ a["c_proj.weight"] + a["c_proj.bias"]


class CrossEntropy:
    targets = np.array([1, 0, 4])
    smoothing = 0.0

    def shapes(self, lead: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        return {"logits": (3, 5)}

    def forward(self, a: Arrays) -> Array:
        every = np.array([cross_entropy(a["logits"], np.full(3, token)) for token in range(5)])  # [n_vocab, n_rows]
        losses = cross_entropy(a["logits"], self.targets)
        return np.array([((1 - self.smoothing) * losses + self.smoothing * every.mean(axis=0)).sum()])

    def gradient(self, dy: Array, a: Arrays) -> Arrays:
        loss, dlogits = backward.cross_entropy(a["logits"].copy(), self.targets, self.smoothing)
        assert loss == pytest.approx(float(self.forward(a)[0]), rel=1e-6)
        return {"logits": dy * dlogits}

    def torch(self, a: dict[str, Any]) -> Any:
        import torch

        options = {"reduction": "sum", "label_smoothing": self.smoothing}
        return torch_functions().cross_entropy(a["logits"], torch.tensor(self.targets), **options)[None]


class SmoothedCrossEntropy(CrossEntropy):
    smoothing = 0.1


CASES = [
    *ELEMENTWISE,
    Embedding,
    Positions,
    LayerNorm,
    Gelu,
    Softmax,
    Linear,
    SplitHeads,
    MergeHeads,
    Attention,
    AttentionWithDropout,
    MultiHeadAttention,
    MLP,
    CrossEntropy,
    SmoothedCrossEntropy,
]
