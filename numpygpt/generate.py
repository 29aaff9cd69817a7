"""The decode loop: from prompts to new tokens, one at a time, for several sequences at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from numpygpt.model import GPT2Config, KVCache, Params, gpt2, pad_left
from numpygpt.sampling import Sampling

# Why a sequence ended
END_OF_TEXT = "end of text"  # the model chose <|endoftext|>
STOP_STRING = "stop string"
MAX_NEW_TOKENS = "max_new_tokens"
CONTEXT_WINDOW = "context window"  # prompt and new tokens fill it


@dataclass
class Continuation:
    """What one prompt is continued with: `ids`, without the prompt's, and why it ended, or None so far."""

    prompt: list[int]
    ids: list[int] = field(default_factory=list)
    finish_reason: str | None = None


def generate(
    prompts: Sequence[Sequence[int]],
    params: Params,
    config: GPT2Config,
    *,
    max_new_tokens: int,
    sampling: Sampling | None = None,
    num_return_sequences: int = 1,
    eos_token_id: int | None = None,
    n_vocab: int | None = None,
    seed: int | np.random.Generator | None = None,
) -> Iterator[list[Continuation]]:
    """Continue prompts token by token: yield the list of continuations at the start and after every step.

    Every prompt gets `num_return_sequences` continuations, side by side in the list, and is read once for all of them.
    A sequence ends with `eos_token_id`, which is not among its ids, after `max_new_tokens`, or when it fills the
    context window; its `finish_reason` says which. A caller ends one early by setting its `finish_reason`.
    Ids from `n_vocab` on are never chosen: rows that only pad the embedding table stand for no token.

    The same seed gives the same tokens. Prompts of different lengths are aligned at their ends by padding.

    Raises ValueError for no prompt, an empty one, one that is longer than the context window, an id outside the
    vocabulary, a negative number, or several sequences where the choice is greedy and they would all be the same.
    """
    sampling = sampling or Sampling()
    _check(prompts, config, max_new_tokens, sampling, num_return_sequences, seed)
    rng = np.random.default_rng(seed)
    return _decode(prompts, params, config, max_new_tokens, sampling, num_return_sequences, eos_token_id, n_vocab, rng)


def _decode(
    prompts: Sequence[Sequence[int]],
    params: Params,
    config: GPT2Config,
    max_new_tokens: int,
    sampling: Sampling,
    num_return_sequences: int,
    eos_token_id: int | None,
    n_vocab: int | None,
    rng: np.random.Generator,
) -> Iterator[list[Continuation]]:
    ids, n_pad = pad_left(prompts)  # [batch, n_seq], [batch]
    n_ctx = int(n_pad.max()) + min(config.n_ctx, ids.shape[1] + max_new_tokens)
    cache = KVCache(config, (len(prompts),), n_ctx, dtype=params["wte"]["weight"].dtype)
    continuations = [Continuation(list(prompt)) for prompt in prompts for _ in range(num_return_sequences)]
    active = continuations
    rows = np.repeat(np.arange(len(prompts)), num_return_sequences)  # the row of the batch that each one continues
    while True:
        _end_at_limits(active, config, max_new_tokens)
        yield continuations
        going_on = [i for i, continuation in enumerate(active) if continuation.finish_reason is None]
        if not going_on:
            return
        active, rows = [active[i] for i in going_on], rows[going_on]
        if cache.n_seq:  # the prompts have been read
            ids = ids[going_on]
            if not np.array_equal(rows, np.arange(len(n_pad))):
                cache.select(rows)
                n_pad = n_pad[rows]
            rows = np.arange(len(active))
        logits = gpt2(ids, **params, config=config, cache=cache, n_pad=n_pad if n_pad.any() else None, logits_to_keep=1)
        previous_ids = [continuation.prompt + continuation.ids for continuation in active]
        chosen = sampling.choose(logits[rows, -1, :n_vocab], previous_ids, rng)  # [len(active)]
        for continuation, token_id in zip(active, chosen.tolist(), strict=True):
            if token_id == eos_token_id:
                continuation.finish_reason = END_OF_TEXT
            else:
                continuation.ids.append(token_id)
        ids = chosen[:, None]  # [len(active), 1]


def _end_at_limits(active: list[Continuation], config: GPT2Config, max_new_tokens: int) -> None:
    for continuation in active:
        if continuation.finish_reason is None:
            if len(continuation.ids) >= max_new_tokens:
                continuation.finish_reason = MAX_NEW_TOKENS
            elif len(continuation.prompt) + len(continuation.ids) >= config.n_ctx:
                continuation.finish_reason = CONTEXT_WINDOW


def _check(
    prompts: Sequence[Sequence[int]],
    config: GPT2Config,
    max_new_tokens: int,
    sampling: Sampling,
    num_return_sequences: int,
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
    numbers = ("max_new_tokens", max_new_tokens, 0), ("num_return_sequences", num_return_sequences, 1)
    for name, number, minimum in numbers:
        if not isinstance(number, (int, np.integer)) or number < minimum:
            raise ValueError(f"{name} must be a whole number of at least {minimum}, not {number}")
    if isinstance(seed, int) and seed < 0:
        raise ValueError(f"seed must be at least 0, not {seed}")
    if num_return_sequences > 1 and sampling.is_greedy:
        raise ValueError(
            "greedy decoding gives the same text every time; for num_return_sequences above 1 choose a "
            "temperature, top_k or top_p"
        )
