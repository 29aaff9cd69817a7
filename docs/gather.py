"""What the site is made of: the tutorials, cards and reports as they lie in the repository, and the API reference.

They are copied into this folder under other names (`PLACES`), with their links changed to where things are on the
site; git ignores the copies. In Chinese, a page that has no Chinese twin yet is the English one, and what is not a
tutorial is English anyway.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
from pathlib import Path
from typing import Any

from docutils.nodes import make_id

from numpygpt import GPT2, Translator
from numpygpt.files import atomic_write
from numpygpt.look.page import look, look_at_translation
from tutorials import chinese, notebooks

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "numpygpt"
FENCE = re.compile(r"^( *```.*?^ *```)$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
ADDRESS = re.compile(r"https?://[\w./:?=&%#~+-]*[\w/]")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
ITALIC = re.compile(r"(?<!\*)\*(?![*\s])([^*\n]*[^*\s])\*(?!\*)")
OTHER_EDITION = re.compile(r"^\[(English|中文)\]\(\S+\)\n\n", re.MULTILINE)  # the site has its own link for that
LOOKS = {  # a page that looks inside, for a tutorial's own example
    "03-attention": "The little boat went to the",
    "10-looking-inside": "There was a cat named Zorp. Zorp liked to play. One day, Z",
    "11-the-original-transformer": "Where is the station?",
}
ENGLISH = {  # a file of the repository -> the page of the site
    **{path: f"tutorials/{path.name}" for path in sorted((ROOT / "tutorials").glob("*.md"))},
    **{path: f"models/{path.parent.name}.md" for path in sorted((ROOT / "weights").glob("*/README.md"))},
    ROOT / "docs" / "use.md": "use.md",
    ROOT / "docs" / "index.md": "index.md",
    ROOT / "CHANGELOG.md": "about/changes.md",
    ROOT / "CONTRIBUTING.md": "about/contributing.md",
    ROOT / "tests" / "README.md": "about/checks.md",
    ROOT / "benchmarks" / "README.md": "about/speed.md",
}
TWINS = {chinese.english(path): path for path in chinese.pages()}
PLACES = {
    "en": ENGLISH,
    "zh_CN": {TWINS.get(path, path): place for path, place in ENGLISH.items()}
    | {ROOT / "docs" / "index.zh.md": "index.md"},
}
TERMS = ROOT / "docs" / "tutorials" / "terms.txt"  # the words that the Chinese search does not cut
COPIED = ("tutorials", "models", "about", "api")  # the folders that this module fills


def modules() -> list[Path]:
    """Return the modules that the API reference shows, the book first."""
    book = sorted(path for path in PACKAGE.glob("*.py") if not path.stem.startswith("__"))
    rooms = ("engine", "backward", "models", "train", "course", "look")
    found = book + [path for room in rooms for path in sorted((PACKAGE / room).glob("*.py"))]
    return [path for path in found if not path.stem.startswith("__") and ast.parse(path.read_text("utf-8")).body[1:]]


def pages(folder: Path, language: str) -> None:
    """Write every page of the site into a folder."""
    for name in COPIED:
        shutil.rmtree(folder / name, ignore_errors=True)
    for source, place in PLACES[language].items():
        if source.parent != ROOT / "docs":
            write(folder / place, page(source, language))
    for path in modules():
        write(folder / api_page(path), api(path))
    write(folder / "api" / "index.md", api_index())
    if language == "zh_CN":
        write(TERMS, "\n".join(term for term in glossary(language) if re.fullmatch("[一-鿿]{2,}", term)))


def read(app: Any, name: str, text: list[str]) -> None:
    """Change the links of a page that lies in this folder, as it is read."""
    places = PLACES[app.config.language]
    for source in (path for path, place in places.items() if place == f"{name}.md" and path.parent == ROOT / "docs"):
        text[0] = page(source, app.config.language)


def switch(app: Any, name: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Tell a page's template where the same page is in the other language, if that site was built beside this one.

    The Chinese one lies in the folder `zh` of the English one, and is built first.
    """
    up, out = "../" * name.count("/"), Path(app.outdir)
    if app.config.language == "en" and (out / "zh" / "index.html").exists():
        context["other_language"] = ("中文", f"{up}zh/{name}.html")
    elif app.config.language == "zh_CN" and out.name == "zh":
        context["other_language"] = ("English", f"{up}../{name}.html")


