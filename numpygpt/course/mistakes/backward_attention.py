"""Mistakes in the gradient of attention."""

from __future__ import annotations

from typing import Any

from numpygpt import backward
from numpygpt.backward.dropout import dropout
from numpygpt.course.mistakes.registry import mistake


@mistake("backward.attention", "Is the scale in the gradient too?", "dq and dk are both multiplied by the scale.")
def scale_forgotten(dy: Any, saved: Any, q: Any, k: Any, v: Any, scale: float) -> Any:
    return backward.attention(dy, saved, q, k, v, 1.0)


@mistake("backward.attention", "Which of k and q is whose?", "dq uses k, and dk uses q with ds transposed.")
def dq_and_dk_swapped(dy: Any, saved: Any, q: Any, k: Any, v: Any, scale: float) -> Any:
    dq, dk, dv = backward.attention(dy, saved, q, k, v, scale)
    return dk, dq, dv


@mistake("backward.attention", "Is softmax's gradient whole?", "ds = p · (dp - Σ dp · p): the sum is missing.")
def softmax_sum_forgotten(dy: Any, saved: Any, q: Any, k: Any, v: Any, scale: float) -> Any:
    p, kept = saved.probabilities, dropout(saved.probabilities, saved.mask)
    ds = p * dropout(dy @ v.swapaxes(-1, -2), saved.mask) * scale
    return ds @ k, ds.swapaxes(-1, -2) @ q, kept.swapaxes(-1, -2) @ dy


@mistake("backward.attention", "How does dv reach the values?", "dv = pᵀ · dy: transpose the probabilities.")
def p_not_transposed(dy: Any, saved: Any, q: Any, k: Any, v: Any, scale: float) -> Any:
    dq, dk, _ = backward.attention(dy, saved, q, k, v, scale)
    return dq, dk, dropout(saved.probabilities, saved.mask) @ dy


@mistake("backward.attention", "Was every probability used?", "With dropout, p · mask was: dv and dp need the mask.")
def dropout_ignored(dy: Any, saved: Any, q: Any, k: Any, v: Any, scale: float) -> Any:
    return backward.attention(dy, saved._replace(mask=None), q, k, v, scale)


def _gradients(dy: Any, saved: Any, q: Any, k: Any, v: Any, scale: float, **masks: Any) -> Any:
    p, mask, _ = saved
    dp = dropout(dy @ v.swapaxes(-1, -2), masks.get("dp", mask))
    ds = p * (dp - (dp * p).sum(axis=-1, keepdims=True)) * scale
    return ds @ k, ds.swapaxes(-1, -2) @ q, dropout(p, masks.get("dv", mask)).swapaxes(-1, -2) @ dy


@mistake("backward.attention", "Was every probability used?", "p · mask was, not p: the mask belongs in dv and in dp.")
def dropout_nowhere(dy: Any, saved: Any, q: Any, k: Any, v: Any, scale: float) -> Any:
    return _gradients(dy, saved, q, k, v, scale, dv=None, dp=None)


@mistake("backward.attention", "Which probabilities mixed the values?", "p · mask: dv needs dropout's mask, too.")
def dropout_not_in_dv(dy: Any, saved: Any, q: Any, k: Any, v: Any, scale: float) -> Any:
    return _gradients(dy, saved, q, k, v, scale, dv=None)


@mistake("backward.attention", "Does a dropped probability get a gradient?", "No: dp = (dy · vᵀ) · mask.")
def dropout_not_in_dp(dy: Any, saved: Any, q: Any, k: Any, v: Any, scale: float) -> Any:
    return _gradients(dy, saved, q, k, v, scale, dp=None)


@mistake("backward.attention", "Is dk scaled?", "Both are: dq and dk.")
def dk_not_scaled(dy: Any, saved: Any, q: Any, k: Any, v: Any, scale: float) -> Any:
    dq, dk, dv = backward.attention(dy, saved, q, k, v, scale)
    return dq, dk / scale, dv


@mistake("backward.attention", "Which scale?", "The one that is handed in: it need not be 1 / sqrt(n_dim).")
def scale_of_n_dim(dy: Any, saved: Any, q: Any, k: Any, v: Any, scale: float) -> Any:
    return backward.attention(dy, saved, q, k, v, 1 / q.shape[-1] ** 0.5)
