"""Reading a prompt by chunks against the book, which reads it at once."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_models import random_params, transformers_model

from numpygpt import GPT2Config, KVCache, pad_left
from numpygpt.engine import gpt2, prefill, threads
from numpygpt.engine.prefill import chunk_bounds
from numpygpt.gpt2 import gpt2 as book

CONFIG = GPT2Config(vocab_size=97, n_ctx=300, n_embd=24, n_layer=3, n_head=3)
PARAMS = random_params(CONFIG, dtype=np.float64)


@pytest.fixture(params=[2, 3])
def n_chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Read even a short prompt of a small model by chunks; the fixture's value lists how many there were each time."""
    counts: list[int] = []
    parallel_map = threads.parallel_map

    def counting(function: Any, parts: range) -> list[Any]:
        counts.append(len(parts))
        return parallel_map(function, parts)

    monkeypatch.setattr(threads, "n_threads", lambda: request.param)
    monkeypatch.setattr(threads, "parallel_map", counting)
    monkeypatch.setattr(threads, "WORTHWHILE", 0)
    monkeypatch.setattr(prefill, "SHORTEST", 5)
    monkeypatch.setattr(prefill, "CHUNK", 20)
    return counts


def ids_of(*shape: int) -> Any:
    return np.random.default_rng(0).integers(0, CONFIG.vocab_size, shape)


def cache_of(*batch: int) -> KVCache:
    return KVCache(CONFIG, batch, dtype=np.float64)


def whole(ids: Any) -> Any:
    return book(ids, **PARAMS, n_head=CONFIG.n_head)


def same(ours: Any, expected: Any) -> None:
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("n_seq", [10, 41, 100, 300])
@pytest.mark.parametrize("logits_to_keep", [0, 1, 30])
@pytest.mark.parametrize("cache", [cache_of, lambda: None], ids=["a cache", "no cache"])
def test_logits_are_those_of_the_whole(n_chunks: list[int], n_seq: int, logits_to_keep: int, cache: Any) -> None:
    ids = ids_of(n_seq)
    ours = gpt2(ids, **PARAMS, config=CONFIG, cache=cache(), logits_to_keep=logits_to_keep)
    assert ours.dtype == np.float64
    same(ours, whole(ids)[-logits_to_keep:])
    assert n_chunks
    assert n_chunks[0] > 1


def test_logits_are_those_of_transformers(n_chunks: list[int]) -> None:
    torch = pytest.importorskip("torch")
    with torch.no_grad():
        theirs = transformers_model(CONFIG, PARAMS)(torch.from_numpy(ids_of(1, 300))).logits.numpy()
    same(gpt2(ids_of(1, 300), **PARAMS, config=CONFIG, cache=cache_of(1)), theirs)
    assert n_chunks[0] > 1


def test_the_cache_serves_what_follows(n_chunks: list[int]) -> None:
    ids, cache = ids_of(200), cache_of()
    for start, end in ((0, 90), (90, 190), (190, 191), (191, 200)):  # by chunks, by chunks, at once, at once
        ours = gpt2(ids[start:end], **PARAMS, config=CONFIG, cache=cache, logits_to_keep=1)
        assert cache.n_seq == end
        same(ours, whole(ids[:end])[-1:])
    assert len(n_chunks) == 2


@pytest.mark.parametrize("cache", [cache_of, lambda _: None], ids=["a cache", "no cache"])
def test_a_batch_with_padding(n_chunks: list[int], cache: Any) -> None:
    texts = [ids_of(120).tolist(), ids_of(57).tolist(), [3]]
    ids, n_pad = pad_left(texts)
    ours = gpt2(ids, **PARAMS, config=CONFIG, cache=cache(3), n_pad=n_pad, logits_to_keep=1)
    same(ours, [whole(text)[-1:] for text in texts])
    assert n_chunks[0] > 1


def test_output_weights_of_their_own(n_chunks: list[int]) -> None:
    params = PARAMS | {"lm_head": {"weight": PARAMS["wte"]["weight"][::-1]}}
    ours = gpt2(ids_of(60), **params, config=CONFIG, cache=cache_of())
    same(ours, whole(ids_of(60))[:, ::-1])
    assert n_chunks[0] > 1


@pytest.mark.parametrize("bad", [0, 35, 99])  # in the first chunk, in between, in the last
def test_an_error_in_a_chunk_ends_all_and_leaves_the_cache_as_it_was(n_chunks: list[int], bad: int) -> None:
    ids, cache = ids_of(100), cache_of()
    wrong = ids.copy()
    wrong[bad] = CONFIG.vocab_size
    with pytest.raises(ValueError, match="token id 97 is outside the vocabulary"):
        gpt2(wrong, **PARAMS, config=CONFIG, cache=cache)
    assert cache.n_seq == 0
    same(gpt2(ids, **PARAMS, config=CONFIG, cache=cache), whole(ids))


def test_what_does_not_fit_the_cache_is_not_begun(n_chunks: list[int]) -> None:
    with pytest.raises(ValueError, match="100 tokens do not fit the cache, made for 50"):
        gpt2(ids_of(100), **PARAMS, config=CONFIG, cache=KVCache(CONFIG, n_ctx=50))
    assert not n_chunks


def test_one_thread_reads_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "n_threads", lambda: 1)
    monkeypatch.setattr(threads, "parallel_map", None)
    same(gpt2(ids_of(300), **PARAMS, config=CONFIG, cache=cache_of()), whole(ids_of(300)))


@given(st.integers(1, 50), st.integers(1, 1024), st.integers(1, 64), st.integers(0, 1024), st.integers(16, 1600))
def test_chunks_cover_the_prompt_and_cost_the_same(
    n_sequences: int, n_seq: int, n_threads: int, n_past: int, n_embd: int
) -> None:
    bounds = chunk_bounds(n_sequences, n_seq, n_threads, n_past, n_embd)
    assert (bounds[0], bounds[-1]) == (0, n_seq)
    assert np.diff(bounds).min() >= min(n_seq, prefill.SHORTEST) // 2
    work = 12 * n_embd**2 + 2 * (2 * n_embd * np.arange(n_past, n_past + n_seq))  # of every token
    costs = [work[start:end].sum() for start, end in itertools.pairwise(bounds)]
    assert max(costs) - min(costs) <= 2 * work.max()


def test_more_threads_make_more_chunks_unless_they_get_too_short() -> None:
    n_chunks = [len(chunk_bounds(1, 1000, n_threads, n_past=0, n_embd=768)) - 1 for n_threads in (1, 2, 3, 4, 8, 64)]
    assert n_chunks == [1, 4, 6, 4, 8, 10]
    assert len(chunk_bounds(4, 300, 2, n_past=0, n_embd=768)) - 1 == 3
