"""The book's model against committed results of `transformers`, and what it says to the engine's keywords."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

from numpygpt import GPT2, gpt2
from numpygpt.arrays import Array


def test_logits_are_the_committed_ones_of_transformers(tiny: GPT2, expected: dict[str, Array]) -> None:
    logits = gpt2(expected["ids"], **tiny.params, n_head=tiny.config.n_head)
    np.testing.assert_allclose(logits, expected["logits"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["config", "cache", "n_pad", "logits_to_keep", "lm_head"])
def test_a_keyword_of_the_engine_gets_an_error_that_names_it(tiny: GPT2, name: str) -> None:
    function: Any = gpt2
    with pytest.raises(TypeError, match=rf"takes n_head= and no {name}=; numpygpt\.engine\.gpt2 takes it"):
        function([1, 2], **tiny.params, **{name: None})


def test_the_signature_is_that_of_the_page() -> None:
    assert list(inspect.signature(gpt2).parameters) == ["ids", "wte", "wpe", "h", "ln_f", "n_head"]
