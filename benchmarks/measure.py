"""A row of the table, the processes that are measured, and what they are measured on."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from numpygpt import GPT2Config, Tokenizer
from numpygpt.arrays import unflatten
from numpygpt.config import parameter_shapes
from numpygpt.models import cache, checkpoint

US = "numpygpt"
PAUSE = (
    0.3  # seconds before a turn: idle threads of BLAS and OpenMP hold the cores for up to 0.2, at the next's expense
)


@dataclass
class Row:
    """One line of the table: what each program needs, in `unit`, one number a repetition."""

    name: str
    unit: str
    values: dict[str, list[float]] = field(default_factory=dict)

    def median(self, peer: str) -> float:
        """The median over the repetitions."""
        return statistics.median(self.values[peer])

    def ratio(self, peer: str) -> tuple[float, float, float]:
        """How many times better we are: the median of the ratios of each repetition, and their extremes."""
        pairs = zip(self.values[US], self.values[peer], strict=True)
        faster = self.unit.endswith("/s")
        ratios = sorted(ours / theirs if faster else theirs / ours for ours, theirs in pairs)
        return statistics.median(ratios), ratios[0], ratios[-1]

    def show(self) -> str:
        """The row as a line of a Markdown table."""
        others = [peer for peer in self.values if peer != US]
        theirs = "; ".join(f"{peer} {self.median(peer):,.3g}" for peer in others)
        ratio = "{:.2f} ({:.2f} to {:.2f})".format(*self.ratio(others[0])) if others else ""
        return f"| {self.name} | {self.unit} | {self.median(US):,.3g} | {theirs} | {ratio} |"


class Process:
    """A peer in its own process."""

    def __init__(self, name: str, folder: Path, threads: int) -> None:
        environment = os.environ | {name: str(threads) for name in THREADS} | {"HF_HUB_OFFLINE": "1"}
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.peers", name, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def __call__(self, method: str, *arguments: Any) -> Any:
        """Call a method of the peer."""
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps([method, *arguments]), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise ValueError(f"{self.name} ended without an answer; is it installed? (pip install -e '.[reference]')")
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def model_folder(folder: Path | None = None, config: GPT2Config | None = None) -> Path:
    """Random weights of a shape, written once to a folder.

    By default the official gpt2 if it is on disk, else random weights of its shape in the temporary folder.
    """
    folder = folder or cache.find("gpt2") or Path(tempfile.gettempdir(), "numpygpt-benchmark-gpt2")
    config = config or GPT2Config()
    if not folder.is_dir():
        rng = np.random.default_rng(0)
        tensors = {
            name: np.float32(0.02) * rng.standard_normal(shape, np.float32)
            + np.float32("ln_" in name and name.endswith("weight"))
            for name, shape in parameter_shapes(config).items()
        }
        checkpoint.save(folder, config, unflatten(tensors), Tokenizer())
    return folder


def causal_flops(config: GPT2Config, n: int) -> float:
    """Floating-point operations to read n tokens: the products with matrices, and attention to what came before.

    A product of [n, a] and [a, b] is 2 · n · a · b. The logits are computed for the last position alone.

    >>> f"{causal_flops(GPT2Config(), 1000):.3g}"
    '1.88e+11'
    """
    matrices = 12 * config.n_layer * config.n_embd**2  # c_attn, c_proj, c_fc and c_proj: 3 + 1 + 4 + 4
    attention = 4 * config.n_layer * config.n_embd * n * (n + 1) / 2  # queries with keys, and weights with values
    return 2 * n * matrices + attention + 2 * config.n_embd * config.vocab_size


def machine() -> dict[str, Any]:
    """What was measured on."""
    import numpy

    processor = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        processor = next(
            line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line
        )
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "date": time.strftime("%Y-%m-%d"),
    }
