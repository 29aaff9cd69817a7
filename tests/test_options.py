"""The options of `GPT2.generate`: what ends a text, as in `transformers`, and an answer to one that there is not."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_folders import SMALL, TOKENIZER
from random_models import REFERENCE, random_params

from numpygpt import GPT2, GPT2Config, Tokenizer, without_engine
from numpygpt.engine import generate
from numpygpt.options import DEFAULTS, Options, Several
from numpygpt.sampling import Sampling
from numpygpt.stream import ENDED, MAX_LENGTH

EXPECTED = json.loads((REFERENCE / "generation.json").read_text(encoding="utf-8"))
END = TOKENIZER.eot_id


@pytest.mark.parametrize("case", EXPECTED["ends"], ids=lambda case: str(case["options"]))
@pytest.mark.parametrize("lookup", [0, 5])
def test_a_text_ends_where_it_ends_in_transformers(case: dict[str, Any], lookup: int, tiny: GPT2) -> None:
    options = case["options"] | {"prompt_lookup_num_tokens": lookup}
    *_, (text,) = tiny.grow([EXPECTED["prompt"]], **options)
    ended = text.finish_reason == ENDED  # the token that ends a text is among transformers' ids, and not among ours
    assert text.continuation.ids == case["ids"][: -1 if ended else None]
    ends = np.atleast_1d(case["options"].get("eos_token_id", tiny.tokenizer.eot_id))
    assert ended == (case["ids"][-1] in ends)
    if not ended:
        assert text.text == case["text"]


@pytest.mark.parametrize(
    "options", [{}, {"temperature": 1.5}, {"temperature": 0.8, "top_k": 9, "repetition_penalty": 1.3}]
)
@given(seed=st.integers(0, 99), neighbors=st.lists(st.sampled_from(["", "a", "Once upon", "é" * 9]), max_size=4))
@settings(max_examples=15)
def test_a_prompts_text_does_not_change_with_its_neighbors(
    options: dict[str, Any], seed: int, neighbors: list[str]
) -> None:
    alone = SMALL.generate("The", 12, seed=seed, **options)
    assert SMALL.generate([*neighbors, "The", *neighbors], 12, seed=seed, **options)[len(neighbors)] == alone


def test_max_length_counts_each_prompt_by_itself() -> None:
    *_, texts = SMALL.grow(["The", "Once upon a time"], max_length=60, min_new_tokens=60)
    lengths = [len(text.continuation.prompt) + text.n_tokens for text in texts]
    assert (lengths, {text.finish_reason for text in texts}) == ([60, 60], {MAX_LENGTH})
    with pytest.raises(ValueError, match=r"the prompt has 12 tokens, but max_length, which counts them too, is 12;"):
        SMALL.generate("\0" * 12, max_length=12)


def test_a_models_own_end_counts_where_no_other_is_asked_for() -> None:
    *_, (text,) = SMALL.grow(["The"], 20, repetition_penalty=9.0)
    end = text.continuation.ids[5]
    model = GPT2(SMALL.config, SMALL.params, TOKENIZER, eos_token_id=[end])
    *_, (ended,) = model.grow(["The"], 20, repetition_penalty=9.0)
    assert (ended.n_tokens, ended.finish_reason) == (5, ENDED)


def test_a_tokenizers_own_prefix_stands_before_a_prompt_unless_unwanted() -> None:
    model = GPT2(SMALL.config, SMALL.params, Tokenizer(TOKENIZER.merges, prefix=[END]))
    for wanted, n_tokens in [(True, 2), (False, 1)]:
        *_, (text,) = model.grow(["A"], 1, add_special_tokens=wanted)
        assert len(text.continuation.prompt) == n_tokens


def test_special_tokens_in_a_prompt_are_letters_unless_allowed() -> None:
    for allowed, first in [((), False), ("all", True), ({"<|endoftext|>"}, True), ("<|endoftext|>", True)]:
        *_, (text,) = SMALL.grow(["<|endoftext|>a"], 1, allowed_special=allowed)
        assert (text.continuation.prompt[0] == END) is first
        assert SMALL.generate("<|endoftext|>a", 3, allowed_special=allowed) == "".join(
            SMALL.stream("<|endoftext|>a", 3, allowed_special=allowed)
        )
    with pytest.raises(ValueError, match="'<x>' is not among the special tokens"):
        SMALL.generate("a", allowed_special={"<x>"})


def test_special_tokens_are_no_text_and_gaps_in_the_ids_are_never_chosen() -> None:
    """A pad token is drawn and not shown; ids that no token has would end the program if they were drawn."""
    tokenizer = Tokenizer(TOKENIZER.merges, special_tokens={"<|endoftext|>": 320, "<pad>": 310})
    config = GPT2Config(vocab_size=330, n_ctx=64, n_embd=32, n_layer=1, n_head=1)
    model = GPT2(config, random_params(config, scale=0.01), tokenizer)
    *_, texts = model.grow(["a"], 60, temperature=50.0, num_return_sequences=20, seed=1)
    drawn = {token_id for text in texts for token_id in text.continuation.ids}
    assert 310 in drawn
    assert not drawn & {*tokenizer.unused_ids, *range(321, 330)}
    assert tokenizer.unused_ids == [*range(299, 310), *range(311, 320)]
    assert not any("<pad>" in text.text for text in texts)


@pytest.mark.parametrize(
    "options",
    [{"min_new_tokens": 9}, {"max_length": 20}, {"eos_token_id": [3, 5]}, {"suppress_tokens": [7, 8]}, {"seed": 3}],
)
def test_the_book_alone_does_the_same(options: dict[str, Any]) -> None:
    """What stands in for the engine where its folder is gone."""
    chosen: dict[str, Any] = {"eos_token_id": END, "max_new_tokens": 30, "num_return_sequences": 2, **options}
    arguments: Any = ([TOKENIZER.encode("The"), TOKENIZER.encode("A b")], SMALL.params, SMALL.config)
    sampling = Sampling(temperature=1.0)
    *_, ours = generate(*arguments, sampling=sampling, **{"seed": 1, **chosen})
    *_, book = without_engine.generate(*arguments, sampling=sampling, **{"seed": 1, **chosen})
    assert [(text.ids, text.finish_reason) for text in ours] == [(text.ids, text.finish_reason) for text in book]


@pytest.mark.parametrize("method", [SMALL.generate, SMALL.stream, SMALL.grow, SMALL.chat])
def test_the_options_stand_in_the_signature(method: Callable[..., Any]) -> None:
    parameters = inspect.signature(method).parameters
    assert list(parameters)[1] == "max_new_tokens"
    assert {name: parameters[name].default for name in DEFAULTS} == DEFAULTS
    assert not any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters.values())
    assert set(DEFAULTS) == Several.__annotations__.keys() | Options.__annotations__.keys()


@pytest.mark.parametrize(
    ("name", "nearest"), [("tempreature", "temperature"), ("topk", "top_k"), ("max_tokens", "max_new_tokens")]
)
def test_an_unknown_option_gets_the_nearest_one(name: str, nearest: str) -> None:
    with pytest.raises(TypeError, match=f"'{name}'; did you mean '{nearest}'. There are do_sample, temperature, "):
        SMALL.stream("The", **{name: 1})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 1e-300},
        {"temperature": 1e300},
        {"top_p": 5e-324},
        {"repetition_penalty": 1e30},
        {"prompt_lookup_num_tokens": 10**12},
    ],
)
@pytest.mark.filterwarnings("error")
def test_extreme_numbers_print_no_warning(options: dict[str, Any], tiny: GPT2) -> None:
    for model in (SMALL, tiny):
        assert len(list(model.stream("The", 20, seed=1, min_new_tokens=20, **options))) > 0


@pytest.mark.filterwarnings("error")
def test_a_penalty_that_overflows_is_an_error_without_a_warning() -> None:
    with pytest.raises(ValueError, match="repetition_penalty, 1e-300, is out of all proportion"):
        SMALL.generate("The", repetition_penalty=1e-300)
