"""The site: it builds without a warning, asks for nothing from elsewhere, and has everything that it promises."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from browser import Browser, running_browser
from command_runs import ENVIRONMENT

from tutorials import chinese
from tutorials.notebooks import PAGES

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site, with the Chinese one in it, from a checkout without `.git`."""
    for name in ("sphinx", "myst_parser", "furo", "sphinx_copybutton", "jieba"):
        pytest.importorskip(name)
    folder = tmp_path_factory.mktemp("site")
    source, out = folder / "checkout", folder / "out"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "checkpoints", "__pycache__", "build"))
    for options, place in (["-D", "language=zh_CN"], out / "zh"), ([], out):
        command = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", *options, "docs", str(place)]
        result = subprocess.run(command, cwd=source, env=ENVIRONMENT, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr[-2000:]
    return out


class Addresses(HTMLParser):
    """What a page loads, what it links to, and the names of its parts."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads: set[str] = set()
        self.links: set[str] = set()
        self.ids: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids.add(found.get("id") or "")
        target = found.get("href") or found.get("src") or ""
        is_loaded = tag in ("script", "img", "iframe") or (tag == "link" and found.get("rel") != "canonical")
        (self.loads if is_loaded else self.links).add(target)


def test_nothing_comes_from_elsewhere_and_every_link_leads_somewhere(site: Path) -> None:
    pages = {path: Addresses(path) for path in site.rglob("*.html") if "look" not in path.parts}
    assert len(pages) > 160
    for path, page in pages.items():
        for target in page.loads - {""}:
            assert not re.match(r"(https?:)?//", target), (path, target)
        for target in page.links - {""}:
            file, _, fragment = target.partition("#")
            there = (path.parent / file).resolve() if file else path
            if not re.match(r"https?:|mailto:", target):
                assert there.exists(), (path, target)
                assert not fragment or there not in pages or fragment in pages[there].ids, (path, target)


def test_links_to_elsewhere_are_listed(site: Path) -> None:
    for name, page in ("external-links.txt", "tutorials/"), ("zh/external-links.txt", "tutorials/zh/"):
        listed = dict(line.split("  ") for line in (site / name).read_text(encoding="utf-8").splitlines())
        assert f"{page}05-the-whole-model.md" in listed["https://github.com/huggingface/safetensors"].split(", ")
        assert all(re.match(r"https?://\w", address) for address in listed)


def test_every_tutorial_is_there_with_its_notebook_and_its_old_anchors(site: Path) -> None:
    for page in PAGES:
        built = Addresses(site / "tutorials" / f"{page.stem}.html")
        notebook = f"../notebooks/{page.stem}.ipynb"
        assert notebook in built.links
        json.loads((site / "tutorials" / notebook).read_text(encoding="utf-8"))
        text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
            assert re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") in built.ids, heading


def test_the_same_page_in_the_other_language_is_one_click_away(site: Path) -> None:
    for page in chinese.pages():
        name = f"tutorials/{page.stem}.html"
        assert f"../zh/{name}" in Addresses(site / name).links
        built = (site / "zh" / name).read_text(encoding="utf-8")
        assert f"../../{name}" in Addresses(site / "zh" / name).links
        assert '<html class="no-js" lang="zh-CN"' in built
        title = page.read_text(encoding="utf-8").splitlines()[0]
        assert title.removeprefix("# ") in built


def test_the_chinese_site_is_chinese_around_its_pages(site: Path) -> None:
    page = (site / "zh" / "tutorials" / "07-fast-decoding.html").read_text(encoding="utf-8")
    assert all(text in page for text in ("下一页", "上一页", "本页内容", "回到顶部"))
    assert "page07_cache.zh.svg" in page
    for path in (site / "zh" / "look").glob("*.html"):
        assert '<html lang="zh-CN">' in path.read_text(encoding="utf-8")


def test_no_formula_is_left_unread(site: Path) -> None:
    """No dollar sign in the text, outside of code."""
    other = re.compile(r'<(script|style|pre|code)\b.*?</\1>|<(span|div) class="tex">.*?</\2>|<[^>]*>', re.DOTALL)
    for path in site.rglob("tutorials/*.html"):
        assert "$" not in other.sub("", path.read_text(encoding="utf-8")), path


def test_functions_are_in_the_reference_and_terms_in_the_search(site: Path) -> None:
    layers = (site / "api" / "layers.html").read_text(encoding="utf-8")
    assert 'id="layer-norm"' in layers
    assert "Scaled dot-product attention" in layers
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    assert all(f"{word}" in index for word in ("softmax", "perplex", "residu"))
    assert 'href="glossary.html#softmax"' in (site / "tutorials" / "03-attention.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with running_browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_pages_in_a_browser(site: Path, browser: Browser, width: int, theme: str) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.requests(), browser.complaints()
    pages = ("index", "tutorials/03-attention", "tutorials/09-learning", "api/layers", "models/stories")
    for name in (*pages, "zh/index", "zh/tutorials/01-text-becomes-numbers", "zh/tutorials/03-attention"):
        browser.driver.get((site / f"{name}.html").as_uri())
        assert browser.run("return document.documentElement.scrollWidth") <= width
        formulas, written = browser.run(
            "return [document.querySelectorAll('.tex').length, document.querySelectorAll('.tex .katex').length]"
        )
        assert written == formulas
        assert formulas or not name.startswith("tutorials")
    assert browser.complaints() == []
    assert all(url.startswith(("file:", "data:")) for url in browser.requests())


def test_the_search_finds_a_page(site: Path, browser: Browser) -> None:
    browser.driver.get((site / "search.html").as_uri() + "?q=softmax")
    browser.wait("return document.querySelectorAll('#search-results li').length > 3")
    assert "Attention" in browser.text("#search-results")


@pytest.mark.parametrize(
    ("term", "page"),
    [("注意力", "3. 注意力"), ("自注意力", "那些文章说错了什么"), ("词元", "1. 文本变成数字")],
)
def test_the_search_finds_a_page_by_a_chinese_term(site: Path, browser: Browser, term: str, page: str) -> None:
    browser.driver.get((site / "zh" / "search.html").as_uri() + f"?q={term}")
    for title in (page, "术语表"):  # results come one after the other
        browser.wait(f"return document.querySelector('#search-results').innerText.includes('{title}')")
