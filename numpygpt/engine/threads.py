"""Work shared out among threads of our own, each with a BLAS that runs on one core.

NumPy leaves products to its BLAS library, which runs a large one on all cores; everything between two products runs on
one. But NumPy lets go of Python's lock while it computes, so threads that each have a part of the work keep all cores
busy all the time, if BLAS does not use more than one core for each of them. NumPy has no word for that;
`threadpoolctl` has.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import cache
from queue import SimpleQueue
from threading import Lock, Thread, local
from typing import Any, TypeVar

T = TypeVar("T")
WORTHWHILE = 2**19  # numbers in a matrix; what is done with smaller ones is over before another thread has woken up


@cache
def blas() -> Any:
    """Return what knows and sets the number of OpenBLAS' threads, a `threadpoolctl.ThreadpoolController`."""
    from threadpoolctl import ThreadpoolController  # here: looking for the libraries takes a moment

    return ThreadpoolController().select(internal_api="openblas")


@cache
def n_threads() -> int:
    """Return how many cores BLAS uses, as it is set when this is first asked; 1 where that cannot be changed.

    That is where BLAS is none that has one number for all threads of the process.
    """
    libraries = blas().info()
    return max([1, *(int(library["num_threads"]) for library in libraries if library["threading_layer"] == "pthreads")])


Task = tuple[Callable[[], None], "SimpleQueue[None]"]  # what to do, and where to say that it is done


@cache
def _helpers(n_helpers: int) -> SimpleQueue[Task]:
    """Start so many threads, and return where they look for work.

    This does less than a ThreadPoolExecutor before a part begins.
    """
    tasks: SimpleQueue[Task] = SimpleQueue()

    def help_out() -> None:
        while True:
            work, done = tasks.get()
            work()
            done.put(None)

    for _ in range(n_helpers):
        Thread(target=help_out, name="numpygpt", daemon=True).start()
    return tasks


_one_at_a_time = Lock()
_thread = local()  # of each thread, whether it is at work on a part


def _start_anew() -> None:
    """Forget the threads: a forked process has none but the one that forked."""
    global _one_at_a_time
    _one_at_a_time = Lock()
    _helpers.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)


def parallel_map(function: Callable[[int], T], parts: Iterable[int], n_workers: int | None = None) -> list[T]:
    """Call `function` for every part, each call in one thread with a BLAS on one core; results in the order of parts.

    Calls start in that order too. There are `n_workers` threads, as many as BLAS uses if None. The thread that asks is
    one of them, for it is already awake. Within the function, another call does its parts one after the other.
    """
    n_helpers = (n_threads() if n_workers is None else n_workers) - 1
    if n_helpers == 0 or getattr(_thread, "is_at_work", False):
        return [function(part) for part in parts]
    numbered = enumerate(parts)
    results: dict[int, T] = {}
    errors: list[BaseException] = []

    def work() -> None:
        _thread.is_at_work = True
        try:
            for number, part in numbered:
                results[number] = function(part)
        except BaseException as error:  # to be raised by the thread that asked
            errors.append(error)
        finally:
            _thread.is_at_work = False

    with _one_at_a_time:
        libraries = [(library, library.num_threads) for library in blas().lib_controllers]
        done: SimpleQueue[None] = SimpleQueue()
        try:
            for library, _ in libraries:
                library.set_num_threads(1)
            for _ in range(n_helpers):
                _helpers(n_helpers).put((work, done))
            work()
            for _ in range(n_helpers):
                done.get()
        finally:
            for library, n_before in libraries:
                library.set_num_threads(n_before)
    if errors:
        raise errors[0]
    return [results[number] for number in sorted(results)]
