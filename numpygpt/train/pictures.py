"""Pictures with words: files of pictures -> a GPT-2 that draws what is named, and names what is drawn.

The model and its loss are those of the language model. What differs are the tokens, and where the loss counts: some of
the rows of a batch go from a caption to a picture, where the picture counts, the others from a picture to its caption.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from numpygpt import backward
from numpygpt.arrays import Ids, Params, flatten, unflatten
from numpygpt.config import GPT2Config, initialize
from numpygpt.engine import Tokenizer, generate, gpt2
from numpygpt.engine.threads import parallel_map
from numpygpt.loss import cross_entropy
from numpygpt.models import checkpoint
from numpygpt.models.tokenizer_files import load_tokenizer, save_tokenizer
from numpygpt.pictures import (
    PICTURE,
    Codebook,
    code_ids,
    draw_prompt,
    k_means,
    load_codebook,
    read_prompt,
    special_tokens,
    to_patches,
)
from numpygpt.safetensors import load_file, save_file
from numpygpt.train.config import PicturesConfig, TrainingError, count
from numpygpt.train.drawings import Parts, read_parts
from numpygpt.train.scenes import DIGITS, Album, Rows, draw_rows, scenes, shifted, split_pairs

FILES = ("train.safetensors", "validation.safetensors")
SHAPE = {"n_layer": 4, "n_head": 4, "n_embd": 128}
VOCABULARY = 2048  # tokens of text at most, if nothing else is said
PATCHES_COUNT = 0.25  # share of the rows from a picture to its caption in which the picture counts too
SCENES_READ, DRAWINGS_READ = 0.5, 0.25  # share of the rows that go from a picture to its caption
NAME_WEIGHT = 16  # of the name that a drawing is read as: its few tokens are else lost among the picture's many
WORD_DROPOUT = 0.5  # share of the scenes whose first word is any one, so that the second is not inferred from it
SAMPLED = 100_000  # patches that the codebook is made from
N_SCENES = 400  # that an evaluation reads of each kind
AT_ONCE = 32  # pictures
NO_TARGET = -1
log = logging.getLogger("numpygpt.train")


@dataclass
class Pictures:
    """A GPT-2 that learns to draw and to read pictures: what `loop` knows as a `Task`."""

    options: PicturesConfig
    config: GPT2Config
    tokenizer: Tokenizer
    codebook: Codebook
    album: Album
    held_out: Album
    out: Path

    def initialize(self) -> Params:
        """Return the parameters to begin with."""
        return initialize(self.config, self.options.seed)

    def draw(self, step: int) -> tuple[Ids, Ids]:
        """Return the inputs and targets of a step, which depend on the step and the seed alone.

        -> ids, targets: [batch_size, n_seq] each, targets one position ahead
        """
        rng = np.random.default_rng([self.options.seed, 0, step])
        are_scenes = self.are_scenes
        n_read = int(self.options.batch_size * (SCENES_READ if are_scenes else DRAWINGS_READ))
        drawn = draw_rows(self.album, self.options.batch_size - n_read, rng, is_shifted=are_scenes)
        read = draw_rows(self.album, n_read, rng, is_shifted=True)
        rows = [self.drawing(drawn, row) for row in range(len(drawn))]
        counts = rng.random(n_read) < (PATCHES_COUNT if are_scenes else 0)
        ids, targets = make_batch(rows + [self.reading(read, row, bool(counts[row])) for row in range(n_read)])
        if are_scenes and (words := self.digit_ids):
            is_other = rng.random(n_read) < WORD_DROPOUT
            other = rng.choice(words, size=n_read)
            place = self.codebook.n_patches + 3  # of the first word
            ids[-n_read:, place] = np.where(is_other, other, ids[-n_read:, place])
        return ids, targets

    @property
    def are_scenes(self) -> bool:
        """Whether two digits stand side by side; single drawings are drawn where they stand, and their names weigh."""
        return len(self.album.pairs) > 0

    @property
    def digit_ids(self) -> list[int]:
        """The tokens of the digits' words, where each is one."""
        ids = [self.tokenizer.encode(f" {word}") for word in DIGITS]
        return [token_id for [token_id] in ids] if all(len(each) == 1 for each in ids) else []

    def drawing(self, rows: Rows, row: int) -> tuple[list[int], int]:
        """Return the tokens of a caption and its picture, and from which on they count."""
        caption, style = self.codebook.names[rows.names[row]], self.codebook.styles[rows.styles[row]]
        prompt = draw_prompt(caption, self.tokenizer, style)
        return [*prompt, *code_ids(rows.codes[row], self.tokenizer), self.tokenizer.eot_id], len(prompt)

    def reading(self, rows: Rows, row: int, picture_counts: bool = False) -> tuple[list[int], int]:
        """Return the tokens of a picture and its caption, and from which on they count."""
        prompt = read_prompt(rows.codes[row], self.tokenizer)
        caption = self.tokenizer.encode(" " + self.codebook.names[rows.names[row]])
        return [*prompt, *caption, self.tokenizer.eot_id], 2 if picture_counts else len(prompt)

    def gradients(self, params: Params, batch: tuple[Ids, ...], drop: backward.Dropout) -> tuple[float, Params, int]:
        """Return the summed loss of some rows, its gradients, and how many targets counted, a name's several times."""
        ids, targets = batch
        is_read = ids[:, 1] == self.tokenizer.special_tokens[PICTURE]
        if not self.are_scenes and 0 < np.count_nonzero(is_read) < len(ids):
            read, drawn = (self.gradients(params, (ids[rows], targets[rows]), drop) for rows in (is_read, ~is_read))
            others = flatten(drawn[1])
            total = {name: gradient + others[name] for name, gradient in flatten(read[1]).items()}
            return read[0] + drawn[0], unflatten(total), read[2] + drawn[2]
        loss, tree = backward.gpt2(ids, targets, params, self.config, drop=drop, n_targets=1)
        n_targets = int(np.count_nonzero(targets >= 0))
        if self.are_scenes or not is_read.any():
            return loss, tree, n_targets
        weighted = {name: NAME_WEIGHT * gradient for name, gradient in flatten(tree).items()}
        return NAME_WEIGHT * loss, unflatten(weighted), NAME_WEIGHT * n_targets

    def evaluate(self, params: Params, step: int) -> dict[str, float]:
        """Measure the loss of held-out pictures in both directions, and how many are read right."""
        rng = np.random.default_rng(0)
        n_rows = max(1, self.options.validation_tokens // self.config.n_ctx // 2)
        names = self.codebook.names
        if not len(self.album.pairs):
            chosen = rng.permutation(len(self.held_out.codes))[:n_rows]
            rows = Rows(self.held_out.codes[chosen, 0], self.held_out.names[chosen], self.held_out.styles[chosen])
            loss, texts = self.loss(params, rows), self.read(params, rows.codes)
            named = np.mean([text == names[name] for text, name in zip(texts, rows.names, strict=True)])
            log.info("step %d: validation loss %.4f nats per token, %.1f%% of drawings named", step, loss, 100 * named)
            return {"validation_loss": loss, "validation_right": float(named)}
        seen, unseen = (
            scenes(self.held_out, np.resize(pairs, (N_SCENES, 2)), rng, is_shifted=False)
            for pairs in (self.album.pairs, self.held_out.pairs)
        )
        loss = self.loss(params, Rows(seen.codes[:n_rows], seen.names[:n_rows], seen.styles[:n_rows]))
        right: dict[str, float] = {}
        for kind, rows in (("seen", seen), ("unseen", unseen)):
            read = np.array([[*text.split(), "", ""][:2] for text in self.read(params, rows.codes)])
            share = (read == np.array([names[name].split() for name in rows.names])).mean(axis=0)
            right |= {f"right_{kind}_first": float(share[0]), f"right_{kind}_second": float(share[1])}
        log.info(
            "step %d: validation loss %.4f nats per token; digits read, first and second: %.1f%% and %.1f%% of pairs "
            "seen in training, %.1f%% and %.1f%% of the others",
            *(step, loss, *(100 * value for value in right.values())),
        )
        return {"validation_loss": loss, **right}

    def loss(self, params: Params, rows: Rows) -> float:
        """Return the mean loss of the tokens that count, in both directions, in nats."""
        both = [each for row in range(len(rows)) for each in (self.drawing(rows, row), self.reading(rows, row))]
        parts = [both[start : start + AT_ONCE] for start in range(0, len(both), AT_ONCE)]

        def of_part(number: int) -> tuple[float, int]:
            ids, targets = make_batch(parts[number])
            with np.errstate(all="ignore"):
                nats = cross_entropy(gpt2(ids, **params, config=self.config), np.maximum(targets, 0))
            return float(nats[targets >= 0].sum(dtype=np.float64)), int((targets >= 0).sum())

        nats, n_targets = np.sum(parallel_map(of_part, range(len(parts)), self.options.threads), axis=0)
        return float(nats / n_targets)

    def read(self, params: Params, codes: Ids) -> list[str]:
        """Name pictures: the likeliest token each time."""
        return read_codes(codes, params, self.config, self.tokenizer)

    @property
    def blind_loss(self) -> float:
        """The loss of blind guessing."""
        return math.log(self.config.vocab_size)

    @property
    def how_to_use(self) -> str:
        """The command that tries the model."""
        return f'python -m numpygpt.draw --model {self.out} "{self.codebook.names[self.held_out.names[0]]}"'

    def save(self, params: Params) -> None:
        """Write the model folder."""
        dtype = np.float16 if self.options.float16 else None
        source = self.out / "training"  # which has the tokenizer and the codebook
        checkpoint.save(self.out, self.config, params, self.tokenizer, dtype=dtype, overwrite=True, source=source)

    def describe(self) -> dict[str, Any]:
        """Return what the state file says of the model."""
        return {"config": dataclasses.asdict(self.config)}

    def __str__(self) -> str:
        config, (height, width, _) = self.config, self.codebook.shape
        n_train, n_held_out = len(self.album.codes), len(self.held_out.codes)
        return (
            f"{count(config.n_layer, 'layer')}, {count(config.n_head, 'head')}, width {config.n_embd}, "
            f"{config.vocab_size} tokens, context {config.n_ctx}\n"
            f"{count(n_train, 'picture')} to learn from, {n_held_out} held out, {width} x {height} pixels as "
            f"{self.codebook.n_patches} of {len(self.codebook.centers)} codes; {self.options.batch_size} a step"
        )


def begin(texts: Sequence[str], out: Path, options: PicturesConfig, before_writing: Callable[[], None]) -> Pictures:
    """Make codebook, vocabulary, shape and files of codes. Raises TrainingError where the files do not give them."""
    parts = read_parts(texts)
    codebook = make_codebook(parts, options)
    tokenizer = make_tokenizer(codebook, options.vocab_size or VOCABULARY)
    single = dataclasses.replace(codebook, shape=parts.train.images.shape[1:])
    seen, unseen = split_pairs() if parts.are_digits else np.zeros((2, 0, 2), np.int32)
    album, held_out = (
        Album(single.encode(shifted(part.images)).astype(np.uint16), part.names, part.styles, pairs)
        for part, pairs in zip((parts.train, parts.held_out), (seen, unseen), strict=True)
    )
    log.info("the codebook keeps %.1f decibels of the pictures held out", single.decibels(parts.held_out.images))
    shape = SHAPE | {name: value for name in SHAPE if (value := getattr(options, name)) is not None}
    captions = [draw_prompt(name, tokenizer, style) for name in codebook.names for style in codebook.styles]
    try:
        n_ctx = codebook.n_patches + max(map(len, captions)) + 1
        config = GPT2Config(**shape, n_ctx=n_ctx, vocab_size=tokenizer.n_vocab)
    except ValueError as error:
        raise TrainingError(str(error)) from None
    before_writing()
    folder = out / "training"
    save_tokenizer(tokenizer, folder, model_max_length=n_ctx)
    codebook.save(folder)
    for name, part in zip(FILES, (album, held_out), strict=True):
        save_file(part._asdict(), folder / name, {})
    return open_again(out, options, config)


def open_again(out: Path, options: PicturesConfig, config: GPT2Config | dict[str, Any]) -> Pictures:
    """Open what `begin` has written, for the run that goes on."""
    folder = out / "training"
    album, held_out = (Album(**load_file(folder / name)) for name in FILES)
    config = GPT2Config(**config) if isinstance(config, dict) else config
    tokenizer = load_tokenizer(folder, Tokenizer)
    return Pictures(options, config, tokenizer, load_codebook(folder), album, held_out, out)


def make_codebook(parts: Parts, options: PicturesConfig) -> Codebook:
    """Learn the patches that pictures are made of."""
    height, width, channels = parts.train.images.shape[1:]
    rng = np.random.default_rng([options.seed, 3])
    try:
        patches = to_patches(shifted(parts.train.images) if parts.are_digits else parts.train.images, options.patch)
        patches = patches.reshape(-1, patches.shape[-1])
        chosen = rng.permutation(len(patches))[:SAMPLED]
        centers = k_means(patches[np.sort(chosen)].astype(np.float32) / np.float32(255), options.codes, rng)
    except ValueError as error:
        raise TrainingError(str(error)) from None
    shape = (height, 2 * width if parts.are_digits else width, channels)
    return Codebook(centers, options.patch, shape, parts.names, parts.styles)


def make_tokenizer(codebook: Codebook, vocab_size: int) -> Tokenizer:
    """Learn a vocabulary from the captions, every word with a blank before it, and add the codes to it."""
    text = "".join(f" {style} {name}" if style else f" {name}" for name in codebook.names for style in codebook.styles)
    learned = Tokenizer.train(text, vocab_size)
    return Tokenizer(learned.merges, special_tokens=special_tokens(len(learned.vocab), len(codebook.centers)))


def make_batch(rows: Sequence[tuple[list[int], int]]) -> tuple[Ids, Ids]:
    """Lay token lists into rows, filled up at the end; each counts from a place on.

    -> ids, targets: [n_rows, n_seq] each; a target that does not count is -1
    """
    n_seq = max(len(ids) for ids, _ in rows) - 1
    read, targets = np.zeros((len(rows), n_seq), np.intp), np.full((len(rows), n_seq), NO_TARGET, np.intp)
    for row, (ids, first) in enumerate(rows):
        read[row, : len(ids) - 1] = ids[:-1]
        targets[row, first - 1 : len(ids) - 1] = ids[first:]
    return read, targets


def read_codes(codes: Ids, params: Params, config: GPT2Config, tokenizer: Tokenizer) -> list[str]:
    """Name pictures [n_pictures, n_patches]: the likeliest token each time."""
    texts: list[str] = []
    special = sorted(set(tokenizer.special_tokens.values()) - {tokenizer.eot_id})
    for start in range(0, len(codes), AT_ONCE):
        *_, found = generate(
            [read_prompt(row, tokenizer) for row in codes[start : start + AT_ONCE]],
            params,
            config,
            max_new_tokens=config.n_ctx - codes.shape[1] - 3,
            eos_token_id=tokenizer.eot_id,
            suppress_tokens=special,
        )
        texts += [tokenizer.decode(each.ids).strip() for each in found]
    return texts