def write(path: Path, text: str) -> None:
    """Write a text to a file, in a folder that may have to be made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(text.encode())


def extras(out: Path, language: str) -> None:
    """Put notebooks, pages that look inside, and a list of the links that lead elsewhere beside the finished site."""
    write(out / "external-links.txt", external(language))
    found = ROOT / "tutorials" / "notebooks"
    shutil.copytree(found, out / "notebooks", ignore=lambda *_: ["zh"], dirs_exist_ok=True)
    if language == "zh_CN":
        shutil.copytree(found / "zh", out / "notebooks", dirs_exist_ok=True)
    (out / "look").mkdir(exist_ok=True)
    there, lang = "../tutorials/", language.partition("_")[0]
    for name, text in LOOKS.items():
        if name.startswith("11"):
            translator = Translator.from_pretrained("english-french")
            seen = look_at_translation(translator, text, tutorials=there, lang=lang)
        else:
            seen = look(GPT2.from_pretrained("stories"), text, tutorials=there, lang=lang)
        seen.save(out / "look" / f"{name}.html")


def external(language: str) -> str:
    """Return the addresses outside the site, which no build asks for, each with the files that name it."""
    found: dict[str, list[str]] = {}
    for source in PLACES[language]:
        for address in sorted(set(ADDRESS.findall(source.read_text(encoding="utf-8")))):
            found.setdefault(address, []).append(source.relative_to(ROOT).as_posix())
    return "".join(f"{address}  {', '.join(sources)}\n" for address, sources in sorted(found.items()))


def page(source: Path, language: str) -> str:
    """Return a file of the repository as a page of the site."""
    terms = {} if source.name == "glossary.md" or "tutorials" not in source.parts else glossary(language)
    text = OTHER_EDITION.sub("", source.read_text(encoding="utf-8"), count=1)
    parts = FENCE.split(text)  # prose, fence, prose, ...
    for at in range(0, len(parts), 2):
        prose = HEADING.sub(with_anchor, parts[at])
        prose = ITALIC.sub(lambda found: linked_term(found, terms), prose)
        parts[at] = LINK.sub(lambda link: moved(link, source, PLACES[language]), prose)
    return "".join(parts) + offers(source, language)


def offers(source: Path, language: str) -> str:
    """Return the end of a tutorial: its notebook, and a page that looks inside its example."""
    if (ROOT / "tutorials" / source.name) not in notebooks.PAGES:
        return ""
    of_page, inside = ("This page as a notebook", "Look inside")
    if language == "zh_CN":
        of_page, inside = ("这一页的笔记本", "往里看：")
    lines = [f'<a href="../notebooks/{source.stem}.ipynb" download>{of_page}</a>']
    if source.stem in LOOKS:
        lines.append(f'<a href="../look/{source.stem}.html">{inside} “{LOOKS[source.stem]}”</a>')
    return "\n---\n\n" + " · ".join(lines) + "\n"


def with_anchor(heading: re.Match[str]) -> str:
    """Return a heading that can be linked to as in a forge, where its own name on the site is another."""
    name = slug(heading[1])
    return heading[0] if make_id(heading[1]) == name else f'<span id="{name}"></span>\n\n{heading[0]}'


def slug(heading: str) -> str:
    """Return the name that a forge gives to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def glossary(language: str) -> dict[str, str]:
    """Return the anchors of the glossary by the forms of its terms, in lower case."""
    text = (ROOT / "tutorials" / "glossary.md").read_text(encoding="utf-8")
    if language == "zh_CN":
        text = (chinese.FOLDER / "glossary.md").read_text(encoding="utf-8")
    found = {}
    for term, also in re.findall(r"^### (.+)\n\n(?:\*(?:Also: |又称：)([^*]+?)\.?\*)?", text, re.MULTILINE):
        for form in [*re.split("[（）]", term), *re.split(", |、", also.replace("\n", " "))]:
            found[form.strip().lower()] = make_id(term) if language == "en" else slug(term)
    return found


