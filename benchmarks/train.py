"""Training speed and memory: this package beside PyTorch eager float32, on the same machine in the same run.

`python benchmarks/train.py` trains the shape of the embedded model for a few steps (forward, backward, clipping,
AdamW) in processes of their own, in turns so that a machine that slows down slows both, and prints one line for each:
the best step's tokens per second and the process's peak memory; last, the two ratios. With `--translator`, it trains
the shape of the embedded translator on random sentences of its training data's lengths. Needs torch and transformers.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CORES = os.cpu_count() or 1
EMBEDDED = Path(__file__).parent.parent / "weights" / "stories"
TRANSLATOR = {"vocab_size": 4096, "d_model": 256, "max_position_embeddings": 64}
SHAPE: dict[str, Any] = {"vocab_size": 4097, "n_ctx": 256, "n_embd": 256, "n_layer": 6, "n_head": 4}


def numpy_step(shape: dict[str, Any], batch_size: int, dropout: float) -> Callable[[], Any]:
    """Return a function that trains one step with this package."""
    import numpy as np

    from numpygpt.config import GPT2Config
    from numpygpt.engine import Tokenizer
    from numpygpt.train import TrainingConfig
    from numpygpt.train.language import LanguageModel
    from numpygpt.train.loop import Run, train_step

    config = GPT2Config(**shape)
    options = TrainingConfig(batch_size=batch_size, threads=CORES, dropout=dropout, warmup=0)
    tokens = np.random.default_rng(0).integers(0, config.vocab_size, 100 * config.n_ctx)
    task = LanguageModel(options, config, Tokenizer([]), tokens, tokens, Path())
    run = Run.start({}, options, task)
    return lambda: train_step(run, task)


def torch_step(shape: dict[str, Any], batch_size: int, dropout: float, attention: str) -> Callable[[], Any]:
    """Return a function that trains one step with PyTorch and the GPT-2 of transformers."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.set_num_threads(CORES)
    torch.manual_seed(0)
    dropouts = {"resid_pdrop": dropout, "embd_pdrop": dropout, "attn_pdrop": dropout}
    config = GPT2Config(**shape, n_positions=shape["n_ctx"], bos_token_id=0, eos_token_id=0, **dropouts)
    config._attn_implementation = attention
    model = GPT2LMHeadModel(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    def step() -> None:
        ids = torch.randint(0, shape["vocab_size"], (batch_size, shape["n_ctx"] + 1))
        logits = model(ids[:, :-1], use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def sentences(shape: dict[str, Any], tokens: int) -> Any:
    """Return so many tokens of random pairs of sentences, of ten tokens a side, two more or fewer."""
    import numpy as np

    from numpygpt.train.pairs import Pairs

    rng = np.random.default_rng(0)
    starts = [np.cumsum([0, *rng.integers(8, 13, tokens // 20)]) for _ in range(2)]
    ids = [rng.integers(0, shape["vocab_size"] - 3, side[-1]) for side in starts]
    return Pairs(ids[0], starts[0], ids[1], starts[1])


def numpy_translator_step(shape: dict[str, Any], batch_tokens: int, dropout: float) -> Callable[[], Any]:
    """Return a function that trains a translator one step with this package."""
    from numpygpt.engine import Tokenizer
    from numpygpt.train.config import TranslationConfig
    from numpygpt.train.loop import Run, train_step
    from numpygpt.train.translation import Translation
    from numpygpt.transformer_config import TransformerConfig

    options = TranslationConfig(batch_tokens=batch_tokens, micro_batch=160, threads=CORES, dropout=dropout, warmup=0)
    pairs = sentences(shape, 40 * batch_tokens)
    task = Translation(options, TransformerConfig(**shape), Tokenizer([]), pairs, pairs, Path())
    run = Run.start({}, options, task)
    return lambda: train_step(run, task)


def torch_translator_step(
    shape: dict[str, Any], batch_tokens: int, dropout: float, attention: str
) -> Callable[[], Any]:
    """Return a function that trains a translator one step with PyTorch and the Marian of transformers."""
    import numpy as np
    import torch
    from transformers import MarianConfig, MarianMTModel

    from numpygpt.train.pairs import cut_batches, make_batch
    from numpygpt.transformer_config import TransformerConfig

    torch.set_num_threads(CORES)
    torch.manual_seed(0)
    ours = TransformerConfig(**shape)
    config = MarianConfig(**vars(ours), dropout=dropout, forced_eos_token_id=ours.eos_token_id)
    config._attn_implementation = attention
    model = MarianMTModel(config).train()
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(learned, lr=1e-3, betas=(0.9, 0.98), eps=1e-9)
    pairs = sentences(shape, 40 * batch_tokens)
    batches = iter(cut_batches(pairs, batch_tokens, np.random.default_rng([0, 0, 0])))

    def step() -> None:
        source, read, targets = map(torch.from_numpy, make_batch(pairs, next(batches), ours))
        mask = (source != ours.pad_token_id).long()
        logits = model(input_ids=source, attention_mask=mask, decoder_input_ids=read, use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=-1, label_smoothing=0.1
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimizer.step()

    return step


def measure(contender: str, shape: dict[str, Any], batch_size: int, dropout: float, steps: int) -> dict[str, float]:
    """Run in a process of its own: time steps after one that warms up."""
    is_translator, attention = "d_model" in shape, contender.split()[-1]
    if contender == "numpygpt":
        step = (numpy_translator_step if is_translator else numpy_step)(shape, batch_size, dropout)
    else:
        step = (torch_translator_step if is_translator else torch_step)(shape, batch_size, dropout, attention)
    seconds = []
    for _ in range(steps + 1):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB, on macOS bytes
    return {
        "tokens_per_second": batch_size * shape.get("n_ctx", 1) / min(seconds[1:]),
        "peak_mib": peak / (2**20 if sys.platform == "darwin" else 2**10),
    }


def embedded_shape() -> dict[str, Any]:
    """Return the shape of the embedded model, or what it is meant to be where it is not there."""
    if not (EMBEDDED / "config.json").exists():
        return SHAPE
    config = json.loads((EMBEDDED / "config.json").read_text())
    return {name: config[name] for name in SHAPE}


def main() -> None:
    """Measure all contenders in turns and print the best of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=24)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--translator", action="store_true", help="train the embedded translator's shape instead")
    parser.add_argument("--steps", type=int, default=4, help="steps timed in every turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    options = parser.parse_args()
    shape, batch_size = (TRANSLATOR, 2500) if options.translator else (embedded_shape(), options.batch_size)
    if options.contender:
        print(json.dumps(measure(options.contender, shape, batch_size, options.dropout, options.steps)))
        return

    contenders = ["numpygpt", "PyTorch, attention eager", "PyTorch, attention sdpa"]
    results: dict[str, list[dict[str, float]]] = {contender: [] for contender in contenders}
    print(f"{shape}, batch {batch_size}, dropout {options.dropout}, {CORES} cores")
    for _ in range(options.turns):
        for contender in contenders:
            command = [sys.executable, *sys.argv, "--contender", contender]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
            results[contender].append(json.loads(output))
    speed = {contender: max(turn["tokens_per_second"] for turn in results[contender]) for contender in contenders}
    memory = {contender: min(turn["peak_mib"] for turn in results[contender]) for contender in contenders}
    for contender in contenders:
        print(f"{contender:26}{speed[contender]:8,.0f} tokens/s{memory[contender]:8,.0f} MiB")
    for contender in contenders[1:]:
        ratio, peak = speed["numpygpt"] / speed[contender], memory["numpygpt"] / memory[contender]
        print(f"beside {contender}: speed x {ratio:.2f}, peak memory x {peak:.2f}")


if __name__ == "__main__":
    main()
