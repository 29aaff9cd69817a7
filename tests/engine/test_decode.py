"""The decode loop against transformers' generate and against the same thing done without a cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from random_models import random_params, transformers_model

from numpygpt import GPT2, GPT2Config
from numpygpt.arrays import Array, Params
from numpygpt.engine import decode as module
from numpygpt.engine import generate, gpt2, pad_left
from numpygpt.sampling import Sampling, apply_repetition_penalty
from numpygpt.stream import CONTEXT_WINDOW, ENDED, MAX_NEW_TOKENS, STOP_STRING, Continuation

CONFIG = GPT2Config(vocab_size=300, n_ctx=64, n_embd=32, n_layer=2, n_head=4)
PARAMS = random_params(CONFIG, scale=0.3, dtype=np.float64)  # float64: no two logits are so close that rounding decides
PROMPTS = [[7], [3, 1, 4, 1, 5, 9, 2, 6], [250, 11, 250, 11, 250], list(range(40))]
PENALTY = Sampling(repetition_penalty=1.3)


def finish(steps: Iterator[list[Continuation]]) -> list[Continuation]:
    """Decode to the end."""
    *_, continuations = steps
    return continuations


def decode(prompts: Sequence[Sequence[int]], **options: Any) -> list[Continuation]:
    return finish(generate(prompts, PARAMS, CONFIG, **{"max_new_tokens": 20, **options}))


def ids_of(continuations: list[Continuation]) -> list[list[int]]:
    return [continuation.ids for continuation in continuations]


def reasons_of(continuations: list[Continuation]) -> list[str | None]:
    return [continuation.finish_reason for continuation in continuations]


def without_cache(prompt: Sequence[int], n_new: int, penalty: float = 1.0) -> list[int]:
    """Greedy decoding as its definition has it: the likeliest token after the whole text, again and again."""
    ids = list(prompt)
    for _ in range(n_new):
        logits = gpt2(ids, **PARAMS, config=CONFIG)[-1]
        ids.append(int(apply_repetition_penalty(logits[None], [ids], penalty).argmax()))
    return ids[len(prompt) :]


# The same ids as


@pytest.mark.parametrize("sampling", [Sampling(), PENALTY])
@pytest.mark.parametrize("batch", [*([prompt] for prompt in PROMPTS), PROMPTS])
def test_greedy_ids_are_those_of_transformers(batch: list[list[int]], sampling: Sampling) -> None:
    torch = pytest.importorskip("torch")
    model = transformers_model(CONFIG, PARAMS)
    ids, n_pad = pad_left(batch)
    theirs = model.generate(
        torch.from_numpy(ids),
        attention_mask=torch.from_numpy(np.arange(ids.shape[1]) >= n_pad[:, None]).long(),
        do_sample=False,
        max_new_tokens=20,
        repetition_penalty=sampling.repetition_penalty,
        pad_token_id=0,
        eos_token_id=None,
    )
    ours = ids_of(decode(batch, sampling=sampling))
    assert ours == theirs[:, ids.shape[1] :].tolist()
    assert len({token_id for ids in ours for token_id in ids}) > 3  # not the same token again and again


def test_greedy_ids_of_the_reference_model_are_those_it_was_saved_with(tiny: GPT2, expected: dict[str, Any]) -> None:
    prompts = expected["ids"][:, :8].tolist()
    steps = generate(prompts, tiny.params, tiny.config, max_new_tokens=expected["greedy"].shape[1])
    assert ids_of(finish(steps)) == expected["greedy"].tolist()


@pytest.mark.parametrize("sampling", [Sampling(), PENALTY])
def test_greedy_ids_are_those_of_decoding_without_a_cache(sampling: Sampling) -> None:
    recomputed = [without_cache(prompt, 20, sampling.repetition_penalty) for prompt in PROMPTS]
    assert ids_of(decode(PROMPTS, sampling=sampling)) == recomputed


@pytest.mark.parametrize("sampling", [Sampling(), PENALTY])
def test_a_batch_is_decoded_as_each_prompt_alone(sampling: Sampling) -> None:
    together = decode(PROMPTS, sampling=sampling, max_new_tokens=100)
    alone = [decode([prompt], sampling=sampling, max_new_tokens=100)[0] for prompt in PROMPTS]
    assert together == alone
    assert [len(c.prompt) + len(c.ids) for c in together] == [CONFIG.n_ctx] * len(PROMPTS)


# Chance


def test_the_same_seed_gives_the_same_ids_and_another_seed_others() -> None:
    sampling = Sampling(temperature=1.0)
    first, again, other = (ids_of(decode(PROMPTS, sampling=sampling, seed=seed)) for seed in (5, 5, 6))
    assert first == again
    assert all(a != b for a, b in zip(first, other, strict=True))


def test_a_generator_as_seed_goes_on_where_it_stopped() -> None:
    rng = np.random.default_rng(5)
    first, second = (ids_of(decode([[7]], sampling=Sampling(temperature=1.0), seed=rng)) for _ in range(2))
    assert first == ids_of(decode([[7]], sampling=Sampling(temperature=1.0), seed=5))
    assert first != second


def test_the_first_tokens_are_drawn_with_the_models_probabilities() -> None:
    n = 20_000
    drawn = decode([[3, 1, 4]], sampling=Sampling(temperature=1.0), num_return_sequences=n, max_new_tokens=1, seed=0)
    counts = np.bincount([c.ids[0] for c in drawn], minlength=CONFIG.vocab_size)
    logits = gpt2([3, 1, 4], **PARAMS, config=CONFIG)[-1]
    probabilities = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    np.testing.assert_allclose(counts / n, probabilities, atol=0.015)


# Several sequences


@pytest.fixture
def fed(monkeypatch: pytest.MonkeyPatch) -> list[Array]:
    """The ids of every call of the model."""
    calls: list[Array] = []

    def watched(ids: Array, **rest: Any) -> Array:
        calls.append(np.array(ids))
        return gpt2(ids, **rest)

    monkeypatch.setattr(module, "gpt2", watched)
    return calls


def test_every_token_is_fed_to_the_model_once(fed: list[Array]) -> None:
    (continuation,) = decode([PROMPTS[1]], max_new_tokens=5)
    assert [ids.tolist() for ids in fed] == [[PROMPTS[1]], *([[token_id]] for token_id in continuation.ids[:-1])]


def test_num_return_sequences_reads_each_prompt_once(fed: list[Array]) -> None:
    sampling = Sampling(temperature=1.0)
    continuations = decode(PROMPTS, sampling=sampling, num_return_sequences=3, max_new_tokens=5, seed=0)
    assert fed[0].shape == (len(PROMPTS), 40)
    assert [ids.shape for ids in fed[1:]] == [(3 * len(PROMPTS), 1)] * 4
    assert [c.prompt for c in continuations] == [prompt for prompt in PROMPTS for _ in range(3)]
    assert len({tuple(c.ids) for c in continuations}) == len(continuations)


def test_the_sequences_of_a_prompt_each_continue_their_own_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forced apart at their first tokens and greedy from there, they go on as a prompt with that token would."""
    choose = Sampling.choose

    def apart_then_greedy(self: Sampling, logits: Array, previous_ids: list[Any], rngs: Any) -> Any:
        if len(previous_ids[-1]) == len(PROMPTS[1]):
            return np.arange(len(previous_ids))
        return choose(Sampling(), logits, previous_ids, rngs)

    monkeypatch.setattr(Sampling, "choose", apart_then_greedy)
    prompts = [PROMPTS[2], PROMPTS[1]]
    forced = decode(prompts, sampling=Sampling(temperature=1.0), num_return_sequences=3, max_new_tokens=10)
    monkeypatch.undo()
    for first, continuation in enumerate(forced):
        assert continuation.ids == [first, *without_cache([*continuation.prompt, first], 9)]


