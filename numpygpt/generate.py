"""From a prompt to new tokens, one at a time: the decode loop.

`engine/decode.py` makes the same choices for several sequences at once, and keeps keys and values in a cache, where
this loop reads the whole text again for every token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from numpygpt.arrays import Array
from numpygpt.sampling import Sampling


def generate(
    prompt: Sequence[int],
    model: Callable[[list[int]], Array],
    *,
    max_new_tokens: int,
    n_ctx: int,
    sampling: Sampling = Sampling(),  # noqa: B008 - it is frozen
    eos_token_id: int | None = None,
    n_vocab: int | None = None,
    seed: int | list[int] | np.random.Generator | None = None,
) -> Iterator[int]:
    """Continue a prompt: yield one new token id after the other.

    `model` turns ids [n_seq] into logits [n_seq, n_vocab]. The loop ends after `max_new_tokens`, when the context
    window of `n_ctx` tokens is full, or when `eos_token_id` is chosen, which is not yielded. Ids from `n_vocab` on
    stand for no token and are never chosen. The same seed gives the same tokens.

    >>> def count_on(ids):  # the logits of a model that counts to 9
    ...     return np.eye(10)[[(i + 1) % 10 for i in ids]]
    >>> list(generate([3, 4, 5], count_on, max_new_tokens=8, n_ctx=1024, eos_token_id=9))
    [6, 7, 8]
    """
    rng = np.random.default_rng(seed)
    ids = list(prompt)
    for _ in range(min(max_new_tokens, n_ctx - len(prompt))):
        logits = model(ids)[-1:, :n_vocab]  # [1, n_vocab]: only the last position predicts a new token
        [next_id] = sampling.choose(logits, [ids], [rng]).tolist()
        if next_id == eos_token_id:
            return
        ids.append(next_id)
        yield next_id
