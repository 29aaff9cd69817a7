"""Training: text files -> a model folder.

Run as a command: `python -m numpygpt.train TEXT [TEXT ...] --out FOLDER`. The same command again goes on with a run
that was interrupted, and ends with the very weights that it would have had without the interruption.

The text is a sequence of items, separated by lines that hold `<|endoftext|>` and nothing else. Every 100th item (the
100th, the 200th, ...) is held out: the model never learns from it, and its loss says how well the model predicts
text that it has not seen. Of fewer than 100 items, the last twentieth of the tokens is held out instead.

In FOLDER stand a model folder, rewritten at every evaluation, the loss curve in `loss.csv`, and `training/` with
what the run needs to go on: the tokens, memory-mapped, and the state in one file.

One step: draw a batch, compute its gradients in parts, shared out among the threads; clip them; move the weights.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numpygpt import backward, checkpoint
from numpygpt.checkpoint import flatten, unflatten
from numpygpt.files import TEMPORARY, written_whole
from numpygpt.generate import generate
from numpygpt.layers import Array
from numpygpt.loss import cross_entropy
from numpygpt.model import GPT2Config, Params, gpt2, parameter_shapes
from numpygpt.pretrained import GPT2
from numpygpt.safetensors import SafetensorsFile, load_file, save_file
from numpygpt.sampling import Sampling
from numpygpt.tokenizer import END_OF_TEXT, Tokenizer

HELD_OUT_EVERY = 100  # of the items
HELD_OUT_SHARE = 1 / 20  # of the tokens, where there are fewer items than that
PIECE = 2**20  # characters encoded at once: a longer item is cut at the end of a line
VOCABULARY_TEXT = 2**24  # characters that a vocabulary is learned from
MICRO_TOKENS = 512  # tokens that a thread computes at once: what they need almost fits the cache

Tokens = NDArray[np.integer]
STATE = "state.safetensors"
BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "OMP_NUM_THREADS")


class TrainingError(ValueError):
    """A run that cannot start or go on; the message says why and what to do."""


def _option(default: Any, help_text: str, metavar: str | None = None) -> Any:
    return field(default=default, metadata={"help": help_text, "metavar": metavar})


@dataclass(frozen=True)
class Options:
    """What a run is asked to do, under the names of the command line's options; None is "not said"."""

    init: str | None = _option(None, "a model to start from, its folder or name, instead of a new one", "NAME")
    merges: int | None = _option(None, "use the first so many of GPT-2's merges as vocabulary (default: all)")
    vocab_size: int | None = _option(None, "learn a vocabulary of this size from the text instead")
    config: str | None = _option(
        None, "a folder whose config.json gives the shape; the next four options override it", "FOLDER"
    )
    n_layer: int | None = _option(None, "layers (default: 6)")
    n_head: int | None = _option(None, "attention heads (default: 8)")
    n_embd: int | None = _option(None, "width (default: 256)")
    n_ctx: int | None = _option(None, "context window, in tokens (default: 256)")
    steps: int = _option(1000, "how many batches to learn from")
    hours: float | None = _option(None, "instead of --steps: as many as fit, at the speed of the first")
    batch_size: int = _option(24, "sequences of n_ctx tokens that make a step")
    micro_batch: int = _option(
        0, f"how many of them a thread computes at once, adding up gradients; 0: as many as make {MICRO_TOKENS} tokens"
    )
    threads: int = _option(0, "how many share out a batch; 0: one for every core")
    lr: float = _option(1e-3, "learning rate after the warm-up")
    lr_end: float = _option(0.0, "learning rate at the end of the cosine")
    warmup: int = _option(100, "steps over which the learning rate rises")
    weight_decay: float = _option(0.1, "of matrices")
    beta1: float = _option(0.9, "AdamW's")
    beta2: float = _option(0.95, "AdamW's")
    eps: float = _option(1e-8, "AdamW's")
    clip: float = _option(1.0, "the gradient's greatest length")
    dropout: float = _option(0.0, "share of embeddings, attention weights and results set to 0 while training")
    seed: int = _option(0, "for weights, order and dropout")
    evaluate_every: int = _option(250, "steps between evaluations, which also save the state")
    validation_tokens: int = _option(100_000, "held-out tokens that an evaluation uses at most")
    keep_best: bool = _option(False, "save the weights of the lowest validation loss instead of the last")
    float16: bool = _option(False, "save the model in half the size")
    prompt: str = _option("", "the beginning of the samples", "TEXT")
    sample_tokens: int = _option(60, "the length of the samples")


