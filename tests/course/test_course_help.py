"""What a check says of code that is wrong: a sentence that fits, results by their names, the first difference."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from course_folders import replace_stub, write_stubs

from numpygpt import layers
from numpygpt.backward import layers as backward
from numpygpt.course import real, result
from numpygpt.course.compare import difference
from numpygpt.course.describe import beside
from numpygpt.course.exercises import find
from numpygpt.course.learner import class_with
from numpygpt.course.result import Result
from numpygpt.course.say import listed
from numpygpt.course.stages import check
from numpygpt.course.worker import check_folder


def result_of(name: str, implementation: Any) -> Result:
    exercise = find(name)
    return check(exercise, class_with(exercise, implementation) if exercise.method else implementation, Path())


# ---- A sentence that fits


def test_a_missing_return_and_a_missing_yield_are_said() -> None:
    nothing = result_of("softmax", lambda x: None)
    assert (nothing.stage, nothing.cause) == (1, result.RETURNS_NOTHING)
    assert nothing.message == "it returns nothing: is a `return` missing?"
    for name in ("merge_steps", "generate"):
        assert result_of(name, lambda *a, **k: None).message == "it yields nothing: is a `yield` missing?"


def test_a_change_in_place_names_the_argument() -> None:
    def linear(x: Any, weight: Any, bias: Any = 0.0) -> Any:
        weight *= 1.5
        return x @ weight + bias

    assert "changes its argument weight in place" in result_of("linear", linear).message


@pytest.mark.parametrize(
    ("code", "cause", "words"),
    [
        ("def softmax(x)\n    return x", result.SYNTAX, "cannot read the file"),
        ("def softmax(x):\n    np.exp(x)", result.RETURNS_NOTHING, "without `return` gives None"),
        ("def softmax(x):\n    x -= 1\n    return x", result.IN_PLACE, "makes a new one"),
        ("def softmax(x):\n    return x @ x", result.STOPS, "print the shapes"),
        ("def softmax(x):\n    return x / summe", result.STOPS, "does not know a name"),
        ("def softmax(x):\n    return x(0)", result.STOPS, "another kind"),
        ("def softmax(x):\n    return x.sum(-1)", result.SHAPE, "shapes of the docstring"),
        ("def softmax(x):\n    y = x\n    raise NotImplementedError", result.UNFINISHED, "raise NotImplementedError"),
    ],
)
def test_advice_fits_the_cause(tmp_path: Path, code: str, cause: str, words: str) -> None:
    write_stubs(tmp_path)
    replace_stub(tmp_path, "layers.py", "softmax", code)
    checked = check_folder(tmp_path, find("softmax"))
    assert (checked.cause, checked.stage) == (cause, 1)
    assert words in checked.advice()
    assert "not a known one" not in checked.advice()


def test_a_stub_is_one_line(tmp_path: Path) -> None:
    text = check_folder(write_stubs(tmp_path), find("softmax")).text()
    assert text.startswith("softmax is not written yet: layers.py, line ")
    assert "\n" not in text


# ---- Whose functions the real model runs with


def test_the_parts_of_the_learner_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(real, "SECONDS", 600.0)  # however busy the machine is
    write_stubs(tmp_path)
    own = "def softmax(x, axis):\n    e = np.exp(x - x.max(axis, keepdims=True))\n"
    replace_stub(tmp_path, "layers.py", "softmax", own + "    return e / e.sum(axis, keepdims=True)")
    code = "def attention(q, k, v, mask=0.0):\n    scores = q @ k.swapaxes(-1, -2) / q.shape[-1]**.5"
    replace_stub(tmp_path, "layers.py", "attention", code + "\n    return softmax(scores + mask, -1) @ v")
    checked = check_folder(tmp_path, find("attention"))
    assert checked.message.startswith("with your attention and softmax (the rest is the book's), the model writes: ")
    assert "\n" not in checked.text(brief=True)


def test_a_list_of_names_is_short() -> None:
    assert [listed(list("abcdef")[:n]) for n in (1, 2, 4)] == ["a", "a and b", "a, b, c and d"]
    assert listed(list("abcdef")) == "a, b, c and 3 more"


# ---- Results beside the book's


def test_an_array_is_aligned_and_its_first_difference_named() -> None:
    expected, got = np.array([[1.0, 0.5], [-2.25, 3.0]]), np.array([[1.0, 0.5], [2.25, 3.0]])
    assert difference(expected, got) == (
        "expected [[ 1.00  0.50]\n"
        "          [-2.25  3.00]]\n"
        "yours    [[ 1.00  0.50]\n"
        "          [ 2.25  3.00]]\n"
        "the first difference is at [1, 0]; 1 of 4 numbers differ"
    )


def test_of_a_large_array_the_row_that_differs_is_shown() -> None:
    expected = np.arange(1200.0).reshape(3, 20, 20) / 10
    got = expected.copy()
    got[1, 5, 12] += 1
    assert difference(expected, got) == (
        "expected[1, 5, 9:17] [50.9 51.0 51.1 51.2 51.3 51.4 51.5 51.6]\n"
        "yours[1, 5, 9:17]    [50.9 51.0 51.1 52.2 51.3 51.4 51.5 51.6]\n"
        "the first difference is at [1, 5, 12]; 1 of 1200 numbers differ"
    )


def test_a_small_difference_gets_digits_and_a_large_number_an_exponent() -> None:
    text = difference(np.array([1000.0, 0.12]), np.array([1000.0, 0.25]))
    assert text
    assert "[1000.00    0.12]" in text
    assert "-1e+30" in str(difference(np.array([0.0, -1e30]), np.array([0.0, 0.0])))
    assert difference(np.array([0.2001, 5.0]), np.array([0.2005, 7.0])) == (
        "expected [0.2001 5.0000]\nyours    [0.2005 7.0000]\nthe first difference is at [0]; 2 of 2 numbers differ"
    )
    assert "NaN" in str(difference(np.array([0.0, 1.0]), np.array([0.0, np.nan])))


def test_a_list_is_cut_to_where_it_differs() -> None:
    expected = list(range(100, 200))
    text = difference(expected, [*expected[:50], 0, *expected[50:]])
    assert text == (
        "expected[47:55] [147, 148, 149, 150, 151, 152, 153, 154]\n"
        "yours[47:55]    [147, 148, 149, 0, 150, 151, 152, 153]\n"
        "the first difference is at [50]; expected 100 items, got 101"
    )
    assert "yours    [1, 4]" in str(difference([1, 3], np.array([1, 4])))
    assert beside("a" * 300, "a" * 299 + "b").splitlines()[0] == "expected[296:341] 'aaaa'"


def test_several_results_are_named() -> None:
    def linear(dy: Any, x: Any, weight: Any, bias: Any) -> Any:
        dx, gradients = backward.linear(dy, x, weight, bias)
        return dx, {"weight": gradients["weight"], "bias": 2 * gradients["bias"]}

    message = result_of("backward.linear", linear).message
    assert "\ngradients['bias']:\nexpected [" in message
    message = result_of("backward.linear", lambda dy, x, weight, bias: dy @ weight.T).message
    assert "expected 2 results (dx, gradients), got an array of shape (3, 4)" in message
    assert "with dy of shape (3, 3), x of shape (3, 4), weight of shape (4, 3), bias=[" in message
    message = result_of("update", lambda self, tensors, gradients, step, lr: None).message
    assert "expected [[" in message
    message = result_of("cached_attention", lambda x, *a, **k: (x, (x, x))).message
    assert message.startswith("keys: expected the shape (2, 4, 4), got (4, 8)")


def test_the_steps_of_a_word_are_numbered() -> None:
    def merge_steps(self: Any, word: str) -> Iterator[list[str]]:
        yield list(word)

    assert "[0][0]: expected bytes, got str\nwith word='hello'" in result_of("merge_steps", merge_steps).message


def test_printing_in_the_real_model_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    softmax = layers.softmax

    def printing(x: Any) -> Any:
        print("here I am")
        return softmax(x)

    assert result_of("softmax", printing).passed
    assert capsys.readouterr().out.count("here I am") < 12
