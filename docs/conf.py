"""The site: `pip install -e ".[docs]" && python -m sphinx -W -b html docs OUT`, without network.

In Chinese, `python -m sphinx -W -b html -D language=zh_CN docs OUT/zh`. Where both are wanted, this one comes first.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import gather  # noqa: E402
from docutils import nodes  # noqa: E402
from sphinx.search.zh import SearchChinese  # noqa: E402

from numpygpt.version import __version__  # noqa: E402

project, release = "numpygpt", __version__
extensions = ["myst_parser", "sphinx_copybutton"]
exclude_patterns = ["_build", "*.zh.md"]
language = "en"
templates_path, locale_dirs = ["_templates"], ["locales"]
html_theme = "furo"
html_title, html_show_copyright = "numpygpt", False
sidebar = [f"sidebar/{part}.html" for part in ("brand", "search", "scroll-start", "navigation", "scroll-end")]
html_sidebars = {"**": [sidebar[0], "language.html", *sidebar[1:]]}
SearchChinese.language_name = "English"  # its stemmer is; Sphinx 9 looks for a Chinese one (sphinx-doc/sphinx#14229)
html_search_options = {"dict": str(gather.TERMS)}  # of the Chinese search alone
html_static_path = ["_static"]
html_css_files = ["site.css", "katex/katex.min.css"]
html_js_files = ["katex/katex.min.js", "math.js"]
html_math_renderer = "katex"
html_copy_source = html_show_sourcelink = False

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]  # cards begin where they like
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def formula(translator: Any, node: Any) -> None:
    """Write a formula as TeX, for KaTeX in the browser."""
    tag = "div" if isinstance(node, nodes.math_block) else "span"
    translator.body.append(f'<{tag} class="tex">{translator.encode(node.astext())}</{tag}>')
    raise nodes.SkipNode


def setup(app: Any) -> None:
    """Gather the pages before they are read, and add what a browser alone opens when they are written."""
    app.add_html_math_renderer("katex", (formula, None), (formula, None))
    app.connect("builder-inited", lambda app: gather.pages(Path(app.srcdir), app.config.language))
    app.connect("source-read", gather.read)
    app.connect("html-page-context", gather.switch)
    app.connect("build-finished", lambda app, error: error or gather.extras(Path(app.outdir), app.config.language))
