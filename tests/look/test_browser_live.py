"""The page of a server in a real browser: other prompts, and what if."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from browser import Browser
from look_pages import SENTENCE, serving

from numpygpt import GPT2, softmax
from numpygpt.arrays import Array
from numpygpt.look.server import LookServer
from numpygpt.look.what_if import divergence

pytestmark = pytest.mark.slow


@pytest.fixture
def live(browser: Browser, server: LookServer) -> Iterator[Browser]:
    """The page of a server, which may not complain, nor ask anyone but its server."""
    browser.complaints(), browser.requests()
    browser.open(server.url)
    yield browser
    assert browser.complaints() == []
    own = {server.url, f"{server.url}look", f"{server.url}what-if"}
    assert {url for url in browser.requests() if not url.startswith(("data:", "blob:"))} <= own


@pytest.fixture(scope="module")
def server(stories: GPT2) -> Iterator[LookServer]:
    with serving(stories, SENTENCE) as server:
        yield server


def compared(page: Browser) -> dict[int, float]:
    """The probabilities after the change."""
    return {int(data["id"]): float(data["value"]) for data in page.data("#compared .changed")}


def until_compared(page: Browser) -> None:
    done = "document.querySelectorAll('#continued p').length == 2 && !document.getElementById('message').textContent"
    page.wait(f"return {done}")


def test_an_ablation_in_the_page_is_the_ablation_in_python(live: Browser, stories: GPT2) -> None:
    def hook(name: str, array: Array) -> Array | None:
        if name == "h.3.attn.heads":
            return np.asarray(array * (np.arange(4) != 2)[:, None, None])
        return 0 * array if name == "h.1.mlp" else None

    ids = stories.tokenizer.encode(SENTENCE)
    for clicks, silent in (
        (['[data-part="3 2"]'], lambda name, array: hook(name, array) if "attn" in name else None),
        (['[data-part="1"]'], hook),
    ):
        for selector in clicks:
            live.all(f"#switches {selector}")[0].click()
        until_compared(live)
        logits = stories.trace(ids, silent)["logits"][-1]
        expected = softmax(logits.astype(float))
        for token_id, probability in compared(live).items():
            assert probability == pytest.approx(expected[token_id], abs=1e-6)
        moved = float(live.data("#changes")[0]["divergence"])
        assert moved == pytest.approx(divergence(stories.trace(ids)["logits"][-1], logits), rel=1e-4)
    live.all("#reset")[0].click()
    assert compared(live) == {}
    assert live.all("#switches [aria-pressed=true]") == []


def test_the_button_beside_a_head_switches_that_head(live: Browser, stories: GPT2) -> None:
    live.choose("maps", 14)
    live.all("#silence")[0].click()
    until_compared(live)
    assert [d["part"] for d in live.data("#switches [aria-pressed=true]")] == ["3 2"]
    assert live.text("#silence") == "Switch this head on"
    assert "head 2 of layer 3" in live.text("#changes")


def test_another_word_and_another_prompt(live: Browser, stories: GPT2) -> None:
    live.choose("strip", 18)
    live.all("#with")[0].send_keys(" doll")
    live.all("#replace button")[0].click()
    until_compared(live)
    text = SENTENCE.replace("ball", "doll")
    expected = softmax(stories.logits(stories.tokenizer.encode(text))[-1].astype(float))
    for token_id, probability in compared(live).items():
        assert probability == pytest.approx(expected[token_id], abs=1e-5)
    assert stories.generate(text, 12).split(".")[0] in live.text("#continued")

    other = "Tom saw a cat. The"
    ids = stories.tokenizer.encode(other)
    [prompt] = live.all("#prompt")
    prompt.clear()
    prompt.send_keys(other)
    live.all("#ask button")[0].click()
    live.wait(f"return document.querySelectorAll('#strip button').length == {len(ids)}")
    assert live.values("#ids rect[data-value]") == ids
    assert live.values("#bars .bar")[0] == pytest.approx(stories.top(other, 1)[0][1], abs=1e-5)
    live.run("Math.random = () => 0.5")
    live.all("#draw")[0].click()
    drawn = int(live.data("#drawn")[0]["id"])
    live.all("#append")[0].click()
    live.wait(f"return document.querySelectorAll('#strip button').length == {len(ids) + 1}")
    assert live.values("#ids rect[data-value]")[-1] == drawn


def test_what_cannot_be_is_said(live: Browser) -> None:
    live.run("document.getElementById('prompt').value = 'ball '.repeat(300)")
    live.all("#ask button")[0].click()
    live.wait("return document.getElementById('message').textContent.includes('at most 256')")
    assert len(live.all("#strip button")) == 29
    complaints = live.complaints()  # the browser itself notes the status of the answer
    assert all("400 (Bad Request)" in complaint for complaint in complaints)
