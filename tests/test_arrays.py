"""The tree of parameters and the names of its tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numpygpt.arrays import flatten, unflatten
from numpygpt.config import GPT2Config, parameter_shapes


@given(st.data())
@settings(max_examples=30)
def test_flatten_and_unflatten_are_inverse(data: st.DataObject) -> None:
    n_head = data.draw(st.integers(1, 3))
    config = GPT2Config(
        vocab_size=data.draw(st.integers(1, 5)),
        n_ctx=data.draw(st.integers(1, 3)),
        n_embd=n_head * data.draw(st.integers(1, 2)),
        n_layer=data.draw(st.integers(1, 12)),
        n_head=n_head,
        n_inner=data.draw(st.none() | st.integers(1, 5)),
        tie_word_embeddings=data.draw(st.booleans()),
    )
    shapes = parameter_shapes(config)
    tensors = {name: np.full(shapes[name], i) for i, name in enumerate(data.draw(st.permutations(list(shapes))))}
    params = unflatten(tensors)
    assert len(params["h"]) == config.n_layer
    assert ("lm_head" in params) is not config.tie_word_embeddings
    flat = flatten(params)
    assert flat.keys() == tensors.keys()
    assert all(flat[name] is tensors[name] for name in tensors)
    assert list(flatten(unflatten(flat))) == list(flat)


TREES = st.dictionaries(
    st.sampled_from(["wte", "attn", "c_fc"]),
    st.recursive(
        st.integers(), lambda branch: st.dictionaries(st.sampled_from("ab0"), branch, min_size=1), max_leaves=5
    ),
    min_size=1,
)


@given(TREES, st.lists(TREES, min_size=1, max_size=12))
@settings(max_examples=30)
def test_unflatten_undoes_flatten_of_any_tree(rest: dict[str, Any], layers: list[dict[str, Any]]) -> None:
    params = rest | {"h": layers}
    assert unflatten(flatten(params)) == params


def test_more_than_nine_layers_stay_in_order() -> None:
    names = [f"h.{layer}.ln_1.bias" for layer in range(12)]
    params = unflatten({name: np.array(layer) for layer, name in sorted(enumerate(names), key=lambda item: item[1])})
    assert [int(layer["ln_1"]["bias"]) for layer in params["h"]] == list(range(12))


@pytest.mark.parametrize("names", [["h.1.ln_1.bias"], ["h.0.ln_1.bias", "h.2.ln_1.bias"], ["h.00.ln_1.bias"]])
def test_layers_with_a_hole(names: list[str]) -> None:
    with pytest.raises(ValueError, match=r"no tensor is called h\.[01]\.\.\.; layers must be numbered from 0"):
        unflatten({name: np.zeros(1) for name in names})
