"""Other right implementations of what shapes and draws a distribution."""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import accumulate
from typing import Any

import numpy as np
from alternatives import other

from numpygpt.layers import softmax


@other("apply_temperature")
def temperature_inverted(logits: Any, temperature: float) -> Any:
    return logits * (1 / temperature)


@other("apply_temperature")
def temperature_by_a_ufunc(logits: Any, temperature: float) -> Any:
    return np.divide(logits, np.float64(temperature))


@other("apply_temperature")
def temperature_unless_it_is_one(logits: Any, temperature: float) -> Any:
    if temperature == 1.0:
        return logits
    return logits / temperature


@other("apply_temperature")
def temperature_within_a_copy(logits: Any, temperature: float) -> Any:
    scaled = logits.copy()
    scaled /= temperature
    return scaled


@other("apply_temperature")
def temperature_row_by_row(logits: Any, temperature: float) -> Any:
    if logits.ndim == 1:
        return np.array([logit / temperature for logit in logits])
    return np.stack([temperature_row_by_row(row, temperature) for row in logits])


@other("apply_top_k")
def top_k_by_sort(logits: Any, top_k: int) -> Any:
    k = min(top_k, logits.shape[-1])
    return np.where(logits >= np.sort(logits, axis=-1)[..., [-k]], logits, -np.inf)


@other("apply_top_k")
def top_k_within_a_copy(logits: Any, top_k: int) -> Any:
    kept = logits.copy()
    if top_k >= logits.shape[-1]:
        return kept
    descending = -np.sort(-logits, axis=-1)
    kept[kept < descending[..., top_k - 1 : top_k]] = -float("inf")
    return kept


@other("apply_top_k")
def top_k_by_argsort(logits: Any, top_k: int) -> Any:
    k = min(top_k, logits.shape[-1])
    at = np.argsort(logits, axis=-1)[..., -k]
    return np.where(logits < np.take_along_axis(logits, at[..., None], axis=-1), float("-inf"), logits)


@other("apply_top_k")
def top_k_row_by_row(logits: Any, top_k: int) -> Any:
    rows = []
    for row in logits.reshape(-1, logits.shape[-1]):
        least = sorted(row, reverse=True)[:top_k][-1]
        rows.append([x if x >= least else -math.inf for x in row])
    return np.reshape(np.array(rows, logits.dtype), logits.shape)


@other("apply_top_k")
def top_k_by_counting(logits: Any, top_k: int) -> Any:
    """A token stays if fewer than k others are larger."""
    larger = (logits[..., None, :] > logits[..., :, None]).sum(axis=-1)
    return np.where(larger < top_k, logits, -np.inf)


@other("apply_top_p")
def top_p_by_loop(logits: Any, top_p: float) -> Any:
    result = np.full(logits.shape, -np.inf)
    for row, out in zip(logits.reshape(-1, logits.shape[-1]), result.reshape(-1, logits.shape[-1]), strict=True):
        total = 0.0
        for i in sorted(range(len(row)), key=lambda i: -row[i]):
            out[i] = row[i]
            total += softmax(row)[i]
            if total >= top_p:
                break
    return result


@other("apply_top_p")
def top_p_from_the_likeliest(logits: Any, top_p: float) -> Any:
    order = np.argsort(-logits, axis=-1)
    p = np.take_along_axis(softmax(logits), order, axis=-1)
    before = np.cumsum(p, axis=-1) - p
    before[..., 0] = -1  # the likeliest is kept, whatever p
    kept = np.take_along_axis(before < top_p, np.argsort(order, axis=-1), axis=-1)
    return np.where(kept, logits, -np.inf)


@other("apply_top_p")
def top_p_as_hugging_face_first_wrote_it(logits: Any, top_p: float) -> Any:
    order = np.argsort(logits, axis=-1)[..., ::-1]
    remove = np.cumsum(softmax(np.take_along_axis(logits, order, -1)), axis=-1) > top_p
    remove[..., 1:] = remove[..., :-1].copy()  # the token that crosses p stays
    remove[..., 0] = False
    dropped = np.zeros_like(remove)
    np.put_along_axis(dropped, order, remove, axis=-1)
    return np.where(dropped, -np.inf, logits)


