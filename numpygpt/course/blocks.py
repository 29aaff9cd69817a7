"""Where a function stands in a file's text, found without parsing it: the file may be no Python yet."""

from __future__ import annotations

import ast
import re
import textwrap

AFTER = r"(def|class|async|import|from)\b|@|if __name__|[A-Za-z_]\w* *= "  # what begins something new


def block(text: str, attribute: str) -> tuple[int, int] | None:
    """Return the first line of a function, or a class's method, and the line after its last, both from 0 on.

    The last one of that name, which counts in Python too; None where there is none.
    """
    lines = text.splitlines()
    *owners, name = attribute.split(".")
    start, end, depth = 0, len(lines), ""
    for word, kind in [*((owner, "class") for owner in owners), (name, "def")]:
        found = [i for i in range(start, end) if re.match(rf"{depth}(async )?{kind} +{word}\b", lines[i])]
        if not found:
            return None
        start = found[-1]
        indent = depth.replace(r"\s+", " {0,4}")
        end = next((i for i in range(start + 1, end) if re.match(indent + f"({AFTER})", lines[i])), end)
        depth = r"\s+"
    while not lines[end - 1].strip():
        end -= 1
    return start, end


def parsed(text: str, attribute: str) -> ast.FunctionDef | None:
    """Parse a function of a file alone; None where it is not there, or is no Python itself."""
    if (found := block(text, attribute)) is None:
        return None
    try:
        [node] = ast.parse(textwrap.dedent("\n".join(text.splitlines()[slice(*found)]))).body
    except (SyntaxError, ValueError):
        return None
    return node if isinstance(node, ast.FunctionDef) else None
