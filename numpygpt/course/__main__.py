"""The course's command: `python -m numpygpt.course start FOLDER`, then `check`, `status`, `hint`, `show`, `reset`."""

from __future__ import annotations

import argparse
import ast
import inspect
import io
import json
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

from numpygpt.command_line import FAILURE, Parser, friendly_exit, number
from numpygpt.course.exercises import EXERCISES, Exercise, find
from numpygpt.course.learner import definition, is_written
from numpygpt.course.progress import Progress, table
from numpygpt.course.result import NOT_WRITTEN, Result
from numpygpt.course.run import TIME_LIMIT, check_in_process
from numpygpt.course.say import say
from numpygpt.course.stubs import course_files, stub_file
from numpygpt.files import atomic_write
from numpygpt.languages import LANGUAGES, of_locale, speaking, spoken


def start(folder: Path, lang: str | None = None) -> None:
    """Write the course into a folder, and remember its language there; what is there already stays as it is."""
    if folder.exists() and not folder.is_dir():
        text = "{folder} is there and is not a folder; give the name of a new folder"
        raise NotADirectoryError(say(text, folder=folder))
    new = []
    for name, text in course_files().items():
        path = folder / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, text)
            new.append(name)
        elif name.endswith(".py"):
            new += _add_missing(path, name)
    progress = Progress(folder)
    if progress.lang is None or lang not in (None, progress.lang):
        progress.content["lang"] = spoken()
        progress.save()
    first = next(iter(EXERCISES))
    text = "{folder}: {n} new files or functions, {exercises} exercises" if new else "{folder}: nothing is new"
    print(say(text, folder=folder, n=len(new), exercises=len(EXERCISES)))
    print(say("begin with {name} in {file}, then:", name=first, file=folder / EXERCISES[first].file))
    print(f"    python -m numpygpt.course check {folder} {first}")


def _add_missing(path: Path, name: str) -> list[str]:
    """Append the stubs that an older course lacks; a file that does not parse is left alone."""
    text = path.read_text(encoding="utf-8")
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return []
    missing = [e for e in EXERCISES.values() if e.file == name and not e.method and e.owner not in _bound_names(tree)]
    if missing:
        _write(path, text.rstrip("\n") + "\n" + "".join("\n\n" + _stub(e) for e in missing))
    return [e.name for e in missing]


def _bound_names(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.alias):
            names.add(node.asname or node.name)
    return names


def _stub(exercise: Exercise) -> str:
    node = definition(ast.parse(stub_file(exercise.module)), exercise.attribute)
    assert node is not None
    return ast.unparse(node) + "\n"


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as file:
        file.write(text.encode())


def check(folder: Path, names: list[str], limit: float, as_json: bool) -> int:
    """Check exercises, by default those that are begun; return the exit status."""
    asked = [find(name) for name in names]
    exercises = asked or [e for e in EXERCISES.values() if is_written(folder, e)]
    if not exercises:
        if as_json:
            print("[]")
            return FAILURE
        first = next(iter(EXERCISES.values()))
        text = "nothing is written yet: begin with {name} in {file}, page {page} of the tutorials"
        print(say(text, name=first.name, file=first.file, page=first.page))
        return FAILURE
    progress, results = Progress(folder), []
    for exercise in exercises:
        result = check_in_process(folder, exercise.name, limit, quiet=as_json)
        progress.note(result)
        results.append(result)
        if not as_json:
            print(result.text(), flush=True)
            if result.mistake:
                command = f"python -m numpygpt.course hint {folder} {exercise.name}"
                print("    " + say("more: {command}", command=command))
    progress.save()
    if as_json:
        print(json.dumps([_record(result) for result in results], indent=1))
    elif len(results) > 1:
        print(say("{n} of {all} passed", n=sum(result.passed for result in results), all=len(results)))
    if not as_json and all(result.passed for result in results) and len(results) == len(EXERCISES):
        text = 'All is green: python {file} "Once upon a time" is a GPT-2 that you wrote.'
        print(say(text, file=folder / "main.py"))
    return 0 if all(result.passed for result in results) else FAILURE


def _record(result: Result) -> dict[str, Any]:
    return {"name": result.name, "passed": result.passed, "hint": (*result.hints, "")[0], **result.as_dict()}


def status(folder: Path, as_json: bool) -> int:
    """Say what is done, and what is next."""
    rows = table(folder)
    if as_json:
        print(json.dumps(rows, indent=1))
        return 0
    for row in rows:
        took = "" if row["minutes"] is None else say("{minutes:.0f} min, {tries} tries", **row)
        row = row | {"status": say(row["status"]), "took": took}
        print(say("{status:6} page {page:2}  {name:34}{file:22}{took}", **row).rstrip())
    left = [row for row in rows if row["status"] != "done"]
    print(say("{n} of {all} done", n=len(rows) - len(left), all=len(rows)))
    if left:
        print(say("next: {name} in {file}, about {minutes_planned} minutes", **left[0]))
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
            print(say("Page {page} of the tutorials explains {name}.", page=exercise.page, name=exercise.attribute))
    else:
        asked = min(entry.get("hints", 0), len(result.hints) - 1)
        print(result.hints[asked])
        entry["hints"] = asked + 1
    progress.save()
    return 0


