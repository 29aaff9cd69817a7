"""How a mistake is written down, and how those of an exercise are found."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpygpt.course.exercises import EXERCISES
from numpygpt.course.learner import class_with

FILES = (
    "tokenizer",
    "tokenizer_train",
    "layers",
    "attention",
    "layers_mlp",
    "gpt2",
    "sampling",
    "generate",
    "cache",
    "loss",
    "backward",
    "backward_attention",
    "backward_loss",
    "optimizer",
    "transformer",
    "transformer_layers",
    "main",
)
KNOWN: dict[str, list[Mistake]] = {}


@dataclass(frozen=True)
class Mistake:
    """A wrong variant of an exercise: `hints` are a question first, then more."""

    exercise: str
    name: str
    function: Any
    hints: tuple[str, ...]


def mistake(exercise: str, question: str, more: str) -> Callable[[Any], Any]:
    """Write down the function below as a mistake of an exercise."""

    def register(function: Any) -> Any:
        name, implementation = function.__name__, function
        found = EXERCISES[exercise]
        if found.method:
            implementation = class_with(found, function)
        KNOWN.setdefault(exercise, []).append(Mistake(exercise, name, implementation, (question, more)))
        return function

    return register


def mistakes_of(exercise: str) -> list[Mistake]:
    """Return the known mistakes of an exercise."""
    for file in FILES:
        importlib.import_module(f"numpygpt.course.mistakes.{file}")
    return KNOWN.get(exercise, [])
