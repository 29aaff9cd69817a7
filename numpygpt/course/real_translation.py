"""Stage 4 of the original Transformer: the embedded translator if it is there, a small random model if it is not."""

from __future__ import annotations

import time
from functools import cache
from typing import Any

import numpy as np

from numpygpt.arrays import Params
from numpygpt.course.exercises import Exercise
from numpygpt.course.say import say
from numpygpt.course.swap import DiffersError, book, swapped, write_protect
from numpygpt.models import marian
from numpygpt.models.names import find_embedded
from numpygpt.tokenizer import Tokenizer
from numpygpt.transformer_config import TransformerConfig, initialize

TEXT = "Where is the station?"
NEW_TOKENS = 12


@cache
def _translator() -> tuple[TransformerConfig, Params, Tokenizer | None]:
    """The embedded translator, or a random model without a tokenizer; no function can change its parameters."""
    folder, tokenizer = find_embedded("english-french"), None
    if folder is not None and folder.is_dir():
        config, params = marian.load(folder)
        tokenizer = marian.load_tokenizer(folder, config)
    else:
        config = TransformerConfig(vocab_size=50, d_model=32, max_position_embeddings=32)
        params = initialize(config, seed=0)
    write_protect(params)
    return config, params, tokenizer


def translate(exercise: Exercise, implementation: Any, remarks: list[str], seconds: float) -> str:
    """Compare the logits of a translation with an implementation in the book; return the translation.

    What takes longer than `seconds` is cut after a word, which becomes a remark.
    """
    config, params, tokenizer = _translator()
    source = [5, 8, 13, 21, config.eos_token_id] if tokenizer is None else tokenizer.encode(TEXT)  # with its end

    def step(target: list[int]) -> Any:
        heads, pad = config.encoder_attention_heads, config.pad_token_id
        return np.asarray(book("transformer").transformer(source, target, **params, n_head=heads, pad_token_id=pad))

    def write(n_new: int, patience: float = np.inf) -> tuple[list[int], Any]:
        target, start = [config.decoder_start_token_id], time.perf_counter()
        logits = step(target)
        while len(target) <= n_new and target[-1] != config.eos_token_id:
            if len(target) > 1 and time.perf_counter() - start > patience:
                break
            allowed = logits[-1].copy()
            allowed[config.pad_token_id] = -np.inf
            target.append(int(allowed.argmax()))
            logits = step(target)
        return target, logits

    with swapped(exercise, implementation):
        got = write(NEW_TOKENS, seconds)
    if len(got[0]) <= NEW_TOKENS and got[0][-1] != config.eos_token_id:
        text = "right but slow: it was waited for, and the text is cut after new token {n}"
        remarks.append(say(text, n=len(got[0]) - 1))
    expected = write(len(got[0]) - 1)
    if expected[0] != got[0] or not np.allclose(expected[1], got[1], rtol=1e-3, atol=1e-2):
        raise DiffersError(say("the logits of the encoder-decoder differ from the reference"))
    if tokenizer is None:
        return say("a small random encoder-decoder gives the reference's logits")
    french = tokenizer.decode([i for i in got[0][1:] if i != config.eos_token_id]).strip()
    return say('the translator makes of "{text}": "{french}"', text=TEXT, french=french)
