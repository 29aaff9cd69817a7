"""The course's command: `python -m numpygpt.course start FOLDER`, then `check`, `status`, `hint`, `show`, `reset`."""

from __future__ import annotations

import argparse
import ast
import inspect
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
from numpygpt.course.run import TIME_LIMIT, check_in_process
from numpygpt.course.stages import Result
from numpygpt.course.stubs import course_files, stub_file
from numpygpt.files import atomic_write


def start(folder: Path) -> None:
    """Write the course into a folder; what is there already stays as it is."""
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is there and is not a folder; give the name of a new folder")
    new = []
    for name, text in course_files().items():
        path = folder / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, text)
            new.append(name)
        elif name.endswith(".py"):
            new += _add_missing(path, name)
    first = next(iter(EXERCISES))
    print(
        f"{folder}: {len(new)} new files or functions, {len(EXERCISES)} exercises"
        if new
        else f"{folder}: nothing is new"
    )
    print(f"begin with {first} in {folder / EXERCISES[first].file}, then:")
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
        print(f"nothing is written yet: begin with {first.name} in {first.file}, page {first.page} of the tutorials")
        return FAILURE
    progress, results = Progress(folder), []
    for exercise in exercises:
        result = check_in_process(folder, exercise.name, limit, quiet=as_json)
        progress.note(result)
        results.append(result)
        if not as_json:
            print(result.text(), flush=True)
            if result.mistake:
                print(f"    more: python -m numpygpt.course hint {folder} {exercise.name}")
    progress.save()
    if as_json:
        print(json.dumps([_record(result) for result in results], indent=1))
    elif len(results) > 1:
        print(f"{sum(result.passed for result in results)} of {len(results)} passed")
    if not as_json and all(result.passed for result in results) and len(results) == len(EXERCISES):
        print(f'All is green: python {folder / "main.py"} "Once upon a time" is a GPT-2 that you wrote.')
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
        took = "" if row["minutes"] is None else f"{row['minutes']:.0f} min, {row['tries']} tries"
        print(f"{row['status']:6} page {row['page']:2}  {row['name']:34}{row['file']:22}{took}".rstrip())
    left = [row for row in rows if row["status"] != "done"]
    print(f"{len(rows) - len(left)} of {len(rows)} done")
    if left:
        print(f"next: {left[0]['name']} in {left[0]['file']}, about {left[0]['minutes_planned']} minutes")
    return 0


def hint(folder: Path, exercise: Exercise, limit: float) -> int:
    """Check once more, and say more about the mistake each time."""
    result, progress = check_in_process(folder, exercise.name, limit), Progress(folder)
    progress.note(result)
    entry = progress.of(exercise.name)
    if result.passed:
        print(f"{exercise.name} passes: no hint is needed")
    elif not result.hints:
        print(result.text())
        print(f"This mistake is not a known one. Page {exercise.page} of the tutorials explains {exercise.attribute}.")
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
        print(f"\n# and what it calls: {inspect.getsourcefile(book)}")
    return 0


def reset(folder: Path, exercise: Exercise) -> int:
    """Put the stub back in the place of what was written; the old text of the file stays beside it."""
    path = folder / exercise.file
    fresh = stub_file(exercise.module)
    if not path.exists():
        _write(path, fresh)
        print(f"{path} is back")
        return 0
    old = path.read_text(encoding="utf-8")
    kept = path.with_name(f"{path.stem}-{time.strftime('%Y%m%d-%H%M%S')}.txt")
    try:
        node = definition(ast.parse(old), exercise.attribute)
    except SyntaxError as error:
        raise ValueError(f"{path}, line {error.lineno}, is no Python: mend it first, or move the file away") from None
    lines, indent = old.splitlines(), "    " if exercise.method else ""
    stub = textwrap.indent(_stub_without_decorators(exercise), indent).rstrip().splitlines()
    if node is None:
        if exercise.method:
            raise ValueError(f"{path} has no {exercise.attribute}: move the file away, and reset writes it anew")
        lines += ["", "", *stub]
    else:
        lines[node.lineno - 1 : node.end_lineno] = stub
    _write(kept, old)
    _write(path, "\n".join(lines) + "\n")
    print(f"{exercise.name} is a stub again; the old text is in {kept}")
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
    return parser


def run(options: argparse.Namespace) -> int:
    """Do what the command line asks for; return the exit status."""
    exercise = find(options.name) if "name" in options else next(iter(EXERCISES.values()))
    if options.command == "show":
        return show(exercise)
    if options.command == "start":
        start(options.folder)
        return 0
    if not options.folder.is_dir():
        raise FileNotFoundError(
            f"there is no folder {options.folder}; python -m numpygpt.course start {options.folder} makes it"
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
    with friendly_exit(parser.prog):
        sys.exit(run(options))


if __name__ == "__main__":
    main()