@other("apply_top_p")
def top_p_by_a_threshold(logits: Any, top_p: float) -> Any:
    """The smallest probability that is kept decides."""
    p = softmax(logits.astype(np.float64))
    descending = np.sort(p, axis=-1)[..., ::-1]
    n_kept = 1 + (np.cumsum(descending, axis=-1) < top_p).sum(axis=-1, keepdims=True)
    least = np.take_along_axis(descending, np.minimum(n_kept, p.shape[-1]) - 1, axis=-1)
    return np.where(p >= least, logits, -np.inf)


@other("apply_top_p")
def top_p_by_comparing_all(logits: Any, top_p: float) -> Any:
    """What is likelier than a token must not reach p by itself."""
    p = softmax(logits)
    likelier = (p[..., None, :] * (p[..., None, :] > p[..., :, None])).sum(-1)
    result = logits.copy()
    result[(likelier >= top_p) & (likelier > 0)] = -np.inf
    return result


@other("apply_repetition_penalty")
def penalty_by_a_set(logits: Any, previous_ids: Any, penalty: float) -> Any:
    result = np.array(logits)
    for i, ids in enumerate(previous_ids):
        for token in set(ids):
            if result[i, token] > 0:
                result[i, token] /= penalty
            else:
                result[i, token] *= penalty
    return result


@other("apply_repetition_penalty")
def penalty_by_a_table(logits: Any, previous_ids: Any, penalty: float) -> Any:
    seen = np.zeros(logits.shape, dtype=bool)
    for i, ids in enumerate(previous_ids):
        seen[i, list(ids)] = True
    return np.where(seen, np.where(logits < 0, logits * penalty, logits / penalty), logits)


@other("apply_repetition_penalty")
def penalty_as_an_exponent(logits: Any, previous_ids: Any, penalty: float) -> Any:
    factors = np.ones(logits.shape)
    for row, ids in zip(factors, previous_ids, strict=True):
        row[list(ids)] = penalty
    return logits * factors ** -np.sign(logits)


@other("apply_repetition_penalty")
def penalty_from_the_old_row(logits: Any, previous_ids: Any, penalty: float) -> Any:
    """Ids twice in the list write the same number twice, for each is made from the old logits."""
    new = logits.copy()
    for i in range(len(logits)):
        for token in previous_ids[i]:
            old = logits[i][token]
            new[i][token] = old * penalty if old < 0 else old / penalty
    return new


@other("apply_repetition_penalty")
def penalty_in_two_parts(logits: Any, previous_ids: Any, penalty: float) -> Any:
    rows = []
    for row, ids in zip(logits, previous_ids, strict=True):
        seen = np.isin(np.arange(len(row)), ids)
        changed = np.maximum(row, 0) / penalty + np.minimum(row, 0) * penalty
        rows.append(changed * seen + row * ~seen)
    return np.stack(rows)


@other("sample")
def sample_by_choice(logits: Any, rng: Any) -> Any:
    p = softmax(logits.astype(np.float64))
    if p.ndim == 1:
        return rng.choice(len(p), p=p)
    return np.array([rng.choice(len(row), p=row) for row in p.reshape(-1, p.shape[-1])]).reshape(p.shape[:-1])


@other("sample")
def sample_by_searchsorted(logits: Any, rng: Any) -> Any:
    total = np.cumsum(softmax(logits.astype(np.float64)), axis=-1)
    flat = total.reshape(-1, total.shape[-1])
    drawn = [np.searchsorted(row, rng.random() * row[-1], side="right") for row in flat]
    return np.reshape(drawn, logits.shape[:-1])


@other("sample")
def sample_by_argmax(logits: Any, rng: Any) -> Any:
    """The first cumulative probability above the point."""
    total = softmax(logits.astype(float)).cumsum(axis=-1)
    return np.argmax(total > rng.uniform(size=(*logits.shape[:-1], 1)), axis=-1)


@other("sample")
def sample_by_bisection(logits: Any, rng: Any) -> Any:
    """Of one row a Python integer, which is as good as an array of no axes."""
    if logits.ndim > 1:
        return np.array([sample_by_bisection(row, rng) for row in logits])
    return bisect_right(list(accumulate(softmax(logits.astype(float)).tolist())), rng.random())


@other("sample")
def sample_by_gumbel(logits: Any, rng: Any) -> Any:
    """The largest of the logits with Gumbel noise: the same distribution, other draws."""
    return np.argmax(logits + rng.gumbel(size=logits.shape), axis=-1)


@other("sample")
def sample_by_multinomial(logits: Any, rng: Any) -> Any:
    p = softmax(logits.astype(np.float64))
    return rng.multinomial(1, p / p.sum(-1, keepdims=True)).argmax(axis=-1)
