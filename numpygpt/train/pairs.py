"""Files of sentence pairs -> batches of ids.

A file holds a pair a line: the source, a tab, the target. What is held out is a file of its own, or every 100th source
sentence with all its translations.
"""

from __future__ import annotations

import gzip
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from numpygpt.arrays import Ids
from numpygpt.engine import Tokenizer
from numpygpt.sentences import normalize, normalize_case
from numpygpt.tokenizer import BYTES, END_OF_TEXT
from numpygpt.train.config import TrainingError, TranslationConfig, count
from numpygpt.train.text import HELD_OUT_EVERY
from numpygpt.transformer_config import TransformerConfig

SPECIAL = (END_OF_TEXT, "<|pad|>", "<|startoftext|>")  # the last three ids
NO_TARGET = -1
log = logging.getLogger("numpygpt.train")

Lines = list[tuple[str, str]]


class Pairs(NamedTuple):
    """Sentence pairs as ids, one after the other, each with its end token; pair i is at [starts[i]:starts[i + 1]]."""

    source: Ids
    source_starts: NDArray[np.int64]
    target: Ids
    target_starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.source_starts) - 1


def read_parts(texts: Sequence[str], options: TranslationConfig) -> tuple[Lines, Lines]:
    """Read the pairs to learn from and those held out."""
    lines = [line for text in texts for line in read_pairs(Path(text))]
    if options.validation is not None:
        held_out = read_pairs(Path(options.validation))
    else:
        sources = list(dict.fromkeys(source for source, _ in lines))
        chosen = set(sources[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY])
        held_out = [line for line in lines if line[0] in chosen]
        lines = [line for line in lines if line[0] not in chosen]
    if not lines or not held_out:
        raise TrainingError(
            f"{', '.join(texts)}: {count(len(lines), 'pair')} to learn from and {len(held_out)} held out; give more"
        )
    return lines, held_out


def read_pairs(path: Path) -> Lines:
    """Read a file of pairs, also one that is compressed as `.gz`, in the form that the model will see.

    Raises TrainingError, naming the line, where one is no pair; what follows a second tab is left out.
    """
    if not path.is_file():
        raise TrainingError(f"{path}: there is no such file")
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        text = data.decode("utf-8-sig")
    except (OSError, EOFError) as error:
        raise TrainingError(f"{path} cannot be read: {error}") from None
    except UnicodeDecodeError:
        raise TrainingError(f"{path} is not UTF-8 text; convert it first") from None
    pairs = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        parts = [normalize(part) for part in line.split("\t")[:2]]
        if len(parts) < 2 or not all(parts):
            raise TrainingError(f"{path}, line {number}: expected a sentence, a tab and its translation")
        pairs.append((normalize_case(parts[0]), parts[1]))
    return pairs


def make_tokenizer(lines: Lines, vocab_size: int) -> Tokenizer:
    """Learn one vocabulary for both languages; every text ends with `<|endoftext|>`."""
    text = "\n".join(part for line in lines for part in line)
    merges = Tokenizer.train(text, vocab_size - len(SPECIAL) + 1).merges
    first = len(BYTES) + len(merges)
    special = {name: first + i for i, name in enumerate(SPECIAL)}
    return Tokenizer(merges, special_tokens=special, suffix=[first])


def encode(lines: Lines, tokenizer: Tokenizer, longest: int) -> Pairs:
    """Turn pairs into ids, leaving out those of more than `longest` tokens on a side, and say how many."""
    ids = [(tokenizer.encode(source), tokenizer.encode(target)) for source, target in lines]
    fitting = [pair for pair in ids if max(map(len, pair)) <= longest]
    if n_left_out := len(ids) - len(fitting):
        log.info("left out %s of more than %d tokens", count(n_left_out, "pair"), longest)
    if not fitting:
        raise TrainingError(f"no pair has at most {longest} tokens on either side: give a larger --n-ctx")
    sides = []
    for side in zip(*fitting, strict=True):
        starts = np.cumsum([0, *map(len, side)])
        sides += [np.array([token_id for ids in side for token_id in ids], np.int32), starts]
    return Pairs(*sides)


def cut_batches(pairs: Pairs, tokens: int, rng: np.random.Generator) -> list[NDArray[np.intp]]:
    """Share out all pairs to batches of about so many tokens, those of like length together, in a random order.

    Within a batch all targets have one length, as good as always, and sources nearly one: so little of it is padding.
    """
    n_source, n_target = np.diff(pairs.source_starts), np.diff(pairs.target_starts)
    order = rng.permutation(len(pairs))
    order = order[np.lexsort((n_source[order], n_target[order]))]
    width = n_source[order] + n_target[order]
    batches, start, widest = [], 0, 0
    for end, n in enumerate(width.tolist()):
        widest = max(widest, n)
        if (end + 1 - start) * widest > tokens and end > start:
            batches.append(order[start:end])
            start, widest = end, n
    batches.append(order[start:])
    return [batches[i] for i in rng.permutation(len(batches))]


def make_batch(pairs: Pairs, chosen: NDArray[np.intp], config: TransformerConfig) -> tuple[Ids, Ids, Ids]:
    """Lay pairs into arrays: the sources, filled up with padding, what the decoder reads, and what it shall say."""
    source = _pad(pairs.source, pairs.source_starts, chosen, config.pad_token_id)
    target = _pad(pairs.target, pairs.target_starts, chosen, config.pad_token_id)
    read = np.full_like(target, config.decoder_start_token_id)
    read[:, 1:] = np.where(target[:, 1:] == config.pad_token_id, config.pad_token_id, target[:, :-1])
    return source, read, np.where(target == config.pad_token_id, NO_TARGET, target)


def _pad(ids: Ids, starts: NDArray[np.int64], chosen: NDArray[np.intp], pad_token_id: int) -> Ids:
    lengths = starts[chosen + 1] - starts[chosen]
    column = np.arange(lengths.max())
    place = np.minimum(starts[chosen][:, None] + column, len(ids) - 1)
    return np.where(column < lengths[:, None], ids[place], pad_token_id).astype(np.intp)
