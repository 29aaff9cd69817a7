"""How a sentence becomes likelier each time it has been said."""

from __future__ import annotations

from typing import Any

import numpy as np

from numpygpt import GPT2
from numpygpt.layers import softmax
from tutorials.figures import COLOURS

SENTENCES = [
    " The king climbed up the tree.",
    " The dog ran to the old house.",
    " The purple fish drove home.",
    " Lily ate seven green umbrellas.",
]
TIMES = 10


def data() -> dict[str, Any]:
    """Return the mean probability of a sentence's tokens at its 1st, 2nd ... time in a row."""
    model = GPT2.from_pretrained("weights/stories")
    means = []
    for sentence in SENTENCES:
        once = model.tokenizer.encode(sentence)
        ids = [model.tokenizer.eot_id, *(once * TIMES)]
        probabilities = softmax(model.logits(ids).astype(np.float64))[np.arange(len(ids) - 1), ids[1:]]
        means.append(probabilities.reshape(TIMES, len(once)).mean(axis=1))
    return {"sentences": SENTENCES, "means": means}


def draw(data: dict[str, Any], figure: Any) -> None:
    """Draw a line for every sentence."""
    axes = figure.subplots()
    for i, (sentence, mean) in enumerate(zip(data["sentences"], data["means"], strict=True)):
        axes.plot(np.arange(1, len(mean) + 1), mean, "o-", color=COLOURS[i], label=sentence.strip())
    axes.set_xticks(np.arange(1, TIMES + 1))
    axes.set_xlabel("the sentence's 1st, 2nd, 3rd ... time in a row")
    axes.set_ylabel("mean probability of its tokens")
    axes.set_ylim(0, 1)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", ncols=2, fontsize=9)