def show(exercise: Exercise) -> int:
    """Print the book's solution."""
    book = exercise.book()
    solution: Any = vars(book)[exercise.method] if exercise.method else inspect.unwrap(book)
    solution = getattr(solution, "fget", None) or getattr(solution, "__func__", solution)
    print(textwrap.dedent(inspect.getsource(solution)).rstrip())
    if exercise.name in ("train", "encode"):
        print("\n# " + say("and what it calls: {file}", file=inspect.getsourcefile(book)))
    return 0


def reset(folder: Path, exercise: Exercise) -> int:
    """Put the stub back in the place of what was written; the old text of the file stays beside it."""
    path = folder / exercise.file
    fresh = stub_file(exercise.module)
    if not path.exists():
        _write(path, fresh)
        print(say("{file} is back", file=path))
        return 0
    old = path.read_text(encoding="utf-8")
    kept = path.with_name(f"{path.stem}-{time.strftime('%Y%m%d-%H%M%S')}.txt")
    try:
        node = definition(ast.parse(old), exercise.attribute)
    except SyntaxError as error:
        text = "{file}, line {line}, is no Python: mend it first, or move the file away"
        raise ValueError(say(text, file=path, line=error.lineno)) from None
    lines, indent = old.splitlines(), "    " if exercise.method else ""
    stub = textwrap.indent(_stub_without_decorators(exercise), indent).rstrip().splitlines()
    if node is None:
        if exercise.method:
            text = "{file} has no {name}: move the file away, and reset writes it anew"
            raise ValueError(say(text, file=path, name=exercise.attribute))
        lines += ["", "", *stub]
    else:
        lines[node.lineno - 1 : node.end_lineno] = stub
    _write(kept, old)
    _write(path, "\n".join(lines) + "\n")
    print(say("{name} is a stub again; the old text is in {file}", name=exercise.name, file=kept))
    return 0


def _stub_without_decorators(exercise: Exercise) -> str:
    node = definition(ast.parse(stub_file(exercise.module)), exercise.attribute)
    assert node is not None
    node.decorator_list = []
    text = ast.unparse(node)
    doc = ast.get_docstring(node, clean=False) or ""
    return text.replace(doc, textwrap.dedent("    " + doc)) if exercise.method and "\n" not in doc else text


class _Command(Parser):
    def __init__(self, prog: str, description: str, **_: Any) -> None:
        super().__init__(prog, description)


def _parser() -> Parser:
    parser = Parser(
        "python -m numpygpt.course",
        "Write GPT-2 yourself, and let the real model tell you whether it works.",
        "examples: python -m numpygpt.course start my-gpt2\n"
        "          python -m numpygpt.course check my-gpt2 softmax\n"
        "          python -m numpygpt.course status my-gpt2",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Command)
    about = {
        "start": "write the exercises into a folder, or add what is new to one",
        "check": "check exercises; without a NAME, all that are begun",
        "status": "what is done, and what is next",
        "hint": "a hint for a mistake, and more at the second asking",
        "show": "the book's solution",
        "reset": "make an exercise a stub again; the old text is kept beside it",
    }
    for name, text in about.items():
        command = commands.add_parser(name, help=text, description=text)
        if name != "show":
            command.add_argument("folder", metavar="FOLDER", type=Path)
        if name == "check":
            command.add_argument("names", metavar="NAME", nargs="*")
        elif name in ("hint", "show", "reset"):
            command.add_argument("name", metavar="NAME")
        if name in ("check", "status"):
            more = "; what your code prints goes to standard error" if name == "check" else ""
            command.add_argument("--json", action="store_true", help=f"the same for programs{more}")
        if name in ("check", "hint"):
            help_text = f"seconds for one exercise (default: {TIME_LIMIT:.0f})"
            command.add_argument("--time-limit", type=number(float, 0, above=True), default=TIME_LIMIT, help=help_text)
        about_lang = (
            "the language of messages and hints (default: the folder's, which start remembers, or the locale's)"
        )
        command.add_argument("--lang", choices=LANGUAGES, help=about_lang)
    return parser


def language(options: argparse.Namespace) -> str:
    """Return the language that was asked for: now, or when the folder was begun; or else the locale's."""
    remembered = Progress(options.folder).lang if "folder" in options else None
    return options.lang or remembered or of_locale()


def run(options: argparse.Namespace) -> int:
    """Do what the command line asks for; return the exit status."""
    exercise = find(options.name) if "name" in options else next(iter(EXERCISES.values()))
    if options.command == "show":
        return show(exercise)
    if options.command == "start":
        start(options.folder, options.lang)
        return 0
    if not options.folder.is_dir():
        raise FileNotFoundError(
            say("there is no folder {folder}; python -m numpygpt.course start {folder} makes it", folder=options.folder)
        )
    if options.command == "check":
        return check(options.folder, options.names, options.time_limit, options.json)
    if options.command == "status":
        return status(options.folder, options.json)
    if options.command == "hint":
        return hint(options.folder, exercise, options.time_limit)
    return reset(options.folder, exercise)


def main(argv: list[str] | None = None) -> None:
    """Run the course's command."""
    parser = _parser()
    options = parser.parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # "?" for a character that the terminal's encoding lacks
    with friendly_exit(parser.prog), speaking(language(options)):
        sys.exit(run(options))


if __name__ == "__main__":
    main()
