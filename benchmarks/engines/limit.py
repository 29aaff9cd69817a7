"""What memory gives: reading all weights once for a token, by products with a vector and by a plain sum."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.engines.engine import Engine, serve


class Limit(Engine):
    """No GPT-2: matrices of its shapes in one piece of memory, each row of which is read as it lies."""

    packages = ("numpy",)

    def __init__(self, folder: Path, mode: str, threads: int) -> None:
        from numpygpt.models.checkpoint import load

        config, _, _ = load(folder)
        n, inner = config.n_embd, config.n_inner or 4 * config.n_embd
        shapes = [(3 * n, n), (n, n), (inner, n), (n, inner)] * config.n_layer + [(config.vocab_size, n)]
        self.memory = np.ones(sum(a * b for a, b in shapes), np.float32)
        ends = np.cumsum([a * b for a, b in shapes])
        self.matrices = [self.memory[end - a * b : end].reshape(a, b) for (a, b), end in zip(shapes, ends, strict=True)]
        self.vectors = [np.ones(b, np.float32) for _, b in shapes]
        self.threads = threads

    def gemv(self, n_tokens: int) -> float:
        """Return the tokens a second whose products are all that is computed."""
        start = time.perf_counter()
        for _ in range(n_tokens):
            for matrix, vector in zip(self.matrices, self.vectors, strict=True):
                matrix @ vector
        return n_tokens / (time.perf_counter() - start)

    def sum(self, n_tokens: int) -> float:
        """Return the same where all weights are only added up, by as many threads."""
        parts = np.array_split(self.memory, self.threads)
        with ThreadPoolExecutor(self.threads) as pool:
            list(pool.map(np.sum, parts))
            start = time.perf_counter()
            for _ in range(n_tokens):
                list(pool.map(np.sum, parts))
            return n_tokens / (time.perf_counter() - start)


if __name__ == "__main__":
    serve(Limit)
