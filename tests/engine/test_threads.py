"""Work shared out among threads: the results are those of one, and BLAS gets back the threads it had."""

from __future__ import annotations

import multiprocessing
import threading
from typing import Any

import numpy as np
import pytest
import threadpoolctl
from hypothesis import given
from hypothesis import strategies as st

from numpygpt.engine import threads


@pytest.fixture(params=[2, 3])
def n_threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Share out whatever can be shared, among so many threads."""
    monkeypatch.setattr(threads, "n_threads", lambda: request.param)
    monkeypatch.setattr(threads, "WORTHWHILE", 0)
    return int(request.param)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("n_out", [1, 63, 64, 200, 1000])
@pytest.mark.parametrize("n_in", [1, 767, 768, 769, 2000])
def test_a_product_in_parts_is_the_product(
    n_threads: int, n_in: int, n_out: int, transposed: bool, dtype: type
) -> None:
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((n_out, n_in)).astype(dtype).T if transposed else rng.standard_normal((n_in, n_out))
    weight = weight.astype(dtype, copy=False)
    for n_rows in (1, 2, 7, 16, 17):
        x: Any = rng.standard_normal((n_rows, n_in)).astype(dtype)
        y = threads.product(x, weight)
        assert y.dtype == dtype
        np.testing.assert_allclose(y, x @ weight, rtol=0, atol=1e-3 if dtype == np.float32 else 1e-11)


def test_only_few_rows_and_large_matrices_are_shared_out(n_threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    parallel_map = threads.parallel_map
    monkeypatch.setattr(threads, "parallel_map", lambda *given: calls.append(1) or parallel_map(*given))  # type: ignore[func-returns-value]
    weight = np.ones((8, 128), np.float32)

    def shared(n_rows: int) -> bool:
        calls.clear()
        threads.product(np.ones((n_rows, 8), np.float32), weight)
        return bool(calls)

    assert [shared(n_rows) for n_rows in (1, 2, threads.FEW_ROWS, threads.FEW_ROWS + 1)] == [0, 1, 1, 0]
    monkeypatch.setattr(threads, "WORTHWHILE", weight.size + 1)
    assert not shared(4)


@given(parts=st.lists(st.integers(0, 1000)))
def test_results_keep_the_order_of_the_parts(parts: list[int]) -> None:
    assert threads.parallel_map(lambda part: 2 * part, parts) == [2 * part for part in parts]


def test_an_error_in_a_part_arrives(n_threads: int) -> None:
    with pytest.raises(ZeroDivisionError):
        threads.parallel_map(lambda part: 1 // part, [1, 0, 1])
    assert threads.parallel_map(lambda part: part, [1, 2]) == [1, 2]


def test_blas_has_one_core_a_part_and_gets_its_threads_back(n_threads: int) -> None:
    if not threads.blas().info():
        pytest.skip("NumPy's BLAS is not OpenBLAS here")

    def count(_: int = 0) -> int:
        return max(int(library["num_threads"]) for library in threads.blas().info())

    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        assert threads.parallel_map(count, [0, 1]) == [1, 1]
        assert count() == 2
        with pytest.raises(ZeroDivisionError):
            threads.parallel_map(lambda part: 1 // part, [0])
        assert count() == 2


def test_several_programs_threads_may_parallel_map_at_once() -> None:
    results: dict[int, list[int]] = {}

    def parallel_map(start: int) -> None:
        for _ in range(50):
            results[start] = threads.parallel_map(lambda part: part + 1, range(start, start + 4))

    at_once = [threading.Thread(target=parallel_map, args=(10 * number,)) for number in range(4)]
    for thread in at_once:
        thread.start()
    for thread in at_once:
        thread.join()
    assert results == {start: [start + i for i in (1, 2, 3, 4)] for start in (0, 10, 20, 30)}


def test_where_blas_cannot_be_told_nothing_is_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoLibraries:
        lib_controllers: tuple[()] = ()

        def info(self) -> list[dict[str, Any]]:
            return []

    monkeypatch.setattr(threads, "blas", NoLibraries)
    threads.n_threads.cache_clear()
    try:
        assert threads.n_threads() == 1
        assert threads.parallel_map(abs, [-1]) == [1]
    finally:
        threads.n_threads.cache_clear()


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
def test_a_forked_process_has_threads_of_its_own() -> None:
    assert threads.parallel_map(abs, [-1]) == [1]
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply_async(threads.parallel_map, (abs, [-1, -2])).get(timeout=20) == [1, 2]
