"""Gradient descent with one parameter at three learning rates; three ways of stepping, in a narrow valley."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from numpygpt.arrays import Array
from numpygpt.optimizer import AdamW
from tutorials.figures import BLUE, GREEN, GREY, ORANGE

RATES = [0.2, 2.0, 14.0]
CURVATURE = np.array([1.0, 100.0])
START = np.array([10.0, 1.0])
N_STEPS = 60


def data() -> dict[str, Any]:
    """Repeat page 9's two toys, step by step."""
    one = []
    for rate in RATES:
        w = [0.0]
        for _ in range(25):
            w.append(w[-1] - rate * (1 / (1 + math.exp(-w[-1])) - 3 / 4))
        one.append(w)
    return {"w": one, "descent": descent(), "momentum": momentum(), "adamw": adamw()}


def descent() -> Array:
    """Step against the gradient."""
    path = [START]
    for _ in range(N_STEPS):
        path.append(path[-1] - 0.018 * CURVATURE * path[-1])
    return np.array(path)


def momentum() -> Array:
    """Step against the running mean of the gradient."""
    path, m = [START], np.zeros(2)
    for _ in range(N_STEPS):
        m = 0.9 * m + 0.1 * CURVATURE * path[-1]
        path.append(path[-1] - 0.18 * m)
    return np.array(path)


def adamw() -> Array:
    """Step with the package's optimizer, whose rate falls to 0."""
    tensors = {"w": START.copy()}
    optimizer, path = AdamW(tensors), [START]
    for step in range(N_STEPS):
        lr = 0.4 * (1 + math.cos(math.pi * step / N_STEPS)) / 2
        optimizer.update(tensors, {"w": CURVATURE * tensors["w"]}, step, lr)
        path.append(tensors["w"].copy())
    return np.array(path)


def draw(data: dict[str, Any], figure: Any) -> None:
    """Draw the parameter over the steps, and the paths seen from above."""
    left, right = figure.subplots(1, 2)
    left.axhline(math.log(3), color=GREY, linestyle="--", linewidth=1)
    for w, rate, colour in zip(data["w"], RATES, (ORANGE, GREEN, BLUE), strict=True):
        left.plot(w, color=colour, marker=".", markersize=5, linewidth=1.2, label=f"learning rate {rate:g}")
    left.set(xlabel="step", ylabel="w", ylim=(-0.3, 5.4))
    left.legend(loc="upper right", fontsize=9)
    x, y = np.meshgrid(np.linspace(-5.5, 10.8, 100), np.linspace(-1.7, 1.4, 100))
    levels = [1, 4, 9, 16, 25, 36, 49, 64, 81, 100]
    right.contour(x, y, x**2 + 100 * y**2, levels=levels, colors=GREY, linewidths=0.5, alpha=0.6)
    for name, label, colour in [
        ("descent", "gradient descent", ORANGE),
        ("momentum", "momentum", BLUE),
        ("adamw", "AdamW", GREEN),
    ]:
        right.plot(*data[name].T, color=colour, marker=".", markersize=4, linewidth=1.2, label=label)
    right.set(xlabel="x", ylabel="y", xlim=(-5.5, 10.8), ylim=(-1.9, 1.2))
    right.legend(loc="lower left", fontsize=9)
    for axes in (left, right):
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