def flag(name: str) -> str:
    """Return an option's name as it is typed.

    >>> flag("n_layer")
    '--n-layer'
    """
    return "--" + name.replace("_", "-")


SHAPE = {"n_layer": 6, "n_head": 8, "n_embd": 256, "n_ctx": 256}  # of a model that one hour of two cores can train


# ---- Text -> tokens


def read_pieces(paths: Iterable[str | os.PathLike[str]]) -> Iterator[tuple[int, str]]:
    """Yield the number of each item, from 0, and its text; an item longer than PIECE comes in several pieces.

    Items end at a line `<|endoftext|>` and at the end of a file. Empty ones do not count, and newlines at either end
    are no part of an item, nor is the byte order mark that may begin a file.

    Raises TrainingError where a file is not UTF-8.
    """
    number, lines, size, started = 0, list[str](), 0, False
    for line in _lines(paths):
        ends = line.rstrip("\n") == END_OF_TEXT
        if not ends:
            lines.append(line)
            size += len(line)
        if ends or size > PIECE:
            if text := "".join(lines).strip("\n" if ends else ""):
                yield number, text
            lines, size, started = [], 0, started or bool(text)
        if ends:
            number, started = number + started, False


def _lines(paths: Iterable[str | os.PathLike[str]]) -> Iterator[str]:
    for path in paths:
        try:
            with open(path, encoding="utf-8-sig") as file:
                yield from file
        except UnicodeDecodeError:
            raise TrainingError(f"{path} is not UTF-8 text; convert it first") from None
        yield END_OF_TEXT


def write_tokens(paths: Sequence[str | os.PathLike[str]], tokenizer: Tokenizer, folder: Path) -> None:
    """Write `train.bin` and `validation.bin`: bare token ids, every item after an `<|endoftext|>`.

    The text is read, encoded and written piece by piece; it may be larger than memory.
    """
    dtype = token_dtype(tokenizer)
    eot = np.array([tokenizer.eot_id], dtype)
    with written_whole(folder / "train.bin") as train, written_whole(folder / "validation.bin") as validation:
        last = -1
        for number, text in read_pieces(paths):
            file = validation if number % HELD_OUT_EVERY == HELD_OUT_EVERY - 1 else train
            if number != last:
                file.write(eot.tobytes())
            file.write(np.array(tokenizer.encode(text), dtype).tobytes())
            last = number
        train.write(eot.tobytes())


def token_dtype(tokenizer: Tokenizer) -> np.dtype[Any]:
    """Return the smallest type that holds every id, little-endian: the type of the token files."""
    return np.dtype("<u2" if tokenizer.n_vocab <= 2**16 else "<u4")


def load_tokens(folder: Path, tokenizer: Tokenizer, n_ctx: int) -> tuple[Tokens, Tokens]:
    """Map the tokens to learn from and those held out into memory.

    Raises TrainingError where there are too few for one sequence of n_ctx tokens.
    """
    dtype = token_dtype(tokenizer)
    if (folder / "train.bin").stat().st_size <= dtype.itemsize:
        raise TrainingError("the text is empty: give files that hold some")
    train: Tokens = np.memmap(folder / "train.bin", dtype, "r")
    if (folder / "validation.bin").stat().st_size:
        validation: Tokens = np.memmap(folder / "validation.bin", dtype, "r")
    else:
        n_train = int(len(train) * (1 - HELD_OUT_SHARE))
        train, validation = train[:n_train], train[n_train:]
    if len(train) <= n_ctx or len(validation) < 2:
        raise TrainingError(
            f"the text has {len(train)} tokens to learn from and {len(validation)} held out, too few for sequences "
            f"of {n_ctx} tokens: give more text or a smaller --n-ctx"
        )
    return train, validation


def draw_batch(tokens: Tokens, step: int, options: Options, n_ctx: int) -> tuple[backward.Ids, backward.Ids]:
    """Return the inputs and targets of a step, which depend on the step and the seed alone.

    -> ids, targets: [batch_size, n_ctx] each, targets one position ahead

    The tokens are cut into sequences, in every epoch from another place on, and the sequences shuffled: so all
    tokens are learned from before any is learned from again.
    """
    n_sequences = (len(tokens) - 1) // n_ctx
    starts = []
    for number in range(step * options.batch_size, (step + 1) * options.batch_size):
        epoch, place = divmod(number, n_sequences)
        order, offset = _epoch(options.seed, epoch, n_sequences, n_ctx)
        starts.append((order[place] * n_ctx + offset) % (len(tokens) - n_ctx))
    batch = tokens[np.array(starts)[:, None] + np.arange(n_ctx + 1)].astype(np.intp)
    return batch[:, :-1], batch[:, 1:]


