"""A run on text files, from its start or from where it stopped."""

from __future__ import annotations

import dataclasses
import logging
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from numpygpt.arrays import Params
from numpygpt.config import GPT2Config
from numpygpt.engine import Tokenizer
from numpygpt.files import TEMPORARY
from numpygpt.models import checkpoint
from numpygpt.models.names import find_or_download, remember_trained
from numpygpt.models.tokenizer_files import load_tokenizer, save_tokenizer
from numpygpt.train import loop
from numpygpt.train.config import TrainingConfig, TrainingError, as_typed, flag
from numpygpt.train.curve import draw_curve
from numpygpt.train.language import LanguageModel
from numpygpt.train.loop import STATE, Run
from numpygpt.train.text import load_tokens, make_tokenizer, text_files, write_tokens

SHAPE = {"n_layer": 6, "n_head": 8, "n_embd": 256, "n_ctx": 256}  # of a model that one hour of two cores can train
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
        "%s: %s in %s; validation loss %.4f nats per token, %.4f bits per byte",
        out,
        _count(run.step, "step"),
        f"{run.seconds / 60:.1f} minutes" if run.seconds < 5400 else f"{run.seconds / 3600:.1f} hours",
        last["validation_loss"],
        last["validation_bits_per_byte"],
    )
    log.info('  python -m numpygpt --model %s "%s"', out, options.prompt or "Once upon a time")
    return run


def start(texts: Sequence[str], out: Path, options: TrainingConfig) -> tuple[Run, LanguageModel]:
    """Begin a run: make tokenizer, weights and token files, and settle how many steps and threads there are."""
    request, folder = {"texts": list(texts), **dataclasses.asdict(options)}, out / "training"
    files = text_files(texts)
    config, params, tokenizer = begin_with(files, options)
    options = dataclasses.replace(options, threads=options.threads or os.cpu_count() or 1)
    with _folder_unless_it_fails(folder):
        (folder / STATE).unlink(missing_ok=True)  # of the run that is overwritten
        save_tokenizer(tokenizer, folder)
        log.info("encoding %s into a vocabulary of %d tokens", _count(len(files), "text file"), tokenizer.n_vocab)
        write_tokens(files, tokenizer, folder)
        tokens, held_out = load_tokens(folder, tokenizer, config.n_ctx)
        task = LanguageModel(options, config, tokenizer, tokens, held_out[: options.validation_tokens], out, params)
        run = Run.start(request, options, task)
        if options.hours is not None:
            run.options = dataclasses.replace(options, steps=loop.steps_in(options.hours, run, task))
        run.save(folder, task.describe())
    return run, task


def resume(texts: Sequence[str], out: Path, options: TrainingConfig) -> tuple[Run, LanguageModel]:
    """Go on with the run in a folder, if it is the one that is asked for and not finished."""
    folder = out / "training"
    request = {"texts": list(texts), **dataclasses.asdict(options)}
    state, run = loop.read_state(folder), Run.load(folder)
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
    config, tokenizer = GPT2Config(**state["config"]), load_tokenizer(folder, Tokenizer)
    tokens, held_out = load_tokens(folder, tokenizer, config.n_ctx)
    return run, LanguageModel(run.options, config, tokenizer, tokens, held_out[: options.validation_tokens], out)


def begin_with(files: Sequence[Path], options: TrainingConfig) -> tuple[GPT2Config, Params | None, Tokenizer]:
    """Return the model to begin with: `init`, or the shape and vocabulary of a new one."""
    if options.init is not None:
        names = ("merges", "vocab_size", "config", *SHAPE)
        contradicting = [name for name in names if getattr(options, name) is not None]
        if contradicting:
            raise TrainingError(
                f"a model to fine-tune has its shape and vocabulary already: leave out {flag(contradicting[0])}"
            )
        folder = find_or_download(options.init)
        config, params, given = checkpoint.load(folder, tokenizer_class=Tokenizer)
        if given is None:
            raise TrainingError(f"{folder} has no tokenizer; put its vocab.json and merges.txt there")
        return config, params, given
    tokenizer = make_tokenizer(files, options)
    shape = SHAPE if options.config is None else dataclasses.asdict(checkpoint.load_config(options.config))
    said = {name: getattr(options, name) for name in SHAPE if getattr(options, name) is not None}
    try:
        config = GPT2Config(**{**shape, **said, "vocab_size": tokenizer.n_vocab})
    except ValueError as error:
        raise TrainingError(re.sub("|".join(SHAPE), lambda name: flag(name[0]), str(error))) from None
    return config, None, tokenizer


def describe(run: Run, task: LanguageModel) -> None:
    """Say in two lines what is trained on what."""
    config, options = task.config, run.options
    log.info(
        "%.2f M parameters: %s, %s, width %d, %d tokens, context %d",
        sum(tensor.size for tensor in run.tensors.values()) / 1e6,
        _count(config.n_layer, "layer"),
        _count(config.n_head, "head"),
        config.n_embd,
        config.vocab_size,
        config.n_ctx,
    )
    log.info(
        "%d tokens to learn from, %d held out; %s of %d tokens, %s",
        len(task.tokens),
        len(task.held_out),
        _count(options.steps, "step"),
        options.batch_size * config.n_ctx,
        _count(options.threads, "thread"),
    )


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


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
