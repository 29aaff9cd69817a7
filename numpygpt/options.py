"""The options of `GPT2.generate`: their types, their defaults, and an answer to one that there is not."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from difflib import get_close_matches
from functools import wraps
from typing import Any, TypedDict, TypeVar, cast

import numpy as np

F = TypeVar("F", bound=Callable[..., Any])


class Options(TypedDict, total=False):
    """The options of one text, for those who check types. Names and meanings are those of `transformers`."""

    do_sample: bool | None
    temperature: float | None
    top_k: int | None
    top_p: float | None
    repetition_penalty: float
    stop_strings: str | Sequence[str]
    allowed_special: Collection[str]
    add_special_tokens: bool
    min_new_tokens: int
    max_length: int | None
    eos_token_id: int | Sequence[int] | None
    seed: int | np.random.Generator | None
    prompt_lookup_num_tokens: int


class Several(Options, total=False):
    """The same, for several texts at once."""

    num_return_sequences: int


DEFAULTS: dict[str, Any] = {
    "do_sample": None,
    "temperature": None,
    "top_k": None,
    "top_p": None,
    "repetition_penalty": 1.0,
    "stop_strings": (),
    "allowed_special": (),
    "add_special_tokens": True,
    "min_new_tokens": 0,
    "max_length": None,
    "eos_token_id": None,
    "seed": None,
    "prompt_lookup_num_tokens": 0,
    "num_return_sequences": 1,
}


def with_options(method: F) -> F:
    """Let a method that takes `**options` show them in its signature, and answer an unknown one with the nearest.

    >>> @with_options
    ... def generate(prompt, **options): ...
    >>> generate("Once", tempreature=5)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    TypeError: there is no option 'tempreature'; did you mean 'temperature'? There are do_sample, temperature, ...
    """
    signature = inspect.signature(method)
    own = [parameter for parameter in signature.parameters.values() if parameter.kind != parameter.VAR_KEYWORD]
    options = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=DEFAULTS[name]) for name in DEFAULTS]
    known = {parameter.name for parameter in own} | DEFAULTS.keys()

    @wraps(method)
    def checked(*args: Any, **given: Any) -> Any:
        for name in given.keys() - known:
            near = get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise TypeError(f"there is no option {name!r}{hint} There are {', '.join(DEFAULTS)}")
        return method(*args, **given)

    checked.__signature__ = signature.replace(parameters=[*own, *options])  # type: ignore[attr-defined]
    return cast(F, checked)
