"""Every exercise: the book passes, other right code passes, each known mistake fails with its own hint alone."""

from __future__ import annotations

import inspect
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from alternatives import Other, all_others
from random_models import REFERENCE

from numpygpt import TransformerConfig, layers, optimizer, sampling, tokenizer, transformer_config
from numpygpt import transformer as transformer_module
from numpygpt.backward import activations as backward_activations
from numpygpt.backward import layers as backward_layers
from numpygpt.course import check, real, real_translation
from numpygpt.course.exercises import EXERCISES, find
from numpygpt.course.inputs import cases
from numpygpt.course.inputs_learning import Case
from numpygpt.course.inputs_text import REFUSED
from numpygpt.course.learner import class_with
from numpygpt.course.mistakes import mistakes_of
from numpygpt.course.outcomes import alike, outcome
from numpygpt.course.result import Result
from numpygpt.course.stages import check as check_stages
from numpygpt.course.swap import swapped
from numpygpt.models import checkpoint
from numpygpt.tokenizer import Tokenizer

OTHERS = [
    pytest.param(one, id=f"{one.exercise}-{one.function.__name__}", marks=[pytest.mark.slow] if one.slow else [])
    for one in all_others()
]
MISTAKES = [(name, mistake) for name in EXERCISES for mistake in mistakes_of(name)]


def result_of(name: str, implementation: Any) -> Result:
    return check_stages(find(name), implementation, Path())


@pytest.mark.parametrize("name", EXERCISES)
def test_the_book_passes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(real, "SECONDS", 600.0)  # however busy the machine is
    result = result_of(name, find(name).book())
    assert result.passed, result.text()
    assert result.remarks == []
    assert "never calls" not in result.message, "stage 4 runs every function"


TINY = checkpoint.load(REFERENCE / "tiny")
TINY_TRANSLATOR = TransformerConfig(vocab_size=50, d_model=32, max_position_embeddings=32)


