"""Publish a training run as the embedded model that answers.

    pip install -e ".[reference,figures]" && python weights/publish_questions.py RUN_FOLDER CORPUS/questions/babi/en-10k

writes `weights/questions/`: the model folder with float16 weights, the loss curve, the scores, what `transformers`
computes with these weights, and the model card, every number of which is measured here or read from the run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from publish import draw_curve, write_curve
from questions_card import CARD
from questions_scores import measure

from numpygpt import GPT2
from numpygpt.answer import UNSURE
from numpygpt.arrays import flatten
from numpygpt.engine import Tokenizer
from numpygpt.files import atomic_write
from numpygpt.models import checkpoint
from numpygpt.safetensors import save_file
from numpygpt.train.config import QuestionsConfig, TrainingConfig, flag
from numpygpt.train.loop import read_state
from numpygpt.train.questions import open_again, score
from numpygpt.train.stories import n_questions

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "weights" / "questions"
LARGEST_FILE = 12_000_000  # bytes, of the weights
N_EACH = 50  # questions of each task whose probabilities are looked at
RUNS = "runs.json"  # what the published model came from, for the run that goes on from it
BABI = "corpus/questions/babi/en-10k"
TRIALS = ROOT / "weights" / "questions_trials.json"
REFERENCE = [
    ("Mary went to the kitchen. John took the milk.", "Where is Mary?"),
    ("Mary took the football there. Mary went to the garden. Mary dropped the football.", "Where is the football?"),
]


def table(measured: dict[str, Any]) -> str:
    """Return the errors of all tasks as a table in two columns."""
    names, errors = measured["names"], measured["error"]
    lines = ["| task | error | task | error |", "| --- | ---: | --- | ---: |"]
    cells = [f"{task} {names[task]} | {errors[task]:.1f}%" for task in errors]
    half = len(cells) // 2
    return "\n".join([*lines, *(f"| {one} | {other} |" for one, other in zip(cells[:half], cells[half:], strict=True))])


def renamed_table(measured: dict[str, Any]) -> str:
    """Return the errors with the story's own names, and with others."""
    tasks = list(measured["renamed"])
    head = "| task | " + " | ".join(map(str, tasks)) + " |\n| --- |" + " ---: |" * len(tasks)
    rows = [("as they are", "error"), ("with other words", "renamed")]
    return "\n".join(
        [head, *(f"| {name} | " + " | ".join(f"{measured[key][t]:.1f}%" for t in tasks) + " |" for name, key in rows)]
    )


def thresholds_table(measured: dict[str, Any]) -> str:
    """Return what the thresholds of certainty would do."""
    lines = [
        "| below | share of the answers | right among them | right among the others |",
        "| ---: | ---: | ---: | ---: |",
    ]
    for row in measured["thresholds"]:
        lines.append(
            f"| {row['threshold']:g} | {row['share']:.1%} | {row['right_below']:.0%} | {row['right_above']:.1%} |"
        )
    return "\n".join(lines)