def linked_term(italic: re.Match[str], terms: dict[str, str]) -> str:
    """Return a term in italics, which is where a page explains it, with a link to the glossary."""
    word = italic[1].lower()
    anchor = terms.get(word) or terms.get(word.removesuffix("s"))
    return italic[0] if anchor is None else f'<a class="term" href="glossary.html#{anchor}"><em>{italic[1]}</em></a>'


def moved(link: re.Match[str], source: Path, places: dict[Path, str]) -> str:
    """Return a link of a file of the repository as it must be on the site; what is not there becomes plain text."""
    image, text, target = link.groups()
    if re.match(r"https?:|mailto:|#", target):
        return link[0]
    path, _, fragment = target.partition("#")
    file = Path(os.path.normpath(source.parent / path))
    here = (ROOT / "docs" / places[source]).parent
    if image:
        if file.parent != here:
            here.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, here / file.name)
        return f"![{text}]({file.name})"
    if file.is_dir() and ((file / "README.md") in places or (file / "README.md") in TWINS):
        file /= "README.md"
    if file not in places and TWINS.get(file) in places:
        file, fragment = TWINS[file], ""
    if file in places:
        there = Path(os.path.relpath(ROOT / "docs" / places[file], here)).as_posix()
        return f"[{text}]({there}{'#' + fragment if fragment else ''})"
    if file in modules():
        return f"[{text}]({Path(os.path.relpath(ROOT / 'docs' / api_page(file), here)).as_posix()})"
    return text


def api_page(path: Path) -> str:
    """Return where a module's page is."""
    return f"api/{'.'.join(path.relative_to(PACKAGE).with_suffix('').parts)}.md"


def api_index() -> str:
    """Return the first page of the API reference."""
    lines = ["# API reference", "", "From the docstrings; every page ends with the source.", ""]
    lines += ["```{toctree}", ":maxdepth: 1", ""]
    return "\n".join([*lines, *(Path(api_page(path)).stem for path in modules()), "```", ""])


def api(path: Path) -> str:
    """Return the page of a module: its docstring, those of what it defines, and its source."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    lines = [f"# {name}", "", shown(ast.get_docstring(tree)), ""]
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            lines += definition(node, "##")
            methods = node.body if isinstance(node, ast.ClassDef) else []
            for method in methods:
                if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                    lines += definition(method, "###")
    source = Path(os.path.relpath(path, ROOT / "docs" / "api")).as_posix()
    return "\n".join([*lines, "## Source", "", f"```{{literalinclude}} {source}", ":language: python", "```", ""])


def definition(node: ast.FunctionDef | ast.ClassDef, level: str) -> list[str]:
    """Return the heading, the signature and the docstring of a function or a class."""
    head = ast.unparse(ast.copy_location(without_body(node), node)).removesuffix("\n    ...")
    return [f"{level} {node.name}", "", "```python", head, "```", "", shown(ast.get_docstring(node)), ""]


def without_body(node: ast.FunctionDef | ast.ClassDef) -> ast.stmt:
    """Return a definition of which nothing but its first line is left."""
    dots: list[ast.stmt] = [ast.Expr(ast.Constant(...))]
    if isinstance(node, ast.ClassDef):
        return ast.ClassDef(node.name, node.bases, node.keywords, dots, node.decorator_list)
    return ast.FunctionDef(node.name, node.args, dots, node.decorator_list, node.returns)


def shown(docstring: str | None) -> str:
    """Return a docstring as Markdown: examples and formulas in fences."""
    parts = []
    for part in re.split(r"\n\n", docstring or ""):
        if part.startswith(">>>"):
            parts.append(f"```pycon\n{part}\n```")
        elif part.startswith("    "):
            parts.append(part)  # a formula
        else:
            pieces = re.split(r"(`[^`]*`)", part)
            pieces[::2] = [piece.replace("<", "&lt;").replace("$", "&#36;") for piece in pieces[::2]]
            parts.append("".join(pieces))
    return "\n\n".join(parts)
