"""Conversations, written by the chat template in a model's folder, as `transformers` writes them."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import pytest
from model_folders import chat_folder
from random_models import REFERENCE, random_params

from numpygpt import GPT2, GPT2Config, Tokenizer
from numpygpt.models import chat

EXPECTED = json.loads((REFERENCE / "generation.json").read_text(encoding="utf-8"))
MESSAGES = EXPECTED["messages"]
SPECIAL = EXPECTED["special"]

pytest.importorskip("jinja2")


@pytest.mark.parametrize("case", EXPECTED["chats"], ids=["ChatML", "loop controls", "JSON"])
def test_a_template_writes_what_transformers_writes(case: dict[str, str], tmp_path: Path) -> None:
    named = [{"name": "tool_use", "template": "no"}, {"name": "default", "template": case["template"]}]
    token: Any = {"__type": "AddedToken", "content": SPECIAL["eos_token"]}
    for number, settings in enumerate(({"template": case["template"]}, {"template": named, "eos_token": token})):
        folder = chat_folder(tmp_path / str(number), **settings)
        assert chat.render(folder, MESSAGES) == case["text"]
    (folder / "chat_template.jinja").write_text("of its own", encoding="utf-8")
    assert chat.render(folder, MESSAGES) == "of its own", "the file goes before the setting"


def test_an_answer_continues_the_conversation_and_its_special_tokens_count(tmp_path: Path) -> None:
    model = GPT2.from_pretrained(chat_folder(tmp_path / "model", EXPECTED["chats"][0]["template"]))
    prompt = EXPECTED["chats"][0]["text"]
    assert model.chat_prompt(MESSAGES) == prompt
    assert model.chat(MESSAGES, 9) == model.generate(prompt, 9, allowed_special="all")
    assert model.chat(MESSAGES, 9) != model.generate(prompt, 9)
    assert model.eos_token_id == [299, 301]


def test_a_template_is_not_used_unasked(tmp_path: Path) -> None:
    folder = chat_folder(tmp_path / "model", "{{ raise_exception('used') }}")
    assert GPT2.from_pretrained(folder).generate("Hello", 3)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (None, "has no chat template: this model continues texts"),
        ([{"name": "tool_use", "template": "x"}], "has no chat template"),
        ("{% for %}", "its chat template refuses these messages: "),
        ("{{ raise_exception('roles must alternate') }}", "refuses these messages: roles must alternate"),
        ("{{ messages.append(1) }}", "its chat template refuses these messages"),  # it cannot change what it is given
        ("{{ messages.__class__.__mro__[1].__subclasses__() }}", "its chat template refuses these messages"),
        ("{% include '/etc/passwd' %}", "its chat template refuses these messages"),
        ("{{ 1 // 0 }}", "its chat template refuses these messages"),
    ],
)
def test_a_template_that_is_missing_faulty_or_hostile_is_one_line(template: Any, message: str, tmp_path: Path) -> None:
    model = GPT2.from_pretrained(chat_folder(tmp_path / "model", template))
    with pytest.raises(ValueError, match=message) as caught:
        model.chat(MESSAGES)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "messages", [["Hello"], [{"content": "Hello"}], [{"role": 1, "content": ""}], [{"role": "user"}]]
)
def test_messages_of_another_form_are_refused(messages: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r'a message is {"role": "user", "content": "some text"}'):
        chat.render(chat_folder(tmp_path / "model", "x"), messages)


def test_without_jinja2_only_chats_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = GPT2.from_pretrained(chat_folder(tmp_path / "model", "x"))
    real = builtins.__import__

    def without(name: str, *arguments: Any, **more: Any) -> Any:
        if name.startswith("jinja2"):
            raise ImportError(name)
        return real(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    assert model.generate("Hello", 3)
    with pytest.raises(ImportError, match=r"a chat template needs jinja2: pip install 'numpygpt\[chat\]'"):
        model.chat(MESSAGES)


def test_a_model_made_in_python_has_no_template() -> None:
    config = GPT2Config(vocab_size=299, n_ctx=8, n_embd=4, n_layer=1, n_head=1)
    with pytest.raises(ValueError, match="comes with a model's folder"):
        GPT2(config, random_params(config), Tokenizer(Tokenizer().merges[:42])).chat(MESSAGES)
