"""Catalogues of texts read back: which texts a folder's code says, and whether their translations fit them."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

CHINESE = re.compile(r"[\u4e00-\u9fff]")
STUCK = re.compile(r"[\u4e00-\u9fff][A-Za-z0-9`{]|[A-Za-z0-9`}][\u4e00-\u9fff]")  # no space between the two scripts
HALF_WIDTH = re.compile(r"[\u4e00-\u9fff][,;:?!()]|[,;:?!()][\u4e00-\u9fff]")  # punctuation of the other script


def read(path: Path) -> dict[str, str]:
    """A catalogue; no key may stand in it twice."""

    def once(pairs: list[tuple[str, str]]) -> dict[str, str]:
        keys = [key for key, _ in pairs]
        assert len(keys) == len(set(keys)), sorted(key for key in keys if keys.count(key) > 1)
        return dict(pairs)

    catalogue: dict[str, str] = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=once)
    return catalogue


def fields(text: str) -> list[str]:
    """The names of a text's fields, sorted; a text of code with braces has none."""
    try:
        return sorted(name for _, name, _, _ in Formatter().parse(text) if name)
    except ValueError:
        return []


def faults(english: str, chinese: str, *in_chinese: str) -> Iterator[str]:
    """What is wrong with a translation, as far as that can be seen without reading it; some fields are in Chinese."""
    if sorted(set(fields(english))) != sorted(set(fields(chinese))):
        yield f"other fields: {english!r} -> {chinese!r}"
    if english.endswith((".", "?")) and not chinese.endswith(("。", "？")):
        yield f"another end: {english!r} -> {chinese!r}"
    for field in in_chinese:
        chinese = chinese.replace(f"{{{field}}}", "")
    if STUCK.search(chinese):
        yield f"no space between the scripts: {chinese!r}"
    if HALF_WIDTH.search(chinese):
        yield f"punctuation of half width: {chinese!r}"


def constants(*scopes: ast.AST) -> dict[str, set[str]]:
    """The strings that are assigned to each name in some code."""
    found: dict[str, set[str]] = {}
    for node in (node for scope in scopes for node in ast.walk(scope)):
        if not isinstance(node, ast.Assign):
            continue
        for target in node.targets:
            pairs = [(target, node.value)]
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = list(zip(target.elts, node.value.elts, strict=True))
            for name, value in pairs:
                either = [value.body, value.orelse] if isinstance(value, ast.IfExp) else [value]
                texts = {one.value for one in either if isinstance(one, ast.Constant) and isinstance(one.value, str)}
                if isinstance(name, ast.Name):
                    found.setdefault(name.id, set()).update(texts)
    return found


def strings(node: ast.AST) -> set[str]:
    """Every string in a piece of code."""
    return {n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)}


def said(path: Path) -> set[str]:
    """The texts that a module's functions hand to `say`: strings, or names that strings were assigned to."""
    tree, texts = ast.parse(path.read_text(encoding="utf-8")), set[str]()
    outer = constants(*(node for node in tree.body if isinstance(node, ast.Assign)))
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        assigned = outer | constants(function)
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "say":
                first = node.args[0]
                texts |= strings(first) if isinstance(first, ast.Constant) else set()
                texts |= assigned.get(first.id, set()) if isinstance(first, ast.Name) else set()
    return texts


def unsaid(path: Path) -> Iterator[str]:
    """Sentences of a module that are not handed to `say`, though they are printed or raised."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    texts = said(path)
    for node in ast.walk(tree):
        is_print = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
        if is_print or isinstance(node, (ast.Raise, ast.Return)):
            yield from (text for text in strings(node) - texts if re.search(r"[a-z]{2,} ", text))
