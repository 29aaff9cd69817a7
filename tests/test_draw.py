"""Drawing, reading and completing with random weights: what is asked for, what is printed, and mistakes."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_runs import Call
from painters import NAMES, tiny_painter

from numpygpt import GPT2, gpt2, softmax
from numpygpt.arrays import Ids
from numpygpt.draw import complete, draw, main, read, readings
from numpygpt.half_blocks import blocks
from numpygpt.painter import Painter, draw_codes, find, load, load_picture, read_as
from numpygpt.pictures import CODEBOOK, PICTURE, Pixels, code_ids, draw_prompt, read_prompt
from numpygpt.png import read_png, write_png


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures")
    tiny_painter(path)
    return path


@pytest.fixture(scope="module")
def model(folder: Path) -> Painter:
    return load(str(folder))


@pytest.fixture
def image(model: Painter) -> Pixels:
    return model.codebook.decode(np.array([0, 1, 2, 3, 4, 5, 0, 1]))


def likeliest_codes(model: Painter, ids: list[int], n: int) -> list[int]:
    """What the book's model writes of codes alone, the likeliest each time."""
    gpt, n_codes = model.model, len(model.codebook.centers)
    [first] = code_ids([0], gpt.tokenizer)
    codes: list[int] = []
    for _ in range(n):
        logits = gpt2(ids + [first + code for code in codes], **gpt.params, n_head=gpt.config.n_head)[-1]
        codes.append(int(logits[first : first + n_codes].argmax()))
    return codes


def test_a_drawing_is_the_codes_that_follow_the_caption(model: Painter) -> None:
    for style in ("noto", "fluent"):
        codes = likeliest_codes(model, draw_prompt("cat face", model.model.tokenizer, style), 8)
        expected = model.codebook.decode(np.array(codes))
        np.testing.assert_array_equal(draw("Cat  FACE", model, style=style, temperature=0), expected)
    np.testing.assert_array_equal(
        draw("cat face", model, temperature=0), draw("cat face", model, style="noto", temperature=0)
    )


def test_of_several_tries_the_one_is_kept_that_reads_best(model: Painter) -> None:
    gpt, tokenizer = model.model, model.model.tokenizer
    prompt = draw_prompt("cat face", tokenizer, "noto")
    tries = draw_codes(model, [prompt], model.codebook.n_patches, 3, 1.0, tries=6)
    words = [*tokenizer.encode(" cat face"), tokenizer.eot_id]

    def log_prob(codes: Ids) -> float:
        ids = [*read_prompt(codes, tokenizer), *words]
        probs = softmax(gpt2(ids[:-1], **gpt.params, n_head=gpt.config.n_head)[-len(words) :])
        return float(np.log(probs[np.arange(len(words)), words]).sum())

    best = max(tries, key=log_prob)
    assert len({tuple(each) for each in tries}) > 1
    drawn = draw("cat face", model, style="noto", seed=3, temperature=1.0, tries=6)
    np.testing.assert_array_equal(drawn, model.codebook.decode(best))
    np.testing.assert_allclose(read_as(model, tries, "cat face"), [log_prob(each) for each in tries], rtol=1e-4)
    first = draw("cat face", model, style="noto", seed=3, temperature=1.0, tries=1)
    np.testing.assert_array_equal(first, model.codebook.decode(tries[0]))


