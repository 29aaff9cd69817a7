"""The process in which a learner's code runs: checks one exercise and writes the result to a file."""

from __future__ import annotations

import io
import json
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
    """Check `FOLDER NAME`, and write the result to `FILE`, its texts in the language `LANG`."""
    folder, name, file, lang = sys.argv[1:]
    with speaking(lang):
        result = check_folder(Path(folder), find(name))
    Path(file).write_text(json.dumps(result.as_dict()), encoding="utf-8")


if __name__ == "__main__":
    main()
