"""What a page says of a run, against the trace, and against other ways to the same numbers."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from look_pages import HALF, SENTENCE, unpack
from random_models import random_params

from numpygpt import GPT2, GPT2Config, Tokenizer, causal_mask, softmax
from numpygpt.arrays import Array
from numpygpt.engine import gpt2
from numpygpt.look import inside, tokens
from numpygpt.look.packing import pack
from numpygpt.look.view import facts, longest, view


@pytest.fixture(scope="module")
def seen(stories: GPT2) -> dict[str, Any]:
    return view(stories, SENTENCE)


@pytest.fixture(scope="module")
def kept(stories: GPT2) -> dict[str, Array]:
    return stories.trace(stories.tokenizer.encode(SENTENCE))


def same(packed: dict[str, Any], expected: Array, step: float = HALF) -> None:
    np.testing.assert_allclose(unpack(packed), expected, rtol=step, atol=1e-4)


# Tokens


def test_ids_and_words_are_the_tokenizers(stories: GPT2, seen: dict[str, Any]) -> None:
    assert seen["ids"] == stories.tokenizer.encode(SENTENCE)
    assert seen["words"][0] == [["O", "n", "c", "e"], ["O", "n", "ce"], ["O", "nce"]]
    assert sum(len(word[-1]) for word in seen["words"]) == len(seen["ids"])


def test_half_characters_are_bytes_and_nothing_is_invisible() -> None:
    tokenizer = Tokenizer()
    parts = [tokens.written(tokenizer.token_bytes(token_id)) for token_id in tokenizer.encode("a 🐈\n\u202e\x00")]
    assert "".join(parts) == r"a␣\xf0\x9f\x90\x88⏎\xe2\x80\xae\x00"
    assert tokens.written("\u202e".encode()) == r"\u202e"


def test_every_token_of_the_vocabulary_is_written(stories: GPT2) -> None:
    names = facts(stories)["vocabulary"]
    assert len(names) == stories.config.vocab_size
    assert names[stories.tokenizer.encode(" ball")[0]] == "␣ball"
    assert names[-1] == "<|endoftext|>"


def test_a_tokenizer_with_more_than_merges_shows_no_steps() -> None:
    assert tokens.merges(Tokenizer(), "<|endoftext|>", [50256]) == []


def test_neighbors_have_the_largest_cosine(stories: GPT2, seen: dict[str, Any]) -> None:
    wte, last = stories.params["wte"]["weight"].astype(float), seen["ids"][-1]
    cosine = [row @ wte[last] / (np.linalg.norm(row) * np.linalg.norm(wte[last])) for row in wte]
    expected = sorted(range(len(wte)), key=lambda i: -cosine[i])[1:9]  # the first is the token itself
    assert unpack(seen["neighbors"]["ids"])[-1].tolist() == expected
    np.testing.assert_allclose(unpack(seen["neighbors"]["cosine"])[-1], [cosine[i] for i in expected], rtol=HALF)


# Attention


def test_patterns_are_the_traces_within_their_step(seen: dict[str, Any], kept: dict[str, Array]) -> None:
    patterns = unpack(seen["attention"]["patterns"])
    for layer in range(6):
        np.testing.assert_allclose(patterns[layer], kept[f"h.{layer}.attn.probabilities"], rtol=0, atol=0.5001 / 255)


def test_entropy_is_that_of_the_rows(seen: dict[str, Any], kept: dict[str, Array]) -> None:
    row = kept["h.3.attn.probabilities"][2, -1].tolist()
    expected = -math.fsum(p * math.log2(p) for p in row if p)
    assert unpack(seen["attention"]["entropy"])[3, 2, -1] == pytest.approx(expected, rel=HALF)


def test_habits_are_found_in_heads_made_by_hand() -> None:
    ids = np.array([5, 6, 7, 5, 6, 7, 5])
    n, mask = len(ids), causal_mask(len(ids))
    before, first, same_token = np.eye(n, k=-1), np.tile(np.eye(n)[0], (n, 1)), ids[:, None] == ids
    induction = np.eye(n, k=-2)  # the text repeats after three: what followed is two places back
    scores = np.stack([before, first, same_token * (1 - np.eye(n)), induction, np.zeros((n, n))])
    found = inside.habits(ids, softmax(50 * scores + mask)[None])
    assert [habit["name"] for habit in found] == list(inside.HABITS)
    for head, habit in enumerate(found):
        assert unpack(habit["share"])[0, head] > 0.5
        assert habit["marked"][0][head]
        assert not habit["marked"][0][4]  # a head that looks at all alike
        assert unpack(habit["share"])[0, 4] == pytest.approx(habit["even"], rel=HALF)


def test_a_habit_that_a_text_does_not_allow_is_left_out() -> None:
    assert [habit["name"] for habit in inside.habits(np.array([1, 2]), np.ones((1, 1, 2, 2)))] == [
        "the token before",
        "the first token",
    ]


# Residual stream


def test_norms_are_those_of_the_stream(seen: dict[str, Any], kept: dict[str, Array]) -> None:
    stream = seen["stream"]
    same(stream["added"], np.stack([np.broadcast_to(np.linalg.norm(kept[n], axis=-1), 29) for n in stream["parts"]]))
    for layer in range(6):
        norm = np.linalg.norm(kept[f"h.{layer}"], axis=-1)
        np.testing.assert_allclose(unpack(stream["norm"])[3 + 2 * layer], norm, rtol=2 * HALF)


def test_what_the_parts_push_is_the_lead_of_the_logit(
    stories: GPT2, seen: dict[str, Any], kept: dict[str, Any]
) -> None:
    """The sum of all parts, and the final bias, is the token's logit less the mean of all logits."""
    wte, logits = stories.params["wte"]["weight"], kept["logits"]
    targets = unpack(seen["stream"]["targets"])
    assert targets.tolist() == logits.argmax(axis=-1).tolist()
    bias = (wte[targets] - wte.mean(axis=0)) @ stories.params["ln_f"]["bias"]
    lead = logits.max(axis=-1) - logits.mean(axis=-1)
    np.testing.assert_allclose(unpack(seen["stream"]["push"]).sum(axis=0) + bias, lead, atol=0.05)


