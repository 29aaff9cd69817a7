"""Work shared out among threads: the results are those of one, and BLAS gets back the threads it had."""

from __future__ import annotations

import multiprocessing
import threading
from typing import Any

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