def test_a_sequence_that_ended_costs_no_more_work(fed: list[Array]) -> None:
    eos = without_cache(PROMPTS[1], 20)[4]
    continuations = decode([PROMPTS[1], PROMPTS[0]], eos_token_id=eos)
    n_rows = [len(ids) for ids in fed]
    lasted = sorted(len(c.ids) + (c.finish_reason == ENDED) for c in continuations)
    assert lasted[0] < lasted[1]
    assert n_rows == [2] * lasted[0] + [1] * (lasted[1] - lasted[0])


# Why a sequence ends


def test_the_end_of_text_token_ends_a_sequence_and_is_not_part_of_it() -> None:
    ids = without_cache(PROMPTS[1], 20)
    eos = ids[4]
    (continuation,) = decode([PROMPTS[1]], eos_token_id=eos)
    assert continuation.ids == ids[: ids.index(eos)]
    assert continuation.finish_reason == ENDED


def test_an_end_of_text_token_in_the_prompt_ends_nothing() -> None:
    prompt = [PROMPTS[1][0], 299, *PROMPTS[1][1:]]
    assert decode([prompt], eos_token_id=299)[0].ids == without_cache(prompt, 20)


@pytest.mark.parametrize("n_new", [0, 1, 2, 56])
def test_max_new_tokens_ends_a_sequence(n_new: int, fed: list[Array]) -> None:
    (continuation,) = decode([PROMPTS[1]], max_new_tokens=n_new)
    assert len(continuation.ids) == n_new
    assert continuation.finish_reason == MAX_NEW_TOKENS
    assert len(fed) == n_new


def test_a_full_context_window_ends_a_sequence() -> None:
    (continuation,) = decode([PROMPTS[1]], max_new_tokens=10**12)
    assert len(PROMPTS[1]) + len(continuation.ids) == CONFIG.n_ctx
    assert continuation.finish_reason == CONTEXT_WINDOW


def test_a_prompt_that_fills_the_context_window_gets_nothing_and_the_reason() -> None:
    assert decode([list(range(CONFIG.n_ctx))]) == [Continuation(list(range(CONFIG.n_ctx)), [], CONTEXT_WINDOW)]


