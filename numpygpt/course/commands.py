"""What the commands `check`, `status`, `hint` and `show` print."""

from __future__ import annotations

import inspect
import json
import textwrap
from pathlib import Path
from typing import Any

from numpygpt.command_line import FAILURE
from numpygpt.course.exercises import EXERCISES, POSITIONS, Exercise, find
from numpygpt.course.learner import is_written
from numpygpt.course.progress import Progress, table
from numpygpt.course.result import NOT_WRITTEN, SYNTAX, Result
from numpygpt.course.run import check_in_process, check_many
from numpygpt.course.say import listed, say


def check(folder: Path, names: list[str], limit: float, as_json: bool) -> int:
    """Check exercises, by default those that are begun; return the exit status."""
    asked = [find(name) for name in names]
    exercises = asked or [e for e in EXERCISES.values() if is_written(folder, e)]
    progress, results = Progress(folder), list[Result]()
    for result in check_many(folder, [exercise.name for exercise in exercises], limit, quiet=as_json):
        progress.note(result)
        if not as_json:
            print(_told(result, results, folder, brief=len(exercises) > 1), flush=True)
        results.append(result)
    if results:
        progress.save()
    if as_json:
        print(json.dumps([_record(result) for result in results], indent=1))
    else:
        _sum_up(folder, results, everything=not asked)
    return 0 if results and all(result.passed for result in results) else FAILURE


def _told(result: Result, before: list[Result], folder: Path, *, brief: bool) -> str:
    """Return what to print of a result: of an error that several files' functions share, one time."""
    if result.cause == SYNTAX and any(result.message == other.message for other in before):
        return say("{name}: waits for the same line", name=result.name)
    text = result.text(brief=brief)
    if result.mistake:
        command = f"python -m numpygpt.course hint {folder} {result.name}"
        text += "\n    " + say("more: {command}", command=command)
    return text


def _record(result: Result) -> dict[str, Any]:
    return {"name": result.name, "passed": result.passed, "hint": (*result.hints, "")[0], **result.as_dict()}


def _sum_up(folder: Path, results: list[Result], *, everything: bool) -> None:
    """Say what the real model did, and how far the learner is."""
    rows = table(folder)
    left = [row for row in rows if row["status"] != "done"]
    if len(results) > 1:
        _show_models([result for result in results if result.passed and result.shown])
        print(say("{n} of {all} passed", n=sum(result.passed for result in results), all=len(results)))
    if not left:
        command = f'python {folder / "main.py"} "Once upon a time"'
        print(say("All {n} done. Now run: {command}", n=len(rows), command=command))
    elif everything:
        _say_next(rows)


def _show_models(results: list[Result]) -> None:
    """Say once what the real model did with each of several functions."""
    by_text: dict[str, list[Result]] = {}
    for result in results:
        by_text.setdefault(result.shown, []).append(result)
    for shown, same in by_text.items():
        text = "with your {names}, one at a time (the rest is the book's), {shown}"
        names = listed([result.name for result in same])
        print(say(text, names=names, shown=shown) if len(same) > 1 else same[0].message)


def _say_next(rows: list[dict[str, Any]]) -> None:
    left = [row for row in rows if row["status"] != "done"]
    print(say("{n} of {all} done", n=len(rows) - len(left), all=len(rows)))
    if left:
        first = EXERCISES[left[0]["name"]]
        text = "next: {e.name} in {e.file}; {e.place} explains it (about {e.minutes} minutes)"
        print(say(text, e=first))


def status(folder: Path, as_json: bool) -> int:
    """Say what is done, and what is next."""
    rows = table(folder)
    if as_json:
        print(json.dumps(rows, indent=1))
        return 0
    for row in rows:
        took = "" if row["minutes"] is None else say("{minutes:.0f} min, {tries} tries", **row)
        page = say("appendix") if row["page"] == POSITIONS else say("page {page:2}", **row)
        row = row | {"status": say(row["status"]), "took": took, "page": page}
        print(say("{status:6} {page}  {name:34}{file:22}{took}", **row).rstrip())
    _say_next(rows)
    return 0


def hint(folder: Path, exercise: Exercise, limit: float) -> int:
    """Check once more, and say more about the mistake each time."""
    result, progress = check_in_process(folder, exercise.name, limit), Progress(folder)
    progress.note(result)
    entry = progress.of(exercise.name)
    if result.passed:
        print(say("{name} passes: no hint is needed", name=exercise.name))
    elif not result.hints:
        print(result.text())
        if result.status != NOT_WRITTEN:
            print(result.advice())
            print(say("See {place}.", place=exercise.place))
    else:
        asked = min(entry.get("hints", 0), len(result.hints) - 1)
        print(result.hints[asked])
        entry["hints"] = asked + 1
    progress.save()
    return 0


def show(exercises: list[Exercise]) -> int:
    """Print the book's solutions."""
    for number, exercise in enumerate(exercises):
        book = exercise.book()
        solution: Any = vars(book)[exercise.method] if exercise.method else inspect.unwrap(book)
        solution = getattr(solution, "fget", None) or getattr(solution, "__func__", solution)
        print(("\n\n" if number else "") + textwrap.dedent(inspect.getsource(solution)).rstrip())
        if exercise.name in ("train", "encode"):
            print("\n# " + say("and what it calls: {file}", file=inspect.getsourcefile(book)))
    return 0
