"""The cache: what is remembered serves what follows, and a call that fails changes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from numpygpt import GPT2, KVCache, engine
from numpygpt.arrays import Array
from numpygpt.engine import kernels, pad_left


def read(model: GPT2, ids: Any, cache: KVCache, **options: Any) -> Array:
    return engine.gpt2(ids, **model.params, config=model.config, cache=cache, **options)


@pytest.mark.parametrize("chunks", [[1] * 64, [64], [1, 63], [40, 1, 1, 22], [7] * 9 + [1]], ids=len)
def test_any_chunks_give_the_same_logits(tiny: GPT2, expected: dict[str, Array], chunks: list[int]) -> None:
    cache = KVCache(tiny.config, batch_shape=(2,))
    parts = np.split(expected["ids"], np.cumsum(chunks)[:-1], axis=-1)
    logits = np.concatenate([read(tiny, part, cache) for part in parts], axis=-2)
    np.testing.assert_allclose(logits, expected["logits"], rtol=0, atol=1e-4)
    assert cache.n_seq == 64


def test_a_padded_batch_decodes(tiny: GPT2) -> None:
    prompts = [[5, 6, 7, 8, 9], [3]]
    ids, n_pad = pad_left(prompts)
    cache = KVCache(tiny.config, batch_shape=(2,))
    read(tiny, ids, cache, n_pad=n_pad)
    next_logits = read(tiny, [[11], [12]], cache, n_pad=n_pad)
    np.testing.assert_allclose(next_logits[0, -1], tiny.logits([*prompts[0], 11])[-1], atol=1e-4)
    np.testing.assert_allclose(next_logits[1, -1], tiny.logits([*prompts[1], 12])[-1], atol=1e-4)


def test_padding_takes_no_room_in_the_context_window(tiny: GPT2) -> None:
    """The short sequence of a padded batch may go on until it fills the window itself."""
    ids, n_pad = pad_left([[1] * 4, [2] * 2])
    cache = KVCache(tiny.config, batch_shape=(2,), n_ctx=70)
    read(tiny, ids, cache, n_pad=n_pad)
    cache.select([1])
    tail = np.arange(62)
    logits = read(tiny, tail[None], cache, n_pad=n_pad[1:])
    np.testing.assert_allclose(logits[0], tiny.logits([2, 2, *tail])[2:], atol=1e-4)
    with pytest.raises(ValueError, match="65 tokens do not fit the context window of 64"):
        read(tiny, [[0]], cache, n_pad=n_pad[1:])


def test_selected_rows_go_on_alone(tiny: GPT2, expected: dict[str, Array]) -> None:
    cache = KVCache(tiny.config, batch_shape=(2,))
    read(tiny, expected["ids"][:, :10], cache)
    cache.select([1, 1, 0])
    assert cache.batch_shape == (3,)
    logits = read(tiny, expected["ids"][[1, 1, 0], 10:], cache)
    np.testing.assert_allclose(logits, expected["logits"][[1, 1, 0], 10:], rtol=0, atol=1e-4)


def test_what_is_forgotten_is_written_over(tiny: GPT2, expected: dict[str, Array]) -> None:
    cache = KVCache(tiny.config, batch_shape=(2,))
    read(tiny, expected["ids"][:, :10], cache)
    read(tiny, [[0] * 20] * 2, cache)
    cache.truncate(10)
    cache.truncate(50)  # there is nothing more to forget
    np.testing.assert_allclose(
        read(tiny, expected["ids"][:, 10:], cache), expected["logits"][:, 10:], rtol=0, atol=1e-4
    )


def test_a_negative_length_is_refused(tiny: GPT2) -> None:
    cache = KVCache(tiny.config)
    read(tiny, [1, 2, 3], cache)
    with pytest.raises(ValueError, match="0 positions or more, not to -1"):
        cache.truncate(-1)
    assert cache.n_seq == 3


@pytest.mark.parametrize(
    ("ids", "options", "message"),
    [
        ([[0] * 5], {}, r"made for a batch of shape \(2,\), not \(1,\)"),
        ([0] * 5, {}, r"made for a batch of shape \(2,\), not \(\)"),
        ([[0] * 5] * 3, {}, r"made for a batch of shape \(2,\), not \(3,\)"),
        ([[0] * 55] * 2, {}, "65 tokens do not fit the context window of 64"),
        ([[0] * 31] * 2, {"n_ctx": 40}, "41 tokens do not fit the cache, made for 40"),
        ([[0, 512]] * 2, {}, "token id 512 is outside the vocabulary"),
        ([[0]] * 2, {"n_pad": [1, 2, 3]}, "."),
        ([[0]] * 2, {"logits_to_keep": -1}, "logits_to_keep must be at least 0"),
    ],
)
def test_a_call_that_fails_leaves_the_cache_as_it_was(
    tiny: GPT2, expected: dict[str, Array], ids: Any, options: dict[str, Any], message: str
) -> None:
    cache = KVCache(tiny.config, (2,), n_ctx=options.pop("n_ctx", None))
    read(tiny, expected["ids"][:, :10], cache)
    with pytest.raises(ValueError, match=message):
        read(tiny, ids, cache, **options)
    assert cache.n_seq == 10
    logits = read(tiny, expected["ids"][:, 10:30], cache)
    np.testing.assert_allclose(logits, expected["logits"][:, 10:30], rtol=0, atol=1e-4)


def test_so_does_one_that_is_interrupted_in_the_middle(
    tiny: GPT2, expected: dict[str, Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = KVCache(tiny.config, (2,))
    read(tiny, expected["ids"][:, :10], cache)
    mlp, calls = kernels.mlp, iter(range(100))

    def interrupted(*args: Any, **kwargs: Any) -> Array:
        if next(calls) == 1:
            raise KeyboardInterrupt
        return mlp(*args, **kwargs)

    monkeypatch.setattr(kernels, "mlp", interrupted)
    with pytest.raises(KeyboardInterrupt):
        read(tiny, expected["ids"][:, 10:20], cache)
    assert cache.n_seq == 10
    logits = read(tiny, expected["ids"][:, 10:], cache)
    np.testing.assert_allclose(logits, expected["logits"][:, 10:], rtol=0, atol=1e-4)


def test_a_row_that_is_not_there_changes_nothing(tiny: GPT2) -> None:
    cache = KVCache(tiny.config, (2,))
    with pytest.raises(IndexError):
        cache.select([0, 2])
    assert cache.batch_shape == (2,)
    read(tiny, [[1], [2]], cache)