def test_a_seed_draws_the_same_again(model: Painter, folder: Path) -> None:
    one, same, other = (draw("cat face", str(folder), seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
    assert one.shape == model.codebook.shape
    assert one.dtype == np.uint8


def test_a_reading_is_the_likeliest_text(model: Painter, image: Pixels) -> None:
    gpt, tokenizer = model.model, model.model.tokenizer
    prompt = read_prompt(model.codebook.encode(image), tokenizer)
    special = sorted(set(tokenizer.special_tokens.values()) - {tokenizer.eot_id})
    ids: list[int] = []
    while len(prompt) + len(ids) < gpt.config.n_ctx:
        logits = gpt2(prompt + ids, **gpt.params, n_head=gpt.config.n_head)[-1].astype(np.float64)
        logits[special] = -np.inf
        if (best := int(logits.argmax())) == tokenizer.eot_id:
            break
        ids.append(best)
    assert read(image, model) == tokenizer.decode(ids).strip()


def test_a_readings_probability_is_the_product_of_its_tokens(model: Painter, image: Pixels) -> None:
    gpt, tokenizer = model.model, model.model.tokenizer
    found = readings(image, 6, model)
    shares = [share for _, share in found]
    assert len(found) == 6
    assert shares == sorted(shares, reverse=True)
    assert 0 < sum(shares) <= 1 + 1e-9
    prompt = read_prompt(model.codebook.encode(image), tokenizer)
    special = sorted(set(tokenizer.special_tokens.values()) - {tokenizer.eot_id})
    n_checked = 0
    for text, share in found:
        ids = [*(tokenizer.encode(" " + text) if text else []), tokenizer.eot_id]
        if not set(text.split()) <= {"cat", "face", "red", "flag"}:  # pieces of words: there are several ways
            continue
        ids = ids[: gpt.config.n_ctx - len(prompt)]  # where the window is full, no end is chosen
        logits = gpt.logits([*prompt, *ids[:-1]])[len(prompt) - 1 :].astype(np.float64)
        logits[:, special] = -np.inf
        assert share == pytest.approx(softmax(logits)[np.arange(len(ids)), ids].prod(), rel=1e-3)
        n_checked += 1
    assert n_checked


def test_completing_keeps_the_upper_half_of_every_square(model: Painter, image: Pixels) -> None:
    given = model.codebook.encode(image).tolist()
    completed = complete(image, model, temperature=0)
    start = [model.model.tokenizer.eot_id, model.model.tokenizer.special_tokens[PICTURE]]
    codes = given[:2]
    codes += likeliest_codes(model, [*start, *code_ids(codes, model.model.tokenizer)], 2)
    codes += given[4:6]
    codes += likeliest_codes(model, [*start, *code_ids(codes, model.model.tokenizer)], 2)
    np.testing.assert_array_equal(completed, model.codebook.decode(np.array(codes)))
    np.testing.assert_array_equal(completed[:2], image[:2])
    np.testing.assert_array_equal(complete(image, model, seed=3), complete(image, model, seed=3))


def test_captions_are_the_models_own(model: Painter) -> None:
    assert find("flag åland", model.codebook) == "flag Åland"
    assert find("ÅLAND cat", model.codebook) == "Åland cat"  # a new one, of words that are known
    with pytest.raises(ValueError, match="never seen the word 'faec'; did you mean 'cat face'"):
        find("cat faec", model.codebook)
    with pytest.raises(ValueError, match="never seen the word 'reed'; did you mean 'red'"):
        find("reed", model.codebook)
    with pytest.raises(ValueError, match="never seen the word 'xyz'; --list shows the names"):
        find("xyz", model.codebook)
    with pytest.raises(ValueError, match="the caption has no words"):
        find(" ?! ", model.codebook)


def test_mistakes_in_python(model: Painter, image: Pixels, tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ValueError, match="knows no style 'nobody': it has noto, fluent"):
        draw("cat face", model, style="nobody")
    with pytest.raises(ValueError, match="tries must be at least 1, not 0"):
        draw("cat face", model, tries=0)
    with pytest.raises(ValueError, match="n must be at least 1, not 0"):
        readings(image, 0, model)
    with pytest.raises(ValueError, match="a picture is bytes"):
        read(image.astype(float), model)
    with pytest.raises(ValueError, match="too many words"):
        draw("cat " * 9, model)
    GPT2.from_pretrained("stories").save(tmp_path / "stories")
    with pytest.raises(ValueError, match=f"is no model of pictures, for it has no {CODEBOOK}"):
        draw("cat face", str(tmp_path / "stories"))
    shutil.copy(folder / CODEBOOK, tmp_path / "stories")
    with pytest.raises(ValueError, match="its tokenizer is not that of its codebook"):
        draw("cat face", str(tmp_path / "stories"))


def test_pictures_of_any_kind_are_read(model: Painter, image: Pixels, tmp_path: Path) -> None:
    shape = model.codebook.shape
    np.testing.assert_array_equal(load_picture(image, shape), image)
    clear = np.concatenate([image, np.zeros((*image.shape[:2], 1), np.uint8)], axis=-1)
    assert (load_picture(clear, shape) == 255).all()
    grey = np.random.default_rng(0).integers(0, 256, (40, 20, 1), dtype=np.uint8)
    assert load_picture(grey, shape).shape == shape
    write_png(tmp_path / "x.png", image)
    np.testing.assert_array_equal(load_picture(tmp_path / "x.png", shape), image)


@pytest.fixture
def call(folder: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            main(["--model", str(folder), *arguments])
            status = 0
        except SystemExit as error:
            status = int(str(error.code))
        return (status, *capsys.readouterr())

    return run


def test_the_command_draws_reads_and_completes(call: Call, model: Painter, tmp_path: Path) -> None:
    drawn, path = draw("cat face", model, seed=4, style="fluent"), str(tmp_path / "x.png")
    asked = ("cat", "Face", "--seed", "4", "--style", "fluent")
    assert call(*asked) == (0, blocks(drawn, is_colored=False) + "\n", "")
    assert call(*asked, "--out", path) == (0, "", "")
    assert read_png(path).shape == (128, 256, 4)
    np.testing.assert_array_equal(load_picture(path, model.codebook.shape), drawn)
    (name, share), *others = readings(drawn, 3, model)
    assert call("--read", path) == (
        0,
        f"{readings(drawn, 1, model)[0][0]} ({readings(drawn, 1, model)[0][1]:.0%})\n",
        "",
    )
    lines = call("--read", path, "--top", "3")[1].splitlines()
    assert lines[0] == f"{share:6.1%}  {name}"
    assert len(lines) == 1 + len(others)
    completed = complete(drawn, model, temperature=0)
    assert call("--complete", path, "--temperature", "0") == (0, blocks(completed, is_colored=False) + "\n", "")


def test_a_terminal_gets_colors(call: Call, model: Painter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    expected = blocks(draw("cat face", model, seed=1), is_colored=True)
    assert call("cat", "face", "--seed", "1")[1] == expected + "\n"
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in call("cat", "face", "--seed", "1")[1]


def test_a_new_caption_is_drawn_with_a_remark(call: Call) -> None:
    status, out, err = call("red", "face", "--seed", "1")
    assert (status, out.count("\n")) == (0, 2)
    assert err == "python -m numpygpt.draw: no drawing that it learned from has this name, so much may be missing\n"


def test_the_list(call: Call) -> None:
    assert call("--list") == (0, "styles: noto, fluent\n" + "\n".join(NAMES) + "\n", "")
    assert call("--list", "CAT") == (0, "red cat\ncat face\n", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["zebra"], "never seen the word 'zebra'"),
        (["--read", "/none.png"], "/none.png: No such file or directory"),
        (["--read", __file__], "this is no PNG file"),
        (["--complete", __file__], "this is no PNG file"),
        (["--read", "x.png", "cat"], "not both"),
        (["--read", "x.png", "--list"], "not allowed with"),
        (["--list", "xyz"], "no name has 'xyz' in it"),
        (["--style", "x", "cat face"], "knows no style 'x'"),
        (["--model", "/none", "cat"], "there is no folder /none: give one that training has made"),
        (["--tries", "0", "cat"], "'0' is not a whole number"),
        (["--seed", "-1", "cat"], "'-1' is not a whole number"),
        (["cat face", "--out", "/none/x.png"], "/none/x.png"),
        ([], "say what to draw"),
    ],
    ids=itertools.count(),
)
def test_mistakes_are_one_line(arguments: list[str], message: str, call: Call) -> None:
    status, out, err = call(*arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert err.startswith("python -m numpygpt.draw: ")