@lru_cache(maxsize=2)
def _epoch(seed: int, epoch: int, n_sequences: int, n_ctx: int) -> tuple[NDArray[np.intp], int]:
    rng = np.random.default_rng([seed, 0, epoch])
    return rng.permutation(n_sequences), int(rng.integers(n_ctx))


# ---- Gradients -> weights


def initialise(config: GPT2Config, seed: int) -> Params:
    """Draw the weights to begin with.

    Matrices are normal with a standard deviation of 0.02, those that add to the residual stream 1 / sqrt(2 · n_layer)
    of it, so that the stream's variance does not grow with depth; biases are 0, scales 1.

    Source: Radford et al. 2019, section 2.3, for the scaling; 0.02 for both embeddings as in `transformers` (OpenAI's
    code has 0.01 for wpe).
    """
    rng = np.random.default_rng([seed, 1])
    tensors: dict[str, Array] = {}
    for name, shape in parameter_shapes(config).items():
        if name.endswith(".bias"):
            tensors[name] = np.zeros(shape, np.float32)
        elif len(shape) == 1:
            tensors[name] = np.ones(shape, np.float32)
        else:
            scale = 0.02 / (math.sqrt(2 * config.n_layer) if name.endswith("c_proj.weight") else 1)
            tensors[name] = scale * rng.standard_normal(shape, np.float32)
    return unflatten(tensors)


def learning_rate(step: int, options: Options) -> float:
    """Rise linearly to `lr` over the first `warmup` steps, then fall along half a cosine to `lr_end`.

    >>> options = Options(lr=1.0, lr_end=0.0, warmup=2, steps=6)
    >>> [round(learning_rate(step, options), 3) for step in range(6)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
    """
    if step < options.warmup:
        return options.lr * (step + 1) / options.warmup
    progress = (step - options.warmup) / max(1, options.steps - options.warmup)
    return options.lr_end + (options.lr - options.lr_end) * (1 + math.cos(math.pi * progress)) / 2


def length(gradients: dict[str, Array]) -> float:
    """Return the length of all gradients together, as one vector."""
    return math.sqrt(sum(float(np.vdot(gradient, gradient)) for gradient in gradients.values()))


def clip_gradients(gradients: dict[str, Array], norm: float, limit: float) -> None:
    """Scale the gradients down, in place, where their length `norm` exceeds the limit.

    Source: Pascanu et al. 2013, "On the difficulty of training recurrent neural networks" (arXiv:1211.5063).
    """
    if norm > limit:
        for gradient in gradients.values():
            gradient *= limit / norm


@dataclass
class AdamW:
    """The optimiser: steps of a size that depends on how steadily a gradient points one way, not on its own size.

        m = β1 · m + (1 - β1) · g            mean of the gradient, over about 1 / (1 - β1) steps
        v = β2 · v + (1 - β2) · g²           and of its square
        w = w - lr · weight_decay · w        for matrices only
        w = w - lr · m̂ / (sqrt(v̂) + eps)     m̂ = m / (1 - β1ᵗ), v̂ = v / (1 - β2ᵗ): means since the start

    Source: Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization" (arXiv:1711.05101), algorithm 2 (the decay
    times lr, as PyTorch does).
    """

    options: Options
    first: dict[str, Array]  # m
    second: dict[str, Array]  # v

    @classmethod
    def start(cls, options: Options, tensors: dict[str, Array]) -> AdamW:
        """Begin with means of 0."""
        return cls(options, *({name: np.zeros_like(tensor) for name, tensor in tensors.items()} for _ in range(2)))

    def update(self, tensors: dict[str, Array], gradients: dict[str, Array], step: int, lr: float) -> None:
        """Move the weights, in place; step counts from 0."""
        for name, w in tensors.items():
            self._update(w, gradients[name], self.first[name], self.second[name], step, lr)

    def _update(self, w: Array, g: Array, m: Array, v: Array, step: int, lr: float) -> None:
        beta1, beta2 = self.options.beta1, self.options.beta2
        m *= beta1
        m += (1 - beta1) * g
        v *= beta2
        v += (1 - beta2) * np.square(g)
        if w.ndim >= 2:
            w *= 1 - lr * self.options.weight_decay
        root = np.sqrt(v)
        root *= 1 / math.sqrt(1 - beta2 ** (step + 1))
        root += self.options.eps
        np.divide(m, root, out=root)
        root *= lr / (1 - beta1 ** (step + 1))
        w -= root


