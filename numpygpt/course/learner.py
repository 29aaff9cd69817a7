"""The learner's folder: which functions are written, and how they are loaded beside the book's."""

from __future__ import annotations

import ast
import importlib
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from numpygpt.course.blocks import parsed
from numpygpt.course.exercises import EXERCISES, SOURCES, Exercise
from numpygpt.course.say import say


class NotWrittenError(Exception):
    """An exercise that nobody has begun; the message says where it stands."""


def definition(tree: ast.Module, attribute: str) -> ast.FunctionDef | None:
    """Find a function, or a class's method, in a module: the last one of that name, which counts in Python too."""
    body: list[ast.stmt] = tree.body
    *owners, name = attribute.split(".")
    for owner in owners:
        classes = [node for node in body if isinstance(node, ast.ClassDef) and node.name == owner]
        body = classes[-1].body if classes else []
    found = [node for node in body if isinstance(node, ast.FunctionDef) and node.name == name]
    return found[-1] if found else None


def is_stub(node: ast.FunctionDef) -> bool:
    """Tell whether a function does nothing but raise NotImplementedError."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return len(body) == 1 and isinstance(body[0], ast.Raise) and "NotImplementedError" in ast.unparse(body[0])


def is_written(folder: Path, exercise: Exercise) -> bool:
    """Tell whether the learner has begun an exercise; in a file that is no Python yet, whether its stub is gone."""
    text = ""
    try:
        text = (folder / exercise.file).read_text(encoding="utf-8")
        tree = ast.parse(text)
    except FileNotFoundError:
        return False
    except (SyntaxError, ValueError):
        alone = parsed(text, exercise.attribute)
        return alone is None or not is_stub(alone)
    node = definition(tree, exercise.attribute)
    found_by_other_means = node is None and any(
        isinstance(inner, (ast.Name, ast.alias))
        and exercise.owner in (getattr(inner, "id", ""), getattr(inner, "name", ""))
        for inner in ast.walk(tree)
    )
    return found_by_other_means if node is None else not is_stub(node)


def calls(folder: Path, exercise: Exercise) -> list[str]:
    """Return the names of the learner's other functions, of those that are written, that it calls by their names."""
    tree = ast.parse((folder / exercise.file).read_text(encoding="utf-8"))
    exercises = {other.owner for other in EXERCISES.values() if other.module == exercise.module}
    helpers = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name not in exercises]
    inner = [i for node in [definition(tree, exercise.attribute), *helpers] if node for i in ast.walk(node)]
    names = {i.id for i in inner if isinstance(i, ast.Name)} | {i.attr for i in inner if isinstance(i, ast.Attribute)}
    backward = exercise.module.startswith("backward")
    return [
        other.name
        for other in EXERCISES.values()
        if other is not exercise
        and other.attribute.split(".")[-1] in names
        and other.module.startswith("backward") == backward
        and is_written(folder, other)
    ]


def load(folder: Path, exercise: Exercise, *, own: bool) -> Any:
    """Return the learner's function (the class, for a method), its calls going to the book's functions.

    With `own`, they go to the learner's own functions as far as those are written.

    Raises NotWrittenError, SyntaxError, and whatever running the learner's file raises.
    """
    folder = folder.resolve()
    path = folder / exercise.file
    if not path.is_file():
        text = "there is no {file} in {folder}; start the course there again to get its stub"
        raise NotWrittenError(say(text, file=exercise.file, folder=folder))
    node = definition(ast.parse(path.read_text(encoding="utf-8"), str(path)), exercise.attribute)
    if node is not None and is_stub(node):
        text = "{e.name} is not written yet: {e.file}, line {line}; {e.place} explains it (about {e.minutes} minutes)"
        raise NotWrittenError(say(text, e=exercise, line=node.lineno))
    _forget(folder)
    sys.dont_write_bytecode = True
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    module = importlib.import_module(exercise.module)
    implementation = getattr(module, exercise.owner, None)
    if implementation is None:
        text = "{file} has no {name}; `reset` gives its stub back"
        raise NotWrittenError(say(text, file=exercise.file, name=exercise.owner))
    _stand_on_the_book(folder, exercise, own)
    if exercise.method:
        return with_book_methods(implementation, exercise)
    return implementation


def class_with(exercise: Exercise, method: Any) -> type:
    """Return a class like the book's but for one method, a property where the book's is one."""
    book = exercise.book()
    kind = type(vars(book)[exercise.method])
    own = kind(method) if kind in (property, classmethod, staticmethod) and not isinstance(method, kind) else method
    return type(exercise.owner, (book,), {exercise.method: own})


def with_book_methods(cls: type, exercise: Exercise) -> type:
    """Return the learner's class with one method of their own, and the book's where the others are exercises too."""
    book = exercise.book()
    others = [e.method for e in EXERCISES.values() if e.owner == exercise.owner and e.method and e is not exercise]
    given = {name: vars(book)[name] for name in others}
    given |= {name: value for name, value in vars(book).items() if name not in dir(cls)}
    return type(cls.__name__, (cls,), given)


def _of_folder(folder: Path) -> dict[str, ModuleType]:
    return {
        name: module
        for name, module in list(sys.modules.items())
        if (file := getattr(module, "__file__", None)) and Path(file).resolve().is_relative_to(folder)
    }


def _forget(folder: Path) -> None:
    for name in [*_of_folder(folder), *SOURCES, "backward"]:
        sys.modules.pop(name, None)


def _stand_on_the_book(folder: Path, exercise: Exercise, own: bool) -> None:
    """Put the book's functions in the place of the learner's others, in all modules that were loaded."""
    modules = _of_folder(folder)
    for other in EXERCISES.values():
        if other.owner == exercise.owner and other.module == exercise.module:
            continue
        if own and is_written(folder, other):
            continue
        theirs = getattr(modules.get(other.module), other.owner, None)
        for module in modules.values():
            for name, value in list(vars(module).items()):
                if theirs is not None and value is theirs:
                    setattr(module, name, other.book())


def own_lines(error: BaseException, folder: Path) -> str:
    """Tell an exception by the learner's own lines alone."""
    if isinstance(error, SyntaxError) and error.filename:
        place = say("{file}, line {line}", file=Path(error.filename).name, line=error.lineno)
        code = (error.text or "").rstrip("\n")
        pointer = " " * max(0, (error.offset or 1) - 1) + "^"
        return f"{place}: {error.msg}\n    {code}\n    {pointer}"
    lines = []
    package = Path(__file__).parents[1]
    for frame in traceback.extract_tb(error.__traceback__):
        file = Path(frame.filename)
        in_folder = file.is_absolute() and file.resolve().is_relative_to(folder.resolve())
        in_notebook = not file.exists() or frame.filename.startswith("<")
        if in_folder or (in_notebook and not file.is_relative_to(package) and "frozen" not in frame.filename):
            name = file.resolve().relative_to(folder.resolve()) if in_folder else file.name
            at = say("{file}, line {line}", file=name, line=frame.lineno)
            lines.append(say("{place}, in {function}: {code}", place=at, function=frame.name, code=frame.line))
    said = f"{type(error).__name__}: {error}".rstrip(": ")
    return "\n".join([*lines[-4:], said])
