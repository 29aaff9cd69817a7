"""torch.compile of transformers' model with a static cache: one program for a prompt, one for a token."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.engines.engine import StepEngine, serve


class Compiled(StepEngine):
    """`torch.compile`, the cache of a fixed length kept from one text to the next."""

    packages = ("torch", "transformers")

    def __init__(self, folder: Path, mode: str, threads: int) -> None:
        import torch
        import transformers

        torch.set_grad_enabled(False)
        torch.set_num_threads(threads)
        torch._dynamo.config.cache_size_limit = 64
        self.torch, self.cache_class = torch, transformers.StaticCache
        self.model = transformers.GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).eval()
        self.caches: dict[tuple[int, int], Any] = {}

        def forward(ids: Any, positions: Any, cache: Any, logits_to_keep: int) -> Any:
            options = {"past_key_values": cache, "use_cache": True, "logits_to_keep": logits_to_keep}
            return self.model(ids, position_ids=positions[None], **options).logits

        self.forward = torch.compile(forward, dynamic=False)

    def start(self, batch: int, n_ctx: int) -> Callable[..., Any]:
        key = (batch, n_ctx)
        if key not in self.caches:
            config = self.model.config
            cache = self.caches[key] = self.cache_class(config=config, max_cache_len=n_ctx)
            heads, width = config.n_head, config.n_embd // config.n_head
            cache.early_initialization(
                batch, heads, width, self.torch.float32, self.model.device
            )  # else compiled twice
        cache = self.caches[key]
        cache.reset()
        n_seq = 0

        def step(ids: Any, logits_to_keep: int = 1) -> Any:
            nonlocal n_seq
            positions = self.torch.arange(n_seq, n_seq + ids.shape[1])
            n_seq += ids.shape[1]
            return self.forward(self.torch.from_numpy(ids), positions, cache, logits_to_keep).numpy()

        return step


if __name__ == "__main__":
    serve(Compiled)
