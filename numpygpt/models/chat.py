"""The messages of a conversation -> the prompt that a chat model was trained on, by the template in its folder.

A template is a Jinja program from whoever made the model: it runs in a sandbox that can change and open nothing.
What it is given is what `transformers`' `apply_chat_template` gives it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from numpygpt.models.stored import CheckpointError, read_json

SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


def render(folder: Path, messages: Sequence[Mapping[str, str]]) -> str:
    """Write a conversation as the model of a folder expects it, up to where its answer begins.

    messages: `{"role": "user", "content": "Hello"}`, and so on, in turn.

    Raises ValueError where the folder has no template, the template is faulty or refuses the messages, or they are
    not of that form, and ImportError without `jinja2`.
    """
    settings: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        settings |= read_json(folder / name) if (folder / name).is_file() else {}
    template = _template(folder, settings)
    for message in messages:
        if not (isinstance(message, Mapping) and isinstance(message.get("role"), str) and "content" in message):
            raise ValueError(f'a message is {{"role": "user", "content": "some text"}} or the like, not {message!r}')
    try:
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ImportError:
        raise ImportError("a chat template needs jinja2: pip install 'numpygpt[chat]'") from None
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda pattern: datetime.now().strftime(pattern)
    special = {name: settings[name] for name in SPECIAL if settings.get(name) is not None}
    special = {name: token["content"] if isinstance(token, dict) else token for name, token in special.items()}
    try:
        return str(environment.from_string(template).render(messages=messages, add_generation_prompt=True, **special))
    except Exception as error:  # a program of a stranger may fail in any way
        raise CheckpointError(f"{folder}: its chat template refuses these messages: {error}") from None


def _template(folder: Path, settings: dict[str, Any]) -> str:
    """Read the template: a file of its own, or a setting of the tokenizer's, which may be a list with names."""
    if (folder / "chat_template.jinja").is_file():
        return (folder / "chat_template.jinja").read_text(encoding="utf-8")
    template = settings.get("chat_template")
    if isinstance(template, list):
        template = next((entry["template"] for entry in template if entry.get("name") == "default"), None)
    if not isinstance(template, str):
        raise CheckpointError(f"{folder} has no chat template: this model continues texts, it was not made for chats")
    return template


def _to_json(value: Any, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=False, **options)


def _refuse(message: str) -> NoReturn:
    from jinja2 import TemplateError

    raise TemplateError(message)
