"""Mistakes in `sampling.py`."""

from __future__ import annotations

from typing import Any

import numpy as np

from numpygpt.course.mistakes.registry import mistake
from numpygpt.layers import softmax
from numpygpt.sampling import apply_repetition_penalty, apply_top_k, apply_top_p, sample


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


@mistake("apply_top_k", "What if top_k is larger than the vocabulary?", "All are kept: take min(top_k, n_vocab) first.")
def more_than_there_are(logits: Any, top_k: int) -> Any:
    return np.where(logits < np.sort(logits, axis=-1)[..., -top_k][..., None], -np.inf, logits)


@mistake(
    "apply_top_k",
    "What if top_k is larger than the vocabulary?",
    "np.partition fails there: min(top_k, n_vocab) first.",
)
def partition_fails(logits: Any, top_k: int) -> Any:
    return np.where(logits < np.partition(logits, -top_k, axis=-1)[..., -top_k, None], -np.inf, logits)


@mistake("apply_top_k", "How many are kept?", "top_k of them: that is one too many.")
def one_too_many(logits: Any, top_k: int) -> Any:
    return apply_top_k(logits, top_k + 1)


@mistake("apply_top_k", "Do the logits stay in their places?", "Those that are kept do: each stands for its token.")
def kept_alone(logits: Any, top_k: int) -> Any:
    return np.sort(logits, axis=-1)[..., ::-1][..., : int(top_k)]


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
    kept = np.cumsum(p, axis=-1) - p < top_p
    kept[..., 0] = True
    return np.where(kept, ranked, -np.inf)


@mistake("apply_top_p", "What is kept where p is 0?", "The likeliest token, always: else nothing could be drawn.")
def zero_keeps_nothing(logits: Any, top_p: float) -> Any:
    return _nucleus(logits, lambda p, total: total - p < top_p)


@mistake("apply_top_p", "From which end are probabilities added up?", "From the likeliest on: sort downwards.")
def from_the_least_likely(logits: Any, top_p: float) -> Any:
    order = np.argsort(logits, axis=-1, kind="stable")
    p = softmax(np.take_along_axis(logits, order, axis=-1))
    kept = np.zeros(logits.shape, bool)
    np.put_along_axis(kept, order, np.cumsum(p, axis=-1) - p < top_p, axis=-1)
    return np.where(kept, logits, -np.inf)


@mistake("apply_top_p", "How many are needed to reach p?", "The token that crosses p is the last one that is kept.")
def one_beyond(logits: Any, top_p: float) -> Any:
    def kept(p: Any, total: Any) -> Any:
        reached = np.roll(total - p, 1, axis=-1)
        reached[..., 0] = -1
        return reached < top_p

    return _nucleus(logits, kept)


@mistake("apply_top_p", "What becomes of the others?", "-inf; a logit of 0 is not unlikely.")
def zeros_instead(logits: Any, top_p: float) -> Any:
    kept = apply_top_p(logits, top_p)
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


@mistake("apply_repetition_penalty", "Which tokens does a sequence repeat?", "Its own: each row has ids of its own.")
def ids_of_the_first_row(logits: Any, previous_ids: Any, penalty: float) -> Any:
    return apply_repetition_penalty(logits, [previous_ids[0]] * len(logits), penalty)


@mistake("apply_repetition_penalty", "Which tokens does a sequence repeat?", "Not those of the other sequences.")
def ids_of_all_rows(logits: Any, previous_ids: Any, penalty: float) -> Any:
    seen = sorted({i for ids in previous_ids for i in ids})
    return apply_repetition_penalty(logits, [seen] * len(logits), penalty)


@mistake("apply_repetition_penalty", "What of a negative logit?", "Multiplied by the penalty, it is less likely too.")
def negative_left_alone(logits: Any, previous_ids: Any, penalty: float) -> Any:
    return _penalized(logits, previous_ids, lambda x: x / penalty if x > 0 else x)


@mistake("apply_repetition_penalty", "Which tokens are less likely?", "Those that occurred already, and no other.")
def all_penalized(logits: Any, previous_ids: Any, penalty: float) -> Any:
    return np.where(logits < 0, logits * penalty, logits / penalty)


@mistake("apply_repetition_penalty", "May a token come again?", "It may, but less likely: -inf forbids it.")
def forbidden(logits: Any, previous_ids: Any, penalty: float) -> Any:
    return _penalized(logits, previous_ids, lambda x: -np.inf)


@mistake("sample", "Where does chance come from?", "From rng, the generator that is handed in.")
def chance_of_its_own(logits: Any, rng: Any) -> Any:
    return sample(logits, np.random.default_rng(0))


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


@mistake("apply_temperature", "Is a temperature below 1 allowed?", "It is: it makes the likely tokens likelier.")
def never_below_one(logits: Any, temperature: float) -> Any:
    return logits / max(temperature, 1.0)