# ---- A batch -> loss and gradients, on several cores


class Workers:
    """Threads that share out a batch, each with a BLAS that runs on one core.

    NumPy lets go of Python's lock while it computes, so threads run side by side; as each has a part of the batch
    that fits the cache better, two of them are faster than two cores on each product in turn. The parts and the order
    in which their gradients are added are fixed, and so is every bit of the sum.
    """

    def __init__(self, options: Options, config: GPT2Config) -> None:
        self.options, self.config = options, config
        self.n_threads = min(max(1, options.threads), options.batch_size)
        self.micro_batch = options.micro_batch or max(1, MICRO_TOKENS // config.n_ctx)
        self._pool = ThreadPoolExecutor(self.n_threads, initializer=np.seterr, initargs=("ignore",))

    def gradients(
        self, params: Params, batch: tuple[backward.Ids, backward.Ids], step: int
    ) -> tuple[float, dict[str, Array]]:
        """Return the mean loss of a batch and its gradients."""
        ids, targets = batch

        def of_share(rows: NDArray[np.intp]) -> tuple[float, dict[str, Array]]:
            loss, total = 0.0, dict[str, Array]()
            for start in range(0, len(rows), self.micro_batch):
                part = rows[start : start + self.micro_batch]
                rng = np.random.default_rng([self.options.seed, 2, step, int(part[0])])
                drop = backward.Dropout(self.options.dropout, rng)
                part_loss, tree = backward.gpt2(
                    ids[part], targets[part], params, self.config, drop=drop, n_targets=ids.size
                )
                loss += part_loss
                total = _add(total, flatten(tree))
            return loss, total

        loss, total = 0.0, dict[str, Array]()
        for share_loss, gradients in self._pool.map(of_share, np.array_split(np.arange(len(ids)), self.n_threads)):
            loss += share_loss
            total = _add(total, gradients)
        return loss, total

    def validation_loss(self, params: Params, tokens: Tokens) -> float:
        """Return the mean loss of the tokens after the first, in nats, each window of n_ctx on its own."""
        inputs, targets = tokens[:-1].astype(np.intp), tokens[1:].astype(np.intp)

        def nats(start: int) -> float:
            window = slice(start, start + self.config.n_ctx)
            logits = gpt2(inputs[window], **params, config=self.config)
            return float(cross_entropy(logits, targets[window]).sum(dtype=np.float64))

        return sum(self._pool.map(nats, range(0, len(inputs), self.config.n_ctx))) / len(inputs)


def _add(total: dict[str, Array], gradients: dict[str, Array]) -> dict[str, Array]:
    if not total:
        return gradients
    for name, gradient in gradients.items():
        total[name] += gradient
    return total


# ---- A run, from its start or from where it stopped


@dataclass
class Run:
    """A run as it stands after `step` steps: all that the steps to come depend on."""

    request: dict[str, Any]  # what the command asked for
    options: Options  # the same, with steps and threads settled
    config: GPT2Config
    tokenizer: Tokenizer
    tensors: dict[str, Array]  # the parameters, by name
    optimiser: AdamW
    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)  # the rows of loss.csv

    @property
    def params(self) -> Params:
        """The parameters as the tree that the model takes; its arrays are those of `tensors`."""
        return unflatten(self.tensors)

    def save(self, path: Path) -> None:
        """Write the state to one file, which replaces an older one when it is complete."""
        groups = {"params": self.tensors, "first": self.optimiser.first, "second": self.optimiser.second}
        state = {
            "request": self.request,
            "options": dataclasses.asdict(self.options),
            "config": dataclasses.asdict(self.config),
            "step": self.step,
            "history": self.history,
        }
        tensors = {f"{group}/{name}": tensor for group in groups for name, tensor in groups[group].items()}
        save_file(tensors, path, {"state": json.dumps(state)})

    @classmethod
    def load(cls, folder: Path) -> Run:
        """Read the state and the tokenizer that stand in the folder `training/` of a run."""
        state = read_state(folder)
        options, config = Options(**state["options"]), GPT2Config(**state["config"])
        stored = load_file(folder / STATE)
        tensors, first, second = (
            {name: stored[f"{group}/{name}"].copy() for name in parameter_shapes(config)}
            for group in ("params", "first", "second")
        )
        return cls(
            state["request"],
            options,
            config,
            Tokenizer.load(folder),
            tensors,
            AdamW(options, first, second),
            state["step"],
            state["history"],
        )


