"""The process in which a learner's code runs: checks exercises and writes their results to files."""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import redirect_stdout
from pathlib import Path

from numpygpt.course.exercises import Exercise, find
from numpygpt.course.learner import NotWrittenError, calls, load, own_lines
from numpygpt.course.result import FAILED, NOT_WRITTEN, STOPS, SYNTAX, Result
from numpygpt.course.say import say
from numpygpt.course.stages import check
from numpygpt.languages import speaking


def check_folder(folder: Path, exercise: Exercise) -> Result:
    """Check what a folder holds: beside the book's functions first, and if that fails, beside the learner's own."""
    try:
        result = check(exercise, load(folder, exercise, own=False), folder)
        called = [] if result.passed else calls(folder, exercise)
        if called:
            with redirect_stdout(io.StringIO()):  # what the learner's code prints was printed
                other = check(exercise, load(folder, exercise, own=True), folder, called)
            result = other if other.passed else result
    except NotWrittenError as error:
        return Result(exercise.name, NOT_WRITTEN, 1, str(error))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # of the learner's file, which may even end the program
        cause = SYNTAX if isinstance(error, SyntaxError) else STOPS
        message = say("the file does not run:") + "\n" + own_lines(error, folder)
        return Result(exercise.name, FAILED, 1, message, cause=cause)
    return result


def main() -> None:
    """Check the exercises whose names stand on standard input, and write each result to a file in `ANSWERS`."""
    folder, answers, lang = sys.argv[1:]
    names = os.fdopen(os.dup(0), encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # what the learner's code reads
    for name in map(str.strip, names):
        with speaking(lang):
            result = check_folder(Path(folder), find(name))
        sys.stdout.flush()
        unfinished = Path(answers, name)
        unfinished.write_text(json.dumps(result.as_dict()), encoding="utf-8")
        unfinished.rename(unfinished.with_name(f"{name}.json"))


if __name__ == "__main__":
    main()
