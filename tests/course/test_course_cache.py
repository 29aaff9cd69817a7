"""The course's cache: in parts, with keys and values kept, it computes what attention computes at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from numpygpt import layers
from numpygpt.course.cache import cached_attention


def parameters() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "c_attn": {"weight": rng.standard_normal((8, 24)), "bias": rng.standard_normal(24)},
        "c_proj": {"weight": rng.standard_normal((8, 8)), "bias": rng.standard_normal(8)},
    }


@pytest.mark.parametrize("cuts", [[], [1], [3], [1, 2, 3, 4], [2, 4]], ids=str)
@pytest.mark.parametrize("lead", [(), (2,)], ids=str)
def test_parts_of_a_text_give_what_the_whole_gives(lead: tuple[int, ...], cuts: list[int]) -> None:
    x = np.random.default_rng(1).standard_normal((*lead, 5, 8))
    whole = layers.multi_head_attention(x, **parameters(), n_head=2, mask=layers.causal_mask(5))
    past, parts = None, []
    for part in np.split(x, cuts, axis=-2):
        y, past = cached_attention(part, **parameters(), n_head=2, past=past)
        parts.append(y)
    np.testing.assert_allclose(np.concatenate(parts, axis=-2), whole, atol=1e-12)
    assert past is not None
    _, k, v = np.split(layers.linear(x, **parameters()["c_attn"]), 3, axis=-1)
    np.testing.assert_allclose(past[0], layers.split_heads(k, 2), atol=1e-12)
    np.testing.assert_allclose(past[1], layers.split_heads(v, 2), atol=1e-12)
