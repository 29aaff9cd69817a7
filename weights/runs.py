"""The training runs that a published model came from."""

from __future__ import annotations

import csv
import dataclasses
import json
import shlex
import sys
import textwrap
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from numpygpt.train import TrainingConfig
from numpygpt.train.loop import STATE, read_state
from numpygpt.train.text import text_files as find_text_files

ROOT = Path(__file__).parents[1]
RUNS = "runs.json"  # what a published model came from, for those that go on from it


@dataclass
class Run:
    """What a training run was asked to do, and what came of it."""

    name: str  # of its folder
    options: TrainingConfig  # with threads settled
    texts: list[str]  # the names of the files that it learned from
    steps: int  # that it made
    n_ctx: int
    hours: float  # from its first file to the last state that it saved
    history: list[dict[str, float]]  # the points of its curve

    @classmethod
    def read(cls, folder: Path) -> Run:
        """Read a run's folder. Raises SystemExit where the run is not finished."""
        state = read_state(folder / "training")
        options = TrainingConfig(**state["options"])
        if options.steps != state["step"] and options.lr != options.lr_end:
            sys.exit(f"{folder} is at step {state['step']} of {options.steps}: let it finish first")
        begun, saved = ((folder / "training" / name).stat().st_mtime for name in ("train.bin", STATE))
        texts = [text.name for text in text_files(folder)]
        hours = round((saved - begun) / 3600, 2)
        return cls(folder.name, options, texts, state["step"], state["config"]["n_ctx"], hours, state["history"])

    @property
    def n_tokens(self) -> int:
        """How many tokens it learned from, counting those that came again."""
        return int(self.history[-1]["tokens"])

    def command(self, before: Run | None) -> str:
        """The command that repeats it after another, with the steps that it made and paths that are no machine's."""
        given = dataclasses.replace(self.options, steps=self.steps, hours=None, prompt="")
        if before is not None:
            given = dataclasses.replace(given, init=f"checkpoints/{before.name}")
        words = ["python -m numpygpt.train", *(f"corpus/{text}" for text in self.texts)]
        words.append(f"--out checkpoints/{self.name}")
        for option in dataclasses.fields(TrainingConfig):
            value = getattr(given, option.name)
            if value != option.default or option.name == "steps":
                flag = "--" + option.name.replace("_", "-")
                words.append(flag if value is True else f"{flag} {shlex.quote(str(value))}")
        lines = textwrap.wrap("\0".join(words).replace(" ", "\1").replace("\0", " "), 110, break_on_hyphens=False)
        return " \\\n    ".join(lines).replace("\1", " ")


def text_files(folder: Path) -> list[Path]:
    """Return the files that a run learned from."""
    return find_text_files(read_state(folder / "training")["request"]["texts"])


def read_runs(folder: Path) -> list[Run]:
    """Return the run and those whose models it began from, the first first."""
    run = Run.read(folder.resolve())
    init = ROOT / (run.options.init or "")
    if (init / "training" / STATE).exists():
        return [*read_runs(init), run]
    published = read_published(init) if (init / RUNS).exists() else []
    return [*takewhile(lambda before: before.name != run.name, published), run]  # publishing may be repeated


def read_published(folder: Path) -> list[Run]:
    """Return the runs that a published model came from, whose own folders may be gone."""
    with (folder / "loss.csv").open(newline="") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    runs: list[Run] = []
    for number, stored in enumerate(json.loads((folder / RUNS).read_text(encoding="utf-8")), 1):
        before = sum(run.n_tokens for run in runs)
        run = Run(**{**stored, "options": TrainingConfig(**stored["options"])}, history=[])
        for row in rows:
            if row["run"] == number:
                run.history.append({name: value for name, value in row.items() if name != "run"})
                run.history[-1]["tokens"] -= before
        runs.append(run)
    return runs


def write_runs(runs: list[Run], path: Path) -> None:
    """Write what `read_published` reads, beside the curve."""
    options = {option.name: option.default for option in dataclasses.fields(TrainingConfig)}
    stored = []
    for run in runs:
        given = dataclasses.asdict(run)
        del given["history"]
        given["options"] = {name: value for name, value in given["options"].items() if value != options[name]}
        stored.append(given)
    path.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