@pytest.fixture
def short_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a tiny model write a word or two: enough to tell whether it computes the same."""
    monkeypatch.setattr(real, "_stories", lambda: TINY)
    translator = TINY_TRANSLATOR, transformer_config.initialize(TINY_TRANSLATOR, seed=0), None
    monkeypatch.setattr(real_translation, "_translator", lambda: translator)
    monkeypatch.setattr(real, "PROMPT", "Once upon")
    monkeypatch.setattr(real, "NEW_TOKENS", 2)
    monkeypatch.setattr(real, "SAMPLED_TOKENS", 3)
    monkeypatch.setattr(real_translation, "NEW_TOKENS", 2)


@pytest.mark.parametrize("one", OTHERS)
@pytest.mark.usefixtures("short_texts")
def test_other_right_code_passes(one: Other) -> None:
    exercise = find(one.exercise)
    result = result_of(one.exercise, class_with(exercise, one.function) if exercise.method else one.function)
    assert result.passed, result.text()


@pytest.mark.parametrize("name", EXERCISES)
def test_five_other_ways_or_more(name: str) -> None:
    ways = [one.function for one in all_others() if one.exercise == name]
    assert len(ways) >= 5
    assert len({inspect.getsource(way) for way in ways}) == len(ways)


@pytest.mark.parametrize(("name", "mistake"), MISTAKES, ids=lambda value: getattr(value, "name", value))
def test_a_known_mistake_gets_its_own_hint(name: str, mistake: Any) -> None:
    result = result_of(name, mistake.function)
    assert not result.passed
    assert (result.mistake, tuple(result.hints)) == (mistake.name, mistake.hints)


@pytest.mark.parametrize("name", EXERCISES)
def test_three_mistakes_or_more_are_known(name: str) -> None:
    names = [mistake.name for mistake in mistakes_of(name)]
    assert len(names) >= 3
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("module", [layers, transformer_module, optimizer, tokenizer, backward_layers, sampling])
def test_every_public_function_of_the_book_is_an_exercise(module: Any) -> None:
    public = {
        name
        for name, value in vars(module).items()
        if getattr(value, "__module__", "") == module.__name__ and callable(value) and not isinstance(value, type)
    }
    public -= {name for name in public if name.startswith(("_", "forward_"))}
    owners = {e.owner for e in EXERCISES.values() if e.book_module() is module}
    composed = {"split_heads", "merge_heads", "multi_head_attention", "mlp"} if module is backward_layers else set()
    assert public - composed <= owners


@pytest.mark.parametrize("name", EXERCISES)
def test_no_two_mistakes_share_a_hint(name: str) -> None:
    """Of each pair, one input at least tells them apart."""
    known = mistakes_of(name)
    made = [[outcome(name, mistake.function, one) for one in cases(name)] for mistake in known]
    for (a, mine), (b, others) in combinations(zip(known, made, strict=True), 2):
        assert not all(map(alike, mine, others)), f"{a.name} and {b.name}"


def test_neighbors_of_a_mistake_get_no_wrong_hint() -> None:
    result = result_of("softmax", lambda x: np.exp(x) / np.exp(x).sum())
    assert (result.passed, result.mistake) == (False, "")
    result = result_of("attention", lambda q, k, v, mask=0.0: layers.softmax(k @ q.swapaxes(-1, -2) + mask) @ v)
    assert (result.passed, result.mistake) == (False, "")


def test_what_raises_every_time_is_no_known_mistake() -> None:
    def linear(x: Any, weight: Any, bias: Any = 0.0) -> Any:
        raise ValueError("not yet")

    assert result_of("linear", linear).mistake == ""


def test_what_the_shown_model_never_calls_is_not_said_to_have_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(real, "_scene", lambda exercise, implementation, remarks: "with your relu, the model writes")
    assert "never calls relu" in result_of("relu", layers.relu).message


@pytest.mark.parametrize("name", ["linear", "apply_top_k", "cached_attention", "feed_forward", "encode"])
def test_a_right_but_slow_function_is_waited_for_and_its_text_is_cut(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(real, "SECONDS", 0.0)
    result = result_of(name, find(name).book())
    assert result.passed
    assert result.remarks == ["right but slow: it was waited for, and the text is cut after new token 1"]


def test_a_swap_is_undone() -> None:
    before: Any = backward_activations.ACTIVATIONS["gelu_new"]
    other: Any = print
    with swapped(find("backward.gelu"), other):
        assert backward_activations.ACTIVATIONS["gelu_new"].gradient is other
        assert backward_layers.gelu is other
    assert backward_activations.ACTIVATIONS["gelu_new"] is before
    assert backward_layers.gelu is before.gradient


def test_a_change_in_place_is_said() -> None:
    def softmax(x: Any) -> Any:
        x -= x.max(axis=-1, keepdims=True)
        np.exp(x, out=x)
        x /= x.sum(axis=-1, keepdims=True)
        return x

    result = result_of("softmax", softmax)
    assert not result.passed
    assert "in place" in result.message


def test_a_wider_result_is_a_remark() -> None:
    softmax = layers.softmax  # by the module's name, the call would find the swapped one
    result = result_of("softmax", lambda x: softmax(x.astype(np.float64)))
    assert result.passed
    assert "float64" in result.remarks[0]


def test_infinities_hide_later_keys_but_not_all_keys() -> None:
    result = result_of("causal_mask", lambda n: np.where(np.tri(n, dtype=bool), 0, -np.inf).astype(np.float32))
    assert result.passed
    assert "softmax of a row of -inf alone is NaN" in result.remarks[0]


@pytest.mark.parametrize(("name", "one"), [(name, one) for name in REFUSED for one in REFUSED[name]], ids=repr)
def test_what_a_docstring_refuses_is_refused(name: str, one: Case) -> None:
    exercise = find(name)
    assert outcome(name, exercise.book(), one).value == "ValueError"
    wrong = class_with(exercise, lambda self, *args, **kwargs: Tokenizer([]))
    assert outcome(name, wrong, one).value == "no error"


def test_what_fails_has_no_remark() -> None:
    assert result_of("softmax", lambda x: np.exp(x.astype(np.float64) - x.max())).remarks == []


def test_integers_for_floats_and_a_missing_return_fail_at_stage_1() -> None:
    assert result_of("softmax", lambda x: layers.softmax(x).astype(int)).stage == 1
    result = result_of("softmax", lambda x: None)
    assert result.stage == 1
    assert "return" in result.message


def test_in_a_notebook(capsys: pytest.CaptureFixture[str]) -> None:
    def softmax(x: Any) -> Any:
        return np.exp(x)

    assert check(layers.softmax)
    assert not check(softmax)
    assert check(backward_layers.softmax, "backward.softmax")
    assert check(optimizer.AdamW)
    with pytest.raises(ValueError, match="no exercise is called"):
        check(np.cumsum)
    assert "the model writes" in capsys.readouterr().out
    assert layers.softmax is find("softmax").book()
