"""Mistakes in `generate.py`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from numpygpt.course.mistakes.registry import mistake
from numpygpt.generate import generate
from numpygpt.sampling import Sampling


@mistake("generate", "Is the prompt yielded too?", "Yield the new tokens alone.")
def prompt_yielded(prompt: Any, model: Any, **options: Any) -> Any:
    yield from prompt
    yield from generate(prompt, model, **options)


@mistake("generate", "Is the end token part of the text?", "Return before it is yielded.")
def end_yielded(prompt: Any, model: Any, *, eos_token_id: Any = None, **options: Any) -> Any:
    for token_id in generate(prompt, model, **options):
        yield token_id
        if token_id == eos_token_id:
            return


@mistake("generate", "What ends the text?", "The loop ends when the model chooses eos_token_id.")
def end_ignored(prompt: Any, model: Any, *, eos_token_id: Any = None, **options: Any) -> Any:
    yield from generate(prompt, model, **options)


@mistake(
    "generate", "How long may prompt and text be together?", "At most n_ctx: min(max_new_tokens, n_ctx - len(prompt))."
)
def window_ignored(prompt: Any, model: Any, *, n_ctx: int, **options: Any) -> Any:
    yield from generate(prompt, model, n_ctx=10**6, **options)


@mistake(
    "generate", "What does the model read next?", "The prompt *and* what was chosen: append each token to the ids."
)
def not_appended(prompt: Any, model: Any, *, max_new_tokens: int, n_ctx: int, **options: Any) -> Any:
    for _ in range(min(max_new_tokens, n_ctx - len(prompt))):
        new = list(generate(prompt, model, max_new_tokens=1, n_ctx=n_ctx, **options))
        if not new:
            return
        yield from new


@mistake("generate", "Which ids may be chosen?", "Those below n_vocab: cut the logits there.")
def vocabulary_ignored(prompt: Any, model: Any, *, n_vocab: Any = None, **options: Any) -> Any:
    yield from generate(prompt, model, **options)


@mistake("generate", "How many tokens are wanted?", "At most max_new_tokens: count those that are yielded.")
def length_ignored(prompt: Any, model: Any, *, max_new_tokens: int, n_ctx: int, **options: Any) -> Any:
    yield from generate(prompt, model, max_new_tokens=n_ctx, n_ctx=n_ctx, **options)


@mistake("generate", "Who chooses the token?", "`sampling.choose`, from the last logits, the ids so far and rng.")
def always_the_likeliest(
    prompt: Any, model: Any, *, sampling: Any = None, seed: Any = None, **options: Any
) -> Iterator[int]:
    yield from generate(prompt, model, **options)


@mistake("generate", "Is chance begun anew for every token?", "Make one generator before the loop, from the seed.")
def seeded_each_time(
    prompt: Any, model: Any, *, sampling: Any = None, seed: Any = None, **options: Any
) -> Iterator[int]:
    class Anew:
        def choose(self, logits: Any, ids: Any, rngs: Any) -> Any:
            return chosen.choose(logits, ids, [np.random.default_rng(seed)])

    chosen: Any = sampling or Sampling()
    yield from generate(prompt, model, sampling=Anew(), seed=seed, **options)  # type: ignore[arg-type]


@mistake("generate", "Does chance come from the seed?", "Make the generator of it: np.random.default_rng(seed).")
def seed_ignored(prompt: Any, model: Any, *, seed: Any = None, **options: Any) -> Iterator[int]:
    yield from generate(prompt, model, **options)


@mistake(
    "generate", "Does another seed give another text?", "Make the generator of `seed`, not of a number of your own."
)
def always_the_same_seed(prompt: Any, model: Any, *, seed: Any = None, **options: Any) -> Iterator[int]:
    yield from generate(prompt, model, seed=0, **options)


def _reading(prompt: Any, model: Any, seen: Any, options: Any) -> Iterator[int]:
    """Let `sampling` see other ids than those so far: seen(ids)."""
    chosen: Any = options.pop("sampling", Sampling())

    class Seen:
        def choose(self, logits: Any, ids: Any, rngs: Any) -> Any:
            return chosen.choose(logits, [seen(ids[0])], rngs)

    yield from generate(prompt, model, sampling=Seen(), **options)  # type: ignore[arg-type]


@mistake("generate", "Which tokens occurred already?", "All ids so far, the new ones too: not the prompt's alone.")
def prompt_alone_penalized(prompt: Any, model: Any, **options: Any) -> Iterator[int]:
    yield from _reading(prompt, model, lambda ids: ids[: len(prompt)], options)


@mistake("generate", "Which tokens occurred already?", "All ids so far, and the prompt's among them.")
def prompt_not_penalized(prompt: Any, model: Any, **options: Any) -> Iterator[int]:
    yield from _reading(prompt, model, lambda ids: ids[len(prompt) :], options)


@mistake("generate", "What does the model read?", "All ids so far: the last one alone says little.")
def last_token_alone(prompt: Any, model: Any, **options: Any) -> Iterator[int]:
    yield from generate(prompt, lambda ids: model(ids[-1:]), **options)


@mistake("generate", "Which position predicts a new token?", "The last one: model(ids)[-1].")
def first_position(prompt: Any, model: Any, **options: Any) -> Iterator[int]:
    yield from generate(prompt, lambda ids: model(ids)[:1], **options)


@mistake("generate", "How many tokens fit into the window?", "n_ctx of them, not one less.")
def window_too_small(prompt: Any, model: Any, *, n_ctx: int, **options: Any) -> Iterator[int]:
    yield from generate(prompt, model, n_ctx=n_ctx - 1, **options)


@mistake("generate", "What if the prompt fills the window?", "Nothing is yielded: look before the model is asked.")
def one_at_least(prompt: Any, model: Any, *, n_ctx: int, **options: Any) -> Iterator[int]:
    yield from generate(prompt, model, n_ctx=max(n_ctx, len(prompt) + 1), **options)


@mistake("generate", "Is the prompt in the window?", "It is: n_ctx is for prompt and new tokens together.")
def prompt_beside_the_window(prompt: Any, model: Any, *, n_ctx: int, **options: Any) -> Iterator[int]:
    yield from generate(prompt, model, n_ctx=n_ctx + len(prompt), **options)


@mistake("generate", "May the end token be 0?", "Compare with eos_token_id as it is: `if eos_token_id` is false for 0.")
def zero_is_no_end(prompt: Any, model: Any, *, eos_token_id: Any = None, **options: Any) -> Iterator[int]:
    yield from generate(prompt, model, eos_token_id=eos_token_id or None, **options)
