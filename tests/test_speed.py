"""What `--stats` says about memory: which weights a token reads, how many bytes, and which share of a second."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from random_models import random_params

from numpygpt import GPT2, GPT2Config, speed
from numpygpt.arrays import flatten
from numpygpt.speed import Bandwidth, Watch

CONFIG = GPT2Config(n_layer=2, n_head=2, n_embd=8, n_ctx=16, vocab_size=20)
MATRICES = 2 * 12 * 8 * 8  # numbers: c_attn, c_proj, c_fc and c_proj are 3, 1, 4 and 4 squares of 8 by 8


def test_a_token_is_multiplied_with_every_matrix_but_the_position_embedding() -> None:
    params = random_params(CONFIG)
    matrices = speed.matrices(params)
    assert sum(matrix.size for matrix in matrices) == MATRICES + 20 * 8
    assert matrices[0].shape == (8, 24)
    assert matrices[-1].shape == (8, 20)
    assert np.shares_memory(matrices[-1], params["wte"]["weight"])


def test_output_weights_of_their_own_are_read_instead_of_the_token_embedding() -> None:
    params = random_params(
        GPT2Config(n_layer=2, n_head=2, n_embd=8, n_ctx=16, vocab_size=20, tie_word_embeddings=False)
    )
    matrices = speed.matrices(params)
    assert sum(matrix.size for matrix in matrices) == MATRICES + 20 * 8
    assert np.shares_memory(matrices[-1], params["lm_head"]["weight"])


def test_weights_are_read_once_a_step_and_keys_and_values_by_every_sequence() -> None:
    params = random_params(CONFIG)
    weights, position = 4 * (MATRICES + 20 * 8), 4 * 2 * 2 * 8  # float32; a key and a value in 2 layers of 8 numbers
    assert speed.bytes_read(params, CONFIG, [[5]]) == weights + 5 * position
    assert speed.bytes_read(params, CONFIG, [[5, 5], [6]]) == 2 * weights + 16 * position


def test_the_bandwidth_is_that_of_the_fastest_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks: Iterator[float] = iter([0.0, 0.001, 1.0, 1.5, 2.0, 2.25])  # the first turn does not count
    monkeypatch.setattr("time.perf_counter", lambda: next(ticks))
    monkeypatch.setattr(speed, "cache_bytes", lambda: 0)
    n_bytes = 4 * (MATRICES + 20 * 8)
    assert speed.measure(random_params(CONFIG)) == Bandwidth(n_bytes / 0.25, "memory")


def test_weights_that_fit_the_cache_are_said_to(monkeypatch: pytest.MonkeyPatch) -> None:
    n_bytes = 4 * (MATRICES + 20 * 8)
    for size, source in ((n_bytes, "the processor's cache"), (n_bytes - 1, "memory")):
        monkeypatch.setattr(speed, "cache_bytes", lambda size=size: size)
        assert speed.measure(random_params(CONFIG), 0).source == source


def test_the_largest_cache_counts_and_none_is_known_elsewhere(tmp_path: Path) -> None:
    assert speed.cache_bytes(tmp_path / "nowhere") == 0
    for number, size in enumerate(("32K", "32768K", "1024K")):
        (tmp_path / f"index{number}").mkdir()
        (tmp_path / f"index{number}" / "size").write_text(f"{size}\n")
    assert speed.cache_bytes(tmp_path) == 32 * 2**20


def test_the_watch_counts_the_steps_after_the_first_token(tiny: GPT2, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch()
    *_, texts = watch.over(tiny.grow(["The"], 4))
    length = len(texts[0].continuation.prompt)
    assert texts[0].n_tokens == 4
    assert watch.lengths == [[length + 1], [length + 2], [length + 3], []]  # a text that has ended reads no more
    monkeypatch.setattr(watch, "times", [10.0, 11.0, 12.0, 12.5])
    monkeypatch.setattr(speed, "measure", lambda _: Bandwidth(1e6, "memory"))
    n_bytes = speed.bytes_read(tiny.params, tiny.config, watch.lengths[:3])
    (line,) = watch.tell(tiny.params, tiny.config)
    assert line == speed.describe(n_bytes, 3, 2.5, Bandwidth(1e6, "memory"))
    assert f"{n_bytes / 1e6 / 2.5:.0%} of what memory gives" in line
    assert n_bytes > 3 * sum(
        t.nbytes for name, t in flatten(tiny.params).items() if name.startswith("h.") and t.ndim == 2
    )


def test_nothing_is_said_of_a_single_token(tiny: GPT2) -> None:
    watch = Watch()
    list(watch.over(tiny.grow(["The"], 1)))
    assert watch.tell(tiny.params, tiny.config) == []
