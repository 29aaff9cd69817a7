"""Two hops: until which block must the later tokens see who took the thing, and until which where he went?"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from numpygpt import GPT2, softmax
from numpygpt.arrays import Array
from numpygpt.questions import prompt_ids
from tutorials.figures import BLUE, ORANGE

PEOPLE, THINGS = ("Mary", "John", "Sandra", "Daniel"), ("football",)
PLACES = ("kitchen", "garden", "office", "bedroom", "hallway", "bathroom")
HIDDEN = {"who took it": 1, "where that person went": 2}  # the second and the third sentence


def stories() -> list[tuple[list[str], str, str]]:
    """Return stories of four sentences, questions and answers: every word is one token, so all are equally long."""
    found = []
    for number, (first, second, thing) in enumerate(product(PEOPLE, PEOPLE, THINGS)):
        if first != second:
            places = [PLACES[(number + shift) % len(PLACES)] for shift in (0, 1, 3)]
            told = [f"{second} went to the {places[0]}.", f"{first} took the {thing}."]
            told += [f"{first} went to the {places[1]}.", f"{second} moved to the {places[2]}."]
            found.append((told, f"Where is the {thing}?", places[1]))
    return found


def data() -> dict[str, Any]:
    """Return the mean probability of the right answer, a sentence hidden in the blocks from one on."""
    model = GPT2.from_pretrained("questions")
    told = stories()
    ids = np.array([prompt_ids(sentences, question, model.tokenizer) for sentences, question, _ in told])
    answers = np.array([model.tokenizer.encode(" " + answer)[0] for _, _, answer in told])
    lengths = [len(model.tokenizer.encode(" " + sentence)) for sentence in told[0][0]]
    ends = np.cumsum([1, *lengths])
    found: dict[str, Any] = {"block": list(range(model.config.n_layer + 1))}
    for name, sentence in HIDDEN.items():
        start, end = ends[sentence], ends[sentence + 1]
        found[name] = []
        for first_block in found["block"]:
            names = {f"h.{block}.attn.probabilities" for block in range(first_block, model.config.n_layer)}

            def hook(
                name: str, array: Array, names: set[str] = names, start: int = start, end: int = end
            ) -> Array | None:
                if name not in names:
                    return None
                array = array.copy()
                array[..., end:, start:end] = 0
                return np.asarray(array / array.sum(axis=-1, keepdims=True))

            probabilities = softmax(model.trace(ids, hook)["logits"][:, -1])
            found[name].append(probabilities[np.arange(len(ids)), answers].mean())
    return found


def draw(data: dict[str, Any], figure: Any) -> None:
    """Draw a line for each of the two sentences."""
    axes = figure.subplots()
    for (name, _), color, marker in zip(HIDDEN.items(), (BLUE, ORANGE), "os", strict=True):
        axes.plot(data["block"], data[name], color=color, marker=marker, label=f"hidden: {name}")
    axes.set_xticks(data["block"], [*(f"all from {block}" for block in data["block"][:-1]), "none"])
    axes.set(
        xlabel="blocks in which the sentence cannot be seen", ylabel="probability of the right answer", ylim=(0, 1.05)
    )
    axes.legend(frameon=False)
