"""The processes that are measured: started, asked, and ended where they do not answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any

UNSET = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")  # would make our BLAS another one than users have
THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
PATIENCE = 1800.0  # seconds: the first call of some engines compiles


class EngineError(Exception):
    """An engine that is not installed, failed, or ended."""


class EngineProcess:
    """An engine, its folder and its threads in a process of its own, which keeps thread pools and memory apart."""

    def __init__(self, command: list[str], threads: int, patience: float = PATIENCE) -> None:
        environment = {name: value for name, value in os.environ.items() if name not in UNSET}
        environment |= {name: str(threads) for name in THREADS} | {"HF_HUB_OFFLINE": "1"}
        cores = sorted(os.sched_getaffinity(0))[:threads] if hasattr(os, "sched_setaffinity") else []
        self.patience = patience
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
            preexec_fn=(lambda: os.sched_setaffinity(0, cores)) if cores else None,
        )
        self._answers: Queue[str] = Queue()
        Thread(target=self._listen, daemon=True).start()
        try:
            self.versions: dict[str, str] = self._answer()
        except EngineError:
            self.close()
            raise

    def _listen(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put("")

    def _answer(self) -> Any:
        try:
            line = self._answers.get(timeout=self.patience)
        except Empty:
            self.close()  # its answer would be taken for that to the next question
            raise EngineError(f"no answer within {self.patience:g} s") from None
        if not line:
            raise EngineError(f"its process ended with status {self._process.wait()}")
        reply = json.loads(line)
        if "missing" in reply:
            raise EngineError(f"not installed ({reply['missing']})")
        if "error" in reply:
            raise EngineError(reply["error"])
        return reply["result"]

    def __call__(self, method: str, *arguments: Any) -> Any:
        """Call a method of the engine; raises EngineError for whatever goes wrong there."""
        assert self._process.stdin
        try:
            print(json.dumps([method, *arguments]), file=self._process.stdin, flush=True)
        except OSError:
            raise EngineError(f"its process ended with status {self._process.wait()}") from None
        return self._answer()

    @property
    def ended(self) -> bool:
        """Whether the process is no more."""
        return self._process.poll() is not None

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


def command(module: str, folder: Path, mode: str, threads: int) -> list[str]:
    """Return the command that serves an engine of this folder."""
    return [sys.executable, "-m", f"benchmarks.engines.{module}", str(folder), mode, str(threads)]
