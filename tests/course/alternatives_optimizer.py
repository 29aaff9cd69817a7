"""Other right implementations of the learning rate, clipping and AdamW."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from alternatives import other


@other("learning_rate")
def rate_by_a_sine(step: int, *, lr: float, steps: int, warmup: int = 0, lr_end: float = 0.0) -> Any:
    """(1 + cos(a)) / 2 is cos(a / 2)²."""
    if step + 1 <= warmup:
        return (step + 1) / warmup * lr
    return lr_end + (lr - lr_end) * np.cos(np.pi / 2 * (step - warmup) / (steps - warmup)) ** 2


@other("learning_rate")
def rate_as_a_mean(step: int, *, lr: float, steps: int, warmup: int = 0, lr_end: float = 0.0) -> Any:
    if step < warmup:
        return np.linspace(0, lr, warmup + 1)[step + 1]
    share = 0.5 + 0.5 * math.cos((step - warmup) / (steps - warmup) * math.pi)
    return share * lr + (1 - share) * lr_end


@other("learning_rate")
def rate_from_a_table(step: int, *, lr: float, steps: int, warmup: int = 0, lr_end: float = 0.0) -> Any:
    rising = [lr * (i + 1) / warmup for i in range(warmup)]
    falling = lr_end + (lr - lr_end) * (1 + np.cos(np.linspace(0, np.pi, steps - warmup + 1))) / 2
    return np.concatenate([rising, falling])[step]


@other("learning_rate")
def rate_with_an_end(step: int, *, lr: float, steps: int, warmup: int = 0, lr_end: float = 0.0) -> Any:
    """Return whole numbers where they are: a rate of 0 is 0."""
    if step < warmup:
        return lr / warmup * (step + 1)
    if step >= steps:
        return lr_end or 0
    return lr_end + 0.5 * (lr - lr_end) * (1.0 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


@other("learning_rate")
def rate_by_where(step: int, *, lr: float, steps: int, warmup: int = 0, lr_end: float = 0.0) -> Any:
    progress = np.clip((step - warmup) / (steps - warmup), 0, 1)
    curve = (lr - lr_end) / 2 * (1 + np.cos(np.pi * progress)) + lr_end
    return np.where(step < warmup, lr * (step + 1) / max(warmup, 1), curve)


@other("global_norm")
def global_norm_flat(gradients: Any) -> Any:
    return np.linalg.norm(np.concatenate([g.ravel() for g in gradients.values()]))


@other("global_norm")
def global_norm_loop(gradients: Any) -> Any:
    return math.sqrt(math.fsum(float(x) ** 2 for g in gradients.values() for x in g.ravel()))


@other("global_norm")
def global_norm_of_norms(gradients: Any) -> Any:
    return np.linalg.norm([np.linalg.norm(g) for g in gradients.values()])


@other("global_norm")
def global_norm_by_squares(gradients: Any) -> Any:
    total = 0.0
    for name in gradients:
        total += np.sum(np.square(gradients[name]))
    return total**0.5


@other("global_norm")
def global_norm_by_hypot(gradients: Any) -> Any:
    return math.hypot(*(number for g in gradients.values() for number in g.flat))


@other("clip_gradients")
def clip_by_factor(gradients: Any, norm: float, limit: float) -> Any:
    factor = min(1.0, limit / norm)
    return {name: factor * g for name, g in gradients.items()}


@other("clip_gradients")
def clip_by_where(gradients: Any, norm: float, limit: float) -> Any:
    return {name: np.where(norm > limit, g * limit / norm, g) for name, g in gradients.items()}


@other("clip_gradients")
def clip_by_maximum(gradients: Any, norm: float, limit: float) -> Any:
    """Divide by the larger of norm and limit, in a dict of another order."""
    return {name: gradients[name] * limit / max(norm, limit) for name in sorted(gradients)}


@other("clip_gradients")
def clip_in_a_loop(gradients: Any, norm: float, limit: float) -> Any:
    clipped = {}
    for name, g in gradients.items():
        if norm > limit:
            clipped[name] = g / norm * limit
        else:
            clipped[name] = g.copy()
    return clipped


@other("clip_gradients")
def clip_a_copy(gradients: Any, norm: float, limit: float) -> Any:
    result = dict(gradients)
    if norm > limit:
        for name in result:
            result[name] = np.multiply(result[name], np.float64(limit) / np.float64(norm))
    return result


@other("update")
def update_by_letters(self: Any, tensors: Any, gradients: Any, step: int, lr: float) -> None:
    """In place, the decay first, and both corrections in the step's size."""
    t = step + 1
    for name in tensors:
        g = gradients[name]
        if tensors[name].ndim > 1:
            tensors[name] *= 1 - lr * self.weight_decay
        self.first[name] += (1 - self.beta1) * (g - self.first[name])
        self.second[name] += (1 - self.beta2) * (g**2 - self.second[name])
        root = np.sqrt(self.second[name]) / math.sqrt(1 - self.beta2**t)
        tensors[name] -= lr / (1 - self.beta1**t) * self.first[name] / (root + self.epsilon)