def test_a_caller_ends_one_sequence_and_the_others_go_on_unchanged() -> None:
    undisturbed = ids_of(decode(PROMPTS))
    for continuations in generate(PROMPTS, PARAMS, CONFIG, max_new_tokens=20):
        if len(continuations[1].ids) == 3:
            continuations[1].finish_reason = STOP_STRING
    assert reasons_of(continuations) == [MAX_NEW_TOKENS, STOP_STRING, MAX_NEW_TOKENS, MAX_NEW_TOKENS]
    assert ids_of(continuations) == [ids[:3] if i == 1 else ids for i, ids in enumerate(undisturbed)]


def test_a_caller_may_end_a_sequence_before_its_first_token() -> None:
    steps = generate(PROMPTS[:2], PARAMS, CONFIG, max_new_tokens=5)
    next(steps)[0].finish_reason = STOP_STRING
    assert ids_of(finish(steps)) == [[], without_cache(PROMPTS[1], 5)]


@pytest.mark.parametrize("longest", [60, 63, 64])
def test_the_longest_fills_the_window_while_shorter_ones_go_on(longest: int) -> None:
    prompts = [PROMPTS[1], list(range(longest)), PROMPTS[0]]
    continuations = decode(prompts, max_new_tokens=57)
    assert reasons_of(continuations) == [CONTEXT_WINDOW, CONTEXT_WINDOW, MAX_NEW_TOKENS]
    assert ids_of(continuations) == [without_cache(prompt, min(57, CONFIG.n_ctx - len(prompt))) for prompt in prompts]


@pytest.mark.parametrize("seed", range(5))
def test_sequences_that_end_at_different_times_do_not_disturb_each_other(seed: int) -> None:
    ids = [without_cache(prompt, 24) for prompt in PROMPTS]
    eos = ids[seed % len(ids)][seed * 3]
    order = np.random.default_rng(seed).permutation(len(PROMPTS))
    continuations = decode([PROMPTS[i] for i in order], eos_token_id=eos, max_new_tokens=24)
    for i, continuation in zip(order, continuations, strict=True):
        n_kept = ids[i].index(eos) if eos in ids[i] else 24
        assert continuation.ids == ids[i][:n_kept]
        assert continuation.finish_reason == (ENDED if eos in ids[i] else MAX_NEW_TOKENS)


def test_every_step_is_yielded_from_before_the_first_token() -> None:
    n_tokens = [
        [len(c.ids) for c in continuations] for continuations in generate(PROMPTS[:2], PARAMS, CONFIG, max_new_tokens=3)
    ]
    assert n_tokens == [[0, 0], [1, 1], [2, 2], [3, 3]]


# Ids that stand for no token


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=5.0), Sampling(top_k=1000), PENALTY])
def test_ids_from_n_vocab_on_are_never_chosen(sampling: Sampling) -> None:
    continuations = decode(PROMPTS, sampling=sampling, n_vocab=10, max_new_tokens=24, seed=0)
    assert {token_id for c in continuations for token_id in c.ids} <= set(range(10))


def test_ids_from_n_vocab_on_may_stand_in_a_prompt() -> None:
    assert len(decode([[250, 299, 3]], sampling=PENALTY, n_vocab=10)[0].ids) == 20


# Mistakes


@pytest.mark.parametrize(
    ("prompts", "options", "message"),
    [
        ([], {}, "a prompt has no tokens"),
        ([[1], []], {}, "a prompt has no tokens"),
        ([[1], [1] * 65], {}, "the prompt has 65 tokens, but the context window holds 64"),
        ([[1]], {"max_new_tokens": -1}, "max_new_tokens must be .*-1"),
        ([[1]], {"max_new_tokens": 2.5}, "max_new_tokens must be .*2.5"),
        ([[1]], {"num_return_sequences": 0}, "num_return_sequences must be .*0"),
        ([[1]], {"num_return_sequences": 1.5, "sampling": Sampling(top_k=5)}, "num_return_sequences must be .*1.5"),
        ([[1]], {"num_return_sequences": 2}, "greedy"),
        ([[1]], {"num_return_sequences": 2, "sampling": Sampling(temperature=0, top_k=5)}, "greedy"),
        ([[1]], {"seed": -1}, "seed must be .*-1"),
    ],
)
def test_a_mistake_is_an_error_at_the_call(prompts: list[list[int]], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        generate(prompts, PARAMS, CONFIG, **{"max_new_tokens": 5, **options})


@pytest.mark.parametrize("token_id", [-1, 300, 10**9])
def test_an_id_outside_the_vocabulary_is_an_error(token_id: int) -> None:
    with pytest.raises(ValueError, match=f"token id {token_id} is outside the vocabulary of 300"):
        decode([[1, token_id]])


def test_weights_that_give_no_numbers_are_an_error_and_no_text() -> None:
    params: Params = {**PARAMS, "ln_f": {"weight": PARAMS["ln_f"]["weight"] * np.nan, "bias": PARAMS["ln_f"]["bias"]}}
    with pytest.raises(ValueError, match="weights are damaged"):
        finish(generate([[1]], params, CONFIG, max_new_tokens=5))
