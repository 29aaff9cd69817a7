"""How long the commands take, from the start of Python to the end: what a user waits for.

`python benchmarks/commands.py` runs each command five times in a fresh process, in turns after one turn that does not
count, and prints the median and the slowest; then, in one process, how long the embedded models take once they are
loaded. Nothing is downloaded, and no network is used.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from numpygpt.models.names import find_embedded

TURNS = 5
STORY = "Mary went to the kitchen. John took the milk. John went to the garden."
SENTENCE = "I have lost the keys of my car, and I do not know where to look for them."
COMMANDS = {
    "write 40 tokens": ["numpygpt", "--model", "stories", "-n", "40", "Once upon a time"],
    "translate a sentence": ["numpygpt.translate", SENTENCE],
    "answer a question": ["numpygpt.answer", f"{STORY} Where is the milk?"],
    "make a page that looks inside": ["numpygpt.look", "--out", "look.html", "The little boat went to the"],
}
NEEDS = {"translate a sentence": "english-french", "answer a question": "questions"}


def seconds(call: Callable[[], object]) -> float:
    """Time a call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def run(module: str, *arguments: str) -> None:
    """Run a command of the package in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", module, *arguments], check=True, capture_output=True, cwd=folder)


def show(name: str, times: list[float]) -> None:
    """Print a line of the table."""
    print(f"{name:42} {statistics.median(times):6.2f} s, at most {max(times):.2f} s", flush=True)


def loaded() -> dict[str, Callable[[], object]]:
    """Return calls of the models once they are in memory."""
    from numpygpt import GPT2, Translator
    from numpygpt.answer import answer

    calls: dict[str, Callable[[], object]] = {}
    if find_embedded("english-french"):
        translator = Translator.from_pretrained("english-french")
        calls["a sentence, 4 beams, once loaded"] = lambda: translator.translate(SENTENCE)
    if find_embedded("questions"):
        model = GPT2.from_pretrained("questions")
        calls["a question, once loaded"] = lambda: answer(STORY, "Where is the milk?", model)
    return calls


def main() -> None:
    """Measure and print."""
    commands = {name: words for name, words in COMMANDS.items() if name not in NEEDS or find_embedded(NEEDS[name])}
    calls = {name: (lambda words=words: run(*words)) for name, words in commands.items()} | loaded()
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(TURNS + 1):
        for name, call in calls.items():
            taken = seconds(call)
            if turn:
                times[name].append(taken)
    for name, measured in times.items():
        show(name, measured)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    main()