def read_state(folder: Path) -> dict[str, Any]:
    """Read what the state file of a run says beside its tensors."""
    state: dict[str, Any] = json.loads(SafetensorsFile(folder / STATE).metadata["state"])
    return state


def start(texts: Sequence[str], folder: Path, options: Options, say: Callable[[str], None]) -> Run:
    """Begin a run: make tokenizer, weights and token files, and settle how many steps and threads there are."""
    request = {"texts": list(texts), **dataclasses.asdict(options)}
    files = text_files(texts)
    config, params, tokenizer = load_or_initialise(files, options)
    tensors = {name: np.array(tensor, np.float32) for name, tensor in flatten(params).items()}  # writable copies
    options = dataclasses.replace(options, threads=options.threads or default_threads())
    run = Run(request, options, config, tokenizer, tensors, AdamW.start(options, tensors))
    with _folder_unless_it_fails(folder):
        (folder / STATE).unlink(missing_ok=True)  # of the run that is overwritten
        tokenizer.save(folder)
        say(f"encoding {_count(len(files), 'text file')} into a vocabulary of {tokenizer.n_vocab} tokens")
        write_tokens(files, tokenizer, folder)
        tokens, _ = load_tokens(folder, tokenizer, config.n_ctx)
        if options.hours is not None:
            steps = _steps_in(options.hours, run, tokens)
            run.options = run.optimiser.options = dataclasses.replace(options, steps=steps)
        run.save(folder / STATE)
    return run


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


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _steps_in(hours: float, run: Run, tokens: Tokens) -> int:
    """Count the steps that fit, after computing the gradients of one and, timed, of another."""
    workers = Workers(run.options, run.config)
    for step in range(2):
        started = time.perf_counter()
        workers.gradients(run.params, draw_batch(tokens, step, run.options, run.config.n_ctx), step)
    return max(1, int(hours * 3600 / (time.perf_counter() - started)))


def default_threads() -> int:
    """Return the number of cores where BLAS runs on one of them; 1 where it may use them all by itself."""
    return (os.cpu_count() or 1) if os.environ.get(BLAS_THREADS[0]) == "1" else 1


def text_files(texts: Iterable[str]) -> list[Path]:
    """Return the files that are meant: a folder stands for the .txt files in it, in the order of their names.

    Raises TrainingError where there is no such file, or none in a folder.
    """
    files: list[Path] = []
    for text in map(Path, texts):
        found = sorted(text.glob("*.txt")) if text.is_dir() else [text] if text.is_file() else []
        if not found:
            raise TrainingError(f"{text}: " + ("no .txt file is in it" if text.is_dir() else "there is no such file"))
        files += found
    return files


def load_or_initialise(files: Sequence[Path], options: Options) -> tuple[GPT2Config, Params, Tokenizer]:
    """Return the model to begin with: `init`, or a new one."""
    if options.init is not None:
        names = ("merges", "vocab_size", "config", *SHAPE)
        contradicting = [name for name in names if getattr(options, name) is not None]
        if contradicting:
            raise TrainingError(
                f"a model to fine-tune has its shape and vocabulary already: leave out {flag(contradicting[0])}"
            )
        model = GPT2.from_pretrained(options.init)
        return model.config, model.params, model.tokenizer
    tokenizer = make_tokenizer(files, options)
    shape = SHAPE if options.config is None else dataclasses.asdict(checkpoint.load_config(options.config))
    said = {name: getattr(options, name) for name in SHAPE if getattr(options, name) is not None}
    try:
        config = GPT2Config(**{**shape, **said, "vocab_size": tokenizer.n_vocab})
    except ValueError as error:
        raise TrainingError(re.sub("|".join(SHAPE), lambda name: flag(name[0]), str(error))) from None
    return config, initialise(config, options.seed), tokenizer


