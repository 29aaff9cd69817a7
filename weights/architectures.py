"""The same translations learned by two architectures: an encoder-decoder, and a decoder alone.

    python weights/architectures.py train CORPUS/translation OUT --hours 1
    pip install -e ".[reference]" && python weights/architectures.py score CORPUS/translation OUT

`train` gives each an hour on one core, both at the same time, with the same pairs, about as many tokens a step, and
about as many parameters. The decoder is a GPT-2 that reads `English <|endoftext|> French <|endoftext|>`, with the loss
on the French: the task of questions, with a story of one question. `score` measures what came of it on the test
sentences, and how fast each trains, and writes `weights/english-french/architectures.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from translation_scores import far_sentences, group, read, scores

from numpygpt import GPT2, Translator
from numpygpt.arrays import flatten, unflatten
from numpygpt.engine import generate
from numpygpt.files import atomic_write
from numpygpt.questions import prompt_ids
from numpygpt.sentences import normalize, normalize_case
from numpygpt.train import questions, translation
from numpygpt.train.config import QuestionsConfig, TranslationConfig
from numpygpt.train.loop import read_state
from numpygpt.train.pairs import read_pairs
from numpygpt.train.workers import gradients

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "weights" / "english-french" / "architectures.json"
NAMES = ("encoder-decoder", "decoder")
SHARED: dict[str, Any] = {
    "n-embd": 192,
    "n-head": 4,
    "vocab-size": 4096,
    "batch-tokens": 2500,
    "lr": 1e-3,
    "warmup": 300,
    "weight-decay": 0,
    "beta2": 0.98,
    "eps": 1e-9,
    "dropout": 0,
    "threads": 1,
    "evaluate-every": 1000,
}
OWN: dict[str, dict[str, Any]] = {
    "encoder-decoder": {"task": "translation", "n-layer": 2, "label-smoothing": 0},
    "decoder": {"task": "questions", "n-layer": 5, "n-ctx": 128},
}
BATCH, LONGEST = 32, 100
TIMED = 12  # steps


def write_stories(source: Path, path: Path) -> Path:
    """Write pairs of sentences as stories of one question."""
    rows = [f"1 {english}\t{french}\n" for english, french in read_pairs(source)]
    with atomic_write(path) as file:
        file.write("".join(rows).encode())
    return path


def train(corpus: Path, out: Path, hours: float) -> None:
    """Train both at the same time, each on a core of its own."""
    out.mkdir(parents=True, exist_ok=True)
    files = {"encoder-decoder": [corpus / "fra-train.tsv.gz", corpus / "fra-val.tsv"]}
    files["decoder"] = [
        write_stories(path, out / name)
        for path, name in zip(files["encoder-decoder"], ("train.txt", "val.txt"), strict=True)
    ]
    running = []
    for name in NAMES:
        texts, validation = map(str, files[name])
        options = OWN[name] | SHARED | {"hours": hours, "out": out / name, "validation": validation}
        command = [sys.executable, "-m", "numpygpt.train", texts]
        command += [word for option, value in options.items() for word in (f"--{option}", str(value))]
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        running.append(subprocess.Popen(command, env=environment))
    if any(process.wait() for process in running):
        sys.exit("a run failed")


def translate_by_decoder(model: GPT2, texts: Sequence[str]) -> list[str]:
    """Translate sentences, the likeliest token each time, those of like length together."""
    prompts = [prompt_ids([], normalize_case(normalize(text)), model.tokenizer) for text in texts]
    order = sorted(range(len(texts)), key=lambda i: len(prompts[i]))
    found: dict[int, str] = {}
    for first in range(0, len(order), BATCH):
        batch = order[first : first + BATCH]
        *_, last = generate(
            [prompts[i] for i in batch],
            model.params,
            model.config,
            max_new_tokens=LONGEST,
            eos_token_id=model.tokenizer.eot_id,
        )
        found |= {i: model.tokenizer.decode(one.ids).strip() for i, one in zip(batch, last, strict=True)}
    return [found[i] for i in range(len(texts))]


def open_task(name: str, folder: Path) -> Any:
    """Open the task of a run, to draw its batches."""
    state = read_state(folder / "training")
    if name == "decoder":
        return questions.open_again(folder, QuestionsConfig(**state["options"]), state["config"])
    return translation.open_again(folder, TranslationConfig(**state["options"]), state["config"])


def speeds(out: Path) -> dict[str, float]:
    """Time steps of both in turns, on one thread, and return the tokens of pairs per second, without padding."""
    tasks = {name: open_task(name, out / name) for name in NAMES}
    params = {name: unflatten(flatten(task.initialize())) for name, task in tasks.items()}
    seconds, tokens = dict.fromkeys(NAMES, 0.0), dict.fromkeys(NAMES, 0)
    for step in range(1 + TIMED):
        for name, task in tasks.items():
            batch = task.draw(step)
            started = time.perf_counter()
            gradients(task, params[name], batch, step, task.options)
            if step:
                seconds[name] += time.perf_counter() - started
                targets = batch[-1]
                read_ids = batch[0] if name == "encoder-decoder" else batch[0][targets < 0]
                padding = tasks[name].config.pad_token_id if name == "encoder-decoder" else 0
                tokens[name] += int((read_ids != padding).sum() + (targets >= 0).sum())
    return {name: tokens[name] / seconds[name] for name in NAMES}


def score(corpus: Path, out: Path) -> dict[str, Any]:
    """Measure both on the test sentences."""
    train_lines, test = read(corpus / "fra-train.tsv.gz"), group(read(corpus / "fra-test.tsv"))
    far = far_sentences(list(test), train_lines)
    translator, model = Translator.from_pretrained(out / NAMES[0]), GPT2.from_pretrained(out / NAMES[1])
    translate: dict[str, Callable[[list[str]], list[str]]] = {
        NAMES[0]: lambda texts: translator.translate(texts, num_beams=1),
        NAMES[1]: lambda texts: translate_by_decoder(model, texts),
    }
    speed, table = speeds(out), {}
    for name in NAMES:
        state = read_state(out / name / "training")
        last = state["history"][-1]
        params = (translator if name == NAMES[0] else model).params
        table[name] = {
            "parameters": int(sum(np.size(tensor) for tensor in flatten(params).values())),
            "steps": state["step"],
            "hours": state["seconds"] / 3600,
            "validation_loss": last["validation_loss"],
            "bits_per_byte": last["validation_bits_per_byte"],
            "tokens_per_second": speed[name],
            **scores(translate[name], test, far),
        }
        print(name, json.dumps(table[name]), flush=True)
    return table


def table(measured: dict[str, Any]) -> str:
    """Return the two as a table."""
    lines = [
        "| an hour on one core | parameters | tokens/s | steps | nats per token | bits per byte | BLEU | chrF |",
        "| --- |" + " ---: |" * 7,
    ]
    for name, row in measured.items():
        lines.append(
            f"| {name} | {row['parameters'] / 1e6:.2f} M | {row['tokens_per_second']:,.0f} | {row['steps']:,} "
            f"| {row['validation_loss']:.3f} | {row['bits_per_byte']:.3f} | {row['BLEU']:.1f} | {row['chrF']:.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Train both, or score what was trained."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["train", "score"])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--hours", type=float, default=1.0)
    options = parser.parse_args()
    if options.what == "train":
        train(options.corpus, options.out, options.hours)
        return
    measured = score(options.corpus, options.out)
    with atomic_write(RESULT) as file:
        file.write((json.dumps(measured, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
