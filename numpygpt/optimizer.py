"""From gradients to better parameters: the learning rate, clipping, and AdamW."""

from __future__ import annotations

import math

import numpy as np

from numpygpt.arrays import Tensors


def learning_rate(step: int, *, lr: float, steps: int, warmup: int = 0, lr_end: float = 0.0) -> float:
    """Rise linearly to `lr` over the first `warmup` steps, then fall along half a cosine to `lr_end`.

    Source: Loshchilov & Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts" (arXiv:1608.03983),
    section 3, without restarts.

    >>> [round(learning_rate(step, lr=1.0, warmup=2, steps=6), 3) for step in range(6)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
    """
    if step < warmup:
        return lr * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return lr_end + (lr - lr_end) * (1 + math.cos(math.pi * progress)) / 2


def global_norm(gradients: Tensors) -> float:
    """Return the length of all gradients together, as one vector.

    >>> global_norm({"weight": np.array([[2.0, 2.0]]), "bias": np.array([1.0])})
    3.0
    """
    return math.sqrt(sum(float(np.vdot(gradient, gradient)) for gradient in gradients.values()))


def clip_gradients(gradients: Tensors, norm: float, limit: float) -> Tensors:
    """Scale the gradients down where their global norm exceeds the limit, so that it becomes the limit.

    norm: what `global_norm` returned

    Source: Pascanu et al. 2013, "On the difficulty of training recurrent neural networks" (arXiv:1211.5063).

    >>> clip_gradients({"weight": np.array([3.0, 4.0])}, norm=5.0, limit=1.0)
    {'weight': array([0.6, 0.8])}
    """
    if norm <= limit:
        return gradients
    return {name: gradient * (limit / norm) for name, gradient in gradients.items()}


class AdamW:
    """The optimizer: steps of a size that depends on how steadily a gradient points one way, not on its own size.

        m = β1 · m + (1 - β1) · g            mean of the gradient, over about 1 / (1 - β1) steps
        v = β2 · v + (1 - β2) · g²           and of its square
        m̂ = m / (1 - β1ᵗ), v̂ = v / (1 - β2ᵗ)  as means since the start, at step t
        w = w - lr · weight_decay · w - lr · m̂ / (sqrt(v̂) + ε)

    The weight decay is for matrices alone, not for biases and layer norms. `first` and `second` are m and v, by name.

    Source: Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization" (arXiv:1711.05101), algorithm 2 (the decay
    times lr, as PyTorch does).

    >>> tensors = {"weight": np.zeros((1, 2))}
    >>> AdamW(tensors).update(tensors, {"weight": np.array([[5.0, -0.1]])}, step=0, lr=0.01)
    >>> tensors["weight"].round(4)  # the first step has the same size for all
    array([[-0.01,  0.01]])
    """

    def __init__(
        self,
        tensors: Tensors,
        beta1: float = 0.9,
        beta2: float = 0.95,
        epsilon: float = 1e-8,
        weight_decay: float = 0.1,
    ) -> None:
        self.beta1, self.beta2, self.epsilon, self.weight_decay = beta1, beta2, epsilon, weight_decay
        self.first = {name: np.zeros_like(tensor) for name, tensor in tensors.items()}
        self.second = {name: np.zeros_like(tensor) for name, tensor in tensors.items()}

    def update(self, tensors: Tensors, gradients: Tensors, step: int, lr: float) -> None:
        """Write better numbers into the tensors, the very arrays that the model holds; step counts from 0, t from 1.

        tensors, gradients: arrays of the same shapes by the same names
        """
        t = step + 1
        for name, w in tensors.items():
            g, m, v = gradients[name], self.first[name], self.second[name]
            m[...] = self.beta1 * m + (1 - self.beta1) * g
            v[...] = self.beta2 * v + (1 - self.beta2) * np.square(g)
            m_hat, v_hat = m / (1 - self.beta1**t), v / (1 - self.beta2**t)
            decay = self.weight_decay if w.ndim >= 2 else 0.0
            w[...] = w - lr * decay * w - lr * m_hat / (np.sqrt(v_hat) + self.epsilon)
