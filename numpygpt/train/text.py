"""Text files -> tokens to learn from, and tokens held out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numpygpt.engine.bpe import Tokenizer
from numpygpt.files import atomic_write
from numpygpt.tokenizer import END_OF_TEXT
from numpygpt.train.config import TrainingConfig, TrainingError

HELD_OUT_EVERY = 100  # of the items
HELD_OUT_SHARE = 1 / 20  # of the tokens, where there are fewer items than that
PIECE = 2**20  # characters encoded at once: a longer item is cut at the end of a line
VOCABULARY_TEXT = 2**24  # characters that a vocabulary is learned from

Tokens = NDArray[np.integer[Any]]


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


def make_tokenizer(files: Sequence[Path], options: TrainingConfig) -> Tokenizer:
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


def write_tokens(paths: Sequence[str | os.PathLike[str]], tokenizer: Tokenizer, folder: Path) -> None:
    """Write `train.bin` and `validation.bin`: bare token ids, every item after an `<|endoftext|>`.

    The text is read, encoded and written piece by piece; it may be larger than memory.
    """
    dtype = token_dtype(tokenizer)
    eot = np.array([tokenizer.eot_id], dtype)
    with atomic_write(folder / "train.bin") as train, atomic_write(folder / "validation.bin") as validation:
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