def trials_table() -> str:
    """Return the trials that led to this recipe."""
    trials = json.loads(TRIALS.read_text(encoding="utf-8"))
    lines = ["| began as | learning rate | otherwise | " + " | ".join(trials["columns"]) + " |"]
    lines.append("| --- | ---: | --- |" + " ---: |" * len(trials["columns"]))
    for trial in trials["rows"]:
        cells = ["" if error is None else f"{error:.1f}%" for error in trial["errors"]]
        lines.append(f"| {trial['init']} | {trial['lr']:g} | {trial['otherwise']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def command(options: TrainingConfig, what: str, name: str) -> str:
    """Return the command that trains it again, of `what`, a task and its files."""
    words = [f"python -m numpygpt.train --task {what}", f"--out checkpoints/{name}"]
    default = type(options)()
    for option, value in vars(options).items():
        if value != getattr(default, option) and option not in ("hours", "threads"):
            words.append(flag(option) if value is True else f"{flag(option)} {value}")
    filled = textwrap.fill(" ".join(words), 112, subsequent_indent="    ", break_on_hyphens=False)
    return textwrap.indent(filled.replace("\n", " \\\n"), "    ")


def commands(options: QuestionsConfig) -> str:
    """Return the commands that train and publish it again."""
    train = command(options, f"questions {BABI}/*_train*.txt.gz", FOLDER.name)
    return f"{train}\n    python weights/publish_questions.py checkpoints/{FOLDER.name} {BABI}"


def runs_table(runs: Sequence[dict[str, Any]]) -> str:
    """Return what each run was asked to do, and what it did."""
    lines = ["| run | began as | steps | learning rate up to | tokens of answers | hours |"]
    lines.append("| ---: | --- | ---: | ---: | ---: | ---: |")
    for number, run in enumerate(runs, 1):
        options, tokens = run["options"], run["history"][-1]["tokens"]
        began = options["init"] if number == 1 else f"run {number - 1}, as it was published"
        steps = f"{run['steps']:,} of {options['steps']:,}"
        lines.append(f"| {number} | {began} | {steps} | {options['lr']:g} | {tokens:,} | {run['hours']:.1f} |")
    return "\n".join(lines)


def curve(runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the points of the curves of runs, one behind the other."""
    rows: list[dict[str, Any]] = []
    for run in runs:
        steps, tokens = (rows[-1]["step"], rows[-1]["tokens"]) if rows else (0, 0)
        new = run["history"][1:] if rows else run["history"]  # it begins where the last one ended
        rows += [{**row, "step": row["step"] + steps, "tokens": row["tokens"] + tokens} for row in new]
    return rows


def write_reference() -> None:
    """Write what `transformers` computes with the folder: logits, and the answer of its greedy choice."""
    import torch
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDER)
    tensors: dict[str, Any] = {}
    for number, (story, question) in enumerate(REFERENCE):
        end = tokenizer.eos_token
        ids = tokenizer(f"{end} {story} {question}{end}", return_tensors="pt")["input_ids"]
        with torch.no_grad():
            tensors[f"{number}.ids"] = ids[0].numpy()
            tensors[f"{number}.logits"] = model(ids).logits[0].numpy()
            answer = model.generate(ids, max_new_tokens=8, do_sample=False, pad_token_id=tokenizer.eos_token_id)
        tensors[f"{number}.answer"] = answer[0, ids.shape[1] :].numpy()
    weights = hashlib.sha256((FOLDER / "model.safetensors").read_bytes()).hexdigest()
    metadata = {"weights": weights, "torch": torch.__version__, "transformers": transformers.__version__}
    save_file(tensors, FOLDER / "reference.safetensors", metadata)


def publish(folder: Path, corpus: Path) -> None:
    """Write `weights/questions/` from a run."""
    state = read_state(folder / "training")
    options = QuestionsConfig(**state["options"])
    config, params, tokenizer = checkpoint.load(folder, tokenizer_class=Tokenizer)
    assert tokenizer is not None
    checkpoint.save(FOLDER, config, params, tokenizer, dtype=np.float16, overwrite=True)
    size = (FOLDER / "model.safetensors").stat().st_size
    if size > LARGEST_FILE:
        sys.exit(f"the weights take {size} bytes; at most {LARGEST_FILE} may be published")
    earlier = json.loads((FOLDER / RUNS).read_text(encoding="utf-8")) if options.init == FOLDER.name else []
    history = [{**row, "step": int(row["step"]), "tokens": int(row["tokens"])} for row in state["history"]]
    hours = round(state["seconds"] / 3600, 2)
    runs = [*earlier, {"options": vars(options), "steps": state["step"], "hours": hours, "history": history}]
    with atomic_write(FOLDER / RUNS) as file:
        file.write(json.dumps(runs, indent=1).encode() + b"\n")
    rows = curve(runs)
    write_curve(rows, FOLDER / "loss.csv")
    draw_curve(rows, FOLDER / "loss.png")
    model = GPT2.from_pretrained(FOLDER)
    measured = measure(model, corpus, N_EACH)
    with atomic_write(FOLDER / "scores.json") as file:
        file.write(json.dumps(measured, indent=1).encode() + b"\n")
    task = open_again(folder, options, state["config"])
    nats, n_tokens, n_right = score(model.params, config, task.held_out)
    ids = set(task.stories.ids.tolist())
    n_words = sum(model.tokenizer.token_bytes(i).strip().isalpha() for i in ids)
    write_reference()
    card = CARD.format(
        **vars(config),
        n_params=sum(tensor.size for tensor in flatten(params).values()),
        size=size,
        old_n_ctx=GPT2.from_pretrained("stories").config.n_ctx,
        n_steps=sum(run["steps"] for run in runs),
        n_answer=rows[-1]["tokens"],
        hours=sum(run["hours"] for run in runs),
        threads=options.threads,
        runs=runs_table(runs),
        loss=nats / n_tokens,
        right=100 * n_right / n_questions(task.held_out),
        n_held_out=n_questions(task.held_out),
        table=table(measured),
        mean=measured["mean"],
        passed=measured["passed"],
        renamed=renamed_table(measured),
        thresholds=thresholds_table(measured),
        n_asked=measured["n_asked"],
        n_each=N_EACH,
        unsure=UNSURE,
        **{f"why_{number}": measured["supported"][number] for number in (1, 2, 3)},
        batch_tokens=options.batch_tokens,
        commands="\n".join(commands(QuestionsConfig(**run["options"])) for run in runs),
        trials=trials_table(),
        n_words=n_words,
    )
    with atomic_write(FOLDER / "README.md") as file:
        file.write(card.encode())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Publish a training run as the embedded model that answers.")
    parser.add_argument("folder", metavar="RUN_FOLDER", type=Path, help="a folder that numpygpt.train wrote")
    parser.add_argument("corpus", metavar="CORPUS", type=Path, help="the folder with the files of the bAbI tasks")
    arguments = parser.parse_args()
    publish(arguments.folder, arguments.corpus)
