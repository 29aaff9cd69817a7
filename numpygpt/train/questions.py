"""Questions about stories: files of the bAbI tasks -> a GPT-2 that answers.

The model and its loss are those of the language model. What differs is the batch: a row is a story with its questions,
and only the answers count. A model to begin with gives its layers; the vocabulary is made of the stories' own words.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numpygpt import backward
from numpygpt.arrays import Array, Ids, Params
from numpygpt.config import GPT2Config, initialize
from numpygpt.engine import Tokenizer, gpt2
from numpygpt.engine.threads import parallel_map
from numpygpt.loss import cross_entropy
from numpygpt.models import checkpoint
from numpygpt.models.names import find_or_download
from numpygpt.models.tokenizer_files import load_tokenizer, save_tokenizer
from numpygpt.safetensors import load_file, save_file
from numpygpt.train.config import QuestionsConfig, TrainingError, count, flag
from numpygpt.train.language import SHAPE
from numpygpt.train.stories import (
    Stories,
    choose_tokens,
    cut_batches,
    describe,
    encode,
    last_questions,
    make_batch,
    make_tokenizer,
    n_questions,
    read_parts,
)

FILES = ("train.safetensors", "validation.safetensors")
VOCABULARY = 2048  # tokens at most, if nothing else is said: more than enough for the words of all tasks
log = logging.getLogger("numpygpt.train")


class Epoch(NamedTuple):
    """One walk through all stories."""

    number: int
    start: int  # the step of its first batch
    batches: list[NDArray[np.intp]]
    is_read: NDArray[np.bool_]  # [n_tokens]


@dataclass
class Questions:
    """A GPT-2 that learns to answer: what `loop` knows as a `Task`."""

    options: QuestionsConfig
    config: GPT2Config
    tokenizer: Tokenizer
    stories: Stories
    held_out: Stories
    out: Path
    begin_with: Params | None = None
    _epoch: Epoch = field(default_factory=lambda: Epoch(-1, 0, [], np.zeros(0, bool)), repr=False)

    def initialize(self) -> Params:
        """Return the parameters to begin with."""
        return initialize(self.config, self.options.seed) if self.begin_with is None else self.begin_with

    def draw(self, step: int) -> tuple[Ids, Ids]:
        """Return the inputs and targets of a step, which depend on the step and the seed alone.

        -> ids, targets: [n_rows, n_seq] each, targets one position ahead
        """
        if step < self._epoch.start:
            self._epoch = Epoch(-1, 0, [], np.zeros(0, bool))
        while step >= self._epoch.start + len(self._epoch.batches):
            number = self._epoch.number + 1
            rng = np.random.default_rng([self.options.seed, 0, number])
            is_read = choose_tokens(self.stories, rng)
            lengths = np.add.reduceat(is_read, self.stories.starts[:-1], dtype=np.int64)
            batches = cut_batches(lengths, self.options.batch_tokens, rng)
            self._epoch = Epoch(number, self._epoch.start + len(self._epoch.batches), batches, is_read)
        return make_batch(self.stories, self._epoch.batches[step - self._epoch.start], self._epoch.is_read)

    def gradients(self, params: Params, batch: tuple[Ids, ...], drop: backward.Dropout) -> tuple[float, Params, int]:
        """Return the summed loss of some rows, its gradients, and how many targets counted."""
        ids, targets = batch
        loss, tree = backward.gpt2(ids, targets, params, self.config, drop=drop, n_targets=1)
        return loss, tree, int(np.count_nonzero(targets >= 0))

    def evaluate(self, params: Params, step: int) -> dict[str, float]:
        """Measure the loss of held-out answers, and how many are right as a whole."""
        nats, n_tokens, n_right = score(params, self.config, self.held_out)
        loss, right = nats / n_tokens, n_right / n_questions(self.held_out)
        answers = self.held_out.ids[self.held_out.is_answer].tolist()
        n_bytes = sum(len(self.tokenizer.token_bytes(i)) for i in answers if i != self.tokenizer.eot_id)
        log.info("step %d: validation loss %.4f nats per token, %.1f%% of answers right", step, loss, 100 * right)
        return {
            "validation_loss": loss,
            "validation_bits_per_byte": nats / math.log(2) / max(1, n_bytes),
            "validation_right": right,
        }

    @property
    def blind_loss(self) -> float:
        """The loss of blind guessing."""
        return math.log(self.config.vocab_size)

    @property
    def how_to_use(self) -> str:
        """The command that tries the model."""
        ids = self.held_out.ids[: self.held_out.starts[1]].tolist()
        story = self.tokenizer.decode(ids[1:]).split("<|endoftext|>")[0].strip()
        return f'python -m numpygpt.answer --model {self.out} "{story[-200:]}"'

    def save(self, params: Params) -> None:
        """Write the model folder."""
        dtype = np.float16 if self.options.float16 else None
        checkpoint.save(self.out, self.config, params, self.tokenizer, dtype=dtype, overwrite=True)

    def describe(self) -> dict[str, Any]:
        """Return what the state file says of the model."""
        return {"config": dataclasses.asdict(self.config)}

    def __str__(self) -> str:
        config = self.config
        return (
            f"{count(config.n_layer, 'layer')}, {count(config.n_head, 'head')}, width {config.n_embd}, "
            f"{config.vocab_size} tokens, context {config.n_ctx}\n"
            f"{describe(self.stories)}; {count(n_questions(self.held_out), 'question')} held out; "
            f"about {self.options.batch_tokens} tokens a step"
        )


def begin(texts: Sequence[str], out: Path, options: QuestionsConfig, before_writing: Callable[[], None]) -> Questions:
    """Make shape, vocabulary and files of stories. Raises TrainingError where the text does not give them."""
    stories, held_out = read_parts(texts, options)
    tokenizer = make_tokenizer(stories, options.vocab_size or VOCABULARY)
    shape = SHAPE | {name: value for name in SHAPE if (value := getattr(options, name)) is not None}
    params = None
    if options.init is not None:
        for name in ("n_layer", "n_head", "n_embd"):
            if getattr(options, name) is not None:
                raise TrainingError(f"a model to begin with has its layers already: leave out {flag(name)}")
        old, old_params, old_tokenizer = checkpoint.load(find_or_download(options.init), tokenizer_class=Tokenizer)
        if old_tokenizer is None:
            raise TrainingError(f"{options.init} has no tokenizer; put its vocab.json and merges.txt there")
        n_ctx = options.n_ctx or old.n_ctx
        config = dataclasses.replace(old, vocab_size=tokenizer.n_vocab, n_ctx=n_ctx, tie_word_embeddings=True)
        params = old_params | {
            "wte": {"weight": carry_over(old_params["wte"]["weight"], old_tokenizer, tokenizer)},
            "wpe": {"weight": more_positions(old_params["wpe"]["weight"], n_ctx)},
        }
        params.pop("lm_head", None)
    else:
        try:
            config = GPT2Config(**shape, vocab_size=tokenizer.n_vocab)
        except ValueError as error:
            raise TrainingError(str(error)) from None
    encoded = [encode(part, tokenizer, config.n_ctx) for part in (stories, last_questions(held_out))]
    before_writing()
    folder = out / "training"
    save_tokenizer(tokenizer, folder)
    for name, part in zip(FILES, encoded, strict=True):
        save_file({field: np.asarray(value) for field, value in part._asdict().items()}, folder / name, {})
    return open_again(out, options, config, params)


def open_again(
    out: Path, options: QuestionsConfig, config: GPT2Config | dict[str, Any], begin_with: Params | None = None
) -> Questions:
    """Open what `begin` has written, for the run that goes on."""
    folder = out / "training"
    train, held_out = (Stories(**load_file(folder / name)) for name in FILES)
    config = GPT2Config(**config) if isinstance(config, dict) else config
    return Questions(options, config, load_tokenizer(folder, Tokenizer), train, held_out, out, begin_with)


def carry_over(weight: Array, old: Tokenizer, new: Tokenizer) -> Array:
    """Give every token of a new vocabulary the mean of the embeddings that its text has in an old one.

    weight: [n_old, n_embd] -> [n_new, n_embd]
    """
    rows = [weight[old.encode(new.decode([token_id])) or [old.eot_id]].mean(axis=0) for token_id in range(new.eot_id)]
    return np.array([*rows, weight[old.eot_id]], np.float32)


def more_positions(weight: Array, n_ctx: int) -> Array:
    """Return embeddings for n_ctx positions: those beyond the old ones begin as these, from the first one again.

    weight: [n_old, n_embd] -> [n_ctx, n_embd]
    """
    return np.resize(weight, (n_ctx, weight.shape[1]))


def score(params: Params, config: GPT2Config, stories: Stories) -> tuple[float, int, int]:
    """Return the summed loss of the answers' tokens, in nats, how many there are, and how many answers are right."""
    batches = cut_batches(np.diff(stories.starts), 4096, np.random.default_rng(0))

    def of_batch(number: int) -> tuple[float, int, int]:
        ids, targets = make_batch(stories, batches[number])
        logits = gpt2(ids, **params, config=config)
        counts = targets >= 0
        nats = cross_entropy(logits, np.maximum(targets, 0))[counts].sum(dtype=np.float64)
        is_right = ((logits.argmax(axis=-1) == targets) | ~counts).all(axis=-1)
        return float(nats), int(counts.sum()), int(is_right.sum())

    with np.errstate(all="ignore"):
        sums = np.array(parallel_map(of_batch, range(len(batches)))).sum(axis=0)
    return float(sums[0]), int(sums[1]), int(sums[2])
