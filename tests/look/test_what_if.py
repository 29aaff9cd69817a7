"""What the model says with parts of it silent: the same as by a hook of one's own."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from look_pages import SENTENCE, unpack

from numpygpt import GPT2
from numpygpt.arrays import Array
from numpygpt.look.what_if import what_if


def kl_bits(logits: Array, others: Array) -> float:
    """Σ p log2(p / q), term by term, from the logarithms themselves."""
    log_p, log_q = (x - np.log(np.exp(x).sum()) for x in (logits.astype(float), others.astype(float)))
    return float((np.exp(log_p) * (log_p - log_q)).sum() / np.log(2))


def test_nothing_changed_is_the_model(stories: GPT2) -> None:
    answer = what_if(stories, SENTENCE, [], [], {}, n_new=12)
    logits = stories.logits(stories.tokenizer.encode(SENTENCE))[-1]
    for name in ("original", "changed"):
        np.testing.assert_allclose(unpack(answer[name]), logits, atol=1e-4)
        text = stories.tokenizer.decode(answer["continuation"][name])
        assert text == stories.generate(SENTENCE, 12)
    assert answer["divergence"] == 0


def test_silent_heads_and_mlps_are_those_of_a_hook(stories: GPT2) -> None:
    def hook(name: str, array: Array) -> Array | None:
        if name == "h.3.attn.heads":
            return np.asarray(array * np.array([1, 0, 0, 1])[:, None, None])
        return 0 * array if name == "h.5.mlp" else None

    answer = what_if(stories, SENTENCE, [[3, 2], [3, 1]], [5], {})
    ids = stories.tokenizer.encode(SENTENCE)
    expected = stories.trace(ids, hook)["logits"][-1]
    np.testing.assert_allclose(unpack(answer["changed"]), expected, atol=1e-6)
    original = stories.trace(ids)["logits"][-1]
    assert answer["divergence"] == pytest.approx(kl_bits(original, expected), rel=1e-9)
    assert answer["divergence"] > 0.1


def test_a_replaced_token_is_another_text(stories: GPT2) -> None:
    answer = what_if(stories, SENTENCE, [], [], {"18": " doll", "17": "", "16": " very, very small"})
    text = SENTENCE.replace("a red ball", "very, very small doll")
    assert stories.tokenizer.decode(answer["ids"]) == text
    expected = stories.trace(stories.tokenizer.encode(text))["logits"][-1]
    np.testing.assert_allclose(unpack(answer["changed"]), expected, atol=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        {"heads": [[6, 0]]},
        {"heads": [[0, 4]]},
        {"heads": [[-1, 0]]},
        {"heads": [[0]]},
        {"heads": ["00"]},
        {"heads": [[0, 1.0]]},
        {"heads": [[True, 0]]},
        {"mlps": [6]},
        {"mlps": ["0"]},
        {"replaced": {"29": "a"}},
        {"replaced": {"-1": "a"}},
        {"replaced": {"²": "a"}},
        {"replaced": {"0": "ball " * 300}},
        {"text": ""},
    ],
    ids=str,
)
def test_what_there_is_not_is_refused(stories: GPT2, change: dict[str, Any]) -> None:
    question: dict[str, Any] = {"text": SENTENCE, "heads": [], "mlps": [], "replaced": {}} | change
    with pytest.raises(ValueError, match=r"below 6 layers and 4 heads|below 29|at most 256|is empty"):
        what_if(stories, **question)


def test_it_ends_at_the_deadline(stories: GPT2) -> None:
    with pytest.raises(TimeoutError, match="takes too long"):
        what_if(stories, SENTENCE, [], [], {}, deadline=time.monotonic() - 1)


def test_a_continuation_ends_with_the_context_window(tiny: GPT2) -> None:
    n_tokens = len(tiny.tokenizer.encode("ab" * 20))
    answer = what_if(tiny, "ab" * 20, [], [], {}, n_new=200)
    assert len(answer["continuation"]["original"]) <= tiny.config.n_ctx - n_tokens
