"""The learner's files, generated from the book: signatures, docstrings, and nothing below them."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path
from typing import Any

from numpygpt.course.examples import examples_text, notes_text
from numpygpt.course.exercises import EXERCISES, SOURCES, page_file
from numpygpt.course.say import say

LEFT_OUT = {  # what stands in the book's module and belongs to no exercise, or would give one away
    "tokenizer": {"Pair", "T", "_special", "_encode_ordinary", "_learn_merges"},
    "loss": {"WINDOW_ROWS", "REDS", "Model", "token_losses", "text_loss", "_encode", "_read", "show_tokens", "main"},
    "backward.layers": {
        *("Activation", "QUERY_BLOCK", "forward_attention", "split_heads", "merge_heads", "SavedMultiHeadAttention"),
        *("_query_blocks", "forward_multi_head_attention", "multi_head_attention", "SavedMLP", "forward_mlp", "mlp"),
    },
    "backward.loss": {"LOGIT_ROWS", "output_layer"},
}
ALWAYS = {"np", "math"}
DECORATORS = {"dataclass", "property", "classmethod", "staticmethod", "cache"}
LEARNERS = {source: module for module, source in SOURCES.items()}
READER = "numpygpt.course.weights"


class _Bare(ast.NodeTransformer):
    """Takes annotations away; a field keeps one, for it would be none without."""

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.generic_visit(node)
        node.returns = None
        node.decorator_list = [d for d in node.decorator_list if (_name(d)) in DECORATORS]
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        fields = [statement for statement in node.body if isinstance(statement, ast.AnnAssign)]
        node.body = [s if s in fields else self.visit(s) for s in node.body]
        for field in fields:
            field.annotation = ast.Name("object", ast.Load())
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        return None if node.value is None else ast.Assign([node.target], node.value, lineno=node.lineno)


def _name(decorator: ast.expr) -> str:
    target = decorator.func if isinstance(decorator, ast.Call) else decorator
    return target.id if isinstance(target, ast.Name) else ""


def stub_file(module: str) -> str:
    """Return the text of one of the learner's files."""
    tree = _Bare().visit(ast.parse(inspect.getsource(importlib.import_module(SOURCES[module]))))
    left_out, kept = LEFT_OUT.get(module, set()), []
    first_line = (ast.get_docstring(tree) or "").splitlines()[0]
    for node in tree.body[1:]:
        is_main = isinstance(node, ast.If) and module == "main"
        skipped = isinstance(node, (ast.If, ast.Import, ast.ImportFrom)) and not is_main
        if not skipped and not _names(node) & left_out:
            kept.append(node)
    used = ALWAYS | {inner.id for node in kept for inner in ast.walk(node) if isinstance(inner, ast.Name)}
    imports = [bare for node in tree.body if (bare := _import(node, used))]
    body = [_stubbed(node, module, "") for node in kept]
    parts = [ast.unparse(node) + "\n" for node in imports]
    for node in body:
        spaced = isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.If))
        parts.append(("\n\n" if spaced else "") + ast.unparse(ast.fix_missing_locations(node)) + "\n")
    code = "".join(parts)
    shapes = "\n" + _about_shapes() if "[..., " in code else ""
    return f'"""{first_line}\n\n{_commands(module)}{shapes}"""\n\n{code}'


def _commands(module: str) -> str:
    first = next(name for name, exercise in EXERCISES.items() if exercise.module == module)
    pages = dict.fromkeys(page_file(e.page) for e in EXERCISES.values() if e.module == module)
    lines = [
        say("Write what raises NotImplementedError; check it with"),
        say("`python -m numpygpt.course check FOLDER {name}`, or another of its names.", name=first),
        say("To read: {pages}", pages=", ".join(pages)),
    ]
    return "\n".join(lines) + "\n"


def _about_shapes() -> str:
    """Say what the pages, which have one text at a time, need not say."""
    lines = [
        say("In a shape, ... stands for any axes, or none: [..., n_seq, n_embd] is that of one text, [n_seq, n_embd],"),
        say(
            "and of a batch of texts, [n_batch, n_seq, n_embd]. So count axes from the end: axis=-1, swapaxes(-1, -2)."
        ),
    ]
    return "\n".join(lines) + "\n"


def _names(node: ast.stmt) -> set[str]:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return {node.name}
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)}


def _import(node: ast.stmt, used: set[str]) -> ast.stmt | None:
    """Return an import as the learner's file needs it, or None."""
    if isinstance(node, ast.Import):
        names = [alias for alias in node.names if (alias.asname or alias.name).split(".")[0] in used]
        return ast.Import(names) if names else None
    if not isinstance(node, ast.ImportFrom) or node.module == "__future__":
        return None
    names = [alias for alias in node.names if (alias.asname or alias.name) in used]
    source = str(node.module)
    if source == "numpygpt":
        return ast.Import(names) if names else None
    if source.split(".")[0] == "numpygpt" and source != READER:
        if source not in LEARNERS:
            return None
        source = LEARNERS[source]
    return ast.ImportFrom(source, names, 0) if names else None


def _stubbed(node: ast.stmt, module: str, owner: str) -> ast.stmt:
    """Empty the exercises of a statement: a function, or the methods of a class."""
    if isinstance(node, ast.ClassDef):
        left_out = LEFT_OUT.get(module, set())
        node.body = [_stubbed(inner, module, node.name + ".") for inner in node.body if not _names(inner) & left_out]
    if isinstance(node, ast.FunctionDef):
        for exercise in EXERCISES.values():
            if (exercise.module, exercise.attribute) == (module, owner + node.name):
                indent = "    " * (2 if owner else 1)
                text = (node.body[0].value.value.rstrip() + "\n" + indent) if ast.get_docstring(node) else ""  # type: ignore[attr-defined]
                text = text.rstrip() + notes_text(exercise, indent) + examples_text(exercise, indent)
                text = text if "\n" not in text else text.rstrip() + "\n" + indent
                node.body = [ast.Expr(ast.Constant(text)), ast.Raise(ast.Name("NotImplementedError", ast.Load()))]
    return node


TEST = '''"""The exercises as tests, for `pytest` in this folder."""

from pathlib import Path

import pytest

from numpygpt.course.exercises import EXERCISES
from numpygpt.course.progress import Progress
from numpygpt.course.run import check_in_process
from numpygpt.languages import speaking

FOLDER = Path(__file__).parent


@pytest.mark.parametrize("name", EXERCISES)
def test_exercise(name):
    with speaking(Progress(FOLDER).lang or "en"):
        result = check_in_process(FOLDER, name)
        assert result.passed, result.text()
'''


def course_files() -> dict[str, str]:
    """Return every file of a new course by its path in the folder: the stubs, the test, and the list of merges."""
    files = {f"{module.replace('.', '/')}.py": stub_file(module) for module in SOURCES}
    merges = Path(__file__).parents[1] / "data" / "merges.txt"
    return files | {"test_course.py": TEST, "data/merges.txt": merges.read_text(encoding="utf-8")}
