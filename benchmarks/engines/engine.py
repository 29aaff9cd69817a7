"""What an engine does, and how it is served: JSON lines on standard input and output of a process of its own."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from numpygpt.files import atomic_folder

TOP_K = 50  # of temperature 1, where a text is drawn


def time_of(work: Callable[[], Any]) -> float:
    """Return the seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def converted(folder: Path, name: str, write: Callable[[Path, Path], None]) -> Path:
    """Return the folder `name` beside a model's, which is written from it where it does not exist yet."""
    target = folder.parent / f"{folder.name}-{name}"
    if not target.is_dir():
        with atomic_folder(target) as partial:
            write(folder, partial)
    return target


class Engine:
    """A GPT-2 in a folder, opened by one library. `packages` are those whose versions are told."""

    packages: tuple[str, ...] = ()

    def __init__(self, folder: Path, mode: str, threads: int) -> None:
        raise NotImplementedError

    def generate(self, prompts: list[list[int]], n_new: int, top_k: int) -> list[list[int]]:
        """Continue prompts of one length by n_new tokens each, drawn from the top_k likeliest (1: greedily)."""
        raise NotImplementedError

    def logits(self, ids: list[int]) -> list[float]:
        """Return the logits of what follows on the ids."""
        raise NotImplementedError

    def all_logits(self, ids: list[int]) -> Any:
        """Return the logits [n_seq, n_vocab] after each of the ids."""
        raise NotImplementedError("it gives the last logits only")

    def seconds(self, prompts: list[list[int]], n_new: int) -> float:
        """Return how long the continuation takes, the prompt included."""
        return time_of(lambda: self.generate(prompts, n_new, TOP_K))

    def seconds_of_all_logits(self, ids: list[int]) -> float:
        """Return how long the logits after each of the ids take."""
        return time_of(lambda: self.all_logits(ids))


class StepEngine(Engine):
    """An engine that gives logits, and of which the next token is drawn here."""

    def start(self, batch: int, n_ctx: int) -> Callable[..., Any]:
        """Return, with a new cache, a function from the next ids [batch, n_seq] to logits [batch, n_kept, n_vocab].

        They are the last ones, as many as its second argument says (default: 1).
        """
        raise NotImplementedError

    def generate(self, prompts: list[list[int]], n_new: int, top_k: int) -> list[list[int]]:
        step = self.start(len(prompts), len(prompts[0]) + n_new)
        rng = np.random.default_rng(0)
        ids = np.array(prompts, np.int64)
        new = []
        for _ in range(n_new):
            ids = draw(np.asarray(step(ids))[:, -1], top_k, rng)[:, None]
            new.append(ids)
        result: list[list[int]] = np.hstack(new).tolist()
        return result

    def logits(self, ids: list[int]) -> list[float]:
        result: list[float] = np.asarray(self.start(1, len(ids) + 1)(np.array([ids], np.int64)))[0, -1].tolist()
        return result

    def all_logits(self, ids: list[int]) -> Any:
        return np.asarray(self.start(1, len(ids) + 1)(np.array([ids], np.int64), len(ids)))[0]


def draw(logits: Any, top_k: int, rng: np.random.Generator) -> Any:
    """Draw an id for every row of logits [batch, n_vocab] at temperature 1.

    >>> draw(np.array([[0.0, 2.0, 1.0]]), 1, np.random.default_rng(0))
    array([1])
    """
    if top_k == 1:
        return logits.argmax(-1)
    best = np.argpartition(logits, -top_k, axis=-1)[:, -top_k:]
    chosen = np.take_along_axis(logits, best, -1) + rng.gumbel(size=best.shape)
    return np.take_along_axis(best, chosen.argmax(-1)[:, None], -1)[:, 0]


def serve(engine_class: type[Engine], arguments: list[str] | None = None) -> None:
    """Open FOLDER in MODE with so many THREADS, then answer each line `[method, argument, ...]` with one of JSON."""
    answers, sys.stdout = os.fdopen(os.dup(1), "w"), sys.stderr
    os.dup2(2, 1)  # what libraries print is no answer
    folder, mode, threads = sys.argv[1:] if arguments is None else arguments

    def answer(work: Callable[[], Any]) -> None:
        try:
            reply = {"result": work()}
        except ModuleNotFoundError as error:
            reply = {"missing": str(error)}
        except Exception as error:  # whatever an engine does, the others go on
            reply = {"error": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(reply), file=answers, flush=True)

    engine: list[Engine] = []

    def load() -> dict[str, str]:
        engine.append(engine_class(Path(folder), mode, int(threads)))
        return {package: version(package) for package in engine_class.packages}

    answer(load)
    for line in sys.stdin:
        method, *rest = json.loads(line)
        answer(lambda method=method, rest=rest: getattr(engine[0], method)(*rest))  # type: ignore[misc]