@other("update")
def update_with_new_means(self: Any, tensors: Any, gradients: Any, step: int, lr: float) -> None:
    """Put new arrays in the place of m and v; the tensors keep theirs."""
    for name, w in tensors.items():
        g = gradients[name]
        self.first[name] = self.beta1 * self.first[name] + (1 - self.beta1) * g
        self.second[name] = self.beta2 * self.second[name] + (1 - self.beta2) * g * g
        m = self.first[name] / (1 - self.beta1 ** (step + 1))
        v = self.second[name] / (1 - self.beta2 ** (step + 1))
        change = m / (np.sqrt(v) + self.epsilon)
        if w.ndim >= 2:
            change = change + self.weight_decay * w
        np.copyto(w, w - lr * change)


@other("update")
def update_with_out(self: Any, tensors: Any, gradients: Any, step: int, lr: float) -> None:
    for name, g in gradients.items():
        w, m, v = tensors[name], self.first[name], self.second[name]
        np.multiply(m, self.beta1, out=m)
        np.add(m, (1 - self.beta1) * g, out=m)
        np.multiply(v, self.beta2, out=v)
        np.add(v, (1 - self.beta2) * np.square(g), out=v)
        root = (v / (1 - self.beta2 ** (step + 1))) ** 0.5
        change = m / ((1 - self.beta1 ** (step + 1)) * (root + self.epsilon))
        if w.ndim != 1:
            change += self.weight_decay * w
        np.subtract(w, lr * change, out=w)


@other("update")
def update_number_by_number(self: Any, tensors: Any, gradients: Any, step: int, lr: float) -> None:
    b1, b2, t = self.beta1, self.beta2, step + 1
    for name, w in tensors.items():
        decay = 0.0 if len(w.shape) < 2 else self.weight_decay
        for place in np.ndindex(w.shape):
            g = float(gradients[name][place])
            m = b1 * float(self.first[name][place]) + (1 - b1) * g
            v = b2 * float(self.second[name][place]) + (1 - b2) * g**2
            self.first[name][place], self.second[name][place] = m, v
            root = math.sqrt(v / (1 - b2**t)) + self.epsilon
            w[place] -= lr * decay * w[place] + lr * m / (1 - b1**t) / root


@other("update")
def update_in_float64(self: Any, tensors: Any, gradients: Any, step: int, lr: float) -> Any:
    """Count in float64, and return the tensors as well."""
    for name in sorted(tensors):
        g = gradients[name].astype(np.float64)
        m = (1 - self.beta1) * g + self.beta1 * self.first[name]
        v = (1 - self.beta2) * g**2 + self.beta2 * self.second[name]
        self.first[name], self.second[name] = m, v
        scale = math.sqrt(1 - self.beta2 ** (step + 1)) / (1 - self.beta1 ** (step + 1))
        epsilon = self.epsilon * math.sqrt(1 - self.beta2 ** (step + 1))
        w = tensors[name].astype(np.float64)
        w = w - lr * self.weight_decay * w * (w.ndim > 1) - lr * scale * m / (np.sqrt(v) + epsilon)
        tensors[name][...] = w
    return tensors