def test_heads_share_what_their_layer_pushes(stories: GPT2, seen: dict[str, Any]) -> None:
    """Two heads' shares differ from the layer's by what the bias of c_proj pushes, whatever the head."""
    stream = seen["stream"]
    push = {name: unpack(stream["push"])[i] for i, name in enumerate(stream["parts"])}
    silent = stories.trace(
        seen["ids"], lambda name, array: 0 * array if name.endswith(".attn.heads") and name.startswith("h.5.") else None
    )["h.5.attn"]  # the bias alone
    assert np.ptp(silent, axis=0).max() == 0
    by_heads = unpack(stream["head_push"])[5].sum(axis=0)
    difference = push["h.5.attn"] - by_heads
    params, kept = stories.params, stories.trace(seen["ids"])
    spread = np.sqrt(kept["h.5"].var(axis=-1) + 1e-5)
    wte = params["wte"]["weight"]
    direction = (wte[unpack(stream["targets"])] - wte.mean(axis=0)) * params["ln_f"]["weight"] / spread[:, None]
    np.testing.assert_allclose(difference, direction @ (silent[0] - silent[0].mean()), atol=0.05)


def test_the_lens_is_a_model_with_fewer_blocks(stories: GPT2, seen: dict[str, Any]) -> None:
    assert seen["lens"]["rows"] == ["wte + wpe", *(f"h.{layer}" for layer in range(6))]
    for n_layer in range(1, 7):
        params = stories.params | {"h": stories.params["h"][:n_layer]}
        config = dataclasses.replace(stories.config, n_layer=n_layer)
        probabilities = softmax(gpt2(seen["ids"], **params, config=config))
        best = np.argsort(-probabilities, axis=-1)[:, :5]
        np.testing.assert_array_equal(unpack(seen["lens"]["ids"])[n_layer], best)
        expected = np.take_along_axis(probabilities, best, axis=-1)
        np.testing.assert_allclose(unpack(seen["lens"]["probabilities"])[n_layer], expected, rtol=2 * HALF, atol=1e-6)


