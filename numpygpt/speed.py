"""How fast a text came, and how fast it could have come: every token needs all weights, and memory gives so many."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from numpygpt.arrays import Array, Params, flatten
from numpygpt.config import GPT2Config
from numpygpt.stream import TextStream

MEASURE = 0.2  # seconds
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
OUTPUT = ("lm_head.weight", "wte.weight")  # what the logits are made with: the first of them that there is


@dataclass(frozen=True)
class Bandwidth:
    """What the products of one token's vector with all matrices reach by themselves."""

    bytes_per_second: float
    source: str  # where the weights come from: "memory", or "the processor's cache"


def matrices(params: Params) -> list[Array]:
    """Return every matrix [n_in, n_out] that one token is multiplied with, in order: none is read twice.

    The position embedding is not among them, and the token embedding only where the logits are made with it: of both,
    a token's own row is all that is read.
    """
    tensors = flatten(params)
    found = [tensor for name, tensor in tensors.items() if name.startswith("h.") and tensor.ndim == 2]
    return [*found, next(tensors[name] for name in OUTPUT if name in tensors).T]


def bytes_read(params: Params, config: GPT2Config, lengths: Sequence[Sequence[int]]) -> int:
    """Return the bytes that decoding needs: the weights once a step, and every sequence's keys and values so far.

    lengths: for every step, how many positions each of the sequences attends to.

    >>> config = GPT2Config(n_layer=1, n_head=1, n_embd=2, n_ctx=8, vocab_size=5)
    >>> params = {"wte": {"weight": np.zeros((5, 2), np.float32)}, "h": [{"w": np.zeros((2, 3), np.float32)}]}
    >>> bytes_read(params, config, [[3], [4]])  # 2 steps with 10 + 6 numbers, and 2 numbers for 3 + 4 keys and values
    240
    """
    weights = matrices(params)
    position = 2 * config.n_layer * config.n_embd * weights[0].itemsize  # a key and a value in every layer
    return len(lengths) * sum(weight.nbytes for weight in weights) + position * sum(map(sum, lengths))


def measure(params: Params, seconds: float = MEASURE) -> Bandwidth:
    """Multiply a vector with all matrices again and again for so long, and return what the fastest turn reached."""
    weights = matrices(params)
    vectors = [np.ones(len(weight), weight.dtype) for weight in weights]
    times: list[float] = []
    while len(times) < 3 or sum(times) < seconds:
        start = time.perf_counter()
        for vector, weight in zip(vectors, weights, strict=True):
            vector @ weight
        times = [*times, time.perf_counter() - start]
    n_bytes = sum(weight.nbytes for weight in weights)
    return Bandwidth(n_bytes / min(times[1:]), "the processor's cache" if n_bytes <= cache_bytes() else "memory")


def cache_bytes(folder: Path = CACHES) -> int:
    """Return how much the processor's largest cache holds, as Linux says it; 0 where nothing does."""
    sizes = [file.read_text().strip() for file in folder.glob("index*/size")]
    return max((int(size[:-1]) * 1024 for size in sizes if size.endswith("K")), default=0)


def describe(n_bytes: int, n_steps: int, seconds: float, bandwidth: Bandwidth) -> str:
    """Say in a line which share of the bandwidth n_steps reached that needed n_bytes together and took so long.

    >>> describe(9_960_000_000, 20, 0.4, Bandwidth(50e9, "memory"))
    '[after the first token, 50% of what memory gives: 498 MB a step at 50.0 GB/s, as measured just now]'
    """
    share = n_bytes / bandwidth.bytes_per_second / seconds
    return (
        f"[after the first token, {share:.0%} of what {bandwidth.source} gives: "
        f"{n_bytes / n_steps / 1e6:,.0f} MB a step "
        f"at {bandwidth.bytes_per_second / 1e9:.1f} GB/s, as measured just now]"
    )


class Watch:
    """Notes when each token of growing texts came, and what it had to read.

    The first token is left out: with it, the prompt is read, and that is arithmetic more than memory.
    """

    def __init__(self) -> None:
        self.times: list[float] = []  # when each token was there
        self.lengths: list[list[int]] = []  # after each token, the positions that the next attends to, by sequence

    def over(self, growing: Iterator[list[TextStream]]) -> Iterator[list[TextStream]]:
        """Pass on what `GPT2.grow` yields."""
        for step, texts in enumerate(growing):
            if step:
                going_on = [text.continuation for text in texts if text.finish_reason is None]
                self.times = [*self.times, time.perf_counter()]
                self.lengths = [*self.lengths, [len(text.prompt) + len(text.ids) for text in going_on]]
            yield texts

    def tell(self, params: Params, config: GPT2Config) -> list[str]:
        """Measure what memory gives now, and return the line that `describe` makes; none for fewer than two tokens."""
        n_steps = len(self.times) - 1
        if n_steps < 1:
            return []
        n_bytes = bytes_read(params, config, self.lengths[:n_steps])
        return [describe(n_bytes, n_steps, self.times[-1] - self.times[0], measure(params))]
