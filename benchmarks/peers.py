"""The programs that are compared, each with the same few methods, and each in a process of its own.

`python -m benchmarks.peers NAME FOLDER` reads a JSON list `[method, argument, ...]` a line and answers each with the
JSON of what the method returned. A process a peer keeps the thread pools of NumPy's and PyTorch's libraries apart,
and makes peak memory mean something.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def seconds(work: Callable[[], Any]) -> float:
    """Time one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def random_ids(n: int, batch: int = 1) -> list[list[int]]:
    """Token ids that are the same for every peer."""
    ids: list[list[int]] = np.random.default_rng(0).integers(0, 50257, (batch, n)).tolist()
    return ids


def peak_megabytes() -> float:
    """The most memory that this process has held, without what it shares with the file cache only once mapped."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


class Peer:
    """A GPT-2 that continues ids greedily. Times are in seconds."""

    def generate(self, prompts: list[list[int]], n_new: int) -> list[float]:
        """Continue every prompt by exactly n_new tokens, and say at what time each step was done."""
        raise NotImplementedError

    def prefill(self, n: int) -> float:
        """Compute the next token's logits after n tokens."""
        raise NotImplementedError

    def decode(self, n_context: int, n_new: int, batch: int) -> float:
        """The seconds per step of n_new steps that follow on the first, in which the context is read."""
        times = self.generate(random_ids(n_context, batch), n_new + 1)
        return (times[-1] - times[0]) / n_new

    def peak_memory(self, n_new: int) -> float:
        """Peak megabytes of the process after a decode of n_new tokens."""
        self.generate(random_ids(16), n_new)
        return peak_megabytes()


class Numpygpt(Peer):
    """This package."""

    def __init__(self, folder: str) -> None:
        from numpygpt import GPT2

        self.model = GPT2.from_pretrained(folder)

    def generate(self, prompts: list[list[int]], n_new: int) -> list[float]:
        from numpygpt.engine import generate

        steps = generate(prompts, self.model.params, self.model.config, max_new_tokens=n_new)
        next(steps)  # nothing is done yet
        return [time.perf_counter() for _ in steps]

    def prefill(self, n: int) -> float:
        from numpygpt.engine import KVCache, gpt2

        params, config = self.model.params, self.model.config
        cache = KVCache(config, n_ctx=n)
        return seconds(lambda: gpt2(random_ids(n)[0], **params, config=config, cache=cache, logits_to_keep=1))

    def greedy_rate(self, n_new: int, repetitive: bool, prompt_lookup_num_tokens: int) -> float:
        """Tokens per second with so many guessed ahead, on a text that repeats itself or does not.

        A random model repeats itself by nature; with large positional embeddings, each position has a token of its own.
        """
        from numpygpt.engine import generate

        wpe = self.model.params["wpe"]["weight"]
        params = self.model.params | {"wpe": {"weight": wpe if repetitive else wpe * 50}}
        steps = generate(
            random_ids(32),
            params,
            self.model.config,
            max_new_tokens=n_new,
            prompt_lookup_num_tokens=prompt_lookup_num_tokens,
        )
        return n_new / seconds(lambda: list(steps))

    def products(self, n_new: int) -> float:
        """The seconds per token that n_new tokens' products with all matrices take by themselves."""
        matrices = [block[part][name]["weight"] for block in self.model.params["h"] for part, name in MATRICES]
        matrices.append(self.model.params["wte"]["weight"].T)
        vectors = [np.ones((1, len(matrix)), np.float32) for matrix in matrices]
        tokens = range(n_new)
        return (
            seconds(lambda: [vector @ m for _ in tokens for vector, m in zip(vectors, matrices, strict=True)]) / n_new
        )

    def gemm_rate(self, n: int) -> float:
        """Floating-point operations per second of products of n rows with the model's own matrices."""
        matrices = [block[part][name]["weight"] for block in self.model.params["h"] for part, name in MATRICES]
        rows = [np.ones((n, len(matrix)), np.float32) for matrix in matrices]
        total: int = sum(2 * n * matrix.size for matrix in matrices)
        return total / seconds(lambda: [x @ matrix for x, matrix in zip(rows, matrices, strict=True)])

    def weight_bytes(self) -> int:
        """The bytes that one decode step has to read: all parameters but the positions'."""
        from numpygpt.arrays import flatten

        return sum(tensor.nbytes for name, tensor in flatten(self.model.params).items() if name != "wpe.weight")


