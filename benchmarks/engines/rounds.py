"""The rounds in which engines take turns, after their ids were compared with ours."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.engines.process import EngineError, EngineProcess, command
from benchmarks.engines.work import DECODE, LIMIT, LOAD, OURS, SUM, Call, Peer, Workload
from benchmarks.measure import PAUSE, Row

TIE = 1e-3  # a difference of logits: of two ids so close, either is the likeliest
N_LIMIT = 64  # tokens for which the weights are read


class Comparison:
    """Engines that are open, and what has been measured: a row a workload, a list of numbers an engine."""

    def __init__(self, folder: Path, threads: int, work: list[Workload], pause: float = PAUSE) -> None:
        self.folder, self.threads, self.work, self.pause = folder, threads, work, pause
        self.engines: dict[Peer, EngineProcess] = {}
        self.rows = {title: Row(title, title.split(", ")[-1]) for title in (*(w.title for w in work), LOAD)}
        self.notes: list[str] = []
        self.versions: dict[str, str] = {}
        self.first_round: dict[str, float] = {}
        self._not_given: set[tuple[str, str]] = set()

    def start(self, peer: Peer) -> EngineProcess:
        """Start an engine; raises EngineError."""
        return EngineProcess(command(peer.module, self.folder, peer.mode, self.threads), self.threads)

    def open(self, peers: list[Peer]) -> None:
        """Start ours, the limit and others; leave out those that do not start or, in float32, write other ids.

        Raises EngineError where ours or the limit does not start.
        """
        greedy, ours = [work.greedy for work in self.work if work.greedy], []
        for peer in (OURS, LIMIT, *peers):
            tell(f"{peer.title}: starts")
            try:
                engine = self.engines[peer] = self.start(peer)
                self.versions |= engine.versions
                if peer == OURS:
                    ours = [engine("generate", *question, 1) for question in greedy]
                elif peer != LIMIT and peer.mode == "float32":
                    for (texts, n_new), expected in zip(greedy, ours, strict=True):
                        check(texts, expected, engine("generate", texts, n_new, 1), self.engines[OURS])
            except EngineError as error:
                if peer in (OURS, LIMIT):
                    raise
                self.leave_out(peer, str(error))

    def leave_out(self, peer: Peer, reason: str) -> None:
        """Go on without an engine and without what it measured, and say why."""
        if peer in self.engines:
            self.engines.pop(peer).close()
        for row in self.rows.values():
            row.values.pop(peer.title, None)
        self.note(f"{peer.title} is left out: {reason}")

    def note(self, text: str) -> None:
        """Keep a line that stands below the tables."""
        self.notes.append(text)
        tell(text)

    def round(self, number: int) -> None:
        """Let the engines do all work in turns, from the last to the first in odd rounds; round 0 does not count."""
        tell(f"round {number}" if number else "a round that does not count: programs are compiled in it")
        limit = self.engines[LIMIT]
        for work in self.work:
            if work.name == DECODE:
                self.turn(number, work.title, LIMIT, partial(limit, "gemv", N_LIMIT))
                self.turn(number, work.title, LIMIT, partial(limit, "sum", N_LIMIT), SUM)
            for peer in self.order(number):
                self.turn(number, work.title, peer, partial(work.ask, self.engines[peer]))
        for peer in self.order(number) if number else []:
            self.turn(number, LOAD, peer, partial(self.load, peer))

    def order(self, number: int) -> list[Peer]:
        """Return the engines as they take their turns in a round."""
        peers = [peer for peer in self.engines if peer != LIMIT]
        return peers[:: -1 if number % 2 else 1]

    def turn(self, number: int, title: str, peer: Peer, call: Callable[[], float], name: str = "") -> None:
        """Measure one number; an engine that does not give it goes on without, one that has ended is left out."""
        name = name or peer.title
        if peer not in self.engines or (title, name) in self._not_given:
            return
        time.sleep(self.pause)
        start = time.perf_counter()
        try:
            value = call()
        except EngineError as error:
            if peer in (OURS, LIMIT):
                raise
            self.go_on_without(peer, title, str(error))
            return
        if number:
            self.rows[title].values.setdefault(name, []).append(value)
        else:
            self.first_round[name] = self.first_round.get(name, 0) + time.perf_counter() - start

    def go_on_without(self, peer: Peer, title: str, reason: str) -> None:
        """Leave out an engine that has ended, or what it does not give."""
        if self.engines[peer].ended:
            self.leave_out(peer, reason)
            return
        self._not_given.add((title, peer.title))
        self.rows[title].values.pop(peer.title, None)
        self.note(f"{peer.title}, {title}: {reason}")

    def load(self, peer: Peer) -> float:
        """Return the seconds from the start of a process to the model's being ready in it."""
        start = time.perf_counter()
        engine = self.start(peer)
        seconds = time.perf_counter() - start
        engine.close()
        return seconds

    def close(self) -> None:
        """End all processes."""
        for engine in self.engines.values():
            engine.close()


def check(prompts: list[list[int]], ours: list[list[int]], theirs: list[list[int]], engine: Call) -> None:
    """Raise EngineError where an engine's greedy ids part from ours at no tie, and say where."""
    for number, (prompt, expected, got) in enumerate(zip(prompts, ours, theirs, strict=True)):
        for i, (a, b) in enumerate(zip(expected, got, strict=True)):
            if a != b:
                logits = engine("logits", prompt + expected[:i])
                if logits[a] - logits[b] > TIE:
                    raise EngineError(f"its greedy ids are not ours: text {number} parts after {i} of {len(expected)}")
                break


def tell(text: str) -> None:
    """Say what is under way."""
    print(text, file=sys.stderr, flush=True)
