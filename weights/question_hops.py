"""Where a thing is, by what became of it: how many of task 2's questions the embedded model answers wrong.

    python weights/question_hops.py CORPUS/questions/babi/en-10k

Who holds the thing has to be found, and where that person is: two facts. Where it was put down, the person's place
at that time counts, not the last one; if the person went on, these are two places.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from questions_scores import ask, single_questions, test_files

from numpygpt import GPT2
from numpygpt.questions import Line, Story
from numpygpt.train.stories import read_file

TASK = 2
QUESTION = re.compile(r"Where is the (\w+)\?")
MOVED = re.compile(r"(\w+) (?:moved|went|journeyed|travelled)(?: back)? to the (\w+)\.")
TAKEN = re.compile(r"(\w+) (?:took|grabbed|got|picked up) the (\w+)(?: there)?\.")
PUT_DOWN = re.compile(r"(\w+) (?:dropped|discarded|put down|left) the (\w+)(?: there)?\.")
HELD, STAYED, WENT_ON = "still held", "put down, and the person stayed", "put down, and the person went on"
LENGTHS = ((1, 10), (10, 20), (20, 40))  # sentences: from, and below


class Asked(NamedTuple):
    """What became of the thing that a question asks for, how long the story is, and whether the model is right."""

    fate: str
    n_sentences: int
    is_right: bool


def fate(story: Sequence[Line], thing: str) -> tuple[str, str]:
    """Return what became of a thing, and where it is, by following the story.

    >>> told = ["Mary went to the garden.", "Mary got the milk.", "Mary left the milk.", "Mary went to the office."]
    >>> fate([Line(text) for text in told], "milk")
    ('put down, and the person went on', 'garden')
    """
    places: dict[str, str] = {}
    holder, state, place = "", "", ""
    for line in story:
        if found := MOVED.fullmatch(line.text):
            places[found[1]] = found[2]
            if found[1] == holder:
                state, place = (HELD, found[2]) if state == HELD else (WENT_ON, place)
        elif (found := TAKEN.fullmatch(line.text)) and found[2] == thing:
            holder, state, place = found[1], HELD, places.get(found[1], "")
        elif (found := PUT_DOWN.fullmatch(line.text)) and found[2] == thing:
            state = STAYED
    return state, place


def ask_all(model: GPT2, stories: Sequence[Story]) -> list[Asked]:
    """Ask every question. Raises ValueError where following the story gives another answer than the data has."""
    asked = []
    for story in single_questions(stories):
        *told, question = story
        found = QUESTION.fullmatch(question.text)
        state, place = fate(told, found[1] if found else "")
        if place != question.answer:
            raise ValueError(f"{question.text!r}: {place!r} by following the story, {question.answer!r} in the data")
        asked.append(Asked(state, len(told), ask(model, story)[0] == question.answer))
    return asked


def share_wrong(asked: Sequence[Asked], state: str, first: int = 1, below: int = 1000) -> tuple[float, int]:
    """Return the share of wrong answers for things of a fate in stories of some lengths, and of how many."""
    right = [each.is_right for each in asked if each.fate == state and first <= each.n_sentences < below]
    return right.count(False) / len(right), len(right)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="the folder with the official tests")
    stories = read_file(test_files(parser.parse_args().corpus)[TASK])
    asked = ask_all(GPT2.from_pretrained("questions"), stories)
    for state in (HELD, STAYED, WENT_ON):
        cells = [share_wrong(asked, state), *(share_wrong(asked, state, *lengths) for lengths in LENGTHS)]
        print(f"| {state} |", " | ".join(f"{wrong:.1%} of {n}" for wrong, n in cells), "|")


if __name__ == "__main__":
    main()
