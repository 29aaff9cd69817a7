"""What `GPT2` and `Translator` want of the engine, done by the book: the package works without it, slowly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from numpygpt import generate as book
from numpygpt.arrays import Array, Params
from numpygpt.beam_search import beam_search
from numpygpt.config import GPT2Config
from numpygpt.gpt2 import gpt2 as book_gpt2
from numpygpt.layers import softmax
from numpygpt.stream import CONTEXT_WINDOW, ENDED, MAX_LENGTH, MAX_NEW_TOKENS, Continuation
from numpygpt.tokenizer import Tokenizer as Tokenizer
from numpygpt.transformer import transformer as book_transformer
from numpygpt.transformer_config import TransformerConfig

KVCache = pad_left = None  # only the engine has a cache, and batches of different lengths


def gpt2(ids: ArrayLike, *, config: GPT2Config, logits_to_keep: int | None = None, **params: Any) -> Array:
    """Return the last logits of the book's `gpt2`: ids [..., n_seq] -> [..., logits_to_keep, n_vocab]."""
    logits = book_gpt2(config.check_ids(ids), **params, n_head=config.n_head)
    return logits[..., -(logits_to_keep or 0) :, :]


def generate(
    prompts: Sequence[Sequence[int]],
    params: Params,
    config: GPT2Config,
    *,
    max_new_tokens: int,
    min_new_tokens: int = 0,
    max_length: int | None = None,
    num_return_sequences: int = 1,
    eos_token_id: int | Sequence[int] | None = None,
    suppress_tokens: Sequence[int] = (),
    seed: int | np.random.Generator | None = None,
    prompt_lookup_num_tokens: int = 0,
    **options: Any,
) -> Iterator[list[Continuation]]:
    """Continue prompts as the engine's `generate` does, by a decode loop for each."""
    ends = [] if eos_token_id is None else np.atleast_1d(eos_token_id).tolist()
    n_ctx = min(config.n_ctx, max_length or config.n_ctx)

    def start(prompt: list[int], number: int) -> Iterator[int]:
        def model(ids: list[int]) -> Array:
            logits = gpt2(ids, config=config, **params)
            logits[-1, [*suppress_tokens, *(ends if len(ids) - len(prompt) < min_new_tokens else [])]] = -np.inf
            return logits

        own_seed = [seed, number] if isinstance(seed, int) and number else seed
        return book.generate(prompt, model, max_new_tokens=max_new_tokens, n_ctx=n_ctx, seed=own_seed, **options)

    texts = [Continuation(list(prompt)) for prompt in prompts for _ in range(num_return_sequences)]
    loops = [start(text.prompt, i % num_return_sequences) for i, text in enumerate(texts)]
    yield texts
    while going_on := [i for i, text in enumerate(texts) if text.finish_reason is None]:
        for i in going_on:
            text, token_id = texts[i], next(loops[i], None)
            if token_id in ends:
                text.finish_reason = ENDED
            elif token_id is not None:
                text.ids.append(token_id)
            elif len(text.ids) == max_new_tokens:
                text.finish_reason = MAX_NEW_TOKENS
            else:
                text.finish_reason = CONTEXT_WINDOW if n_ctx == config.n_ctx else MAX_LENGTH
        yield texts


def transformer(source_ids: ArrayLike, target_ids: ArrayLike, params: Params, config: TransformerConfig) -> Array:
    """Return the logits of the book's `transformer`: -> [..., n_target, n_vocab]."""
    source, target = config.check_ids(source_ids, "the source"), config.check_ids(target_ids, "the target")
    heads, pad = config.encoder_attention_heads, config.pad_token_id
    return book_transformer(source, target, **params, n_head=heads, pad_token_id=pad)


def translate(
    sources: Sequence[Sequence[int]],
    params: Params,
    config: TransformerConfig,
    *,
    num_beams: int = 1,
    length_penalty: float = 1.0,
    max_length: int | None = None,
) -> list[list[int]]:
    """Translate as the engine's `translate` does, reading everything anew for each token."""
    longest = config.max_position_embeddings

    def one(source: Sequence[int]) -> list[int]:
        def model(beams: list[list[int]]) -> Array:
            targets = [[config.decoder_start_token_id, *ids] for ids in beams]
            log_probabilities = np.log(
                softmax(transformer([list(source)] * len(beams), targets, params, config)[:, -1])
            )
            log_probabilities[:, config.pad_token_id] = -np.inf
            return log_probabilities

        return beam_search(
            model,
            num_beams=num_beams,
            eos_token_id=config.eos_token_id,
            max_new_tokens=min(max_length or longest, longest) - 1,
            length_penalty=length_penalty,
        )

    return [one(source) for source in sources]


def cross_attention(
    source: Sequence[int], target: Sequence[int], params: Params, config: TransformerConfig
) -> list[Array]:
    """Refuse: the book's attention keeps no weights."""
    raise ValueError("the picture of attention needs the folder numpygpt/engine")
