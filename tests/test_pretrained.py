"""From a prompt's text to new text: pieces, batches, mistakes, and models from folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_folders import SMALL, TOKENIZER

from numpygpt import GPT2
from numpygpt.engine import generate
from numpygpt.models import cache, checkpoint, names
from numpygpt.sampling import Sampling
from numpygpt.stream import MAX_NEW_TOKENS

# ---- Texts


@pytest.mark.parametrize("options", [{}, {"repetition_penalty": 1.2}, {"temperature": 0.9, "top_k": 30, "top_p": 0.9}])
@pytest.mark.parametrize("prompt", ["Once upon a time", "é", "🙂 \n", ""])
def test_generate_returns_the_text_of_the_decode_loops_ids(prompt: str, options: dict[str, Any]) -> None:
    """An empty prompt starts from the end-of-text token."""
    *_, (continuation,) = generate(
        [TOKENIZER.encode(prompt) or [TOKENIZER.eot_id]],
        SMALL.params,
        SMALL.config,
        max_new_tokens=30,
        sampling=Sampling(**options),
        eos_token_id=TOKENIZER.eot_id,
        n_vocab=TOKENIZER.n_vocab,
        seed=3,
    )
    assert continuation.ids
    assert SMALL.generate(prompt, max_new_tokens=30, seed=3, **options) == TOKENIZER.decode(continuation.ids)


def test_the_number_of_new_tokens_is_40_unless_told() -> None:
    *_, (text,) = SMALL.grow(["The"], repetition_penalty=1.2)
    assert (text.n_tokens, text.finish_reason) == (40, MAX_NEW_TOKENS)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("stops", [[], ["e", "th", " a"]])
def test_the_pieces_of_a_stream_are_the_text_of_generate(seed: int, stops: list[str], tiny: GPT2) -> None:
    for model in (SMALL, tiny):
        options: dict[str, Any] = {"temperature": 1.5, "top_k": 50, "seed": seed, "stop_strings": stops}
        pieces = list(model.stream("The ", 50, **options))
        assert all(pieces)
        assert "".join(pieces) == model.generate("The ", 50, **options)


def test_several_prompts_give_a_list_in_their_order() -> None:
    prompts = ["Once upon a time", "", "é", "Once upon a time"]
    assert SMALL.generate(prompts) == [SMALL.generate(prompt) for prompt in prompts]
    assert SMALL.generate(tuple(prompts[:1])) == [SMALL.generate(prompts[0])]


def test_the_sequences_of_each_prompt_stand_side_by_side() -> None:
    options: dict[str, Any] = {"temperature": 1.0, "num_return_sequences": 2, "seed": 0}
    *_, texts = SMALL.grow(["The", "A"], 5, **options)
    assert [TOKENIZER.decode(text.continuation.prompt) for text in texts] == ["The", "The", "A", "A"]
    generated = SMALL.generate(["The", "A"], 5, **options)
    assert generated == [text.text for text in texts]
    assert SMALL.generate("A", 5, **options) == generated[2:]
    assert len(set(generated)) == 4


# ---- Mistakes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stop_strings": ""}, "a stop string is empty"),
        ({"stop_strings": ["a", ""]}, "a stop string is empty"),
        ({"max_new_tokens": -1}, "max_new_tokens must be a whole number of at least 0"),
        ({"max_new_tokens": 1.5}, "max_new_tokens must be a whole number of at least 0"),
        ({"min_new_tokens": -1}, "min_new_tokens must be a whole number of at least 0"),
        ({"min_new_tokens": 1.5}, "min_new_tokens must be a whole number of at least 0"),
        ({"max_length": 0}, "counts them too"),
        ({"prompt_lookup_num_tokens": -1}, "prompt_lookup_num_tokens"),
        ({"top_p": 1.5}, "top_p"),
        ({"num_return_sequences": 2, "temperature": 1.0}, "num_return_sequences must be 1 for a stream"),
        ({"seed": -1}, "seed"),
    ],
)
def test_a_value_without_meaning_is_an_error_at_the_call(options: dict[str, Any], message: str) -> None:
    """Not at the first piece of the stream."""
    with pytest.raises(ValueError, match=message):
        SMALL.stream("The", **options)


@pytest.mark.parametrize(
    ("prompt", "error", "message"),
    [
        ("\x00" * 70, ValueError, "70 tokens.* 64"),
        ("a\udcff", ValueError, "surrogate"),
        ([], ValueError, "no prompt: give a text"),
        ([46, 77], TypeError, "a prompt is text"),
        (["The", 5], TypeError, "a prompt is text"),
        (b"The", TypeError, "a prompt is text"),
        (None, TypeError, "not iterable"),
    ],
)
def test_a_prompt_that_is_no_text_of_this_model_is_an_error(prompt: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        SMALL.generate(prompt)
    if isinstance(prompt, str):
        with pytest.raises(error, match=message):
            SMALL.stream(prompt)


# ---- Models


def test_a_folder_gives_the_model_that_was_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save(tmp_path / "model", SMALL.config, SMALL.params, TOKENIZER)
    monkeypatch.setenv("HOME", str(tmp_path))
    for place in (tmp_path / "model", str(tmp_path / "model"), "~/model"):
        loaded = GPT2.from_pretrained(place)
        assert (loaded.config, loaded.tokenizer) == (SMALL.config, TOKENIZER)
        np.testing.assert_allclose(loaded.logits([1, 2, 3]), SMALL.logits([1, 2, 3]), rtol=0, atol=1e-5)


def test_a_model_without_a_tokenizer_computes_logits_and_says_what_text_needs(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "model", SMALL.config, SMALL.params, None)
    model = GPT2.from_pretrained(tmp_path / "model")
    assert model.logits([1]).shape == (1, SMALL.config.vocab_size)
    for use in (lambda: model.tokenizer, lambda: model.generate("The"), lambda: model.stream("The")):
        with pytest.raises(ValueError, match=r"has no tokenizer; put its vocab\.json and merges\.txt there"):
            use()


def test_the_default_model_is_the_official_one_and_else_the_embedded_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "EMBEDDED_FOLDERS", [tmp_path / "wheel", tmp_path / "checkout"])
    monkeypatch.setattr(cache, "find", lambda name: None)
    with pytest.raises(
        FileNotFoundError, match=r"no model is on this disk yet; python -m numpygpt\.models download gpt2"
    ):
        names.default_model()
    (tmp_path / "checkout" / "stories").mkdir(parents=True)
    assert names.default_model() == "stories"
    assert names.find_or_download("stories") == tmp_path / "checkout" / "stories"
    monkeypatch.setattr(cache, "find", lambda name: tmp_path / name)
    assert names.default_model() == "gpt2"