# Neurons


def test_the_strongest_neurons_are_the_traces(seen: dict[str, Any], kept: dict[str, Array]) -> None:
    neurons = seen["neurons"]
    for layer in range(6):
        active = kept[f"h.{layer}.mlp.activation"]
        places = unpack(neurons["strongest"])[layer]  # [n_seq, 8]
        assert {neurons["layer"][place] for place in places.ravel()} == {layer}
        numbers = np.array(neurons["neuron"])[places]
        expected = -np.sort(-np.abs(active), axis=-1)[:, :8]
        np.testing.assert_allclose(np.abs(np.take_along_axis(active, numbers, axis=-1)), expected, rtol=1e-6)
        shown = unpack(neurons["activation"])[places[-1], -1]
        np.testing.assert_allclose(shown, active[-1, numbers[-1]], rtol=HALF)


def test_neurons_push_the_tokens_that_tutorial_10_finds(stories: GPT2) -> None:
    """Neuron 322 of block 2 fires at "green" inside quotation marks, and pushes what the page prints."""
    seen = view(stories, 'They saw a small frog. "Look, it is green')["neurons"]
    [place] = [i for i, at in enumerate(zip(seen["layer"], seen["neuron"], strict=True)) if at == (2, 322)]
    names = facts(stories)["vocabulary"]
    assert [names[i] for i in unpack(seen["less"])[place]] == ["␣you", "␣your", '!"', "␣here", "␣I", ',"']
    assert [names[i] for i in unpack(seen["more"])[place]] == ["␣said", "␣expl", "␣asked", "␣felt", "ied", "␣Em"]


# Logits, sizes and refusals


def test_logits_are_the_traces(seen: dict[str, Any], kept: dict[str, Array]) -> None:
    np.testing.assert_allclose(unpack(seen["logits"]), kept["logits"], rtol=0, atol=1e-6)


def test_of_a_large_vocabulary_the_last_positions_are_kept(tiny: GPT2, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("numpygpt.look.view.LOGITS", 3 * 512 + 5)
    text = "Once upon a time"
    expected = tiny.trace(tiny.tokenizer.encode(text))["logits"][-3:, : tiny.tokenizer.n_vocab]
    np.testing.assert_allclose(unpack(view(tiny, text)["logits"]), expected, atol=1e-6)


@pytest.mark.parametrize(
    "change",
    [{"activation_function": "relu", "n_inner": 5}, {"tie_word_embeddings": False}, {"n_head": 1, "n_layer": 1}],
    ids=str,
)
def test_models_of_other_configs(change: dict[str, Any]) -> None:
    config = GPT2Config(**{"vocab_size": 300, "n_ctx": 40, "n_embd": 12, "n_layer": 2, "n_head": 3} | change)
    model = GPT2(config, random_params(config), Tokenizer(Tokenizer().merges[:43]))
    seen = view(model, "Once upon a time")
    np.testing.assert_array_equal(
        unpack(seen["lens"]["ids"])[-1, :, 0], model.logits(model.tokenizer.encode("Once upon a time")).argmax(axis=-1)
    )
    assert facts(model)["name"] == "GPT-2"


def test_numbers_too_large_for_float16_become_float32() -> None:
    assert unpack(pack(np.array([1e6, 1.0]), "float16")).tolist() == [1e6, 1.0]


def test_a_page_is_refused_by_name(stories: GPT2, tiny: GPT2) -> None:
    with pytest.raises(ValueError, match="the text is empty"):
        view(stories, "")
    with pytest.raises(ValueError, match=r"the text has \d+ tokens, and a page of this model shows at most 256"):
        view(stories, "ball " * 300)
    assert longest(GPT2Config()) == 250
    assert longest(GPT2Config(n_ctx=20)) == 20
    damaged = GPT2(tiny.config, tiny.params | {"ln_f": {"weight": np.inf, "bias": 0}}, tiny.tokenizer)
    with pytest.raises(ValueError, match="the logits are not finite"), np.errstate(all="ignore"):
        view(damaged, "Once")
