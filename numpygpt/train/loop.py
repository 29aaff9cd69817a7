"""The training loop: learning rate, gradients, clip, step, evaluate; and the state from which it goes on."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from numpygpt.arrays import Tensors, flatten, unflatten
from numpygpt.optimizer import AdamW, clip_gradients, global_norm, learning_rate
from numpygpt.safetensors import SafetensorsFile, load_file, save_file
from numpygpt.train.config import TrainingConfig, TrainingError
from numpygpt.train.curve import write_curve
from numpygpt.train.task import Task
from numpygpt.train.workers import gradients

STATE = "state.safetensors"
TIMED = 3  # steps
log = logging.getLogger("numpygpt.train")


@dataclass
class Run:
    """A run as it stands after `step` steps: all that the steps to come depend on."""

    request: dict[str, Any]  # what was asked for
    options: TrainingConfig  # the same, with steps and threads settled
    tensors: Tensors  # the parameters, by name
    optimizer: AdamW
    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)  # the rows of loss.csv
    losses: list[float] = field(default_factory=list)  # of the steps since the last row
    tokens: int = 0  # that were predicted
    seconds: float = 0.0  # that it has taken so far

    @classmethod
    def start(cls, request: dict[str, Any], options: TrainingConfig, task: Task) -> Run:
        """Begin with the task's parameters."""
        tensors = {name: np.array(tensor, np.float32) for name, tensor in flatten(task.initialize()).items()}
        return cls(request, options, tensors, make_optimizer(options, tensors))

    def rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        options = self.options
        return learning_rate(step, lr=options.lr, steps=options.steps, warmup=options.warmup, lr_end=options.lr_end)

    def save(self, folder: Path, about: dict[str, Any]) -> None:
        """Write the state to one file, which replaces an older one when it is complete."""
        groups = {"params": self.tensors, "first": self.optimizer.first, "second": self.optimizer.second}
        tensors = {f"{group}/{name}": tensor for group in groups for name, tensor in groups[group].items()}
        said = {name: getattr(self, name) for name in ("request", "step", "history", "losses", "tokens", "seconds")}
        state = said | {"options": dataclasses.asdict(self.options)} | about
        save_file(tensors, folder / STATE, {"state": json.dumps(state)})

    @classmethod
    def load(cls, folder: Path, kind: type[TrainingConfig] = TrainingConfig) -> Run:
        """Read the state that stands in the folder `training/` of a run; `kind` is that of its options."""
        state = read_state(folder)
        stored: dict[str, Tensors] = {"params": {}, "first": {}, "second": {}}
        for key, tensor in load_file(folder / STATE).items():
            group, name = key.split("/", 1)
            stored[group][name] = tensor.copy()
        try:
            options = kind(**state["options"])
        except TypeError as error:
            raise TrainingError(f"{folder / STATE} is of another version of this program: {error}") from None
        run = cls(state["request"], options, stored["params"], make_optimizer(options, stored["params"]))
        run.optimizer.first, run.optimizer.second = stored["first"], stored["second"]
        run.step, run.history = state["step"], state["history"]
        run.losses, run.seconds, run.tokens = state.get("losses", []), state.get("seconds", 0.0), state.get("tokens", 0)
        return run


def make_optimizer(options: TrainingConfig, tensors: Tensors) -> AdamW:
    """Make the optimizer that the options describe."""
    return AdamW(tensors, options.beta1, options.beta2, options.eps, options.weight_decay)


def read_state(folder: Path) -> dict[str, Any]:
    """Read what the state file of a run says beside its tensors."""
    state: dict[str, Any] = json.loads(SafetensorsFile(folder / STATE).metadata["state"])
    return state


