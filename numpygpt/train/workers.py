"""A batch shared out among threads, each with a BLAS that runs on one core."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from numpygpt.arrays import Params, Tensors, flatten
from numpygpt.backward import Dropout
from numpygpt.engine.threads import parallel_map
from numpygpt.train.config import TrainingConfig
from numpygpt.train.task import Task

MICRO_TOKENS = 512  # tokens that a thread computes at once: what they need almost fits the cache


def gradients(
    task: Task, params: Params, batch: tuple[NDArray[Any], ...], step: int, options: TrainingConfig
) -> tuple[float, Tensors, int]:
    """Return the mean loss of a batch over the targets that count, its gradients by name, and how many these are.

    NumPy lets go of Python's lock while it computes, so threads run side by side; as each has a part of the batch
    that fits the cache better, two of them are faster than two cores on each product in turn. The parts and the order
    in which their gradients are added depend on `options` alone, and so does every bit of the sum.
    """
    n_rows, n_seq = batch[0].shape[:2]
    size = options.micro_batch or max(1, MICRO_TOKENS // n_seq)
    shares = np.array_split(np.arange(n_rows), min(max(1, options.threads), n_rows))

    def of_share(number: int) -> tuple[float, Tensors, int]:
        loss, total, n_targets = 0.0, dict[str, Any](), 0
        rows = shares[number]
        for part in np.array_split(rows, -(-len(rows) // size)):
            drop = Dropout(options.dropout, np.random.default_rng([options.seed, 2, step, int(part[0])]))
            with np.errstate(all="ignore"):  # numbers that overflow show in the loss
                part_loss, tree, n = task.gradients(params, tuple(array[part] for array in batch), drop)
            loss, n_targets, total = loss + part_loss, n_targets + n, _add(total, flatten(tree))
        return loss, total, n_targets

    loss, total, n_targets = 0.0, dict[str, Any](), 0
    for share_loss, share, n in parallel_map(of_share, range(len(shares)), len(shares)):
        loss, n_targets, total = loss + share_loss, n_targets + n, _add(total, share)
    for gradient in total.values():
        gradient /= max(1, n_targets)
    return loss / max(1, n_targets), total, n_targets


def _add(total: Tensors, more: Tensors) -> Tensors:
    if not total:
        return more
    for name, gradient in more.items():
        total[name] += gradient
    return total
