"""Run the pages and write into them what their code prints now.

    python -m tutorials.refresh [PAGE ...]

for after a change that is meant to change the outputs, such as new weights of the embedded model. Read the
difference before you commit it: the prose around an output speaks of it. Blocks whose output is as shown stay as
they are, to the letter.
"""

from __future__ import annotations

import doctest
import sys
from pathlib import Path
from typing import Any

from numpygpt.files import atomic_write

FOLDER = Path(__file__).parent
OPTIONS = doctest.NORMALIZE_WHITESPACE  # as the tests read the pages


class _Recorder(doctest.DocTestRunner):
    """Runs examples and remembers the outputs that are not as shown, by the line that they belong to."""

    def __init__(self) -> None:
        super().__init__(verbose=False, optionflags=OPTIONS)
        self.changed: list[tuple[doctest.Example, str]] = []

    def report_failure(self, out: object, test: doctest.DocTest, example: doctest.Example, got: str) -> None:
        self.changed.append((example, got))

    def report_unexpected_exception(
        self, out: object, test: doctest.DocTest, example: doctest.Example, exc_info: Any
    ) -> None:
        kind, error, _ = exc_info
        raise SystemExit(f"{test.filename}, line {example.lineno + 1}: {kind.__name__}: {error}")


def refresh(page: Path) -> int:
    """Rewrite a page with the outputs of today and return how many have changed.

    Raises SystemExit where an example raises an exception that it does not show.
    """
    text = page.read_text(encoding="utf-8")
    test = doctest.DocTestParser().get_doctest(text, {"__name__": "__main__"}, page.name, str(page), 0)
    recorder = _Recorder()
    recorder.run(test, out=lambda _: None)
    lines = text.splitlines(keepends=True)
    for example, got in reversed(recorder.changed):
        start = example.lineno + example.source.count("\n")
        lines[start : start + example.want.count("\n")] = [
            " " * example.indent + line if line.strip() else "<BLANKLINE>\n" for line in got.splitlines(keepends=True)
        ]
    with atomic_write(page) as file:
        file.write("".join(lines).encode())
    return len(recorder.changed)


if __name__ == "__main__":
    pages = [Path(argument) for argument in sys.argv[1:]]
    for page in pages or sorted(FOLDER.glob("*.md")):
        print(f"{page}: {refresh(page)} outputs changed")
