"""The exercises, in the order of the tutorials: every public function of the book, and the cache of page 7."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from difflib import get_close_matches
from types import ModuleType
from typing import Any

from numpygpt.course.say import say


@dataclass(frozen=True)
class Exercise:
    """One function to write: its name in the course, the module it stands in, and the page that explains it."""

    name: str  # "softmax", or with its module where the book has two of a name: "backward.softmax"
    module: str  # of the learner's folder: "layers", "backward.layers"
    attribute: str  # in the module: "softmax", or "Tokenizer.encode" for a method
    page: int | str  # of the tutorials: a number, or POSITIONS
    minutes: int

    @property
    def place(self) -> str:
        """Say which page explains it."""
        if self.page == POSITIONS:
            return say("the tutorials' appendix on positions")
        return say("page {page} of the tutorials", page=self.page)

    @property
    def file(self) -> str:
        """The learner's file, from the folder on."""
        return self.module.replace(".", "/") + ".py"

    @property
    def owner(self) -> str:
        """The function's own name, or that of the class whose method it is: what is swapped into the model."""
        return self.attribute.split(".")[0]

    @property
    def method(self) -> str:
        """The method's name, or "" for a function."""
        return self.attribute.partition(".")[2]

    def book_module(self) -> ModuleType:
        """Return the module of the book that holds the solution."""
        return importlib.import_module(SOURCES[self.module])

    def book(self) -> Any:
        """Return the book's own function, or class for a method."""
        return getattr(self.book_module(), self.owner)


SOURCES = {  # the learner's modules, and where their stubs and solutions come from
    "tokenizer": "numpygpt.tokenizer",
    "layers": "numpygpt.layers",
    "gpt2": "numpygpt.gpt2",
    "sampling": "numpygpt.sampling",
    "generate": "numpygpt.generate",
    "cache": "numpygpt.course.cache",
    "loss": "numpygpt.loss",
    "backward.layers": "numpygpt.backward.layers",
    "backward.loss": "numpygpt.backward.loss",
    "optimizer": "numpygpt.optimizer",
    "transformer": "numpygpt.transformer",
    "main": "numpygpt.course.main",
}

_PLAN = """
1  tokenizer       join 10, Tokenizer.merge_steps 15, Tokenizer.encode 20, Tokenizer.decode 10, Tokenizer.train 30
2  layers          token_embedding 5, positional_embedding 5
3  layers          linear 5, softmax 10, causal_mask 10, attention 15, split_heads 15, merge_heads 10
3  layers          multi_head_attention 20
4  layers          layer_norm 10, gelu 5, mlp 5
4  gpt2            transformer_block 10
5  gpt2            gpt2 15
6  generate        generate 20
6  sampling        apply_temperature 5, apply_top_k 10, apply_top_p 20, apply_repetition_penalty 15, sample 15
6  main            complete 20
7  cache           cached_attention 25
8  loss            cross_entropy 15, TextLoss.loss 5, TextLoss.perplexity 5, TextLoss.bits_per_byte 5
9  backward.layers linear 15, relu 5, gelu 15, softmax 20, layer_norm 30, token_embedding 10, positional_embedding 10
9  backward.layers attention 30
9  backward.loss   cross_entropy 20
9  optimizer       learning_rate 10, global_norm 5, clip_gradients 5, AdamW.update 20
appendix transformer sinusoidal_encoding 15
11 layers          relu 5
11 transformer     sines_first 5, padding_mask 10, embed 10, multi_head_attention 15, feed_forward 5
11 transformer     encoder_layer 10, decoder_layer 15, transformer 20
"""

POSITIONS = "appendix"  # the page in the place of a number
NAMED: dict[int | str, tuple[str, ...]] = {  # by a page: the exercises that the page names at its end
    1: ("join", "encode", "train"),
    2: ("token_embedding", "positional_embedding"),
    3: ("softmax", "attention", "multi_head_attention"),
    4: ("layer_norm", "gelu", "transformer_block"),
    5: ("gpt2",),
    6: ("generate", "apply_top_k", "apply_top_p"),
    7: ("cached_attention",),
    8: ("cross_entropy", "perplexity", "bits_per_byte"),
    9: ("backward.softmax", "backward.layer_norm", "update"),
    11: ("padding_mask", "decoder_layer", "transformer"),
    POSITIONS: ("sinusoidal_encoding",),
}


FILES: dict[int | str, str] = {  # by a page: its file
    1: "01-text-becomes-numbers",
    2: "02-numbers-become-vectors",
    3: "03-attention",
    4: "04-the-rest-of-the-block",
    5: "05-the-whole-model",
    6: "06-from-logits-to-text",
    7: "07-fast-decoding",
    8: "08-how-good-is-it",
    9: "09-learning",
    11: "11-the-original-transformer",
    POSITIONS: "appendix-positions",
}


def page_file(page: int | str) -> str:
    """Return where a page lies, in the language spoken."""
    return say("tutorials/{name}.md", name=FILES[page])


def section(page: int | str) -> str:
    """Return what a page says of its exercises, as Markdown."""
    names = NAMED[page]
    others = [name for name, exercise in EXERCISES.items() if exercise.page == page and name not in names]
    listed = ", ".join(f"`{name}`" for name in names)
    functions = "function" if len(others) == 1 else "functions"
    more = f" and {len(others)} more {functions} of this page" if others else ""
    one = len(names) == 1 and not others
    return (
        "## Write it yourself\n\n"
        f"[The course](README.md#the-course) has {'an empty version' if one else 'empty versions'} of {listed}{more}:\n"
        f"fill {'it' if one else 'them'} in, and let `check` test {'it' if one else 'them'}.\n\n"
        "```text\npython -m numpygpt.course start my-gpt2\n"
        f"python -m numpygpt.course check my-gpt2 {' '.join(names)}\n```\n"
    )


def _plan() -> list[Exercise]:
    exercises: list[Exercise] = []
    for line in _PLAN.strip().splitlines():
        page, module, functions = line.split(maxsplit=2)
        for function in functions.split(", "):
            attribute, minutes = function.split()
            name = attribute.rpartition(".")[2]
            if module.startswith("backward") or (module, name) == ("transformer", "multi_head_attention"):
                name = f"{module.split('.')[0]}.{name}"
            exercises.append(Exercise(name, module, attribute, page if page == POSITIONS else int(page), int(minutes)))
    return exercises


EXERCISES = {exercise.name: exercise for exercise in _plan()}


def find(name: str) -> Exercise:
    """Return the exercise of a name, which may be written with its module or class: "layers.softmax".

    Raises ValueError where there is none, with the names that are near.
    """
    known = {exercise.name: exercise for exercise in EXERCISES.values()}
    for exercise in EXERCISES.values():
        known.setdefault(exercise.attribute, exercise)
        known.setdefault(f"{exercise.module}.{exercise.attribute}", exercise)
    if name in known:
        return known[name]
    near = dict.fromkeys(known[word].name for word in get_close_matches(name.lower(), known, n=3, cutoff=0.65))
    if near:
        text = "no exercise is called {name!r}; did you mean {names}?"
        raise ValueError(say(text, name=name, names=say(" or ").join(near)))
    raise ValueError(say("no exercise is called {name!r}; they are {all}", name=name, all=", ".join(EXERCISES)))
