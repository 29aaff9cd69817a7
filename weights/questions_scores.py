"""How many answers are right: the official tests of the 20 bAbI tasks, question by question.

    python weights/questions_scores.py questions CORPUS/questions/babi/en-10k

Every question is asked behind the sentences of its story that stand before it, without the questions that came earlier.
An answer is right where it is the data's, word for word; a task is passed where more than 95% of its answers are.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from numpygpt import GPT2
from numpygpt.answer import answers, why
from numpygpt.questions import Line, Story
from numpygpt.train.questions import score
from numpygpt.train.stories import encode, read_file

PASSED = 0.95
UNSURE_STEPS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
OTHER_WORDS = {  # names and places of some tasks, and what stands for them elsewhere in the same vocabulary
    "Mary": "Julie",
    "John": "Bill",
    "Sandra": "Fred",
    "Daniel": "Jeff",
    "kitchen": "cinema",
    "office": "school",
    "garden": "park",
}


def test_files(folder: Path) -> dict[int, Path]:
    """Return the official test files by the number of their task."""
    found = {int(path.name[2:].split("_")[0]): path for path in folder.glob("qa*_test.txt.gz")}
    return dict(sorted(found.items()))


def task_name(path: Path) -> str:
    """Return what a task is called.

    >>> task_name(Path("qa4_two-arg-relations_test.txt.gz"))
    'two-arg relations'
    """
    words = path.name.split("_")[1]
    return re.sub(r"-(?!arg)", " ", words)


def single_questions(stories: Sequence[Story]) -> list[Story]:
    """Make a story of every question: the sentences before it, and it. Numbers of supporting lines follow."""
    found = []
    for story in stories:
        for place, line in enumerate(story):
            if line.answer is None:
                continue
            told = [number for number, earlier in enumerate(story[:place], 1) if earlier.answer is None]
            support = tuple(told.index(number) + 1 for number in line.support if number in told)
            found.append([story[number - 1] for number in told] + [line._replace(support=support)])
    return found


def errors(model: GPT2, tests: dict[int, list[Story]]) -> dict[int, float]:
    """Return the share of wrong answers of each task, in percent."""
    found = {}
    for task, stories in tests.items():
        encoded = encode(stories, model.tokenizer, model.config.n_ctx)
        _, _, n_right = score(model.params, model.config, encoded)
        found[task] = 100 * (1 - n_right / len(stories))
    return found


def summary(by_task: dict[int, float]) -> dict[str, float]:
    """Return the mean error and how many tasks are passed."""
    return {
        "mean": float(np.mean(list(by_task.values()))),
        "passed": sum(error < 100 * (1 - PASSED) for error in by_task.values()),
    }


def renamed(stories: Sequence[Story]) -> list[Story]:
    """Put other names and places into stories."""

    def rename(text: str) -> str:
        return re.sub(r"\w+", lambda word: OTHER_WORDS.get(word[0], word[0]), text)

    return [
        [Line(rename(line.text), None if line.answer is None else rename(line.answer), line.support) for line in story]
        for story in stories
    ]


def ask(model: GPT2, story: Story) -> tuple[str, float]:
    """Return the model's own answer to a story's question, and its probability."""
    [found] = answers(" ".join(line.text for line in story[:-1]), story[-1].text, 1, model)
    return found


def confidence(model: GPT2, tests: dict[int, list[Story]], n: int) -> list[tuple[float, bool]]:
    """Return probability and rightness of the first `n` answers of each task."""
    found = []
    for stories in tests.values():
        for story in stories[:n]:
            text, probability = ask(model, story)
            found.append((probability, text == story[-1].answer))
    return found


def below(answered: Sequence[tuple[float, bool]]) -> list[dict[str, float]]:
    """Say of each threshold how many answers are below it, and how many of those, and of the others, are right."""
    rows = []
    for threshold in UNSURE_STEPS:
        under = [right for share, right in answered if share < threshold]
        over = [right for share, right in answered if share >= threshold]
        rows.append(
            {
                "threshold": threshold,
                "share": len(under) / len(answered),
                "right_below": float(np.mean(under)) if under else 0.0,
                "right_above": float(np.mean(over)) if over else 0.0,
            }
        )
    return rows


def supported(model: GPT2, stories: Sequence[Story]) -> float:
    """Return how often the sentence that the answer looked at most is one that the data says it rests on."""
    hits = []
    for story in stories:
        found = why(" ".join(line.text for line in story[:-1]), story[-1].text, model)
        looked = [sum(weight for _, weight in words) for _, words in found]
        hits.append(int(np.argmax(looked)) + 1 in story[-1].support)
    return float(np.mean(hits))


def measure(model: GPT2, folder: Path, n_asked: int = 50) -> dict[str, Any]:
    """Measure everything that the card says."""
    files = test_files(folder)
    tests = {task: single_questions(read_file(path)) for task, path in files.items()}
    by_task = errors(model, tests)
    with_names = {task: stories for task, stories in tests.items() if task in (1, 2, 3, 6, 7, 8, 9, 11, 12, 13)}
    others = errors(model, {task: renamed(stories) for task, stories in with_names.items()})
    answered = confidence(model, tests, n_asked)
    return {
        "names": {task: task_name(path) for task, path in files.items()},
        "error": by_task,
        **summary(by_task),
        "renamed": others,
        "thresholds": below(answered),
        "n_asked": len(answered),
        "supported": {task: supported(model, tests[task][:n_asked]) for task in (1, 2, 3)},
    }


def main() -> None:
    """Print what is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--errors-only", action="store_true")
    options = parser.parse_args()
    model = GPT2.from_pretrained(options.model)
    if options.errors_only:
        files = test_files(options.corpus)
        by_task = errors(model, {task: single_questions(read_file(path)) for task, path in files.items()})
        for task, error in by_task.items():
            print(f"{task:2} {task_name(files[task]):28} {error:5.1f}%")
        print(json.dumps(summary(by_task)))
    else:
        print(json.dumps(measure(model, options.corpus), indent=1))


if __name__ == "__main__":
    main()
