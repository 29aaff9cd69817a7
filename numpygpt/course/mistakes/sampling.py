"""Mistakes in `sampling.py`."""

from __future__ import annotations

from typing import Any

import numpy as np

from numpygpt.course.mistakes.registry import mistake
from numpygpt.layers import softmax
from numpygpt.sampling import apply_top_k


@mistake("apply_temperature", "What does a temperature below 1 do?", "It makes differences larger: divide by it.")
def multiplied(logits: Any, temperature: float) -> Any:
    return logits * temperature


@mistake("apply_temperature", "Logits or probabilities?", "Return logits: no softmax here.")
def probabilities(logits: Any, temperature: float) -> Any:
    return softmax(logits / temperature)


@mistake("apply_temperature", "Does the temperature do anything?", "Divide the logits by it.")
def unchanged(logits: Any, temperature: float) -> Any:
    return logits.copy()


@mistake(
    "apply_top_k", "What becomes of the others?", "-inf, so that softmax gives them 0; a logit of 0 is not unlikely."
)
def zeros(logits: Any, top_k: int) -> Any:
    kept = apply_top_k(logits, top_k)
    return np.where(np.isneginf(kept), 0, kept)


@mistake("apply_top_k", "How many are kept?", "The k-th largest is kept too: drop what is *smaller* than it.")
def kth_dropped(logits: Any, top_k: int) -> Any:
    k = min(int(top_k), logits.shape[-1])
    kth = np.sort(logits, axis=-1)[..., -k, None]
    return np.where(logits <= kth, -np.inf, logits)


@mistake("apply_top_k", "The largest or the smallest?", "Sorted arrays begin with the smallest: take from the end.")
def smallest(logits: Any, top_k: int) -> Any:
    return -np.where(np.isneginf(apply_top_k(-logits, top_k)), np.inf, apply_top_k(-logits, top_k))


@mistake(
    "apply_top_k", "What of those equal to the smallest kept?", "They are kept too: compare with the k-th largest."
)
def ties_dropped(logits: Any, top_k: int) -> Any:
    order = np.argsort(-logits, axis=-1, kind="stable")[..., : int(top_k)]
    kept = np.full_like(logits, -np.inf)
    np.put_along_axis(kept, order, np.take_along_axis(logits, order, axis=-1), axis=-1)
    return kept


@mistake("apply_top_k", "Is each row cut by itself?", "Sort along the last axis, not over the whole batch.")
def over_the_batch(logits: Any, top_k: int) -> Any:
    kth = np.sort(logits.ravel())[-min(int(top_k), logits.size)]
    return np.where(logits < kth, -np.inf, logits)


def _nucleus(logits: Any, kept_of: Any) -> Any:
    order = np.argsort(-logits, axis=-1, kind="stable")
    p = softmax(np.take_along_axis(logits, order, axis=-1))
    kept = kept_of(p, np.cumsum(p, axis=-1))
    filtered = logits.copy()
    values = np.where(kept, np.take_along_axis(logits, order, axis=-1), -np.inf)
    np.put_along_axis(filtered, order, values, axis=-1)
    return filtered


@mistake("apply_top_p", "Does the token that crosses p stay?", "It does: drop a token if those *before* it reach p.")
def crossing_dropped(logits: Any, top_p: float) -> Any:
    def kept(p: Any, total: Any) -> Any:
        stay = total <= top_p
        stay[..., 0] = True
        return stay

    return _nucleus(logits, kept)


@mistake(
    "apply_top_p", "What if the likeliest alone exceeds p?", "It is always kept, and so is the token that crosses p."
)
def nothing_kept(logits: Any, top_p: float) -> Any:
    return _nucleus(logits, lambda p, total: total <= top_p)


@mistake("apply_top_p", "Does p bound one probability?", "Their *sum* from the likeliest on: use cumsum.")
def each_by_itself(logits: Any, top_p: float) -> Any:
    return _nucleus(logits, lambda p, total: p >= 1 - top_p)


@mistake("apply_top_p", "Back in which order?", "Put the logits back where they were: the result is not sorted.")
def left_sorted(logits: Any, top_p: float) -> Any:
    order = np.argsort(-logits, axis=-1, kind="stable")
    ranked = np.take_along_axis(logits, order, axis=-1)
    p = softmax(ranked)
    return np.where(np.cumsum(p, axis=-1) - p < top_p, ranked, -np.inf)


@mistake("apply_top_p", "What becomes of the others?", "-inf; a logit of 0 is not unlikely.")
def zeros_instead(logits: Any, top_p: float) -> Any:
    kept = _nucleus(logits, lambda p, total: total - p < top_p)
    return np.where(np.isneginf(kept), 0, kept)


def _penalized(logits: Any, previous_ids: Any, change: Any) -> Any:
    result = logits.copy()
    for row, ids in zip(result, previous_ids, strict=True):
        for i in set(ids):
            row[i] = change(row[i])
    return result


@mistake(
    "apply_repetition_penalty", "Is a negative logit made smaller?", "Dividing brings it nearer to 0: multiply it."
)
def always_divided(logits: Any, previous_ids: Any, penalty: float) -> Any:
    return _penalized(logits, previous_ids, lambda x: x / penalty)


@mistake(
    "apply_repetition_penalty",
    "Is a repeated token made less likely?",
    "Divide a positive logit, multiply a negative one.",
)
def the_other_way(logits: Any, previous_ids: Any, penalty: float) -> Any:
    return _penalized(logits, previous_ids, lambda x: x * penalty if x > 0 else x / penalty)


@mistake("apply_repetition_penalty", "What of a token that occurred twice?", "It is penalized once.")
def once_for_each(logits: Any, previous_ids: Any, penalty: float) -> Any:
    result = logits.copy()
    for row, ids in zip(result, previous_ids, strict=True):
        for i in ids:
            row[i] = row[i] / penalty if row[i] > 0 else row[i] * penalty
    return result


@mistake("apply_repetition_penalty", "Is a logit divided or lowered?", "Divided, or multiplied where it is negative.")
def subtracted(logits: Any, previous_ids: Any, penalty: float) -> Any:
    return _penalized(logits, previous_ids, lambda x: x - penalty)


@mistake("sample", "By chance, or the likeliest?", "argmax is greedy: draw by the probabilities with rng.")
def greedy(logits: Any, rng: Any) -> Any:
    return logits.argmax(axis=-1)


@mistake("sample", "Are all tokens equally likely?", "Each has its probability: softmax, then cumsum.")
def uniform(logits: Any, rng: Any) -> Any:
    return (rng.random(logits.shape[:-1]) * logits.shape[-1]).astype(np.intp)


@mistake("sample", "Does each row have a draw of its own?", "rng.random(shape of the rows), not one number for all.")
def one_draw(logits: Any, rng: Any) -> Any:
    return (np.cumsum(softmax(logits.astype(np.float64)), axis=-1) <= rng.random()).sum(axis=-1)


@mistake(
    "sample",
    "Which piece does the point fall into?",
    "Count the cumulative probabilities *up to* the point: one too far.",
)
def next_piece(logits: Any, rng: Any) -> Any:
    total = np.cumsum(softmax(logits.astype(np.float64)), axis=-1)
    return (total <= rng.random(total.shape[:-1])[..., None]).sum(axis=-1) + 1
