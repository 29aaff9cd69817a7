"""transformers on PyTorch, as it comes, or with the bfloat16 of mode "bf16"."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.engines.engine import Engine, serve


class Eager(Engine):
    """`GPT2LMHeadModel.generate`."""

    packages = ("torch", "transformers")

    def __init__(self, folder: Path, mode: str, threads: int) -> None:
        import torch
        import transformers

        transformers.logging.set_verbosity_error()
        torch.set_grad_enabled(False)
        torch.set_num_threads(threads)
        self.torch = torch
        dtype = torch.bfloat16 if mode == "bf16" else torch.float32
        self.model = transformers.GPT2LMHeadModel.from_pretrained(folder, dtype=dtype).eval()
        self.model.generation_config.eos_token_id = None
        self.model.generation_config.pad_token_id = 0

    def generate(self, prompts: list[list[int]], n_new: int, top_k: int) -> list[list[int]]:
        ids = self.torch.tensor(prompts)
        sampling = {"do_sample": True, "top_k": top_k, "temperature": 1.0} if top_k > 1 else {"do_sample": False}
        out = self.model.generate(ids, attention_mask=self.torch.ones_like(ids), max_new_tokens=n_new, **sampling)
        result: list[list[int]] = out[:, ids.shape[1] :].tolist()
        return result

    def all_logits(self, ids: list[int]) -> Any:
        return self.model(self.torch.tensor([ids])).logits[0]

    def logits(self, ids: list[int]) -> list[float]:
        result: list[float] = self.model(self.torch.tensor([ids]), logits_to_keep=1).logits[0, -1].float().tolist()
        return result


if __name__ == "__main__":
    serve(Eager)
