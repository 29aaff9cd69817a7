"""The page in a real browser: what each panel shows is what the trace has, and each control changes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Browser, running_browser
from look_pages import HALF, SENTENCE, serving

from numpygpt import GPT2, Sampling, softmax
from numpygpt.arrays import Array
from numpygpt.look.page import look
from numpygpt.look.server import LookServer
from numpygpt.look.what_if import divergence
from numpygpt.sampling import sample

pytestmark = pytest.mark.slow
TOP_K = [1, 2, 3, 5, 10, 20, 40, 100, 200, 500, 1000, 2000, 0]  # of the slider


@pytest.fixture(scope="module")
def stories() -> GPT2:
    return GPT2.from_pretrained("stories")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def browser(folder: Path) -> Iterator[Browser]:
    with running_browser(folder) as browser:
        yield browser


@pytest.fixture(scope="module")
def address(stories: GPT2, folder: Path) -> str:
    look(stories, SENTENCE).save(folder / "look.html")
    return (folder / "look.html").as_uri()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Browser]:
    """The page, freshly loaded, which may not have complained or asked for anything else when the test is over."""
    browser.complaints(), browser.requests()
    browser.open(address)
    yield browser
    assert browser.complaints() == []
    assert [url for url in browser.requests() if not url.startswith(("data:", "blob:"))] == [address]


@pytest.fixture
def live(browser: Browser, server: LookServer) -> Iterator[Browser]:
    """The page of a server, under the same conditions."""
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


@pytest.fixture(scope="module")
def kept(stories: GPT2) -> dict[str, Array]:
    return stories.trace(stories.tokenizer.encode(SENTENCE))


def choose(page: Browser, group: str, index: int) -> None:
    """Click one of a group."""
    page.all(f"#{group} [data-item]")[index].click()


# ---- What each panel shows


def test_tokens_and_neighbors(page: Browser, stories: GPT2) -> None:
    ids = stories.tokenizer.encode(SENTENCE)
    assert page.values("#ids rect[data-value]") == ids
    wte = stories.params["wte"]["weight"]
    unit = wte / np.linalg.norm(wte, axis=-1, keepdims=True)
    for position in (28, 4):
        choose(page, "strip", position)
        shown = page.data("#neighbors rect")
        cosine = unit @ unit[ids[position]]
        assert [int(data["id"]) for data in shown] == np.argsort(-cosine)[1:9].tolist()
        values = [float(data["value"]) for data in shown]
        np.testing.assert_allclose(values, np.sort(cosine)[::-1][1:9], rtol=HALF)
    choose(page, "strip", 1)
    assert page.text("#merges") == "bytesOncemerge 1Oncemerge 2Once"  # O n c e, O n ce, O nce


def test_attention(page: Browser, kept: dict[str, Array]) -> None:
    for layer, head, position in ((3, 2, 28), (0, 1, 12), (5, 3, 0)):
        choose(page, "maps", 4 * layer + head)
        choose(page, "strip", position)
        expected = kept[f"h.{layer}.attn.probabilities"][head, position]
        shown = np.zeros(29)
        for data in page.data(f'#lines .edge[data-query="{position}"]'):
            shown[int(data["key"])] = float(data["value"])
        np.testing.assert_allclose(shown, expected, rtol=0, atol=0.5001 / 255)
        assert f"Layer {layer}, head {head}" in page.text("#head")
    patterns = np.stack([kept[f"h.{layer}.attn.probabilities"] for layer in range(6)])
    entropy = -(patterns * np.log2(np.maximum(patterns, 1e-30))).sum(axis=-1).mean(axis=-1)
    np.testing.assert_allclose(page.values("#maps [data-item]"), entropy.ravel(), atol=0.005)


def test_the_pointer_shows_where_a_word_looks(page: Browser, kept: dict[str, Array]) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    choose(page, "maps", 14)
    ActionChains(page.driver).move_to_element(page.all("#lines [data-item]")[26]).perform()
    weights = kept["h.3.attn.probabilities"][2, 26]
    assert sum(page.values('#lines .edge[data-query="26"]')) == pytest.approx(1, abs=0.06)
    assert page.values('#lines text[data-key="18"]') == [pytest.approx(weights[18], abs=0.5001 / 255)]
    assert page.all("#strip [aria-checked=true]")[0].text == "␣her"  # the choice is as it was


def test_residual_stream_and_lens(page: Browser, stories: GPT2, kept: dict[str, Array]) -> None:
    for position in (28, 9):
        choose(page, "strip", position)
        norms = {(d["part"], d["what"]): float(d["value"]) for d in page.data("#parts rect[data-value]")}
        for layer in range(6):
            for part in ("attn", "mlp"):
                name = f"h.{layer}.{part}"
                assert norms[name, "added"] == pytest.approx(np.linalg.norm(kept[name][position]), rel=HALF)
            stream = np.linalg.norm(kept[f"h.{layer}"][position])
            assert norms[f"h.{layer}.mlp", "norm"] == pytest.approx(stream, rel=2 * HALF)
        pushes = [value for (_, what), value in norms.items() if what == "push"]
        logits, wte = kept["logits"][position], stories.params["wte"]["weight"]
        bias = (wte[logits.argmax()] - wte.mean(axis=0)) @ stories.params["ln_f"]["bias"]
        assert sum(pushes) + bias == pytest.approx(logits.max() - logits.mean(), abs=0.05)
    cells = page.data("#lens [data-item]")
    assert [int(cell["id"]) for cell in cells[-29:]] == kept["logits"].argmax(axis=-1).tolist()
    expected = softmax(kept["logits"]).max(axis=-1)
    np.testing.assert_allclose([float(cell["value"]) for cell in cells[-29:]], expected, rtol=2 * HALF)


def test_neurons(page: Browser, kept: dict[str, Array]) -> None:
    for layer, position in ((5, 28), (2, 17)):
        choose(page, "strip", position)
        choose(page, "layers", layer)
        active = kept[f"h.{layer}.mlp.activation"]
        shown = page.data("#strongest [data-item]")
        numbers = [int(data["neuron"]) for data in shown]
        assert numbers == np.argsort(-np.abs(active[position]), kind="stable")[:8].tolist()
        np.testing.assert_allclose([float(d["value"]) for d in shown], active[position, numbers], rtol=HALF)
        choose(page, "strongest", 3)
        np.testing.assert_allclose(page.values("#firing rect[data-value]"), active[:, numbers[3]], rtol=HALF, atol=1e-6)


# ---- The next token


def slide(page: Browser, slider: str, value: float) -> None:
    """Move a slider by the keyboard alone."""
    from selenium.webdriver.common.keys import Keys

    [element] = page.all(f"#{slider}")
    element.send_keys(Keys.HOME)
    element.send_keys(Keys.ARROW_RIGHT * round(value))


@pytest.mark.parametrize("position", [28, 3])
@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"), [(1.0, 0, 1.0), (0.7, 40, 1.0), (1.5, 0, 0.9), (0.35, 5, 0.5), (2.0, 1000, 0.03)]
)
def test_sliders_give_the_distribution_of_sampling(
    page: Browser, kept: dict[str, Array], temperature: float, top_k: int, top_p: float, position: int
) -> None:
    choose(page, "strip", position)
    slide(page, "temperature", temperature / 0.05)
    slide(page, "top-k", TOP_K.index(top_k))
    slide(page, "top-p", top_p / 0.01)
    logits = kept["logits"][position].astype(float)
    sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p)
    expected = softmax(sampling.filter(logits[None], [[]])[0])
    shown = page.run("return Array.from(softmax(filtered(logitsHere(), ...settings()).left))")
    np.testing.assert_allclose(shown, expected, rtol=0, atol=1e-6)
    for kind, probabilities in ((".bar", expected), (".before", softmax(logits))):
        bars = page.data(f"#bars {kind}")
        assert [int(bar["id"]) for bar in bars] == np.argsort(-logits, kind="stable")[:12].tolist()
        np.testing.assert_allclose(
            [float(bar["value"]) for bar in bars], probabilities[[int(bar["id"]) for bar in bars]], atol=1e-6
        )
    assert f"top-p leaves {(expected > 0).sum()}." in page.text("#kept")


def test_temperature_0_is_greedy(page: Browser, kept: dict[str, Array]) -> None:
    slide(page, "temperature", 0)
    assert max(page.values("#bars .bar")) == 1
    assert page.values("#bars .bar").index(1) == 0


class Point:
    """A generator that draws one point, again and again."""

    def __init__(self, point: float) -> None:
        self.point = point

    def random(self, shape: tuple[int, ...]) -> Array:
        return np.full(shape, self.point)


@pytest.mark.parametrize("point", [0.0, 0.02, 0.5, 0.999999])
def test_draw_is_the_sample_of_the_same_point(page: Browser, kept: dict[str, Array], point: float) -> None:
    page.run("Math.random = () => arguments[0]".replace("arguments[0]", str(point)))
    slide(page, "temperature", 30)
    page.all("#draw")[0].click()
    drawn: Any = sample(kept["logits"][-1] / 1.5, Point(point))  # type: ignore[arg-type]
    assert int(page.data("#drawn")[0]["id"]) == int(drawn)
    assert f"{point:.3f}" in page.text("#drawn")


# ---- What if


def compared(page: Browser) -> dict[int, float]:
    """The probabilities after the change."""
    return {int(data["id"]): float(data["value"]) for data in page.data("#compared .changed")}


def until_compared(page: Browser) -> None:
    done = "document.querySelectorAll('#continued p').length == 2 && !document.getElementById('message').textContent"
    page.wait(f"return {done}")


def test_an_ablation_in_the_page_is_the_ablation_in_python(
    live: Browser, stories: GPT2, kept: dict[str, Array]
) -> None:
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
        assert moved == pytest.approx(divergence(kept["logits"][-1], logits), rel=1e-4)
    live.all("#reset")[0].click()
    assert compared(live) == {}
    assert live.all("#switches [aria-pressed=true]") == []


def test_the_button_beside_a_head_switches_that_head(live: Browser, stories: GPT2) -> None:
    choose(live, "maps", 14)
    live.all("#silence")[0].click()
    until_compared(live)
    assert [d["part"] for d in live.data("#switches [aria-pressed=true]")] == ["3 2"]
    assert live.text("#silence") == "Switch this head on"
    assert "head 2 of layer 3" in live.text("#changes")


def test_another_word_and_another_prompt(live: Browser, stories: GPT2) -> None:
    choose(live, "strip", 18)
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


def test_a_file_has_no_controls_that_need_python(page: Browser) -> None:
    assert page.all("#not-live")[0].is_displayed()
    for selector in ("#live", "#ask", "#silence", "#append", "#what-if .save"):
        assert not any(element.is_displayed() for element in page.all(selector)), selector


def test_what_cannot_be_is_said(live: Browser) -> None:
    live.run("document.getElementById('prompt').value = 'ball '.repeat(300)")
    live.all("#ask button")[0].click()
    live.wait("return document.getElementById('message').textContent.includes('at most 256')")
    assert len(live.all("#strip button")) == 29
    complaints = live.complaints()  # the browser itself notes the status of the answer
    assert all("400 (Bad Request)" in complaint for complaint in complaints)
