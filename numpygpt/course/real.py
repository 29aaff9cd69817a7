"""Stage 4: the book with the learner's function in it, as the real model."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from numpygpt.config import GPT2Config
from numpygpt.course import real_learning
from numpygpt.course.exercises import Exercise
from numpygpt.course.say import say
from numpygpt.course.swap import DiffersError as DiffersError
from numpygpt.course.swap import book, swapped, watched, write_protect
from numpygpt.models import checkpoint, names
from numpygpt.tokenizer import Tokenizer

PROMPT = "Once upon a time there was a"
SECONDS = 2.0  # after which a text in the making is long enough
NEW_TOKENS = 16
SAMPLED_TOKENS = 12
CUT = "right but slow: it was waited for, and the text is cut after new token {n}"


def show(exercise: Exercise, implementation: Any, remarks: list[str]) -> str:
    """Let the real model work with an implementation; return what it did, or "" where the model never called that.

    Raises DiffersError where it computes something else than the book.
    """
    counted, calls = watched(exercise, implementation)
    said = _scene(exercise, counted, remarks)
    if exercise.name == "causal_mask" and np.isneginf(implementation(2)).any():
        remarks.append(say("-inf hides a key as well as MASKED does; but softmax of a row of -inf alone is NaN"))
    return said if calls else ""


def _scene(exercise: Exercise, implementation: Any, remarks: list[str]) -> str:
    if exercise.module in ("backward.layers", "backward.loss", "optimizer"):
        return real_learning.train_two_steps(exercise, implementation)
    if exercise.module == "transformer" or exercise.name == "relu":
        from numpygpt.course import real_translation

        return real_translation.translate(exercise, implementation, remarks, SECONDS)
    by_module = {"tokenizer": _tokens, "loss": _loss, "sampling": _sampled, "cache": _cached, "main": _alone}
    return by_module.get(exercise.module, _model)(exercise, implementation, remarks)


@cache
def _stories() -> tuple[GPT2Config, Any, Tokenizer]:
    """The embedded model; no function can change its parameters, for every check uses them."""
    config, params, tokenizer = checkpoint.load(names.find_or_download("stories"))
    if tokenizer is None:
        raise ValueError(say("the embedded model has no tokenizer; install the package again"))
    write_protect(params)
    return config, params, tokenizer


def _equal(expected: Any, got: Any, what: str) -> None:
    expected, got = np.asarray(expected), np.asarray(got)
    if expected.shape != got.shape or not np.allclose(got, expected, atol=1e-2, rtol=1e-3):
        apart = np.abs(got - expected).max() if expected.shape == got.shape else np.inf
        raise DiffersError(say("{what} differ from the reference, by up to {apart:.3g}", what=what, apart=apart))


def _model(exercise: Exercise, implementation: Any, remarks: list[str]) -> str:
    """Compare the logits of the real model, then let it write."""
    config, params, tokenizer = _stories()
    ids = tokenizer.encode(PROMPT)
    logits = book("gpt2").gpt2(ids, **params, n_head=config.n_head)
    with swapped(exercise, implementation):
        start = time.perf_counter()
        short = ids[:4]
        mine = book("gpt2").gpt2(short, **params, n_head=config.n_head)
        _equal(logits[:4], mine, say("the model's logits"))
        slow = time.perf_counter() - start > SECONDS / 8
        text = _write(short if slow else ids, params, config.n_head, tokenizer, remarks)
    return say('the model writes: "{text}"', text=text)


def _write(ids: list[int], params: Any, n_head: int, tokenizer: Tokenizer, remarks: list[str]) -> str:
    start, end = time.perf_counter(), 0

    def model(so_far: list[int]) -> Any:
        return book("gpt2").gpt2(so_far, **params, n_head=n_head)

    new: Iterator[int] = book("generate").generate(
        ids, model, max_new_tokens=NEW_TOKENS, n_ctx=len(params["wpe"]["weight"])
    )
    so_far = list(ids)
    for token_id in new:
        so_far.append(token_id)
        end += 1
        if time.perf_counter() - start > SECONDS:
            break
    if end < NEW_TOKENS:
        remarks.append(say(CUT, n=end))
    return tokenizer.decode(so_far).replace("\n", " ")


def _tokens(exercise: Exercise, implementation: Any, remarks: list[str]) -> str:
    config, params, tokenizer = _stories()
    if exercise.name == "train":
        text = "the cat sat on the mat, and the cat ate the rat. " * 3
        merges, mine = Tokenizer.train(text, 280).merges, implementation.train(text, 280).merges
        if merges != mine:
            text = "the merges of a text should begin {expected}, and begin {got}"
            raise DiffersError(say(text, expected=merges[:5], got=mine[:5]))
        learned = " ".join(repr(b"".join(pair).decode()) for pair in mine[-5:])
        return say("the last tokens learned from a rhyme about a cat are {tokens}", tokens=learned)
    with swapped(exercise, implementation):
        own = book("tokenizer").Tokenizer(tokenizer.merges)
        ids = list(own.encode(PROMPT))
        if ids != tokenizer.encode(PROMPT):
            text, right = "the ids of {prompt!r} should be {expected}, and are {got}", tokenizer.encode(PROMPT)
            raise DiffersError(say(text, prompt=PROMPT, expected=right, got=ids))
        if (back := own.decode(ids)) != PROMPT:
            text = "decoding what was encoded should give {expected!r}, and gives {got!r}"
            raise DiffersError(say(text, expected=PROMPT, got=back))
        text = _write(ids, params, config.n_head, own, remarks)
    return say('the model reads {n} tokens and writes: "{text}"', n=len(ids), text=text)


def _loss(exercise: Exercise, implementation: Any, remarks: list[str]) -> str:
    config, params, tokenizer = _stories()
    text = "Once upon a time there was a little girl who lived in a wood."
    ids = np.array([tokenizer.eot_id, *tokenizer.encode(text)])

    def score() -> Any:
        loss = book("loss")
        losses = loss.cross_entropy(book("gpt2").gpt2(ids[:-1], **params, n_head=config.n_head), ids[1:])
        total = loss.TextLoss(float(np.sum(losses)), len(ids) - 1, len(text))
        return [total.loss, total.perplexity, total.bits_per_byte]

    expected = score()
    with swapped(exercise, implementation):
        got = score()
    _equal(expected, got, say("the losses of a text"))
    said = "the model reads a sentence: loss {loss:.3f}, perplexity {perplexity:.1f}, {bits:.2f} bits per byte"
    return say(said, loss=got[0], perplexity=got[1], bits=got[2])


def _sampled(exercise: Exercise, implementation: Any, remarks: list[str]) -> str:
    config, params, tokenizer = _stories()
    prompt = tokenizer.encode(PROMPT)
    sampling = book("sampling").Sampling(temperature=0.8, top_k=20, top_p=0.9, repetition_penalty=1.2)

    def model(ids: list[int]) -> Any:
        return book("gpt2").gpt2(ids, **params, n_head=config.n_head)

    def is_likely(ids: list[int], next_id: int) -> bool:
        return bool(sampling.filter(model(ids)[-1:], [ids])[0, next_id] > -np.inf)

    def write(seconds: float = np.inf) -> list[int]:
        options = {"max_new_tokens": SAMPLED_TOKENS, "n_ctx": config.n_ctx, "sampling": sampling, "seed": 1}
        start, new = time.perf_counter(), []
        for token_id in book("generate").generate(prompt, model, **options):
            new.append(token_id)
            if time.perf_counter() - start > seconds:
                break
        return new

    expected = write()
    with swapped(exercise, implementation):
        got = write(SECONDS)
    if len(got) < len(expected):
        remarks.append(say(CUT, n=len(got)))
    other_draws = exercise.name == "sample" and expected[: len(got)] != got
    if other_draws and all(is_likely([*prompt, *got[:i]], next_id) for i, next_id in enumerate(got)):
        remarks.append(say("other tokens than the reference draws from this seed, and right as well"))
    elif expected[: len(got)] != got or not got:
        text = "expected the text {expected!r}, got {got!r}"
        raise DiffersError(say(text, expected=tokenizer.decode(expected), got=tokenizer.decode(got)))
    return say('the model writes by chance: "{text}"', text=PROMPT + tokenizer.decode(got))


def _cached(exercise: Exercise, implementation: Any, remarks: list[str]) -> str:
    """Read a prompt at once, then token by token, with the keys and values that the learner keeps."""
    from numpygpt import layers

    config, params, tokenizer = _stories()
    ids, pasts = tokenizer.encode(PROMPT), [None] * config.n_layer
    n_prompt = len(ids)

    def step(new: list[int], start: int) -> Any:
        positions = np.arange(start, start + len(new))
        x = layers.token_embedding(new, **params["wte"]) + layers.positional_embedding(positions, **params["wpe"])
        for i, block in enumerate(params["h"]):
            normed = layers.layer_norm(x, **block["ln_1"])
            y, pasts[i] = implementation(normed, **block["attn"], n_head=config.n_head, past=pasts[i])
            x = x + y
            x = x + layers.mlp(layers.layer_norm(x, **block["ln_2"]), **block["mlp"])
        return layers.layer_norm(x[-1:], **params["ln_f"]) @ params["wte"]["weight"].T

    logits, begin = step(ids, 0), time.perf_counter()
    for _ in range(NEW_TOKENS):
        ids.append(int(logits[0].argmax()))
        logits = step(ids[-1:], len(ids) - 1)
        if time.perf_counter() - begin > SECONDS:
            remarks.append(say(CUT, n=len(ids) - n_prompt))
            break
    _equal(book("gpt2").gpt2(ids, **params, n_head=config.n_head)[-1:], logits, say("the logits after a cached text"))
    return say('the model reads one token at a time and writes: "{text}"', text=tokenizer.decode(ids))


def _alone(exercise: Exercise, implementation: Any, remarks: list[str]) -> str:
    from numpygpt.course.main import complete
    from numpygpt.course.weights import read_weights

    expected, got = (one(PROMPT, *read_weights(), max_new_tokens=8) for one in (complete, implementation))
    if expected != got:
        raise DiffersError(say("expected the text {expected!r}, got {got!r}", expected=expected, got=got))
    return say('the program writes: "{text}"', text=PROMPT + got)
