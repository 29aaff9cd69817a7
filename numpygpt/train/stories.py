"""Files of stories with questions -> batches of ids."""

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
from numpygpt.questions import Story, read_stories, story_tokens
from numpygpt.train.config import QuestionsConfig, TrainingError, count
from numpygpt.train.text import HELD_OUT_EVERY

ALL_QUESTIONS = 0.5  # share of the stories that are learned with all of their questions
NO_TARGET = -1
log = logging.getLogger("numpygpt.train")


class Stories(NamedTuple):
    """Stories as tokens (`numpygpt.questions.Tokens`), one after the other; story i is at [starts[i]:starts[i + 1]]."""

    ids: Ids
    questions: NDArray[np.int32]
    is_answer: NDArray[np.bool_]
    starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts) - 1


def read_parts(texts: Sequence[str], options: QuestionsConfig) -> tuple[list[Story], list[Story]]:
    """Read the stories to learn from and those held out: a file of their own, or every 100th story."""
    stories = [story for text in texts for story in read_file(Path(text))]
    if options.validation is not None:
        held_out = read_file(Path(options.validation))
    else:
        held_out = stories[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY]
        del stories[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY]
    if not stories or not held_out:
        raise TrainingError(
            f"{', '.join(texts)}: {len(stories)} stories to learn from and {len(held_out)} held out; give more"
        )
    return stories, held_out


def read_file(path: Path) -> list[Story]:
    """Read a file of stories, also one that is compressed as `.gz`, without those that have no question.

    Raises TrainingError, naming the line, where it is no such file.
    """
    if not path.is_file():
        raise TrainingError(f"{path}: there is no such file")
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        stories = read_stories(data.decode("utf-8-sig"))
    except (OSError, EOFError) as error:
        raise TrainingError(f"{path} cannot be read: {error}") from None
    except UnicodeDecodeError:
        raise TrainingError(f"{path} is not UTF-8 text; convert it first") from None
    except ValueError as error:
        raise TrainingError(f"{path}, {error}") from None
    return [story for story in stories if any(line.answer is not None for line in story)]


def make_tokenizer(stories: Sequence[Story], vocab_size: int) -> Tokenizer:
    """Learn a vocabulary from stories, every word with a blank before it."""
    text = "".join(f" {part}" for story in stories for line in story for part in (line.text, line.answer) if part)
    return Tokenizer.train(text, vocab_size)


def encode(stories: Sequence[Story], tokenizer: Tokenizer, longest: int) -> Stories:
    """Turn stories into tokens, leaving out those of more than `longest`, and say how many."""
    encoded = [story_tokens(story, tokenizer) for story in stories]
    fitting = [tokens for tokens in encoded if len(tokens.ids) <= longest + 1]
    if n_left_out := len(encoded) - len(fitting):
        log.info("left out stories of more than %d tokens: %d", longest, n_left_out)
    if not fitting:
        raise TrainingError(f"no story has at most {longest} tokens: give a larger --n-ctx")
    ids, questions, is_answer = (np.concatenate(part) for part in zip(*fitting, strict=True))
    starts = np.cumsum([0, *(len(tokens.ids) for tokens in fitting)])
    return Stories(ids.astype(np.int32), questions.astype(np.int32), is_answer, starts)


def last_questions(stories: Sequence[Story]) -> list[Story]:
    """Leave every story its last question alone, which no earlier answer can help.

    >>> from numpygpt.questions import Line
    >>> [story] = last_questions([[Line("A."), Line("B?", "b"), Line("C."), Line("D?", "d"), Line("E.")]])
    >>> [line.text for line in story]
    ['A.', 'C.', 'D?']
    """
    shortened = []
    for story in stories:
        last = max(number for number, line in enumerate(story) if line.answer is not None)
        shortened.append([line for line in story[:last] if line.answer is None] + [story[last]])
    return shortened


def choose_tokens(stories: Stories, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw which questions are learned with a story this time: all of them, or some, at least one.

    -> [n_tokens], whether a token is read. So the model also meets stories whose earlier questions were not asked.
    """
    n_questions = np.array([stories.questions[start:end].max() + 1 for start, end in _spans(stories)])
    firsts = np.concatenate([[0], np.cumsum(n_questions)])  # where a story's questions begin among all
    share = np.where(rng.random(len(stories)) < ALL_QUESTIONS, 1.0, rng.random(len(stories)))
    chosen = rng.random(firsts[-1]) < np.repeat(share, n_questions)
    chosen[firsts[:-1] + rng.integers(n_questions)] = True
    owner = np.repeat(firsts[:-1], np.diff(stories.starts))
    return np.where(stories.questions < 0, True, chosen[owner + stories.questions])


def _spans(stories: Stories) -> list[tuple[int, int]]:
    return list(zip(stories.starts[:-1].tolist(), stories.starts[1:].tolist(), strict=True))


def cut_batches(lengths: NDArray[np.int64], tokens: int, rng: np.random.Generator) -> list[NDArray[np.intp]]:
    """Share out all rows to batches of at most so many tokens, those of like length together, in a random order."""
    order = rng.permutation(len(lengths))
    order = order[np.argsort(lengths[order], kind="stable")]
    batches, start = [], 0
    for end, n in enumerate(lengths[order].tolist()):  # which only grow: the last one is the widest
        if (end + 1 - start) * n > tokens and end > start:
            batches.append(order[start:end])
            start = end
    batches.append(order[start:])
    return [batches[i] for i in rng.permutation(len(batches))]


def make_batch(stories: Stories, chosen: NDArray[np.intp], is_read: NDArray[np.bool_] | None = None) -> tuple[Ids, Ids]:
    """Lay stories into rows, filled up at the end: the inputs and, one position ahead, the targets that count.

    -> ids, targets: [n_rows, n_seq] each; a target that does not count is -1
    """
    rows = []
    for story in chosen.tolist():
        place = slice(stories.starts[story], stories.starts[story + 1])
        kept = slice(None) if is_read is None else is_read[place]
        rows.append((stories.ids[place][kept], stories.is_answer[place][kept]))
    n_seq = max(len(ids) for ids, _ in rows) - 1
    read, targets = np.zeros((len(rows), n_seq), np.intp), np.full((len(rows), n_seq), NO_TARGET, np.intp)
    for row, (ids, counts) in enumerate(rows):
        read[row, : len(ids) - 1] = ids[:-1]
        targets[row, : len(ids) - 1] = np.where(counts[1:], ids[1:], NO_TARGET)
    return read, targets


def n_questions(stories: Stories) -> int:
    """Count the questions."""
    return sum(int(stories.questions[start:end].max()) + 1 for start, end in _spans(stories))


def describe(stories: Stories) -> str:
    """Say how much there is."""
    return f"{count(n_questions(stories), 'question')} in {len(stories)} stories, {len(stories.ids)} tokens"