def make_tokenizer(files: Sequence[Path], options: Options) -> Tokenizer:
    """Return a tokenizer with GPT-2's vocabulary, or the start of it, or one learned from the text's beginning."""
    if options.vocab_size is not None:
        text = ""
        for _, piece in read_pieces(files):
            text += piece + "\n"
            if len(text) > VOCABULARY_TEXT:
                break
        return Tokenizer.train(text, options.vocab_size)
    tokenizer = Tokenizer()
    if options.merges is None:
        return tokenizer
    if not 0 <= options.merges <= len(tokenizer.merges):
        raise TrainingError(f"--merges must be from 0 to GPT-2's {len(tokenizer.merges)}, not {options.merges}")
    return Tokenizer(tokenizer.merges[: options.merges])


def resume(texts: Sequence[str], folder: Path, options: Options, say: Callable[[str], None]) -> Run:
    """Go on with the run in a folder, if it is the one that is asked for and not finished."""
    request = {"texts": list(texts), **dataclasses.asdict(options)}
    stored = read_state(folder)["request"]
    for name, value in request.items():
        if stored.get(name) != value:
            raise TrainingError(
                f"{folder.parent} holds a run with {_as_typed(name, stored.get(name))}, not {_as_typed(name, value)}: "
                "give the same to go on with it, --overwrite to start anew, or another folder"
            )
    run = Run.load(folder)
    if run.step == run.options.steps:
        raise TrainingError(
            f"{folder.parent} holds a finished run: give another folder, or --overwrite to train anew; "
            "to train on, use it with --init"
        )
    say(f"going on after step {run.step}")
    return run


def _as_typed(name: str, value: Any) -> str:
    if name == "texts":
        return " ".join(value)
    if value is None or value is False:
        return f"no {flag(name)}"
    return flag(name) if value is True else f"{flag(name)} {value}"


# ---- The loop


def train(
    texts: Sequence[str],
    out: str | os.PathLike[str],
    options: Options | None = None,
    *,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
) -> Run:
    """Train a model on text files and write it to the folder `out`, or go on where this was interrupted.

    For the speed that two cores can give, set OPENBLAS_NUM_THREADS=1 before NumPy is imported, as the command does.

    Raises TrainingError (a ValueError) where the folder holds something else, the text is too short or the loss
    explodes; OSError where a file cannot be read or written. What was saved before stays as it was.
    """
    options, out = options or Options(), Path(out)
    folder = out / "training"
    check_options(options)
    if (folder / STATE).exists() and not overwrite:
        run = resume(texts, folder, options, say)
    else:
        if out.is_file() or (not overwrite and out.is_dir() and set(os.listdir(out)) - {folder.name}):
            raise TrainingError(f"{out} exists and holds no run of this program: give another folder, or --overwrite")
        run = start(texts, folder, options, say)
    _clear_leftovers(out)
    tokens, held_out = load_tokens(folder, run.tokenizer, run.config.n_ctx)
    held_out = held_out[: options.validation_tokens]
    say(describe(run, tokens, held_out))
    workers, progress = Workers(run.options, run.config), Progress(run, say)
    with np.errstate(all="ignore"):  # numbers that overflow show in the loss
        if not run.history:
            evaluate(run, workers, held_out, out, math.nan, say)
        while run.step < run.options.steps:
            progress.add(train_step(run, workers, tokens))
            if run.step % run.options.evaluate_every == 0 or run.step == run.options.steps:
                evaluate(run, workers, held_out, out, progress.take_mean(), say)
    draw_curve(run.history, out)
    return run


def _clear_leftovers(out: Path) -> None:
    """Remove the half-written files of a run that was killed while it saved."""
    for leftover in (*out.glob(TEMPORARY), *(out / "training").glob(TEMPORARY)):
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink()


def check_options(options: Options) -> None:
    """Refuse numbers that make no sense. Raises TrainingError."""
    for name in ("steps", "hours", "batch_size", "lr", "clip", "eps", "evaluate_every", "sample_tokens"):
        value = getattr(options, name)
        if value is not None and not 0 < value < math.inf:
            raise TrainingError(f"{flag(name)} must be above 0, not {value}")
    for name in ("micro_batch", "threads", "warmup", "weight_decay", "lr_end", "seed"):
        if not 0 <= getattr(options, name) < math.inf:
            raise TrainingError(f"{flag(name)} must be at least 0, not {getattr(options, name)}")
    for name in ("dropout", "beta1", "beta2"):
        if not 0 <= getattr(options, name) < 1:
            raise TrainingError(f"{flag(name)} must be at least 0 and below 1, not {getattr(options, name)}")
    if options.validation_tokens < 2:
        raise TrainingError(f"--validation-tokens must be at least 2, not {options.validation_tokens}")
    if options.vocab_size is not None and options.vocab_size < 257:
        raise TrainingError(f"--vocab-size must be at least 257 (the bytes, {END_OF_TEXT}), not {options.vocab_size}")
    if options.merges is not None and options.vocab_size is not None:
        raise TrainingError("give --merges (of GPT-2's) or --vocab-size (learned from the text), not both")


