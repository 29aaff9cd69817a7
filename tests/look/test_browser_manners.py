"""The page in a real browser: hostile prompts, keyboard, names, contrast, widths, saved pictures, speed."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Browser
from look_pages import SENTENCE

from numpygpt import GPT2, Tokenizer, softmax
from numpygpt.engine.translate import cross_attention
from numpygpt.look import translation
from numpygpt.look.page import look
from numpygpt.transformer_config import TransformerConfig, initialize
from numpygpt.translator import Translator

pytestmark = pytest.mark.slow
HOSTILE = "</script><img src=x onerror=\"document.title='no'\"><svg onload=alert(1)> \u202e \x00 🐈"

CONTRASTS = """
const luminance = ([r, g, b]) => [r, g, b].map((value) => value / 255)
  .map((value) => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
  .reduce((sum, value, channel) => sum + value * [0.2126, 0.7152, 0.0722][channel], 0);
const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
const opaque = (color) => color.startsWith("rgb") && (numbers(color)[3] ?? 1) > 0.5;
function behind(element) {
  const svg = element.closest("svg");
  if (svg) {
    const box = element.getBoundingClientRect();
    const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
    let found = null;
    for (const rect of svg.querySelectorAll("rect")) {
      if (!(rect.compareDocumentPosition(element) & Node.DOCUMENT_POSITION_FOLLOWING)) continue;
      const area = rect.getBoundingClientRect();
      const fill = getComputedStyle(rect).fill;
      if (opaque(fill) && area.left <= x && x <= area.right && area.top <= y && y <= area.bottom) found = fill;
    }
    if (found) return numbers(found);
  }
  for (let at = element; at; at = at.parentElement) {
    const color = getComputedStyle(at).backgroundColor;
    if (opaque(color)) return numbers(color);
  }
  return [255, 255, 255];
}
const poor = [];
let n = 0;
for (const element of document.querySelectorAll("body *:not(script)")) {
  const texts = [...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data.trim());
  const text = texts.join("");
  if (!text || !element.getClientRects().length || element.closest("title")) continue;
  const style = getComputedStyle(element);
  const [a, b] = [numbers(element.closest("svg") ? style.fill : style.color), behind(element)].map(luminance);
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  n += 1;
  if (ratio < 4.5) poor.push(`${text}: ${ratio.toFixed(2)}`);
}
return [n, poor];
"""


@pytest.fixture(scope="module")
def address(stories: GPT2, browser: Browser) -> str:
    return browser.save(look(stories, SENTENCE).html)


def saved(browser: Browser, panel: str) -> ElementTree.Element:
    """Save a panel, and read the file, once it is there and whole."""
    path = browser.folder / f"{panel}.svg"
    path.unlink(missing_ok=True)
    browser.run("document.querySelector(arguments[0]).click()", f"#{panel} .save")
    browser.wait_for(lambda: path.exists() and path.read_text(encoding="utf-8").endswith("</svg>"))
    return ElementTree.parse(path).getroot()


def test_hostile_prompts_are_text(browser: Browser, stories: GPT2) -> None:
    browser.complaints()
    browser.open(browser.save(look(stories, HOSTILE).html, "hostile.html"))
    assert browser.driver.title == "Look inside a prompt"
    assert browser.all("img, body script[src]") == []
    shown = "".join(button.text for button in browser.all("#strip button"))
    assert shown.startswith("</script><img␣src=x␣onerror=\"document.title='no'\"><svg␣onload=alert(1)>␣")
    assert r"\xf0\x9f" in shown
    for index in range(0, len(browser.all("#strip button")), 7):
        browser.all("#strip button")[index].click()
    words = [element.text for element in saved(browser, "tokens").iter()]
    assert any("</script><img src=x onerror=" in str(text) for text in words)
    assert browser.complaints() == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1000, 1920])
def test_it_fits_every_width_and_every_text_can_be_read(browser: Browser, address: str, width: int, theme: str) -> None:
    browser.open(address, width, theme)
    assert browser.run("return document.documentElement.dataset.theme") == theme
    assert browser.run("return document.documentElement.scrollWidth") <= width
    titles = browser.run(
        "return [...document.querySelectorAll('#parts text.quiet')].map((t) => t.getBoundingClientRect())"
    )
    for one, other in pairwise(titles):
        assert one["right"] < other["left"]
    n, poor = browser.run(CONTRASTS)
    assert n > 500
    assert poor == []


def test_the_button_changes_the_theme(browser: Browser, address: str) -> None:
    browser.open(address, theme="dark")
    before = browser.run("return document.querySelector('#maps image').getAttribute('href')")
    browser.all("#theme")[0].click()
    assert browser.run("return document.documentElement.dataset.theme") == "light"
    assert browser.run("return document.querySelector('#maps image').getAttribute('href')") != before


def test_the_keyboard_alone_reaches_everything(browser: Browser, address: str) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.open(address)
    reached = set()
    while True:
        browser.press(Keys.TAB)
        element = browser.run(
            "const e = document.activeElement;"
            "return e.id || `${e.closest('[id]')?.id ?? 'foot'} ${e.getAttribute('class')}`"
        )
        if element in reached or browser.run("return document.activeElement === document.body"):
            break
        reached.add(element)
        focused = browser.driver.switch_to.active_element
        assert focused.accessible_name, element
        assert browser.run("return arguments[0].matches(':focus-visible')", focused), element
    saves = {f"{panel} save" for panel in ("tokens", "attention", "residual", "neurons", "next")}
    groups = {"strip token", "layers null"} | {f"{group} null" for group in ("maps", "lines", "lens", "strongest")}
    assert saves | groups | {"theme", "temperature", "top-k", "top-p", "draw"} <= reached


@pytest.mark.parametrize(
    ("group", "keys", "shown"),
    [
        ("strip", "ARROW_LEFT", "After ␣with the model says"),
        ("strip", "HOME", "After O the model says"),
        ("maps", "ARROW_UP", "Layer 2, head 2"),
        ("maps", "END", "Layer 5, head 3"),
        ("lines", "ARROW_UP", "After ␣with the model says"),
        ("lens", "ARROW_UP", "and h.4:"),
        ("lens", "ARROW_LEFT", "After ␣with the model says"),
        ("layers", "ARROW_LEFT", "of layer 4 fires"),
    ],
)
def test_arrow_keys_move_within_a_group(browser: Browser, address: str, group: str, keys: str, shown: str) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.open(address)
    assert shown not in browser.text("body main") + browser.text("#summary")
    browser.run("document.querySelector(arguments[0]).focus()", f'#{group} [data-item][tabindex="0"]')
    browser.press(getattr(Keys, keys))
    assert shown in browser.text("body main") + browser.text("#summary")
    here = "const e = document.activeElement; return [e.closest('[id]').id, e.getAttribute('aria-checked')]"
    assert browser.run(here) == [group, "true"]


def test_everything_has_a_name(browser: Browser, address: str) -> None:
    browser.open(address)
    for element in browser.all("button, input, a, [role=radio], [role=radiogroup], svg[role]")[::3]:
        assert element.accessible_name or not element.is_displayed()


def test_saved_pictures_stand_on_their_own(browser: Browser, address: str) -> None:
    browser.open(address)
    for panel in ("tokens", "attention", "residual", "neurons", "next"):
        picture = saved(browser, panel)
        words = [element.text for element in picture.iter("{http://www.w3.org/2000/svg}text")]
        assert "␣ball" in words, panel
        assert f"“{SENTENCE}”" in str(words[0])
        assert panel != "residual" or {"wte + wpe", "h.5"} <= set(words)
        for element in picture.iter():
            assert element.get("class") is None
            assert "var(" not in str(element.attrib)


def test_pages_of_the_tutorials_are_links_where_there_is_a_site(browser: Browser, stories: GPT2) -> None:
    browser.open(browser.save(look(stories, SENTENCE, tutorials="../tutorials/").html, "site.html"))
    links = browser.run("return [...document.querySelectorAll('.end a')].map((a) => a.getAttribute('href'))")
    assert len(links) == 6
    for link in links:
        page = Path(__file__).parents[1] / link.replace(".html", ".md")
        assert page.exists()


def test_a_notebook_shows_it_in_a_frame(browser: Browser, stories: GPT2) -> None:
    """The frame is closed off: scripts may run in it, and reach nothing of the notebook."""
    shown = f"<!doctype html><meta charset='utf-8'><title>notebook</title>{stories.look(SENTENCE)._repr_html_()}"
    browser.complaints()
    browser.driver.get(browser.save(shown, "notebook.html"))
    browser.driver.switch_to.frame(browser.all("iframe")[0])
    browser.wait("return document.querySelectorAll('#maps image').length == 24")
    browser.all("#strip button")[3].click()
    assert "After ␣a the model says" in browser.text("#summary")
    browser.driver.switch_to.default_content()
    assert browser.complaints() == []


def test_a_translation(browser: Browser) -> None:
    special = {"</s>": 299, "<pad>": 300, "<s>": 301}
    tokenizer = Tokenizer(Tokenizer().merges[:43], special_tokens=special, eot_id=299, suffix=[299])
    config = TransformerConfig(vocab_size=302, d_model=16, max_position_embeddings=40, decoder_layers=2)
    translator = Translator(config, initialize(config, seed=2), tokenizer)
    browser.complaints()
    browser.open(browser.save(translator.look("Where is the boat?").html, "translation.html"))
    seen = translation.view(translator, "Where is the boat?")
    weights = cross_attention(seen["source_ids"], seen["ids"], translator.params, config)
    browser.all("#maps [data-item]")[1].click()
    browser.all("#strip button")[2].click()
    shown = np.zeros(len(seen["source_ids"]))
    for data in browser.data('#lines .edge[data-query="2"]'):
        shown[int(data["key"])] = float(data["value"])
    np.testing.assert_allclose(shown, weights[0][1, 2], rtol=0, atol=0.5001 / 255)
    assert not browser.all("#residual")[0].is_displayed()
    ids = [config.decoder_start_token_id, *seen["ids"][:2]]
    logits = translator.logits(seen["source_ids"], ids)[-1].astype(float)
    logits[300] = -np.inf
    expected = np.sort(softmax(logits))[::-1][:12]
    np.testing.assert_allclose(browser.values("#bars .bar"), expected, atol=1e-6)
    assert browser.complaints() == []


def test_it_is_painted_within_half_a_second(browser: Browser, address: str) -> None:
    times: list[Any] = []
    for _ in range(5):
        browser.open(address)
        browser.wait("return performance.getEntriesByName('first-contentful-paint').length > 0")
        times.append(browser.run("return performance.getEntriesByName('first-contentful-paint')[0].startTime"))
    assert min(times) < 500
