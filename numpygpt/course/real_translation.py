"""Stage 4 of the original Transformer: the embedded translator if it is there, a small random model if it is not."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from numpygpt.course.exercises import Exercise
from numpygpt.course.say import say
from numpygpt.course.swap import DiffersError, book, swapped
from numpygpt.models import marian
from numpygpt.models.names import find_embedded
from numpygpt.tokenizer import Tokenizer
from numpygpt.transformer_config import TransformerConfig, initialize

TEXT = "Where is the station?"
NEW_TOKENS = 12


def translate(exercise: Exercise, implementation: Any, remarks: list[str], seconds: float) -> str:
    """Compare the logits of a translation with an implementation in the book; return the translation.

    What takes longer than `seconds` is cut after a word, which becomes a remark.
    """
    folder = find_embedded("english-french")
    tokenizer: Tokenizer | None = None
    if folder is not None and folder.is_dir():
        config, params = marian.load(folder)
        tokenizer = marian.load_tokenizer(folder, config)
        assert tokenizer is not None
        source = tokenizer.encode(TEXT)  # with its end
    else:
        config = TransformerConfig(vocab_size=50, d_model=32, max_position_embeddings=32)
        params, source = initialize(config, seed=0), [5, 8, 13, 21, config.eos_token_id]

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