def train_step(run: Run, workers: Workers, tokens: Tokens) -> float:
    """Learn from one batch; return its loss. Raises TrainingError where that has exploded."""
    batch = draw_batch(tokens, run.step, run.options, run.config.n_ctx)
    loss, gradients = workers.gradients(run.params, batch, run.step)
    norm = length(gradients)
    check_health(run, loss, norm)
    clip_gradients(gradients, norm, run.options.clip)
    run.optimiser.update(run.tensors, gradients, run.step, learning_rate(run.step, run.options))
    run.step += 1
    return loss


def check_health(run: Run, loss: float, norm: float) -> None:
    """Raise TrainingError where loss or gradient are not finite, or the loss is twice that of blind guessing."""
    if math.isfinite(norm) and loss < 2 * math.log(run.config.vocab_size) + 1:
        return
    saved = run.history[-1]["step"] if run.history else 0
    raise TrainingError(
        f"the loss exploded: it is {loss:.4g} after step {run.step} (the gradient's length: {norm:.4g}). What was "
        f"saved at step {saved:.0f} is kept; start anew (--overwrite, or another folder) with an --lr below "
        f"{run.options.lr:g} or a longer --warmup"
    )


def describe(run: Run, tokens: Tokens, held_out: Tokens) -> str:
    """Say in two lines what is trained on what."""
    config, n_params = run.config, sum(tensor.size for tensor in run.tensors.values())
    return (
        f"{n_params / 1e6:.2f} M parameters: {_count(config.n_layer, 'layer')}, {_count(config.n_head, 'head')}, "
        f"width {config.n_embd}, {config.vocab_size} tokens, context {config.n_ctx}\n"
        f"{len(tokens)} tokens to learn from, {len(held_out)} held out; {_count(run.options.steps, 'step')} of "
        f"{run.options.batch_size * config.n_ctx} tokens, {_count(run.options.threads, 'thread')}"
    )


@dataclass
class Progress:
    """Says how far a run is, every few seconds, and keeps the mean of its losses between evaluations."""

    run: Run
    say: Callable[[str], None]
    every: float = 10.0  # seconds
    losses: list[float] = field(default_factory=list)
    since: float = field(default_factory=time.monotonic)
    n_steps: int = 0

    def add(self, loss: float) -> None:
        """Note the loss of a step."""
        self.losses.append(loss)
        self.n_steps += 1
        seconds = time.monotonic() - self.since
        if seconds < self.every:
            return
        run, steps = self.run, self.run.options.steps
        speed = self.n_steps * run.options.batch_size * run.config.n_ctx / seconds
        left = (steps - run.step) * seconds / self.n_steps
        recent = self.losses[-self.n_steps :]
        self.say(
            f"step {run.step}/{steps}  loss {sum(recent) / len(recent):.3f}  "
            f"lr {learning_rate(run.step, run.options):.2e}  {speed:,.0f} tokens/s  {left / 60:.0f} min left"
        )
        self.since, self.n_steps = time.monotonic(), 0

    def take_mean(self) -> float:
        """Return the mean loss since the last time."""
        mean = sum(self.losses) / len(self.losses)
        self.losses.clear()
        return mean


def evaluate(
    run: Run, workers: Workers, held_out: Tokens, out: Path, train_loss: float, say: Callable[[str], None]
) -> None:
    """Measure the validation loss, show a sample, and save the model, the loss curve and, last, the state."""
    loss = workers.validation_loss(run.params, held_out)
    check_health(run, loss, norm=0)
    n_bytes = sum(len(run.tokenizer.token_bytes(i)) for i in held_out[1:].tolist() if i != run.tokenizer.eot_id)
    row = {
        "step": run.step,
        "tokens": run.step * run.options.batch_size * run.config.n_ctx,
        "lr": learning_rate(max(0, run.step - 1), run.options),
        "train_loss": train_loss,
        "validation_loss": loss,
        "validation_bits_per_byte": loss * (len(held_out) - 1) / math.log(2) / max(1, n_bytes),
    }
    run.history.append(row)
    bits = row["validation_bits_per_byte"]
    say(f"step {run.step}: validation loss {loss:.4f} nats per token, {bits:.4f} bits per byte")
    say(f"  {sample(run)}")
    if not run.options.keep_best or loss == min(row["validation_loss"] for row in run.history):
        dtype = np.float16 if run.options.float16 else None
        checkpoint.save(out, run.config, run.params, run.tokenizer, dtype=dtype, overwrite=True)
    write_curve(run.history, out)
    run.save(out / "training" / STATE)


