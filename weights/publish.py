"""Publish a training run as the embedded model.

    pip install -e ".[reference,figures]" && python weights/publish.py RUN_FOLDER

writes `weights/stories/`: the model folder with float16 weights, the loss curve, the authors of the texts and the
model card, every number of which is measured here or read from the run; and `weights/stories/reference.safetensors`,
what `transformers` computes with these weights. The texts that the run was trained on must still be at hand.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import hashlib
import json
import math
import os
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from card import CARD, SAMPLES, SHAPE_TRIALS, TEXTS
from runs import RUNS, Run, read_runs, text_files, write_runs
from trials import OPERATIONS, PRESENT, SHAPES, TRIALS, operations_a_token

from numpygpt import GPT2
from numpygpt.arrays import flatten
from numpygpt.files import atomic_write
from numpygpt.models import checkpoint
from numpygpt.train import TrainingConfig
from numpygpt.train.language import validation_loss
from numpygpt.train.text import HELD_OUT_EVERY, load_tokens, read_pieces

ROOT = Path(__file__).parents[1]
STORIES = ROOT / "weights" / "stories"
THREADS = os.cpu_count() or 1
LARGEST_FILE = 16_000_000  # bytes, of the weights
COLOURS = {"train_loss": "#d97706", "validation_loss": "#3b82f6"}  # these and the grey stand out from white and black
GREY = "#808080"
HEAD_OF_LONGER = [
    "| trial | tokens seen by it | bits per byte | as published | lead |",
    "| --- | ---: | ---: | ---: | ---: |",
]


def measure(model: GPT2, folder: Path, run: Run) -> dict[str, float]:
    """Return the loss of the part that the run held out, as the run itself evaluates, and what was counted."""
    tokens, held_out = load_tokens(folder / "training", model.tokenizer, model.config.n_ctx)
    held_out = held_out[: run.options.validation_tokens]
    half = dataclasses.replace(model.config, n_ctx=model.config.n_ctx // 2)
    loss, half_loss = (validation_loss(model.params, c, held_out, THREADS) for c in (model.config, half))
    eot = model.tokenizer.eot_id
    n_bytes = sum(len(model.tokenizer.token_bytes(i)) for i in held_out[1:].tolist() if i != eot)
    lengths = np.diff(np.flatnonzero(held_out == eot))
    return {
        "loss": loss,
        "perplexity": math.exp(loss),
        "bits": loss * (len(held_out) - 1) / math.log(2) / n_bytes,
        "whole": model.config.n_ctx,
        "half": half.n_ctx,
        "half_bits": half_loss * (len(held_out) - 1) / math.log(2) / n_bytes,
        "lost": half_loss / loss - 1,
        "in_whole": float(np.mean(lengths <= model.config.n_ctx)),
        "in_half": float(np.mean(lengths <= half.n_ctx)),
        "n_held_out": len(held_out),
        "n_bytes": n_bytes,
        "n_train": len(tokens),
    }


def measure_by_text(model: GPT2, texts: list[Path]) -> str:
    """Return a table of the loss of every text's held-out part."""
    lines, n_items = ["| held out of | items | nats per token | bits per byte |", "| --- | ---: | ---: | ---: |"], 0
    tokenizer = model.tokenizer
    for text in texts:
        items: dict[int, str] = {}
        for number, piece in read_pieces([text]):
            items[number] = items.get(number, "") + piece
        held_out = [item for number, item in items.items() if (n_items + number + 1) % HELD_OUT_EVERY == 0]
        n_items += len(items)
        ids = np.array([i for item in held_out for i in [*tokenizer.encode(item), tokenizer.eot_id]])
        loss = validation_loss(model.params, model.config, ids, THREADS)
        bits = loss * (len(ids) - 1) / math.log(2) / sum(len(item.encode()) for item in held_out)
        lines.append(f"| `{text.name}` | {len(held_out)} | {loss:.3f} | {bits:.3f} |")
    return "\n".join(lines)


