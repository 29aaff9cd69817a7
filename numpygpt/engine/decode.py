"""The decode loop: from prompts to new tokens, one at a time, for several sequences at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from numpygpt.arrays import Array, Params
from numpygpt.config import GPT2Config
from numpygpt.engine.cache import KVCache
from numpygpt.engine.forward import gpt2, pad_left
from numpygpt.engine.prompt_lookup import PromptLookup
from numpygpt.sampling import Sampling
from numpygpt.stream import CONTEXT_WINDOW, ENDED, MAX_LENGTH, MAX_NEW_TOKENS, Continuation


@dataclass(frozen=True)
class Limits:
    """What ends a sequence, besides the caller."""

    max_new_tokens: int
    max_length: int | None
    n_ctx: int
    ends: tuple[int, ...]  # the ids that end a text

    def check(self, continuation: Continuation) -> None:
        """End a continuation that has reached a limit."""
        length = len(continuation.prompt) + len(continuation.ids)
        if len(continuation.ids) >= self.max_new_tokens:
            continuation.finish_reason = MAX_NEW_TOKENS
        elif self.max_length is not None and length >= self.max_length:
            continuation.finish_reason = MAX_LENGTH
        elif length >= self.n_ctx:
            continuation.finish_reason = CONTEXT_WINDOW

    def add(self, continuation: Continuation, token_id: int) -> None:
        """Add a token to a continuation, or end it."""
        if token_id in self.ends:
            continuation.finish_reason = ENDED
        else:
            continuation.ids.append(token_id)
            self.check(continuation)


Rngs = Sequence[np.random.Generator]
# logits [n_sequence, n_vocab], the ids before them, how many of these are new, generators -> the next ids [n_sequence]
Choose = Callable[[Array, list[list[int]], list[int], Rngs], NDArray[np.intp]]


def generate(
    prompts: Sequence[Sequence[int]],
    params: Params,
    config: GPT2Config,
    *,
    max_new_tokens: int,
    min_new_tokens: int = 0,
    max_length: int | None = None,
    sampling: Sampling | None = None,
    num_return_sequences: int = 1,
    eos_token_id: int | Sequence[int] | None = None,
    n_vocab: int | None = None,
    suppress_tokens: Sequence[int] = (),
    seed: int | np.random.Generator | None = None,
    prompt_lookup_num_tokens: int = 0,
) -> Iterator[list[Continuation]]:
    """Continue prompts token by token: yield the list of continuations at the start and after every step.

    Every prompt gets `num_return_sequences` continuations, side by side in the list, and is read once for all of them.
    A sequence ends with `eos_token_id` (one, or several), which is not among its ids and not chosen before there are
    `min_new_tokens`; after `max_new_tokens`; with `max_length` tokens, those of the prompt included; or when it fills
    the context window. Its `finish_reason` says which. A caller ends one early by setting its `finish_reason`.
    Ids from `n_vocab` on and `suppress_tokens` are never chosen: rows that only pad the embedding stand for no token.

    The same seed gives the same tokens, and a prompt the same whatever its neighbors in the batch: every sequence has
    a random generator of its own. Prompts of different lengths are aligned at their ends by padding.

    Greedy decoding of one sequence may guess up to `prompt_lookup_num_tokens` tokens ahead and check them in one pass.
    The ids are the same; `numpygpt.engine.prompt_lookup` says more.

    Raises ValueError for no prompt, an empty one, one that is longer than the context window, an id outside the
    vocabulary, a negative number, or several sequences where the choice is greedy and they would all be the same.
    """
    sampling = sampling or Sampling()
    counts = {
        "max_new_tokens": max_new_tokens,
        "min_new_tokens": min_new_tokens,
        "max_length": config.n_ctx + 1 if max_length is None else max_length,
        "num_return_sequences": num_return_sequences,
        "prompt_lookup_num_tokens": prompt_lookup_num_tokens,
    }
    _check(prompts, config, counts, sampling, seed)
    rngs = [generator(seed, number) for _ in prompts for number in range(num_return_sequences)]
    model: Callable[..., Array] = partial(gpt2, **params, config=config)
    new_cache: Callable[..., KVCache] = partial(KVCache, config, dtype=params["wte"]["weight"].dtype)
    ends = () if eos_token_id is None else tuple(np.atleast_1d(eos_token_id).tolist())
    limits = Limits(max_new_tokens, max_length, config.n_ctx, ends)

    def choose(logits: Array, previous_ids: list[list[int]], n_new: list[int], rngs: Rngs) -> NDArray[np.intp]:
        logits = logits[:, :n_vocab]
        if len(suppress_tokens) or min(n_new) < min_new_tokens:
            early = [i for i, n in enumerate(n_new) if n < min_new_tokens]
            logits = logits.copy()
            logits[:, [token_id for token_id in suppress_tokens if token_id < logits.shape[1]]] = -np.inf
            logits[np.ix_(early, [end for end in ends if end < logits.shape[1]])] = -np.inf
        return sampling.choose(logits, previous_ids, rngs)

    if prompt_lookup_num_tokens and sampling.is_greedy and len(prompts) == 1:
        lookup = PromptLookup(prompts[0], min(prompt_lookup_num_tokens, config.n_ctx))
        return _decode_with_lookup(prompts[0], lookup, model, new_cache, choose, limits)
    return _decode(prompts, num_return_sequences, model, new_cache, choose, limits, rngs)


def generator(seed: int | np.random.Generator | None, number: int) -> np.random.Generator:
    """Make the random generator of a prompt's continuation: `number` counts those of one prompt.

    A generator that is given instead of a seed serves all sequences in turn.
    """
    return np.random.default_rng([seed, number] if isinstance(seed, int) and number else seed)


def _decode(
    prompts: Sequence[Sequence[int]],
    num_return_sequences: int,
    model: Callable[..., Array],
    new_cache: Callable[..., KVCache],
    choose: Choose,
    limits: Limits,
    rngs: Rngs,
) -> Iterator[list[Continuation]]:
    ids, n_pad = pad_left(prompts)  # [batch, n_seq], [batch]
    n_ctx = int(n_pad.max()) + min(limits.n_ctx, ids.shape[1] + limits.max_new_tokens)
    cache = new_cache(batch_shape=(len(prompts),), n_ctx=n_ctx)
    continuations = [Continuation(list(prompt)) for prompt in prompts for _ in range(num_return_sequences)]
    for continuation in continuations:
        limits.check(continuation)
    active = continuations
    rows = np.repeat(np.arange(len(prompts)), num_return_sequences)  # where in the batch each stands: at its prompt
    while True:
        yield continuations
        going_on = [i for i, continuation in enumerate(active) if continuation.finish_reason is None]
        if not going_on:
            return
        active, rows, rngs = [active[i] for i in going_on], rows[going_on], [rngs[i] for i in going_on]
        if cache.n_seq:  # the prompts have been read
            ids = ids[going_on]
            if not np.array_equal(rows, np.arange(len(n_pad))):
                cache.select(rows)
                n_pad = n_pad[rows]
            rows = np.arange(len(active))
        logits = model(ids, cache=cache, n_pad=n_pad if n_pad.any() else None, logits_to_keep=1)
        previous_ids = [continuation.prompt + continuation.ids for continuation in active]
        n_new = [len(continuation.ids) for continuation in active]
        chosen = choose(logits[rows, -1], previous_ids, n_new, rngs)  # [len(active)]
        for continuation, token_id in zip(active, chosen.tolist(), strict=True):
            limits.add(continuation, token_id)
        ids = chosen[:, None]  # [len(active), 1]


def _decode_with_lookup(
    prompt: Sequence[int],
    lookup: PromptLookup,
    model: Callable[..., Array],
    new_cache: Callable[..., KVCache],
    choose: Choose,
    limits: Limits,
) -> Iterator[list[Continuation]]:
    cache = new_cache(n_ctx=min(limits.n_ctx, len(prompt) + limits.max_new_tokens))
    continuation = Continuation(list(prompt))
    limits.check(continuation)
    ids = list(prompt)  # what the cache does not hold yet
    chosen: list[int] = []  # by the model, and not yielded yet
    while True:
        yield [continuation]
        if continuation.finish_reason is not None:
            return
        if not chosen:
            guess = lookup.guess()[: cache.n_ctx - cache.n_seq - len(ids)]
            logits = model(ids + guess, cache=cache, logits_to_keep=len(guess) + 1)
            previous_ids = [lookup.ids + guess[:i] for i in range(len(guess) + 1)]
            chosen = choose(logits, previous_ids, [len(ids) - len(prompt) for ids in previous_ids], []).tolist()
            if guess:
                n_right = next((i for i, (a, b) in enumerate(zip(guess, chosen, strict=False)) if a != b), len(guess))
                lookup.learn(n_right)
                cache.truncate(cache.n_seq - len(guess) + n_right)
                chosen = chosen[: n_right + 1]
            ids = chosen[-1:]
        token_id = chosen.pop(0)
        lookup.append(token_id)
        limits.add(continuation, token_id)


def _check(
    prompts: Sequence[Sequence[int]],
    config: GPT2Config,
    counts: dict[str, int],
    sampling: Sampling,
    seed: int | np.random.Generator | None,
) -> None:
    if not prompts or not all(map(len, prompts)):
        raise ValueError("a prompt has no tokens; start an empty one from <|endoftext|>, as the model saw texts begin")
    longest = max(map(len, prompts))
    if longest > config.n_ctx:
        raise ValueError(
            f"the prompt has {longest} tokens, but the context window holds {config.n_ctx}, new text included; "
            "shorten the prompt"
        )
    for name, number in counts.items():
        minimum = int(name == "num_return_sequences")
        if not isinstance(number, (int, np.integer)) or number < minimum:
            raise ValueError(f"{name} must be a whole number of at least {minimum}, not {number}")
    if longest >= counts["max_length"]:
        raise ValueError(
            f"the prompt has {longest} tokens, but max_length, which counts them too, is {counts['max_length']}; "
            "make it larger, or give max_new_tokens instead"
        )
    if isinstance(seed, int) and seed < 0:
        raise ValueError(f"seed must be at least 0, not {seed}")
    if counts["num_return_sequences"] > 1 and sampling.is_greedy:
        raise ValueError(
            "greedy decoding gives the same text every time; for num_return_sequences above 1 choose a "
            "temperature, top_k or top_p"
        )
