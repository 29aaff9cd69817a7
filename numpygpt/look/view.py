"""A prompt as the page shows it: one run of the model by `trace`, as a tree that JSON can hold."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from numpygpt.arrays import Array, Ids, Params, flatten
from numpygpt.config import GPT2Config
from numpygpt.engine.threads import WORTHWHILE, blas
from numpygpt.look import inside, tokens
from numpygpt.look.packing import pack
from numpygpt.look.say import say
from numpygpt.tokenizer import Tokenizer
from numpygpt.trace import Hook

PATTERN_BYTES = 9_000_000  # of all attention patterns together: 12 MB of text
LONGEST = 256  # tokens, that a page is still at ease with
LOGITS = 2**20  # numbers that are kept; of a large vocabulary, those of the last positions


class Model(Protocol):
    """What the page needs of a model: `GPT2` has it."""

    name: str | None
    config: GPT2Config
    params: Params

    @property
    def tokenizer(self) -> Tokenizer: ...
    def trace(self, ids: ArrayLike, hook: Hook | None = None) -> dict[str, Array]: ...


def view(model: Model, text: str, hook: Hook | None = None) -> dict[str, Any]:
    """Run a model on a text and return what the page shows of it; `hook` sees every array, as in `trace`.

    Raises ValueError for an empty text, for one that is too long for the model or for a page, and where the logits
    are not finite.
    """
    config, params, tokenizer = model.config, model.params, model.tokenizer
    ids = check_ids(model, tokenizer.encode(text))
    with threads_that_pay(config):
        kept = model.trace(ids, hook)
        logits = available(kept["logits"], tokenizer)
        n_kept = max(1, LOGITS // logits.shape[-1])
        return {
            "text": text,
            "ids": ids.tolist(),
            "words": tokens.merges(tokenizer, text, ids.tolist()),
            "neighbors": tokens.neighbors(ids.tolist(), params["wte"]["weight"]),
            "attention": inside.attention(kept, ids, config),
            "stream": inside.stream(kept, logits.argmax(axis=-1), params, config),
            "lens": inside.lens(kept, params, config),
            "neurons": inside.neurons(kept, params, config),
            "logits": pack(logits[-n_kept:], "float32"),
        }


def facts(model: Model) -> dict[str, Any]:
    """Return what is true of a model whatever the prompt: its shape, and how its tokens are written."""
    config = model.config
    shape = {name: getattr(config, name) for name in ("n_layer", "n_head", "n_embd", "n_ctx")}
    return {
        "name": model.name or "GPT-2",
        "n_params": sum(tensor.size for tensor in flatten(model.params).values()),
        "longest": longest(config),
        "vocabulary": tokens.vocabulary(model.tokenizer, config.vocab_size),
    } | shape


def longest(config: GPT2Config) -> int:
    """Return how many tokens a page of this model can show."""
    return min(config.n_ctx, LONGEST, math.isqrt(PATTERN_BYTES // (config.n_layer * config.n_head)))


def check_ids(model: Model, ids: list[int]) -> Ids:
    """Return ids as an array, if there are any, and no more than a page shows."""
    if not ids:
        raise ValueError(say("the text is empty; give one with at least one token"))
    if len(ids) > (most := longest(model.config)):
        text = "the text has {n} tokens, and a page of this model shows at most {most} of them; shorten it"
        raise ValueError(say(text, n=len(ids), most=most))
    return model.config.check_ids(ids)


def available(logits: Array, tokenizer: Tokenizer) -> Array:
    """Return the logits of the ids that stand for a token, those of the others -inf: what the model may choose from.

    Raises ValueError where they are no numbers.
    """
    if not np.isfinite(logits).all():
        raise ValueError(say("the logits are not finite numbers; the model's weights are damaged"))
    logits = logits[..., : tokenizer.n_vocab].copy()
    logits[..., [token_id for token_id in tokenizer.unused_ids if token_id < logits.shape[-1]]] = -np.inf
    return logits


@contextmanager
def threads_that_pay(config: GPT2Config) -> Iterator[None]:
    """Keep BLAS on one thread for a small model, whose products are done before a second thread has woken up."""
    if 4 * config.n_embd**2 >= WORTHWHILE:
        yield
    else:
        with blas().limit(limits=1):
            yield
