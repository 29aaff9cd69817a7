"""CTranslate2, with its own converter, cache and sampling; mode "int8" has weights of 8-bit integers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.engines.engine import Engine, converted, serve


class CTranslate(Engine):
    """`Generator`."""

    packages = ("ctranslate2",)

    def __init__(self, folder: Path, mode: str, threads: int) -> None:
        import ctranslate2

        def write(source: Path, target: Path) -> None:
            converter = ctranslate2.converters.TransformersConverter(str(source))
            converter.convert(str(target), quantization=mode, force=True)

        path = converted(folder, f"ctranslate2-{mode}", write)
        self.library = ctranslate2
        self.tokens: list[str] = json.loads((path / "vocabulary.json").read_text(encoding="utf-8"))
        self.model = ctranslate2.Generator(str(path), compute_type=mode, intra_threads=threads, inter_threads=1)

    def generate(self, prompts: list[list[int]], n_new: int, top_k: int) -> list[list[int]]:
        texts = [[self.tokens[i] for i in ids] for ids in prompts]
        results = self.model.generate_batch(
            texts,
            max_length=n_new,
            min_length=n_new,  # no end before
            include_prompt_in_result=False,
            sampling_topk=top_k,
            sampling_temperature=1.0,
        )
        return [result.sequences_ids[0] for result in results]

    def all_logits(self, ids: list[int]) -> Any:
        import numpy as np

        return np.asarray(self.model.forward_batch([[self.tokens[i] for i in ids]]))[0]

    def logits(self, ids: list[int]) -> list[float]:
        result: list[float] = self.all_logits(ids)[-1].tolist()
        return result


if __name__ == "__main__":
    serve(CTranslate)