def sample(run: Run) -> str:
    """Continue the prompt with a few tokens, drawn from the 40 likeliest each time."""
    prompt = run.tokenizer.encode(run.options.prompt)[: run.config.n_ctx // 2] or [run.tokenizer.eot_id]
    n_new = min(run.options.sample_tokens, run.config.n_ctx - len(prompt))
    steps = generate(
        [prompt],
        run.params,
        run.config,
        max_new_tokens=n_new,
        sampling=Sampling(temperature=0.8, top_k=40),
        eos_token_id=run.tokenizer.eot_id,
        seed=run.step,
    )
    *_, (continuation,) = steps
    return run.options.prompt + run.tokenizer.decode(continuation.ids)


def write_curve(history: Sequence[dict[str, float]], out: Path) -> None:
    """Write `loss.csv`, a row for every evaluation."""
    text = io.StringIO()
    writer = csv.DictWriter(text, history[0].keys())
    writer.writeheader()
    writer.writerows(history)
    with written_whole(out / "loss.csv") as file:
        file.write(text.getvalue().encode())


def draw_curve(history: Sequence[dict[str, float]], out: Path) -> None:
    """Draw `loss.png`, where matplotlib is installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="tokens", ylabel="loss (nats per token)")
    for name in ("train_loss", "validation_loss"):
        axes.plot([row["tokens"] for row in history], [row[name] for row in history], label=name.replace("_", " "))
    axes.legend()
    with written_whole(out / "loss.png") as file:
        figure.savefig(file, format="png", dpi=150)


# ---- The command


def main(argv: list[str] | None = None) -> None:
    """Train a model, from the command line."""
    from numpygpt.command_line import Parser, friendly_exit

    parser = Parser(
        "python -m numpygpt.train",
        "Train a GPT-2 on text, from scratch or from a model folder. The same command again goes on with a run\n"
        "that was interrupted. Items of the text are separated by lines of <|endoftext|>.",
        "example: python -m numpygpt.train stories.txt --out my-model --merges 3840 --hours 1\n"
        "         python -m numpygpt.train letters/ --out my-gpt2 --init gpt2 --steps 200 --lr 3e-5 --batch-size 4",
    )
    parser.add_argument("texts", metavar="TEXT", nargs="+", help="a text file in UTF-8, or a folder of .txt files")
    parser.add_argument("--out", metavar="FOLDER", required=True, help="where the model folder and the run's state go")
    parser.add_argument("--overwrite", action="store_true", help="start anew in a folder that holds something already")
    for option in dataclasses.fields(Options):
        kind = str(option.type).split(" ")[0]
        if kind == "bool":
            parser.add_argument(flag(option.name), action="store_true", help=option.metadata["help"])
        else:
            parser.add_argument(
                flag(option.name),
                metavar=option.metadata["metavar"] or {"int": "N", "float": "X"}[kind],
                type={"int": int, "float": float, "str": str}[kind],
                default=option.default,
                help=option.metadata["help"]
                + ("" if option.default in (None, "") else f" (default: {option.default:g})"),
            )
    arguments = vars(parser.parse_args(argv))
    texts, out, overwrite = (arguments.pop(name) for name in ("texts", "out", "overwrite"))
    with friendly_exit(parser.prog):
        train(texts, out, Options(**arguments), overwrite=overwrite, say=lambda line: print(line, flush=True))


def _with_blas_on_one_core() -> None:
    """Start this program again where BLAS would use threads of its own: the setting counts before NumPy's import."""
    if BLAS_THREADS[0] in os.environ:
        return
    os.environ.update(dict.fromkeys(BLAS_THREADS, "1"))
    if os.name == "posix":
        os.execv(sys.executable, sys.orig_argv)
    sys.exit(subprocess.call(sys.orig_argv))


if __name__ == "__main__":
    _with_blas_on_one_core()
    main()
