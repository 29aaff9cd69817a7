"""From a prompt's text to new text: pieces, stop strings, batches, and mistakes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_models import random_params

from numpygpt import GPT2, GPT2Config, Tokenizer
from numpygpt.engine import generate, gpt2
from numpygpt.models import cache, checkpoint, names
from numpygpt.sampling import Sampling
from numpygpt.stream import CONTEXT_WINDOW, MAX_NEW_TOKENS, TextStream

TOKENIZER = Tokenizer(Tokenizer().merges[:43])
CONFIG = GPT2Config(vocab_size=TOKENIZER.n_vocab + 20, n_ctx=64, n_embd=32, n_layer=2, n_head=4)  # 20 ids only pad
MODEL = GPT2(CONFIG, random_params(CONFIG, scale=0.3), TOKENIZER)


def last(steps: Any) -> list[TextStream]:
    *_, texts = steps
    result: list[TextStream] = texts
    return result


# Texts


@pytest.mark.parametrize("options", [{}, {"repetition_penalty": 1.2}, {"temperature": 0.9, "top_k": 30, "top_p": 0.9}])
@pytest.mark.parametrize("prompt", ["Once upon a time", "é", "🙂 \n"])
def test_generate_returns_the_text_of_the_decode_loops_ids(prompt: str, options: dict[str, Any]) -> None:
    *_, (continuation,) = generate(
        [TOKENIZER.encode(prompt)],
        MODEL.params,
        CONFIG,
        max_new_tokens=30,
        sampling=Sampling(**options),
        eos_token_id=TOKENIZER.eot_id,
        n_vocab=TOKENIZER.n_vocab,
        seed=3,
    )
    assert continuation.ids
    assert MODEL.generate(prompt, max_new_tokens=30, seed=3, **options) == TOKENIZER.decode(continuation.ids)


def test_the_number_of_new_tokens_is_40_unless_told() -> None:
    (text,) = last(MODEL.grow(["The"], repetition_penalty=1.2))
    assert (text.n_tokens, text.finish_reason) == (40, MAX_NEW_TOKENS)


@pytest.mark.parametrize("seed", range(4))
def test_the_pieces_of_a_stream_are_the_text_of_generate(seed: int, tiny: GPT2) -> None:
    for model in (MODEL, tiny):
        for stops in ([], ["e", "th", " a"]):
            options: dict[str, Any] = {"temperature": 1.5, "top_k": 50, "seed": seed, "stop_strings": stops}
            pieces = list(model.stream("The ", 50, **options))
            assert all(pieces)
            assert "".join(pieces) == model.generate("The ", 50, **options)


def test_the_same_seed_gives_the_same_text_and_another_another() -> None:
    first, again, other = (MODEL.generate("The", temperature=1.0, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


def test_an_empty_prompt_starts_from_the_end_of_text_token() -> None:
    steps = generate([[TOKENIZER.eot_id]], MODEL.params, CONFIG, max_new_tokens=20, n_vocab=TOKENIZER.n_vocab)
    *_, (continuation,) = steps
    assert MODEL.generate("", max_new_tokens=20) == TOKENIZER.decode(continuation.ids) != ""


def test_the_letters_of_a_special_token_in_a_prompt_are_letters() -> None:
    (text,) = last(MODEL.grow(["a<|endoftext|>"], 1))
    assert text.continuation.prompt == TOKENIZER.encode("a<|endoftext|>")
    assert TOKENIZER.eot_id not in text.continuation.prompt


def test_ids_that_only_pad_the_embedding_table_are_never_chosen() -> None:
    texts = last(MODEL.grow(["The"], 50, temperature=100.0, num_return_sequences=20, seed=0))
    chosen = {token_id for text in texts for token_id in text.continuation.ids}
    assert len(chosen) > 200
    assert max(chosen) < TOKENIZER.n_vocab


def test_a_prompt_that_fills_the_context_window_gets_no_text_and_the_reason() -> None:
    (text,) = last(MODEL.grow(["\x00" * 64], 5))
    assert (text.text, text.finish_reason) == ("", CONTEXT_WINDOW)


# Several


def test_several_prompts_give_a_list_in_their_order() -> None:
    prompts = ["Once upon a time", "", "é", "Once upon a time"]
    assert MODEL.generate(prompts) == [MODEL.generate(prompt) for prompt in prompts]
    assert MODEL.generate(tuple(prompts[:1])) == [MODEL.generate(prompts[0])]


def test_several_sequences_of_a_prompt_give_a_list() -> None:
    texts = MODEL.generate("The", temperature=1.0, num_return_sequences=3, seed=0)
    assert isinstance(texts, list)
    assert len(set(texts)) == 3


def test_the_sequences_of_each_prompt_stand_side_by_side() -> None:
    texts = last(MODEL.grow(["The", "A"], 5, temperature=1.0, num_return_sequences=2, seed=0))
    prompts = [TOKENIZER.decode(text.continuation.prompt) for text in texts]
    assert prompts == ["The", "The", "A", "A"]
    assert MODEL.generate(["The", "A"], 5, temperature=1.0, num_return_sequences=2, seed=0) == [t.text for t in texts]


# Mistakes

MISTAKES = [
    ({"stop_strings": ""}, "a stop string is empty"),
    ({"stop_strings": ["a", ""]}, "a stop string is empty"),
    ({"max_new_tokens": -1}, "max_new_tokens"),
    ({"max_new_tokens": 1.5}, "max_new_tokens"),
    ({"temperature": -1}, "temperature"),
    ({"top_k": -1}, "top_k"),
    ({"top_p": 1.5}, "top_p"),
    ({"repetition_penalty": 0}, "repetition_penalty"),
    ({"num_return_sequences": 0}, "num_return_sequences"),
    ({"num_return_sequences": 2}, "greedy|stream"),
    ({"seed": -1}, "seed"),
]


@pytest.mark.parametrize("method", [MODEL.generate, MODEL.stream, lambda p, **options: MODEL.grow([p], **options)])
@pytest.mark.parametrize(("options", "message"), MISTAKES)
def test_a_value_without_meaning_is_an_error_at_the_call(
    method: Callable[..., Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        method("The", **options)


@pytest.mark.parametrize("method", [MODEL.generate, MODEL.stream])
@pytest.mark.parametrize("name", ["temprature", "stop", "num_beams"])
def test_an_unknown_option_is_a_type_error_that_names_it(method: Callable[..., Any], name: str) -> None:
    with pytest.raises(TypeError, match=f"'{name}'"):
        method("The", **{name: 1})


@pytest.mark.parametrize("method", [MODEL.generate, MODEL.stream])
def test_a_prompt_longer_than_the_context_window_is_an_error_with_both_numbers(method: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"70 tokens.* 64"):
        method("\x00" * 70)


@pytest.mark.parametrize("method", [MODEL.generate, MODEL.stream])
def test_half_a_character_in_a_prompt_is_an_error(method: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="surrogate"):
        method("a\udcff")


def test_a_stream_is_one_text() -> None:
    with pytest.raises(ValueError, match="num_return_sequences must be 1 for a stream"):
        MODEL.stream("The", num_return_sequences=2, temperature=1.0)  # type: ignore[call-arg]


@pytest.mark.parametrize("prompt", [None, 5, b"The", ["The", 5], [["The"]]])
def test_a_prompt_that_is_no_text_is_a_type_error(prompt: Any) -> None:
    with pytest.raises(TypeError):
        MODEL.generate(prompt)


def test_no_prompts_are_an_error() -> None:
    with pytest.raises(ValueError, match="no prompt: give a text"):
        MODEL.generate([])


def test_token_ids_are_no_prompt() -> None:
    with pytest.raises(TypeError, match="a prompt is text"):
        MODEL.generate([46, 77])  # type: ignore[list-item]


# Models


def test_a_folder_gives_the_model_that_was_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save(tmp_path / "model", CONFIG, MODEL.params, TOKENIZER)
    monkeypatch.setenv("HOME", str(tmp_path))
    for place in (tmp_path / "model", str(tmp_path / "model"), "~/model"):
        loaded = GPT2.from_pretrained(place)
        assert loaded.config == CONFIG
        assert loaded.tokenizer == TOKENIZER
        np.testing.assert_allclose(loaded.logits([1, 2, 3]), MODEL.logits([1, 2, 3]), rtol=0, atol=1e-5)
        assert loaded.generate("The") == MODEL.generate("The")


def test_logits_are_those_of_the_plain_function() -> None:
    ids = TOKENIZER.encode("Alan Turing")
    expected = gpt2(ids, **MODEL.params, config=CONFIG)
    assert expected.shape == (len(ids), CONFIG.vocab_size)
    np.testing.assert_array_equal(MODEL.logits(ids), expected)
    np.testing.assert_allclose(MODEL.logits([ids, ids])[1], expected, atol=1e-4)


def test_a_model_without_a_tokenizer_computes_logits_and_says_what_text_needs(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "model", CONFIG, MODEL.params, None)
    model = GPT2.from_pretrained(tmp_path / "model")
    assert model.logits([1]).shape == (1, CONFIG.vocab_size)
    for use in (lambda: model.tokenizer, lambda: model.generate("The"), lambda: model.stream("The")):
        with pytest.raises(ValueError, match=r"has no tokenizer; put its vocab\.json and merges\.txt there"):
            use()


def test_a_missing_folder_and_one_that_is_not_a_model_are_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no such folder"):
        GPT2.from_pretrained(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"no config\.json"):
        GPT2.from_pretrained(tmp_path)


def test_the_default_model_is_the_official_one_and_else_the_embedded_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "EMBEDDED_FOLDERS", [tmp_path / "wheel", tmp_path / "checkout"])
    monkeypatch.setattr(cache, "find", lambda name: None)
    with pytest.raises(FileNotFoundError, match="no model is on this disk yet"):
        names.default_model()
    (tmp_path / "checkout" / "stories").mkdir(parents=True)
    assert names.default_model() == "stories"
    assert names.find_or_download("stories") == tmp_path / "checkout" / "stories"
    monkeypatch.setattr(cache, "find", lambda name: tmp_path / name)
    assert names.default_model() == "gpt2"
