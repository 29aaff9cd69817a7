"""The plan of the house: who may import whom, what the book may not contain, and how long a file may be."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "numpygpt"
FRONT_DOORS = {
    "__init__",
    "__main__",
    "answer",
    "draw",
    "painter",
    "pretrained",
    "loss",
    "tokenize",
    "translate",
    "translator",
}  # import folders
# may import folders; no page of the book does
OLD_COMMANDS = {"hub", "checkpoint"}  # which say what the new ones are
ARROWS = {  # a folder, and what it may import besides itself and the book
    "engine": set(),
    "backward": set(),
    "models": {"engine"},
    "look": {"engine", "backward", "models"},
    "train": {"engine", "backward", "models"},
    "course": {"backward", "models", "mistakes"},
    "mistakes": {"course", "backward"},
}
MAX_LINES = {PACKAGE / "models" / "hub.py": 400}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py")) if "weights" not in path.parts}
FOLDERS = {path.parent.name for path in MODULES.values()} - {"numpygpt"}
BOOK = {name: path for name, path in MODULES.items() if path.parent == PACKAGE and path.stem not in FRONT_DOORS}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(path: Path) -> set[str]:
    """The modules of this package that a file imports, anywhere in it, `TYPE_CHECKING` imports included."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inner & MODULES.keys()
            if not inner <= MODULES.keys():
                found.add(str(node.module))
    return {name for name in found if name.split(".")[0] == "numpygpt"}


def folder(module: str) -> str:
    """The folder of a module, or "" at the top of the package."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in FOLDERS else ""


def test_every_import_is_of_a_module_that_exists() -> None:
    for path in MODULES.values():
        assert imports(path) <= MODULES.keys(), path


def test_arrows_go_one_way() -> None:
    assert ARROWS.keys() == FOLDERS
    for name, path in MODULES.items():
        home = folder(name)
        reached = {folder(imported) for imported in imports(path)} - {home, ""}
        if home:
            assert reached <= ARROWS[home], name
        elif name in BOOK and path.stem not in OLD_COMMANDS:
            assert reached == set(), f"{name} is a page of the book and imports a folder"


def test_only_front_doors_import_front_doors() -> None:
    doors = {"numpygpt", *(f"numpygpt.{door}" for door in FRONT_DOORS - {"__init__", "loss", "tokenize", "translate"})}
    for name, path in MODULES.items():
        if path.stem not in FRONT_DOORS or folder(name):
            front = {"numpygpt.pretrained", "numpygpt.translator", "numpygpt.__main__"}
            allowed = front if path.stem == "__main__" else set()
            assert imports(path) & doors <= allowed, name


def test_no_circle() -> None:
    graph = {name: imports(path) for name, path in MODULES.items()}
    while leaves := [name for name, needs in graph.items() if not needs & graph.keys()]:
        for leaf in leaves:
            del graph[leaf]
    assert graph == {}


@pytest.mark.parametrize("path", [p for p in MODULES.values() if p.stem == "__init__"], ids=str)
def test_an_init_holds_imports_alone(path: Path) -> None:
    docstring, *statements = tree(path).body
    assert isinstance(docstring, ast.Expr)
    assert all(isinstance(statement, (ast.Import, ast.ImportFrom)) for statement in statements)


@pytest.mark.parametrize("path", [path for path in BOOK.values() if "import numpy" in path.read_text(encoding="utf-8")])
def test_the_book_computes_nothing_in_place(path: Path) -> None:
    for node in ast.walk(tree(path)):
        assert not isinstance(node, ast.AugAssign), f"{path}, line {node.lineno}"
        assert not (isinstance(node, ast.keyword) and node.arg == "out"), f"{path}, line {node.value.lineno}"


@pytest.mark.parametrize("path", BOOK.values(), ids=lambda path: path.stem)
def test_the_book_stands_on_numpy_and_regex(path: Path) -> None:
    for node in ast.walk(tree(path)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
        for name in {name.split(".")[0] for name in names} - {"numpygpt", "numpy", "regex"}:
            assert name in sys.stdlib_module_names, f"{path} imports {name}"


def test_no_file_is_longer_than_300_lines() -> None:
    tracked = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode:
        pytest.skip("no git checkout")
    for path in [ROOT / name for name in tracked.stdout.split()]:
        if path.exists():
            n_lines = len(path.read_text(encoding="utf-8").splitlines())
            assert n_lines <= MAX_LINES.get(path, 300), f"{path} has {n_lines} lines"


def test_a_student_goes_from_text_to_text_in_700_lines() -> None:
    path = ["tokenizer", "layers", "gpt2", "sampling", "generate"]
    assert sum(len((PACKAGE / f"{name}.py").read_text(encoding="utf-8").splitlines()) for name in path) <= 700


@pytest.mark.slow
def test_without_the_engines_folder_the_tutorials_run(tmp_path: Path) -> None:
    for name in ("numpygpt", "tutorials", "tests", "weights"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "setup.cfg", tmp_path)
    shutil.rmtree(tmp_path / "numpygpt" / "engine")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--doctest-glob=*.md", "tutorials", "-p", "no:cacheprovider"]
    command += ["-m", "slow or not slow"]
    command += ["--ignore-glob=*.py", "--ignore=tutorials/appendix-engine.md"]  # which is about that folder
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-3000:]
