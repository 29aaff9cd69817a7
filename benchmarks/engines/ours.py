"""numpygpt: the public call with its default settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.engines.engine import Engine, serve


class Ours(Engine):
    """`GPT2.generate`, and for ids and logits what it is made of."""

    packages = ("numpy",)

    def __init__(self, folder: Path, mode: str, threads: int) -> None:
        from numpygpt import GPT2

        self.model = GPT2.from_pretrained(folder)

    def generate(self, prompts: list[list[int]], n_new: int, top_k: int) -> list[list[int]]:
        texts = [self.model.tokenizer.decode(ids) for ids in prompts]
        if top_k > 1:
            self.model.generate(texts, n_new, temperature=1.0, top_k=top_k, seed=0, eos_token_id=[])
            return []
        *_, grown = self.model.grow(texts, n_new, eos_token_id=[])
        if [text.continuation.prompt for text in grown] != prompts:
            raise ValueError("a prompt is not what its text is encoded as")
        return [text.continuation.ids for text in grown]

    def all_logits(self, ids: list[int]) -> Any:
        return self.model.logits(ids)

    def blas(self) -> str:
        """Return which matrix products NumPy runs, and on how many threads."""
        from threadpoolctl import threadpool_info

        libraries = (library for library in threadpool_info() if library["user_api"] == "blas")
        names = ("internal_api", "version", "architecture", "num_threads")
        return "; ".join(" ".join(str(library.get(name)) for name in names) for library in libraries)

    def logits(self, ids: list[int]) -> list[float]:
        result: list[float] = self.model.logits(ids, logits_to_keep=1)[-1].tolist()
        return result


if __name__ == "__main__":
    serve(Ours)
