"""Publish a training run as the embedded model.

    pip install -e ".[reference,figures]" && python weights/publish.py RUN_FOLDER

writes `weights/stories/`: the model folder with float16 weights, the loss curve, the authors of the texts and the
model card, every number of which is measured here or read from the run; and `tests/reference/stories.safetensors`,
what `transformers` computes with these weights. The texts that the run was trained on must still be at hand.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import hashlib
import math
import shlex
import shutil
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from numpygpt import GPT2, checkpoint, train
from numpygpt.checkpoint import flatten
from numpygpt.files import written_whole
from numpygpt.train import Options

ROOT = Path(__file__).parents[1]
STORIES = ROOT / "weights" / "stories"
LARGEST_FILE = 16_000_000  # bytes, of the weights
TEXTS = {  # name: what it is, and its licence
    "tinystories.txt": (
        "[TinyStories](https://arxiv.org/abs/2305.07759) (Eldan & Li 2023): short stories in a small child's words, "
        "written by GPT-3.5 and GPT-4",
        "[CDLA-Sharing-1.0](https://cdla.dev/sharing-1-0/)",
    ),
    "tinystories_recased.txt": (
        "more of TinyStories, from a lower-case copy whose capitals were restored by a program",
        "[CDLA-Sharing-1.0](https://cdla.dev/sharing-1-0/)",
    ),
    "picturebooks.txt": (
        "picture books of [StoryWeaver](https://storyweaver.org.in) and [African Storybook]"
        "(https://www.africanstorybook.org)",
        "CC-BY, one in the public domain; every title with its author and translator is in "
        "[`ATTRIBUTION.tsv`](ATTRIBUTION.tsv)",
    ),
}
TOP_K = {"temperature": 0.8, "top_k": 40}
SAMPLES: list[tuple[str, dict[str, Any]]] = [
    ("Once upon a time", {"max_new_tokens": 60}),
    ("The little boat", {"max_new_tokens": 60}),
    ("Once upon a time", {"max_new_tokens": 180, **TOP_K, "seed": 1}),
    ("One morning, Grandmother", {"max_new_tokens": 180, **TOP_K, "seed": 2}),
    ('"Do not open that box," said the', {"max_new_tokens": 180, **TOP_K, "seed": 3}),
]
COLOURS = {"train_loss": "#d97706", "validation_loss": "#3b82f6"}  # these and the grey stand out from white and black
GREY = "#808080"

CARD = """\
# stories

A small GPT-2 that this project trained itself, with [`numpygpt.train`](../../numpygpt/train.py): plain NumPy on a CPU.
It continues short stories for small children, in English. `python -m numpygpt "Once upon a time"` uses it where
OpenAI's `gpt2` is not on disk.
{note}
## The model

| | |
| --- | --- |
| architecture | GPT-2: {n_layer} layers, {n_head} heads, width {n_embd}, context {n_ctx} tokens |
| vocabulary | {vocab_size} tokens: the first {n_merges} merges of GPT-2's own, `<\\|endoftext\\|>` last |
| parameters | {n_params:,} |
| weights | float16, {size:,} bytes |
| tokens seen | {n_tokens:,}: {epochs:.1f} times the {n_train:,} that there are to learn from |
| time | {hours:.1f} hours from start to end, {threads} threads of a shared CPU |
| validation loss | {loss:.4f} nats per token, perplexity {perplexity:.2f} |
| bits per byte | {bits:.4f} |

Loss and bits per byte are those of the float16 weights on the held-out part: every 100th item of the texts,
{n_held_out:,} tokens ({n_bytes:,} bytes) that the model never learned from, each window of {n_ctx} tokens on its own.

![Training and validation loss against the tokens seen](loss.png)

The points of the curve are in [`loss.csv`](loss.csv).

## What it was trained on

| text | what | licence |
| --- | --- | --- |
{texts}

The texts themselves are not part of this repository. They come from

{sources}

and these are their SHA-256 checksums:

{checksums}

## How

{recipe}

AdamW; weight decay for matrices only; gradients clipped to a length of {clip:g}; the learning rate rises linearly over
the warm-up. These commands train it again, with the texts in `corpus/`. The same machine, NumPy and number of threads
give the same weights to the bit, others nearly the same loss:

{commands}
{publish}

The last one makes this card and the figures in it.

## What it writes

Unedited, the first that came.

{samples}

## What it cannot do

It knows nothing of the world, follows no instructions and answers no questions: it continues a story, whatever it is
given. It forgets what stood more than {n_ctx} tokens back, mixes up who did what, changes names in mid-story and loses
the thread after a few sentences. Without chance (greedy) it soon repeats itself. Most of its stories open alike and use
the same few names, as its texts do; words that a small child would not know come as pieces of words, and other
languages not at all. Whatever is lopsided in those texts, such as who cooks and who repairs, is lopsided in its
stories. It may give back sentences that it was trained on. Nobody has checked it for reading to children unattended.

## Licence