MATRICES = [("attn", "c_attn"), ("attn", "c_proj"), ("mlp", "c_fc"), ("mlp", "c_proj")]


class Clock:
    """Receives the tokens that `transformers` generates, and notes when."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def put(self, _: Any) -> None:
        """Take a step's tokens."""
        self.times.append(time.perf_counter())

    def end(self) -> None:
        """Take the end."""


class Transformers(Peer):
    """Hugging Face transformers on PyTorch's CPU build, float32, with its own cache and its generate."""

    def __init__(self, folder: str) -> None:
        import torch
        import transformers

        transformers.logging.set_verbosity_error()
        torch.set_grad_enabled(False)
        self.torch = torch
        self.model = transformers.GPT2LMHeadModel.from_pretrained(folder).eval()
        self.model.generation_config.eos_token_id = None
        self.model.generation_config.pad_token_id = 0

    def generate(self, prompts: list[list[int]], n_new: int) -> list[float]:
        ids = self.torch.tensor(prompts)
        mask = self.torch.ones_like(ids)
        clock = Clock()
        self.model.generate(ids, attention_mask=mask, do_sample=False, max_new_tokens=n_new, streamer=clock)
        return clock.times[1:]  # the first call brings the prompt

    def prefill(self, n: int) -> float:
        ids = self.torch.tensor(random_ids(n))
        return seconds(lambda: self.model(ids, logits_to_keep=1, use_cache=False))


class NoCache(Peer):
    """A forward pass in the manner of picoGPT, written for this comparison: no cache, every token reads all again."""

    def __init__(self, folder: str) -> None:
        from numpygpt.models import checkpoint

        self.config, self.params, _ = checkpoint.load(Path(folder))

    def forward(self, ids: list[int]) -> Any:
        def layer_norm(x: Any, weight: Any, bias: Any) -> Any:
            return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * weight + bias

        def gelu(x: Any) -> Any:
            return 0.5 * x * (1 + np.tanh(np.float32(np.sqrt(2 / np.pi)) * (x + np.float32(0.044715) * x**3)))

        def linear(x: Any, weight: Any, bias: Any) -> Any:
            return x @ weight + bias

        def attention(q: Any, k: Any, v: Any, hidden: Any) -> Any:
            scores = q @ k.T / np.float32(np.sqrt(q.shape[-1])) + hidden
            e = np.exp(scores - scores.max(-1, keepdims=True))
            return e / e.sum(-1, keepdims=True) @ v

        x = self.params["wte"]["weight"][ids] + self.params["wpe"]["weight"][: len(ids)]
        hidden = (1 - np.tri(len(ids), dtype=np.float32)) * np.float32(-1e10)
        for block in self.params["h"]:
            qkv = np.split(linear(layer_norm(x, **block["ln_1"]), **block["attn"]["c_attn"]), 3, axis=-1)
            heads = zip(*(np.split(part, self.config.n_head, axis=-1) for part in qkv), strict=True)
            x = x + linear(np.hstack([attention(q, k, v, hidden) for q, k, v in heads]), **block["attn"]["c_proj"])
            x = x + linear(
                gelu(linear(layer_norm(x, **block["ln_2"]), **block["mlp"]["c_fc"])), **block["mlp"]["c_proj"]
            )
        return layer_norm(x, **self.params["ln_f"]) @ self.params["wte"]["weight"].T

    def generate(self, prompts: list[list[int]], n_new: int) -> list[float]:
        [ids], times = prompts, []
        for _ in range(n_new):
            ids = [*ids, int(self.forward(ids)[-1].argmax())]
            times.append(time.perf_counter())
        return times

    def prefill(self, n: int) -> float:
        return seconds(lambda: self.forward(random_ids(n)[0]))


PEERS: dict[str, type[Any]] = {
    "numpygpt": Numpygpt,
    "transformers": Transformers,
    "without a cache": NoCache,
}


def main() -> None:
    """Serve one peer's methods over standard input and output."""
    name, folder = sys.argv[1:]
    answers, sys.stdout = sys.stdout, sys.stderr  # libraries may print
    load_seconds = time.perf_counter()
    peer = PEERS[name](folder)
    load_seconds = time.perf_counter() - load_seconds
    for line in sys.stdin:
        method, *arguments = json.loads(line)
        result = load_seconds if method == "load_seconds" else getattr(peer, method)(*arguments)
        print(json.dumps(result), file=answers, flush=True)


if __name__ == "__main__":
    main()
