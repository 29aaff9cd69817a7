"""The language model: text files -> a model folder.

The text is a sequence of items, separated by `<|endoftext|>`. Every 100th item (the 100th, the 200th, ...) is held
out: the model never learns from it, and its loss says how well the model predicts text that it has not seen. Of fewer
than 100 items, the last twentieth of the tokens is held out instead.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numpygpt import backward
from numpygpt.arrays import Ids, Params
from numpygpt.config import GPT2Config, initialize
from numpygpt.engine import Tokenizer, generate, gpt2
from numpygpt.engine.threads import parallel_map
from numpygpt.loss import cross_entropy
from numpygpt.models import checkpoint
from numpygpt.models.names import find_or_download
from numpygpt.models.tokenizer_files import load_tokenizer, save_tokenizer
from numpygpt.sampling import Sampling
from numpygpt.train.config import TrainingConfig, TrainingError, count, flag
from numpygpt.train.text import Tokens, load_tokens, make_tokenizer, text_files, write_tokens

SHAPE = {"n_layer": 6, "n_head": 8, "n_embd": 256, "n_ctx": 256}  # of a model that one hour of two cores can train
log = logging.getLogger("numpygpt.train")


@dataclass
class LanguageModel:
    """A GPT-2 that learns to predict the next token: what `loop` knows as a `Task`."""

    options: TrainingConfig
    config: GPT2Config
    tokenizer: Tokenizer
    tokens: Tokens
    held_out: Tokens
    out: Path
    begin_with: Params | None = None  # a model's parameters, or None for new ones

    def initialize(self) -> Params:
        """Return the parameters to begin with."""
        return initialize(self.config, self.options.seed) if self.begin_with is None else self.begin_with

    def draw(self, step: int) -> tuple[Ids, Ids]:
        """Return the inputs and targets of a step, which depend on the step and the seed alone."""
        return draw_batch(self.tokens, step, self.options.seed, self.options.batch_size, self.config.n_ctx)

    def gradients(self, params: Params, batch: tuple[Ids, ...], drop: backward.Dropout) -> tuple[float, Params, int]:
        """Return the summed loss of some rows, its gradients, and how many targets counted."""
        ids, targets = batch
        loss, tree = backward.gpt2(ids, targets, params, self.config, drop=drop, n_targets=1)
        return loss, tree, int(np.count_nonzero(targets >= 0))

    def evaluate(self, params: Params, step: int) -> dict[str, float]:
        """Measure the validation loss, and show a sample."""
        loss = validation_loss(params, self.config, self.held_out, self.options.threads)
        n_bytes = sum(len(self.tokenizer.token_bytes(i)) for i in self.held_out[1:].tolist() if i != self.eot_id)
        bits = loss * (len(self.held_out) - 1) / math.log(2) / max(1, n_bytes)
        log.info("step %d: validation loss %.4f nats per token, %.4f bits per byte", step, loss, bits)
        if math.isfinite(loss):
            log.info("  %s", self.sample(params, step))
        return {"validation_loss": loss, "validation_bits_per_byte": bits}

    @property
    def blind_loss(self) -> float:
        """The loss of blind guessing."""
        return math.log(self.config.vocab_size)

    @property
    def how_to_use(self) -> str:
        """The command that tries the model."""
        return f'python -m numpygpt --model {self.out} "{self.options.prompt or "Once upon a time"}"'

    @property
    def eot_id(self) -> int:
        """The id of `<|endoftext|>`."""
        return self.tokenizer.eot_id

    def sample(self, params: Params, seed: int) -> str:
        """Continue the prompt with a few tokens, drawn from the 40 likeliest each time."""
        prompt = self.tokenizer.encode(self.options.prompt)[: self.config.n_ctx // 2] or [self.tokenizer.bos_id]
        n_new = min(self.options.sample_tokens, self.config.n_ctx - len(prompt))
        sampling = Sampling(temperature=0.8, top_k=40)
        *_, (continuation,) = generate(
            [prompt],
            params,
            self.config,
            max_new_tokens=n_new,
            sampling=sampling,
            eos_token_id=self.eot_id,
            n_vocab=self.tokenizer.n_vocab,
            suppress_tokens=self.tokenizer.unused_ids,
            seed=seed,
        )
        return self.options.prompt + self.tokenizer.decode(continuation.ids)

    def save(self, params: Params) -> None:
        """Write the model folder."""
        dtype = np.float16 if self.options.float16 else None
        checkpoint.save(self.out, self.config, params, self.tokenizer, dtype=dtype, overwrite=True)

    def describe(self) -> dict[str, Any]:
        """Return what the state file says of the model."""
        return {"config": dataclasses.asdict(self.config)}

    def __str__(self) -> str:
        config, n_tokens = self.config, self.options.batch_size * self.config.n_ctx
        return (
            f"{count(config.n_layer, 'layer')}, {count(config.n_head, 'head')}, width {config.n_embd}, "
            f"{config.vocab_size} tokens, context {config.n_ctx}\n"
            f"{len(self.tokens)} tokens to learn from, {len(self.held_out)} held out, {n_tokens} a step"
        )


def begin(
    texts: Sequence[str], out: Path, options: TrainingConfig, before_writing: Callable[[], None]
) -> LanguageModel:
    """Make shape, vocabulary and files of tokens. Raises TrainingError where the text does not give them."""
    files, folder = text_files(texts), out / "training"
    config, params, tokenizer = begin_with(files, options)
    before_writing()
    save_tokenizer(tokenizer, folder)
    log.info("encoding %s into a vocabulary of %d tokens", count(len(files), "text file"), tokenizer.n_vocab)
    write_tokens(files, tokenizer, folder)
    return open_again(out, options, config, params)


def open_again(
    out: Path, options: TrainingConfig, config: GPT2Config | dict[str, Any], params: Params | None = None
) -> LanguageModel:
    """Open what `begin` has written, for the run that goes on."""
    config = GPT2Config(**config) if isinstance(config, dict) else config
    tokenizer = load_tokenizer(out / "training", Tokenizer)
    tokens, held_out = load_tokens(out / "training", tokenizer, config.n_ctx)
    return LanguageModel(options, config, tokenizer, tokens, held_out[: options.validation_tokens], out, params)


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


def draw_batch(tokens: Tokens, step: int, seed: int, batch_size: int, n_ctx: int) -> tuple[Ids, Ids]:
    """Return the inputs and targets of a step.

    -> ids, targets: [batch_size, n_ctx] each, targets one position ahead

    The tokens are cut into sequences, in every epoch from another place on, and the sequences shuffled: so all
    tokens are learned from before any is learned from again.
    """
    n_sequences = (len(tokens) - 1) // n_ctx
    starts = []
    for number in range(step * batch_size, (step + 1) * batch_size):
        epoch, place = divmod(number, n_sequences)
        order, offset = _epoch(seed, epoch, n_sequences, n_ctx)
        starts.append((order[place] * n_ctx + offset) % (len(tokens) - n_ctx))
    batch = tokens[np.array(starts)[:, None] + np.arange(n_ctx + 1)].astype(np.intp)
    return batch[:, :-1], batch[:, 1:]


@lru_cache(maxsize=2)
def _epoch(seed: int, epoch: int, n_sequences: int, n_ctx: int) -> tuple[NDArray[np.intp], int]:
    rng = np.random.default_rng([seed, 0, epoch])
    return rng.permutation(n_sequences), int(rng.integers(n_ctx))


def validation_loss(params: Params, config: GPT2Config, tokens: Tokens, threads: int) -> float:
    """Return the mean loss of the tokens after the first, in nats, each window of n_ctx on its own."""
    inputs, targets = tokens[:-1].astype(np.intp), tokens[1:].astype(np.intp)

    def nats(start: int) -> float:
        window = slice(start, start + config.n_ctx)
        with np.errstate(all="ignore"):
            logits = gpt2(inputs[window], **params, config=config)
            return float(cross_entropy(logits, targets[window]).sum(dtype=np.float64))

    return sum(parallel_map(nats, range(0, len(inputs), config.n_ctx), max(1, threads))) / len(inputs)