The weights are under the MIT licence of the code. The CDLA-Sharing licence of TinyStories puts no conditions on
results of computation such as these; the authors of the CC-BY texts are named in [`ATTRIBUTION.tsv`](ATTRIBUTION.tsv).
"""


@dataclass
class Run:
    """A training run, as its folder tells of it."""

    folder: Path
    state: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Run:
        """Read a run's folder. Raises SystemExit where the run is not finished."""
        run = cls(folder, train.read_state(folder / "training"))
        if run.options.steps != run.state["step"] and run.options.lr != run.options.lr_end:
            sys.exit(f"{folder} is at step {run.state['step']} of {run.options.steps}: let it finish first")
        return run

    @cached_property
    def options(self) -> Options:
        """What the run was asked to do, with steps and threads settled."""
        return Options(**self.state["options"])

    @property
    def texts(self) -> list[Path]:
        """The files that it learned from."""
        return train.text_files(self.state["request"]["texts"])

    @property
    def n_tokens(self) -> int:
        """How many tokens it learned from, counting those that came again."""
        return int(self.state["history"][-1]["tokens"])

    @property
    def hours(self) -> float:
        """The time from its first file to the last state that it saved."""
        start, end = ((self.folder / "training" / name).stat().st_mtime for name in ("train.bin", train.STATE))
        return (end - start) / 3600

    @property
    def command(self) -> str:
        """The command that repeats it, with the number of steps that it made and paths that are no machine's own."""
        given = dataclasses.replace(self.options, steps=self.state["step"], hours=None, prompt="")
        if given.init is not None and (ROOT / given.init).is_dir():
            given = dataclasses.replace(given, init=f"checkpoints/{(ROOT / given.init).name}")
        words = ["python -m numpygpt.train", *(f"corpus/{text.name}" for text in self.texts)]
        words.append(f"--out checkpoints/{self.folder.name}")
        for option in dataclasses.fields(Options):
            value = getattr(given, option.name)
            if value != option.default or option.name == "steps":
                flag = "--" + option.name.replace("_", "-")
                words.append(flag if value is True else f"{flag} {shlex.quote(str(value))}")
        lines = textwrap.wrap("\0".join(words).replace(" ", "\1").replace("\0", " "), 110, break_on_hyphens=False)
        return " \\\n    ".join(lines).replace("\1", " ")


def read_runs(folder: Path) -> list[Run]:
    """Return the run and those whose models it began from, the first first."""
    run = Run.read(folder.resolve())
    init = ROOT / (run.options.init or "")
    return [*(read_runs(init) if (init / "training" / train.STATE).exists() else []), run]


# ---- The parts of the card


def measure(model: GPT2, run: Run) -> dict[str, float]:
    """Return the loss of the part that the run held out, as the run itself evaluates, and what was counted."""
    tokens, held_out = train.load_tokens(run.folder / "training", model.tokenizer, model.config.n_ctx)
    held_out = held_out[: run.options.validation_tokens]
    options = Options(threads=train.default_threads())
    loss = train.Workers(options, model.config).validation_loss(model.params, held_out)
    eot = model.tokenizer.eot_id
    n_bytes = sum(len(model.tokenizer.token_bytes(i)) for i in held_out[1:].tolist() if i != eot)
    return {
        "loss": loss,
        "perplexity": math.exp(loss),
        "bits": loss * (len(held_out) - 1) / math.log(2) / n_bytes,
        "n_held_out": len(held_out),
        "n_bytes": n_bytes,
        "n_train": len(tokens),
    }


def join_curves(runs: list[Run]) -> list[dict[str, Any]]:
    """Return the rows of all runs' curves, one after the other, with the tokens counted through."""
    rows, before = [], 0
    for number, run in enumerate(runs, 1):
        rows += [{"run": number, **row, "tokens": before + row["tokens"]} for row in run.state["history"]]
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
        "steps": [f"{run.state['step']}" for run in runs],
        "tokens a step": [f"{run.options.batch_size * run.state['config']['n_ctx']}" for run in runs],
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


def _schedule(options: Options) -> str:
    return f"{options.lr:g}, " + (
        "constant" if options.lr == options.lr_end else f"along half a cosine to {options.lr_end:g}"
    )


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


def card(runs: list[Run], model: GPT2, note: str) -> str:
    """Write the model card."""
    run, texts, n_tokens = runs[-1], runs[-1].texts, sum(run.n_tokens for run in runs)
    measured = measure(model, run)
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
        commands=_block("\n".join(run.command for run in runs)),
        publish=_block(f"python weights/publish.py checkpoints/{run.folder.name}"),
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
    shutil.copyfile(runs[-1].texts[0].parent / "picturebooks_attribution.tsv", STORIES / "ATTRIBUTION.tsv")
    with written_whole(STORIES / "README.md") as file:
        file.write(card(runs, GPT2.from_pretrained(STORIES), note).encode())
    subprocess.run([sys.executable, ROOT / "tests" / "reference" / "make_stories.py"], check=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Publish a training run as the embedded model.")
    parser.add_argument("folder", metavar="RUN_FOLDER", type=Path, help="a folder that numpygpt.train wrote")
    parser.add_argument("--note", default="", help="a paragraph for the beginning of the card")
    arguments = parser.parse_args()
    train._with_blas_on_one_core()
    publish(arguments.folder, arguments.note)
