"""The page in a real browser: what each panel shows is what the trace has, and each control changes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from browser import Browser
from look_pages import HALF, SENTENCE, unpack

from numpygpt import GPT2, Sampling, softmax
from numpygpt.arrays import Array
from numpygpt.look.page import look
from numpygpt.look.view import view
from numpygpt.sampling import sample

pytestmark = pytest.mark.slow
TOP_K = [1, 2, 3, 5, 10, 20, 40, 100, 200, 500, 1000, 2000, 0]  # of the slider


@pytest.fixture(scope="module")
def address(stories: GPT2, browser: Browser) -> str:
    return browser.save(look(stories, SENTENCE).html)


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Browser]:
    """The page, freshly loaded, which may not have complained or asked for anything else when the test is over."""
    browser.complaints(), browser.requests()
    browser.open(address)
    yield browser
    assert browser.complaints() == []
    assert [url for url in browser.requests() if not url.startswith(("data:", "blob:"))] == [address]


@pytest.fixture(scope="module")
def kept(stories: GPT2) -> dict[str, Array]:
    return stories.trace(stories.tokenizer.encode(SENTENCE))


# ---- What each panel shows


def test_tokens_and_neighbors(page: Browser, stories: GPT2) -> None:
    ids = stories.tokenizer.encode(SENTENCE)
    assert page.values("#ids rect[data-value]") == ids
    wte = stories.params["wte"]["weight"]
    unit = wte / np.linalg.norm(wte, axis=-1, keepdims=True)
    for position in (28, 4):
        page.choose("strip", position)
        shown = page.data("#neighbors rect")
        cosine = unit @ unit[ids[position]]
        assert [int(data["id"]) for data in shown] == np.argsort(-cosine)[1:9].tolist()
        values = [float(data["value"]) for data in shown]
        np.testing.assert_allclose(values, np.sort(cosine)[::-1][1:9], rtol=HALF)
    page.choose("strip", 1)
    assert page.text("#merges") == "bytesOncemerge 1Oncemerge 2Once"  # O n c e, O n ce, O nce


def test_attention(page: Browser, kept: dict[str, Array]) -> None:
    for layer, head, position in ((3, 2, 28), (0, 1, 12), (5, 3, 0)):
        page.choose("maps", 4 * layer + head)
        page.choose("strip", position)
        expected = kept[f"h.{layer}.attn.probabilities"][head, position]
        shown = np.zeros(29)
        for data in page.data(f'#lines .edge[data-query="{position}"]'):
            shown[int(data["key"])] = float(data["value"])
        np.testing.assert_allclose(shown, expected, rtol=0, atol=0.5001 / 255)
        assert f"Layer {layer}, head {head}" in page.text("#head")
    patterns = np.stack([kept[f"h.{layer}.attn.probabilities"] for layer in range(6)])
    entropy = -(patterns * np.log2(np.maximum(patterns, 1e-30))).sum(axis=-1).mean(axis=-1)
    np.testing.assert_allclose(page.values("#maps [data-item]"), entropy.ravel(), atol=0.005)


def test_the_summary_names_the_head_that_adds_most_and_leads_to_it(page: Browser, stories: GPT2) -> None:
    pushes = unpack(view(stories, SENTENCE)["stream"]["head_push"])
    for position in (28, 12):
        page.choose("strip", position)
        layer, head = np.unravel_index(pushes[..., position].argmax(), (6, 4))
        assert page.text("#strongest-head") == f"head {head} of layer {layer}"
        page.choose("maps", 0)
        page.run("document.getElementById('strongest-head').click()")
        assert page.text("#head").startswith(f"Layer {layer}, head {head}")


def test_words_are_explained_where_they_first_stand(page: Browser) -> None:
    """A reader without the tutorials: the first sentence with a term says what it is."""
    text = " ".join(page.text("main").split())
    for term, explanation in {
        "heads": "Every layer has several heads, which do so side by side",
        "entropy": "the entropy of a head, which says how widely it looks",
        "residual stream": "The residual stream is one vector for each token",
        "logits": "that gives the logits, a score for each token that may come next",
        "neuron": "A neuron is one number within an MLP",
        "top-p": "top-p the likeliest that together reach p",
    }.items():
        assert explanation in text, term
    signs = page.run("return [...document.querySelectorAll('.signs strong')].map((sign) => sign.textContent)")
    shown = set("".join(page.run("return [...document.querySelectorAll('#maps .sign')].map((s) => s.textContent)")))
    assert shown - {" "} <= set(signs)


def test_the_pointer_shows_where_a_word_looks(page: Browser, kept: dict[str, Array]) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    page.choose("maps", 14)
    ActionChains(page.driver).move_to_element(page.all("#lines [data-item]")[26]).perform()
    weights = kept["h.3.attn.probabilities"][2, 26]
    assert sum(page.values('#lines .edge[data-query="26"]')) == pytest.approx(1, abs=0.06)
    assert page.values('#lines text[data-key="18"]') == [pytest.approx(weights[18], abs=0.5001 / 255)]
    assert page.all("#strip [aria-checked=true]")[0].text == "␣her"  # the choice is as it was


def test_residual_stream_and_lens(page: Browser, stories: GPT2, kept: dict[str, Array]) -> None:
    for position in (28, 9):
        page.choose("strip", position)
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
        page.choose("strip", position)
        page.choose("layers", layer)
        active = kept[f"h.{layer}.mlp.activation"]
        shown = page.data("#strongest [data-item]")
        numbers = [int(data["neuron"]) for data in shown]
        assert numbers == np.argsort(-np.abs(active[position]), kind="stable")[:8].tolist()
        np.testing.assert_allclose([float(d["value"]) for d in shown], active[position, numbers], rtol=HALF)
        page.choose("strongest", 3)
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
    page.choose("strip", position)
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


def test_a_file_has_no_controls_that_need_python(page: Browser) -> None:
    assert page.all("#not-live")[0].is_displayed()
    assert page.text("#serve") == f"python -m numpygpt.look --serve '{SENTENCE}'"
    for selector in ("#live", "#ask", "#silence", "#append", "#what-if .save"):
        assert not any(element.is_displayed() for element in page.all(selector)), selector
