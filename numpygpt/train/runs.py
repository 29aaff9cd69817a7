"""A run on text files, from its start or from where it stopped."""

from __future__ import annotations

import dataclasses
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from numpygpt.files import TEMPORARY
from numpygpt.models.names import remember_trained
from numpygpt.train import language, loop, pictures, questions, translation
from numpygpt.train.config import (
    PicturesConfig,
    QuestionsConfig,
    TrainingConfig,
    TrainingError,
    TranslationConfig,
    as_typed,
    count,
)
from numpygpt.train.curve import draw_curve
from numpygpt.train.loop import STATE, Run
from numpygpt.train.task import Task

log = logging.getLogger("numpygpt.train")


def train(
    texts: Sequence[str],
    out: str | os.PathLike[str],
    options: TrainingConfig | None = None,
    *,
    overwrite: bool = False,
) -> Run:
    """Train a model on text files and write it to the folder `out`, or go on where this was interrupted.

    In `out` stand a model folder, rewritten at every evaluation, the loss curve in `loss.csv`, and `training/` with
    what the run needs to go on: the tokens, memory-mapped, and the state in one file. A run that goes on ends with the
    very weights that it would have had without the interruption.

    Raises TrainingError (a ValueError) where the folder holds something else, the text is too short or the loss
    explodes; OSError where a file cannot be read or written. What was saved before stays as it was.
    """
    options, out = options or TrainingConfig(), Path(out)
    folder = out / "training"
    options.check()
    if (folder / STATE).exists() and not overwrite:
        run, task = resume(texts, out, options)
    else:
        if out.is_file() or (not overwrite and out.is_dir() and set(os.listdir(out)) - {folder.name}):
            raise TrainingError(f"{out} exists and holds no run of this program: give another folder, or --overwrite")
        run, task = start(texts, out, options)
    _clear_leftovers(out)
    describe(run, task)
    loop.train(run, task, out)
    draw_curve(run.history, out)
    remember_trained(out)
    last = run.history[-1]
    log.info(
        "%s: %s in %s; validation loss %.4f nats per token%s",
        out,
        count(run.step, "step"),
        f"{run.seconds / 60:.1f} minutes" if run.seconds < 5400 else f"{run.seconds / 3600:.1f} hours",
        last["validation_loss"],
        f", {last['validation_bits_per_byte']:.4f} bits per byte" if "validation_bits_per_byte" in last else "",
    )
    log.info("  %s", task.how_to_use)
    return run


def start(texts: Sequence[str], out: Path, options: TrainingConfig) -> tuple[Run, Task]:
    """Begin a run: make tokenizer, weights and data files, and settle how many steps and threads there are."""
    request, folder = {"texts": list(texts), **dataclasses.asdict(options)}, out / "training"
    options = dataclasses.replace(options, threads=options.threads or os.cpu_count() or 1)

    def forget_the_old_run() -> None:
        (folder / STATE).unlink(missing_ok=True)

    with _folder_unless_it_fails(folder):
        task: Task
        if isinstance(options, TranslationConfig):
            task = translation.begin(texts, out, options, forget_the_old_run)
        elif isinstance(options, QuestionsConfig):
            task = questions.begin(texts, out, options, forget_the_old_run)
        elif isinstance(options, PicturesConfig):
            task = pictures.begin(texts, out, options, forget_the_old_run)
        else:
            task = language.begin(texts, out, options, forget_the_old_run)
        run = Run.start(request, options, task)
        if options.hours is not None:
            run.options = dataclasses.replace(options, steps=loop.steps_in(options.hours, run, task))
        run.save(folder, task.describe())
    return run, task


def resume(texts: Sequence[str], out: Path, options: TrainingConfig) -> tuple[Run, Task]:
    """Go on with the run in a folder, if it is the one that is asked for and not finished."""
    folder = out / "training"
    request = {"texts": list(texts), **dataclasses.asdict(options)}
    state = loop.read_state(folder)
    if state["request"].keys() != request.keys():
        raise TrainingError(f"{out} holds a run of another task or version: give another folder, or --overwrite")
    run = Run.load(folder, type(options))
    is_finished = run.step == run.options.steps
    is_longer = is_finished and options.hours is None and options.steps > run.step
    for name, value in request.items():
        stored = state["request"].get(name)
        if stored != value and not (is_longer and name in ("steps", "hours")):
            raise TrainingError(
                f"{out} holds a run with {as_typed(name, stored)}, not {as_typed(name, value)}: "
                "give the same to go on with it, --overwrite to start anew, or another folder"
            )
    if is_finished and not is_longer:
        raise TrainingError(
            f"{out} holds a finished run: to make it longer, give --steps above {run.step}; to use its model for other "
            "texts, --init in another folder; to train anew, --overwrite"
        )
    log.info("going on after step %d", run.step)
    if is_longer:
        run.request, run.options = request, dataclasses.replace(run.options, steps=options.steps, hours=None)
        rate = run.rate(run.step)
        log.info("with the learning rate of a run of %d steps, from here on: %.2g now", options.steps, rate)
    if isinstance(run.options, TranslationConfig):
        return run, translation.open_again(out, run.options, state["config"])
    if isinstance(run.options, QuestionsConfig):
        return run, questions.open_again(out, run.options, state["config"])
    if isinstance(run.options, PicturesConfig):
        return run, pictures.open_again(out, run.options, state["config"])
    return run, language.open_again(out, run.options, state["config"])


def describe(run: Run, task: Task) -> None:
    """Say in a few lines what is trained on what."""
    shape, data = str(task).split("\n")
    log.info("%.2f M parameters: %s", sum(tensor.size for tensor in run.tensors.values()) / 1e6, shape)
    log.info("%s; %s, %s", data, count(run.options.steps, "step"), count(run.options.threads, "thread"))


@contextmanager
def _folder_unless_it_fails(folder: Path) -> Iterator[None]:
    """Make a folder, and remove what was made where the run cannot start: text too short, say, or a full disk."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        if made:
            shutil.rmtree(made[-1], ignore_errors=True)
        raise


def _clear_leftovers(out: Path) -> None:
    """Remove the half-written files of a run that was killed while it saved."""
    for leftover in (*out.glob(TEMPORARY), *(out / "training").glob(TEMPORARY)):
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink()