def join_curves(runs: list[Run]) -> list[dict[str, Any]]:
    """Return the rows of all runs' curves, one after the other, with the tokens counted through."""
    rows, before = [], 0
    for number, run in enumerate(runs, 1):
        for row in run.history:
            rows.append({"run": number, **row, "step": int(row["step"]), "tokens": before + int(row["tokens"])})
        before += run.n_tokens
    return rows


def write_curve(rows: list[dict[str, Any]], path: Path) -> None:
    """Write the curve as a table."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def draw_curve(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw the curve, on nothing, for pages of any colour."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for name, colour in COLOURS.items():
        points = [(row["tokens"] / 1e6, row[name]) for row in rows if not math.isnan(row[name])]
        axes.plot(*zip(*points, strict=True), color=colour, label=name.replace("_", " "))
    axes.set_xlabel("million tokens", color=GREY)
    axes.set_ylabel("loss (nats per token)", color=GREY)
    axes.set_ylim(top=4.5)
    axes.tick_params(colors=GREY)
    for spine in axes.spines.values():
        spine.set_color(GREY)
    axes.grid(color=GREY, alpha=0.3)
    axes.legend(labelcolor=GREY, frameon=False)
    figure.savefig(path, dpi=150, transparent=True)


def recipe(runs: list[Run]) -> str:
    """Return the table of what the runs were asked to do."""
    rows = {
        "steps": [f"{run.steps}" for run in runs],
        "tokens a step": [f"{run.options.batch_size * run.n_ctx}" for run in runs],
        "learning rate": [_schedule(run.options) for run in runs],
        "warm-up steps": [f"{run.options.warmup}" for run in runs],
        "β1, β2": [f"{run.options.beta1:g}, {run.options.beta2:g}" for run in runs],
        "weight decay": [f"{run.options.weight_decay:g}" for run in runs],
        "dropout": [f"{run.options.dropout:g}" for run in runs],
        "hours": [f"{run.hours:.1f}" for run in runs],
    }
    heads = [f"run {number}" for number in range(1, len(runs) + 1)] if len(runs) > 1 else [""]
    lines = [["", *heads], ["---"] * (len(runs) + 1), *([name, *values] for name, values in rows.items())]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _schedule(options: TrainingConfig) -> str:
    return f"{options.lr:g}, " + (
        "constant" if options.lr == options.lr_end else f"along half a cosine to {options.lr_end:g}"
    )


def shape_trials(rows: list[dict[str, Any]], measured: dict[str, float]) -> str:
    """Return what `trials.py` measured, beside the curve of the first run and what half the context costs."""
    done = json.loads(TRIALS.read_text(encoding="utf-8"))
    lines = [
        "| trial | layers | heads | width | merges | context | tokens seen | bits per byte |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, trial in sorted(done["trials"].items(), key=lambda item: item[1]["bits_per_byte"]):
        shape = " | ".join(str(trial[part]) for part in ("n_layer", "n_head", "n_embd", "merges", "n_ctx"))
        lines.append(f"| {name} | {shape} | {trial['tokens']:,} | {trial['bits_per_byte']:.3f} |")
    published = [
        np.array([[row["tokens"], row["validation_bits_per_byte"]] for row in rows if row["run"] == run]).T
        for run in (1, 2)
    ]
    longer, finished = [*HEAD_OF_LONGER], [*HEAD_OF_LONGER]
    for name, curve in done["longer"].items():
        cost = operations_a_token(**SHAPES[name]) / operations_a_token(**PRESENT)
        for n, bits in curve[2::2]:
            longer.append(_lead(name, n, bits, np.interp(n * cost, *published[0])))
    for name, curve in done["finished"].items():
        n, bits = curve[-1]
        finished.append(_lead(name, n + done["longer"][name][-1][0], bits, published[1][1, -1]))
    tables = {"table": lines, "longer": longer, "finished": finished}
    return SHAPE_TRIALS.format(
        **measured, operations=f"{OPERATIONS / 1e12:.0f}", **{name: "\n".join(table) for name, table in tables.items()}
    )


def _lead(name: str, n_tokens: int, bits: float, published: float) -> str:
    return f"| {name} | {n_tokens:,} | {bits:.3f} | {published:.3f} | {(published - bits) / published:.1%} |"


def sources(texts: list[Path]) -> str:
    """Return a list of where the texts came from."""
    with (texts[0].parent / "sources.tsv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["file"] in {text.name for text in texts}]
    return "\n".join(
        f"- `{row['file']}`: [{row['repository']}](https://github.com/{row['repository']}/tree/{row['commit']}), "
        f"{row['path']}"
        for row in rows
    )


def write_sample(model: GPT2, prompt: str, options: dict[str, Any]) -> str:
    """Return a command and what it prints, as a quotation."""
    flags = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in options.items())
    text = prompt + str(model.generate(prompt, **options))
    quoted = "\n".join(f"> {line}".rstrip() for line in text.splitlines())
    return _block(f"python -m numpygpt --model weights/stories {flags} {shlex.quote(prompt)}") + "\n\n" + quoted


def _block(text: str) -> str:
    return textwrap.indent(text, "    ")


def card(runs: list[Run], folder: Path, model: GPT2, note: str) -> str:
    """Write the model card."""
    run, texts, n_tokens = runs[-1], text_files(folder), sum(run.n_tokens for run in runs)
    measured = measure(model, folder, run)
    checksums = (f"{hashlib.sha256(text.read_bytes()).hexdigest()}  {text.name}" for text in texts)
    return CARD.format(
        **dataclasses.asdict(model.config),
        **measured,
        note=f"\n{textwrap.fill(note, 120)}\n" if note else "",
        n_merges=len(model.tokenizer.merges),
        n_params=sum(tensor.size for tensor in flatten(model.params).values()),
        size=(STORIES / "model.safetensors").stat().st_size,
        n_tokens=n_tokens,
        epochs=n_tokens / measured["n_train"],
        hours=sum(run.hours for run in runs),
        threads=run.options.threads,
        clip=run.options.clip,
        texts="\n".join(f"| `{text.name}` | {' | '.join(TEXTS[text.name])} |" for text in texts),
        sources=sources(texts),
        checksums=_block("\n".join(checksums)),
        recipe=recipe(runs),
        commands=_block("\n".join(run.command(before) for before, run in zip([None, *runs], runs, strict=False))),
        publish=_block(f"python weights/publish.py checkpoints/{run.name}"),
        by_text=measure_by_text(model, texts),
        trials=shape_trials(join_curves(runs), measured),
        samples="\n\n".join(write_sample(model, *sample) for sample in SAMPLES),
    )


def publish(folder: Path, note: str = "") -> None:
    """Write `weights/stories/` from a finished run, and the reference that its tests compare with."""
    runs = read_runs(folder)
    checkpoint.save(STORIES, *checkpoint.load(folder), dtype=np.float16, overwrite=True)
    size = (STORIES / "model.safetensors").stat().st_size
    if size > LARGEST_FILE:
        sys.exit(f"the weights take {size} bytes; at most {LARGEST_FILE} may be published")
    rows = join_curves(runs)
    write_curve(rows, STORIES / "loss.csv")
    draw_curve(rows, STORIES / "loss.png")
    write_runs(runs, STORIES / RUNS)
    shutil.copyfile(text_files(folder)[0].parent / "picturebooks_attribution.tsv", STORIES / "ATTRIBUTION.tsv")
    with atomic_write(STORIES / "README.md") as file:
        file.write(card(runs, folder, GPT2.from_pretrained(STORIES), note).encode())
    subprocess.run([sys.executable, ROOT / "tests" / "reference" / "make_stories.py"], check=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Publish a training run as the embedded model.")
    parser.add_argument("folder", metavar="RUN_FOLDER", type=Path, help="a folder that numpygpt.train wrote")
    parser.add_argument("--note", default="", help="a paragraph for the beginning of the card")
    arguments = parser.parse_args()
    publish(arguments.folder, arguments.note)
