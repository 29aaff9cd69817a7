"""Text files -> tokens to learn from, and tokens held out."""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import regex
from numpy.typing import NDArray

from numpygpt.engine.bpe import Tokenizer
from numpygpt.files import atomic_write
from numpygpt.tokenizer import END_OF_TEXT, WORD
from numpygpt.train.config import TrainingConfig, TrainingError

HELD_OUT_EVERY = 100  # of the items
HELD_OUT_SHARE = 1 / 20  # of the tokens, where there are fewer items than that
PIECE = 2**20  # characters encoded at once, of a longer item
MARGIN = 2**12  # and at least so many more are known before it is cut, for a mark with blanks before it
START_OF_TEXT = "<|startoftext|>"
VOCABULARY_TEXT = 2**24  # characters that a vocabulary is learned from

_END = re.compile(rf"[ \t]*{re.escape(END_OF_TEXT)}[ \t]*")
_START = re.compile(rf"(?:(?<=\n)[ \t]*|^[ \t]*|){re.escape(START_OF_TEXT)}[ \t]*")
log = logging.getLogger("numpygpt.train")

Tokens = NDArray[np.integer[Any]]


def text_files(texts: Iterable[str]) -> list[Path]:
    """Return the files that are meant: a folder stands for the .txt files in it and in its folders, in order of path.

    What else is in a folder is left out, and said; hidden files are as if they were not there.

    Raises TrainingError where there is no such file, or none in a folder.
    """
    files: list[Path] = []
    for text in map(Path, texts):
        if text.is_dir():
            visible = [path for path in sorted(text.rglob("*")) if path.is_file() and not _is_hidden(path, text)]
            found = [path for path in visible if path.suffix.lower() == ".txt"]
            if others := [str(path.relative_to(text)) for path in visible if path not in set(found)]:
                shown = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
                log.info("%s: left out what is no .txt file, %d in all: %s", text, len(others), shown)
        else:
            found = [text] if text.is_file() else []
        if not found:
            raise TrainingError(f"{text}: " + ("no .txt file is in it" if text.is_dir() else "there is no such file"))
        files += found
    return files


def _is_hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def read_pieces(
    paths: Iterable[str | os.PathLike[str]], counts: Counter[str] | None = None
) -> Iterator[tuple[int, str]]:
    """Yield the number of each item, from 0, and its text; an item longer than PIECE comes in several pieces.

    Items end at `<|endoftext|>`, wherever it stands, and at the end of a file. Blanks beside it are no part of an item,
    nor newlines at either end, nor the byte order mark that may begin a file; an item of blanks alone does not count.
    `<|startoftext|>` is dropped. A piece ends where a word does, so its tokens are those of the whole item.

    `counts` is told how many items there are, as "items", and how often which mark was dropped.

    Raises TrainingError where a file is not UTF-8.
    """
    counts = Counter[str]() if counts is None else counts
    number = 0
    for path in paths:
        rest, is_begun = "", False
        for chunk in _chunks(path):
            rest, n_dropped = _START.subn("", rest + chunk)
            counts[START_OF_TEXT] += n_dropped
            *items, rest = _END.split(rest)
            for item in items:
                text = item.rstrip("\n") if is_begun else item.strip("\n")
                is_begun = is_begun or bool(text.strip())
                if is_begun and text:
                    yield number, text
                number, is_begun = number + is_begun, False
            while len(rest) > PIECE + MARGIN:
                piece, rest = _cut(rest if is_begun else rest.lstrip("\n"))
                is_begun = is_begun or bool(piece.strip())
                if is_begun and piece:
                    yield number, piece
    counts["items"] += number


def _cut(text: str) -> tuple[str, str]:
    """Cut a long text near its PIECE-th character, where a word ends whatever follows.

    That is at the end of a line, or else before the last word, which may go on; and in any case behind a letter or the
    like, for what follows decides where blanks are cut.
    """
    place = text.rfind("\n", 0, PIECE)
    while place > 0 and text[place - 1].isspace():
        place = text.rfind("\n", 0, place)
    if place <= 0:
        for word in regex.finditer(WORD, text, endpos=PIECE):
            place = word.start() if not text[word.start() - 1].isspace() else place
    place = place if place > 0 else PIECE
    return text[:place], text[place:]


def _chunks(path: str | os.PathLike[str]) -> Iterator[str]:
    """Yield a file's text, never cut behind a mark or a blank, and the mark that ends its last item."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            while chunk := file.read(PIECE):
                for _ in range(MARGIN):
                    if not chunk.endswith((">", " ", "\t")):
                        break
                    chunk += file.read(1)
                yield chunk
    except UnicodeDecodeError:
        raise TrainingError(f"{path} is not UTF-8 text; convert it first") from None
    yield "\n" + END_OF_TEXT


def make_tokenizer(files: Sequence[Path], options: TrainingConfig) -> Tokenizer:
    """Return a tokenizer with GPT-2's vocabulary, or the start of it, or one learned from the text's beginning."""
    if options.vocab_size is not None:
        text, last = "", 0
        for number, piece in read_pieces(files):
            text += piece if number == last else "\n" + piece
            last = number
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

    The text is read, encoded and written piece by piece; it may be larger than memory. Says how many items it has.
    """
    counts = Counter[str]()
    dtype = token_dtype(tokenizer)
    eot = np.array([tokenizer.eot_id], dtype)
    with atomic_write(folder / "train.bin") as train, atomic_write(folder / "validation.bin") as validation:
        last = -1
        for number, text in read_pieces(paths, counts):
            file = validation if number % HELD_OUT_EVERY == HELD_OUT_EVERY - 1 else train
            if number != last:
                file.write(eot.tobytes())
            file.write(np.array(tokenizer.encode(text, add_special_tokens=False), dtype).tobytes())
            last = number
        train.write(eot.tobytes())
    log.info("%d items of text", counts["items"])
    if n_dropped := counts[START_OF_TEXT]:
        log.info("dropped %s, %d times: every item begins at an %s here", START_OF_TEXT, n_dropped, END_OF_TEXT)


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
