"""Which engines are compared, and what each of them is asked to do."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.measure import US
from numpygpt import Tokenizer

Call = Callable[..., Any]  # of an engine's method, by its name, with its arguments


@dataclass(frozen=True)
class Peer:
    """An engine as the table names it, the module that serves it, and the mode it computes in."""

    title: str
    module: str
    mode: str = "float32"


OURS = Peer(US, "ours")
LIMIT = Peer("limit of memory, by products", "limit")
SUM = "limit of memory, by a sum"  # which the same process measures
PEERS = {
    "eager": Peer("transformers on PyTorch", "eager"),
    "compiled": Peer("the same, torch.compile", "compiled"),
    "jax": Peer("JAX, jit", "jax_jit"),
    "onnx": Peer("ONNX Runtime", "onnx_runtime"),
    "openvino": Peer("OpenVINO, set to float32", "open_vino"),
    "ctranslate2": Peer("CTranslate2", "ctranslate"),
    "eager-bf16": Peer("transformers on PyTorch, bfloat16", "eager", "bf16"),
    "onnx-int8": Peer("ONNX Runtime, int8", "onnx_runtime", "int8"),
    "openvino-default": Peer("OpenVINO, as it comes", "open_vino", "default"),
    "ctranslate2-int8": Peer("CTranslate2, int8", "ctranslate", "int8"),
}


@dataclass(frozen=True)
class Workload:
    """A column of the table: its name, its unit, and the number that an engine's answers come to.

    `greedy` are prompts and a number of new ids, which an engine of float32 has to write as we do: those of the work
    itself, so that nothing is compiled for the comparison alone.
    """

    name: str
    unit: str
    ask: Callable[[Call], float]
    greedy: tuple[list[list[int]], int] | None = None

    @property
    def title(self) -> str:
        """The column's head."""
        return f"{self.name}, {self.unit}"


DECODE = "decode of one sequence"
LOAD = "load, s"


def prompts(n_seq: int, batch: int = 1) -> list[list[int]]:
    """Return ids [batch, n_seq] of words drawn at random: their text is encoded as the same ids.

    >>> [ids] = prompts(16)
    >>> Tokenizer().encode(Tokenizer().decode(ids)) == ids
    True
    """
    tokenizer = Tokenizer()
    tokens = [tokenizer.token_bytes(i) for i in range(tokenizer.eot_id)]
    words = [i for i, token in enumerate(tokens) if token[:1] == b" " and token[1:].isalpha()]
    rng = random.Random(0)
    return [rng.choices(words, k=n_seq) for _ in range(batch)]


def workloads(quick: bool = False) -> list[Workload]:
    """Return what is measured; a quick run reads and writes a few tokens."""
    n_new, n_batch_new, batch, lengths = (3, 2, 2, (20, 40)) if quick else (64, 32, 16, (512, 1000))
    [longest] = prompts(lengths[-1])
    one, many = (prompts(16), n_new), (prompts(16, batch), n_batch_new)
    work = [
        Workload(DECODE, "tokens/s", partial(rate, *one), one),
        Workload(f"{batch} sequences", "tokens/s", partial(rate, *many), many),
    ]
    work += [Workload(f"prefill of {n}", "s", partial(ask, ("seconds", [longest[:n]], 1))) for n in lengths]
    all_logits = partial(ask, ("seconds_of_all_logits", longest))
    return [*work, Workload(f"all logits of {lengths[-1]}", "s", all_logits)]


def ask(question: tuple[Any, ...], engine: Call) -> float:
    """Return the number that an engine answers."""
    return float(engine(*question))


def rate(texts: list[list[int]], n_new: int, engine: Call) -> float:
    """Return the new tokens a second, the time for the prompts included."""
    return len(texts) * n_new / float(engine("seconds", texts, n_new))