def train(run: Run, task: Task, out: Path) -> None:
    """Train until all steps are made, with an evaluation now and then, which saves model, curve and state.

    Ctrl-C ends it after the present step and saves the state, a second one at once. Raises TrainingError where the
    loss explodes, KeyboardInterrupt after Ctrl-C, and OSError where a file cannot be written.
    """
    options, started = run.options, time.monotonic() - run.seconds
    bar = tqdm(total=options.steps, initial=run.step, unit="step", disable=None)
    with bar, _stop_between_steps() as asked_to_stop:
        if not run.history:
            evaluate(run, task, out)
        while run.step < options.steps:
            loss, norm = train_step(run, task)
            run.seconds = time.monotonic() - started
            bar.set_postfix(loss=f"{loss:.3f}", lr=f"{run.rate(run.step - 1):.1e}", norm=f"{norm:.2f}", refresh=False)
            bar.update()
            if run.step % options.evaluate_every == 0 or run.step == options.steps:
                evaluate(run, task, out)
            elif asked_to_stop.is_set():
                run.save(out / "training", task.describe())
            if asked_to_stop.is_set() and run.step < options.steps:
                log.info("saved after step %d; the same command goes on from there", run.step)
                raise KeyboardInterrupt


def train_step(run: Run, task: Task) -> tuple[float, float]:
    """Learn from one batch; return its loss and the gradients' global norm. Raises TrainingError if it exploded."""
    batch = task.draw(run.step)
    loss, grads, n_targets = gradients(task, unflatten(run.tensors), batch, run.step, run.options)
    with np.errstate(all="ignore"):
        norm = global_norm(grads)
        check_health(run, task, loss, norm)
        run.optimizer.update(run.tensors, clip_gradients(grads, norm, run.options.clip), run.step, run.rate(run.step))
    run.losses.append(loss)
    run.tokens += n_targets
    run.step += 1
    return loss, norm


def evaluate(run: Run, task: Task, out: Path) -> None:
    """Measure, and save the model, the loss curve and, last, the state."""
    params = unflatten(run.tensors)
    with np.errstate(all="ignore"):
        measured = task.evaluate(params, run.step)
    check_health(run, task, measured["validation_loss"], norm=0)
    run.history.append(
        {
            "step": run.step,
            "tokens": run.tokens,
            "lr": run.rate(max(0, run.step - 1)),
            "train_loss": sum(run.losses) / len(run.losses) if run.losses else math.nan,
            **measured,
        }
    )
    run.losses = []
    best = min(row["validation_loss"] for row in run.history)
    if not run.options.keep_best or measured["validation_loss"] == best:
        task.save(params)
    write_curve(run.history, out)
    run.save(out / "training", task.describe())


def check_health(run: Run, task: Task, loss: float, norm: float) -> None:
    """Raise TrainingError where loss or gradient are not finite, or the loss is twice that of blind guessing."""
    if math.isfinite(norm) and loss < 2 * task.blind_loss + 1:
        return
    saved = run.history[-1]["step"] if run.history else 0
    raise TrainingError(
        f"the loss exploded: it is {loss:.4g} after step {run.step} (the gradients' global norm: {norm:.4g}). What was "
        f"saved at step {saved:.0f} is kept; start anew (--overwrite, or another folder) with an --lr below "
        f"{run.options.lr:g} or a longer --warmup"
    )


def steps_in(hours: float, run: Run, task: Task) -> int:
    """Count the steps that fit, after computing the gradients of one and, timed, of a few others."""
    seconds = []
    for step in range(1 + TIMED):
        started = time.perf_counter()
        gradients(task, unflatten(run.tensors), task.draw(step), step, run.options)
        seconds.append(time.perf_counter() - started)
    return max(1, int(hours * 3600 * TIMED / sum(seconds[1:])))


@contextmanager
def _stop_between_steps() -> Iterator[threading.Event]:
    """Let the first Ctrl-C ask for a stop, which the loop hears between two steps, and the second one stop at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # which alone hears of Ctrl-C
        yield asked
        return

    def ask(number: int, frame: Any) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        log.info("stopping after this step, to save it; Ctrl-C again stops at once")

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
