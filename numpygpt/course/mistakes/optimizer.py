"""Mistakes in `optimizer.py`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from numpygpt.course.mistakes.registry import mistake
from numpygpt.optimizer import global_norm, learning_rate


@mistake("learning_rate", "Is there a warm-up?", "Rise linearly over the first `warmup` steps.")
def no_warmup(step: int, *, lr: float, steps: int, warmup: int = 0, lr_end: float = 0.0) -> float:
    return lr_end + (lr - lr_end) * (1 + math.cos(math.pi * max(0, step - warmup) / max(1, steps - warmup))) / 2


@mistake("learning_rate", "Is the very first rate 0?", "Step 0 is the first of the warm-up: (step + 1) / warmup.")
def first_is_zero(step: int, *, lr: float, steps: int, warmup: int = 0, lr_end: float = 0.0) -> float:
    if step < warmup:
        return lr * step / warmup
    return learning_rate(step, lr=lr, steps=steps, warmup=warmup, lr_end=lr_end)


@mistake("learning_rate", "Where does the cosine begin?", "After the warm-up: (step - warmup) / (steps - warmup).")
def warmup_not_subtracted(step: int, *, lr: float, steps: int, warmup: int = 0, lr_end: float = 0.0) -> float:
    if step < warmup:
        return lr * (step + 1) / warmup
    return lr_end + (lr - lr_end) * (1 + math.cos(math.pi * step / steps)) / 2


@mistake("learning_rate", "Where does it end?", "At lr_end, not at 0.")
def end_ignored(step: int, *, lr: float, steps: int, warmup: int = 0, lr_end: float = 0.0) -> float:
    return learning_rate(step, lr=lr, steps=steps, warmup=warmup)


@mistake("learning_rate", "Which curve?", "Half a cosine, not a line.")
def a_line(step: int, *, lr: float, steps: int, warmup: int = 0, lr_end: float = 0.0) -> float:
    if step < warmup:
        return lr * (step + 1) / warmup
    return lr + (lr_end - lr) * (step - warmup) / max(1, steps - warmup)


@mistake("learning_rate", "Half a cosine, or a whole one?", "Half: π · progress, so that it ends at lr_end.")
def whole_cosine(step: int, *, lr: float, steps: int, warmup: int = 0, lr_end: float = 0.0) -> float:
    if step < warmup:
        return lr * (step + 1) / warmup
    return lr_end + (lr - lr_end) * (1 + math.cos(2 * math.pi * (step - warmup) / max(1, steps - warmup))) / 2


@mistake("learning_rate", "How large is the rate right after the warm-up?", "Still lr: progress begins at 0.")
def one_step_ahead(step: int, *, lr: float, steps: int, warmup: int = 0, lr_end: float = 0.0) -> float:
    return learning_rate(step + (step >= warmup), lr=lr, steps=steps, warmup=warmup, lr_end=lr_end)


@mistake("learning_rate", "How far does the cosine fall?", "By lr - lr_end: it begins at lr.")
def end_added(step: int, *, lr: float, steps: int, warmup: int = 0, lr_end: float = 0.0) -> float:
    if step < warmup:
        return lr * (step + 1) / warmup
    return lr_end + learning_rate(step, lr=lr, steps=steps, warmup=warmup)


@mistake("global_norm", "Where is the root?", "A length is the square root of the sum of squares.")
def no_root(gradients: Any) -> float:
    return global_norm(gradients) ** 2


@mistake("global_norm", "One vector, or several?", "Add all squares, then one root: not a sum of lengths.")
def sum_of_lengths(gradients: Any) -> float:
    return float(sum(np.linalg.norm(g) for g in gradients.values()))


@mistake("global_norm", "One vector, or several?", "All together, not the longest of them.")
def the_longest(gradients: Any) -> float:
    return float(max(np.linalg.norm(g) for g in gradients.values()))


@mistake("global_norm", "The sum of squares, or their mean?", "The sum: a length, not a mean size.")
def mean_of_squares(gradients: Any) -> float:
    return global_norm(gradients) / math.sqrt(sum(gradient.size for gradient in gradients.values()))


@mistake("global_norm", "Squares or sizes?", "The root of the sum of squares.")
def sum_of_sizes(gradients: Any) -> float:
    return float(sum(np.abs(gradient).sum() for gradient in gradients.values()))


@mistake(
    "clip_gradients", "How long are the gradients afterwards?", "As long as the limit: limit / norm, not 1 / norm."
)
def length_one(gradients: Any, norm: float, limit: float) -> Any:
    return gradients if norm <= limit else {name: g / norm for name, g in gradients.items()}


@mistake("clip_gradients", "Has each tensor a norm of its own?", "One factor for all: limit / norm.")
def each_tensor(gradients: Any, norm: float, limit: float) -> Any:
    return {name: g * min(1.0, limit / float(np.linalg.norm(g))) for name, g in gradients.items()}


@mistake("clip_gradients", "Are they clipped at all?", "Where the norm exceeds the limit: times limit / norm.")
def never(gradients: Any, norm: float, limit: float) -> Any:
    return dict(gradients)


@mistake("clip_gradients", "What if the norm is small?", "Leave the gradients alone unless it exceeds the limit.")
def always_scaled(gradients: Any, norm: float, limit: float) -> Any:
    return {name: g * (limit / norm) for name, g in gradients.items()}


@mistake("clip_gradients", "Is each number clipped by itself?", "Scale all by one factor: the direction stays.")
def each_number(gradients: Any, norm: float, limit: float) -> Any:
    return {name: np.clip(g, -limit, limit) for name, g in gradients.items()}


@mistake("clip_gradients", "By what is divided?", "Multiply by limit / norm, not by norm / limit.")
def upside_down(gradients: Any, norm: float, limit: float) -> Any:
    return gradients if norm <= limit else {name: g * (norm / limit) for name, g in gradients.items()}


def _step(self: Any, tensors: Any, gradients: Any, step: int, lr: float, **how: Any) -> None:
    t = step + how.get("first", 1)
    for name, w in tensors.items():
        g, m, v = gradients[name], self.first[name], self.second[name]
        decay = self.weight_decay if w.ndim >= 2 or how.get("all") else 0.0
        if how.get("l2"):
            g, decay = g + decay * w, 0.0
        m[...] = self.beta1 * m + (1 if how.get("whole") else 1 - self.beta1) * g
        v[...] = self.beta2 * v + (1 - self.beta2) * g * g
        m_hat, v_hat = m, v
        if how.get("correct", True):
            m_hat, v_hat = m / (1 - self.beta1**t), v if how.get("m_alone") else v / (1 - self.beta2**t)
        root = v_hat if how.get("rootless") else np.sqrt(v_hat)
        eps = self.epsilon
        change = m_hat / (np.sqrt(v_hat + eps) if how.get("inside") else root + eps)
        w[...] = w - (lr if how.get("decay_by_lr", True) else 1.0) * decay * w - lr * how.get("sign", 1) * change


@mistake("update", "What are m and v at the first step?", "Too small, for they began at 0: divide by 1 - βᵗ.")
def no_bias_correction(self: Any, tensors: Any, gradients: Any, step: int, lr: float) -> None:
    _step(self, tensors, gradients, step, lr, correct=False)


@mistake("update", "Which t has the first step?", "step counts from 0, t from 1: 1 - β⁰ is 0.")
def t_from_zero(self: Any, tensors: Any, gradients: Any, step: int, lr: float) -> None:
    _step(self, tensors, gradients, step, lr, first=0)


@mistake("update", "Which tensors decay?", "Matrices alone: not biases and layer norms.")
def all_decay(self: Any, tensors: Any, gradients: Any, step: int, lr: float) -> None:
    _step(self, tensors, gradients, step, lr, all=True)


@mistake("update", "Does the decay go through m and v?", "That is Adam with L2; AdamW subtracts it from w itself.")
def decay_in_the_gradient(self: Any, tensors: Any, gradients: Any, step: int, lr: float) -> None:
    _step(self, tensors, gradients, step, lr, l2=True)


@mistake("update", "Where is the root?", "Divide by sqrt(v̂) + ε, not by v̂ + ε.")
def no_square_root(self: Any, tensors: Any, gradients: Any, step: int, lr: float) -> None:
    _step(self, tensors, gradients, step, lr, rootless=True)


@mistake("update", "Where does ε stand?", "Outside the root: sqrt(v̂) + ε.")
def epsilon_inside(self: Any, tensors: Any, gradients: Any, step: int, lr: float) -> None:
    _step(self, tensors, gradients, step, lr, inside=True)


@mistake("update", "How strongly does w decay?", "By lr · weight_decay: the lr is missing.")
def decay_without_lr(self: Any, tensors: Any, gradients: Any, step: int, lr: float) -> None:
    _step(self, tensors, gradients, step, lr, decay_by_lr=False)


@mistake("update", "Does the model see the new numbers?", "Write into its arrays: w[...] = ..., not a new array.")
def tensors_replaced(self: Any, tensors: Any, gradients: Any, step: int, lr: float) -> None:
    copies = {name: w.copy() for name, w in tensors.items()}
    _step(self, copies, gradients, step, lr)
    tensors.update(copies)


@mistake("update", "Uphill or downhill?", "Against the gradient: subtract.")
def uphill(self: Any, tensors: Any, gradients: Any, step: int, lr: float) -> None:
    _step(self, tensors, gradients, step, lr, sign=-1)


@mistake("update", "Is v corrected too?", "Both are: m / (1 - β1ᵗ) and v / (1 - β2ᵗ).")
def v_not_corrected(self: Any, tensors: Any, gradients: Any, step: int, lr: float) -> None:
    _step(self, tensors, gradients, step, lr, m_alone=True)


@mistake("update", "Does w decay?", "Matrices do: subtract lr · weight_decay · w.")
def no_decay(self: Any, tensors: Any, gradients: Any, step: int, lr: float) -> None:
    kept, self.weight_decay = self.weight_decay, 0.0
    _step(self, tensors, gradients, step, lr)
    self.weight_decay = kept


@mistake("update", "Who counts the steps?", "The caller: `step` may begin in the middle.")
def own_count(self: Any, tensors: Any, gradients: Any, step: int, lr: float) -> None:
    self.counted = getattr(self, "counted", -1) + 1
    _step(self, tensors, gradients, self.counted, lr)


@mistake("update", "Which β is whose?", "β1 is m's, and β2 is v's.")
def betas_swapped(self: Any, tensors: Any, gradients: Any, step: int, lr: float) -> None:
    self.beta1, self.beta2 = self.beta2, self.beta1
    _step(self, tensors, gradients, step, lr)
    self.beta1, self.beta2 = self.beta2, self.beta1


@mistake("update", "What remembers the steps before?", "self.first and self.second: write m and v into them.")
def nothing_remembered(self: Any, tensors: Any, gradients: Any, step: int, lr: float) -> None:
    _step(self, tensors, gradients, step, lr)
    for name in tensors:
        self.first[name][...] = self.second[name][...] = 0


@mistake("update", "How much of g enters m?", "1 - β1 of it: m is a mean, not a sum.")
def whole_gradient(self: Any, tensors: Any, gradients: Any, step: int, lr: float) -> None:
    _step(self, tensors, gradients, step, lr, whole=True)
