"""Writing the learner's folder: its stubs when the course starts, and one of them again after a reset."""

from __future__ import annotations

import ast
import time
from pathlib import Path

from numpygpt.course.blocks import block
from numpygpt.course.exercises import EXERCISES, Exercise
from numpygpt.course.learner import definition
from numpygpt.course.progress import Progress
from numpygpt.course.say import say
from numpygpt.course.stubs import course_files, stub_file
from numpygpt.files import atomic_write
from numpygpt.languages import spoken


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
        _write(path, text.rstrip("\n") + "\n" + "".join("\n\n" + "\n".join(_stub(e)) + "\n" for e in missing))
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


def reset(folder: Path, exercise: Exercise) -> None:
    """Put the stub back in the place of what was written; the old text of the file stays beside it.

    Raises ValueError where a class's method was to come back and the class is gone.
    """
    path = folder / exercise.file
    if not path.exists():
        _write(path, stub_file(exercise.module))
        print(say("{file} is back", file=path))
        return
    old = path.read_text(encoding="utf-8")
    new = _with_stub(old, exercise)
    if new is None:
        text = "{file} has no {name}: move the file away, and reset writes it anew"
        raise ValueError(say(text, file=path, name=exercise.attribute))
    kept = path.with_name(f"{path.stem}-{time.strftime('%Y%m%d-%H%M%S')}.txt")
    _write(kept, old)
    _write(path, new)
    print(say("{name} is a stub again; the old text is in {file}", name=exercise.name, file=kept))
    try:
        ast.parse(new)
    except SyntaxError as error:
        text = "{file}, line {line}, still is no Python, outside of {name}: {error}"
        print(say(text, file=path, line=error.lineno, name=exercise.attribute, error=error.msg))


def _with_stub(old: str, exercise: Exercise) -> str | None:
    """Return a file's text with a stub in the place of a function, or at the end where it is not there."""
    lines, stub = old.splitlines(), _stub(exercise)
    try:
        node = definition(ast.parse(old), exercise.attribute)
        place = None if node is None else (node.lineno - 1, node.end_lineno)
    except (SyntaxError, ValueError):
        place = block(old, exercise.attribute)
    if place is not None:
        lines[slice(*place)] = stub
    elif exercise.method:
        return None
    else:
        lines += ["", "", *stub]
    return "\n".join(lines) + "\n"


def _stub(exercise: Exercise) -> list[str]:
    """Return the lines of an exercise's stub, without its decorators: those stay in the learner's file."""
    text = stub_file(exercise.module)
    node = definition(ast.parse(text), exercise.attribute)
    assert node is not None
    return text.splitlines()[node.lineno - 1 : node.end_lineno]


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as file:
        file.write(text.encode())
