"""What a tokenizer's files declare beside its vocabulary and merges: added tokens, and which of them does what.

Added tokens stand in `added_tokens` of `tokenizer.json`, in `added_tokens_decoder` of `tokenizer_config.json` and in
the older `added_tokens.json`. `tokenizer_config.json` and the older `special_tokens_map.json` name those that begin
and end a text, pad it, and so on. Where they contradict each other, they count in the order of `transformers`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from numpygpt.tokenizer import END_OF_TEXT

FLAGS = ("lstrip", "rstrip", "single_word")
ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
LISTS = ("additional_special_tokens", "extra_special_tokens")


def join_settings(config: dict[str, Any], names: dict[str, Any], added: dict[str, Any]) -> dict[str, Any]:
    """Return `tokenizer_config.json` with what `special_tokens_map.json` and `added_tokens.json` say.

    These two count where it has no `added_tokens_decoder`; the result has one in any case. GPT-2's own class has
    `<|endoftext|>` begin and end a text, and stand for what is unknown, if nothing else is said.
    """
    if config.get("tokenizer_class") in (None, "GPT2Tokenizer", "GPT2TokenizerFast"):
        config = dict.fromkeys(("bos_token", "eos_token", "unk_token"), END_OF_TEXT) | config
    if isinstance(decoder := config.get("added_tokens_decoder"), dict):
        ids = {token_id: int(token_id) if token_id.isdecimal() else token_id for token_id in decoder}
        return config | {"added_tokens_decoder": {ids[token_id]: decoder[token_id] for token_id in decoder}}
    lists = [*_listed(config), *_listed(names)]
    settings = {name: value for name, value in (config | names).items() if name not in LISTS} | {LISTS[0]: lists}
    special = {content for content, flags, _ in _named(settings) if "__type" not in flags}  # these not, in transformers
    decoder = {
        token_id: {"content": content, "special": content in special, "normalized": content not in special}
        for content, token_id in added.items()
    }
    return settings | {"added_tokens_decoder": decoder}


def find_added_tokens(
    vocab: Mapping[str, int], names: Mapping[str, bytes], declared: Iterable[Any], settings: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return what `AddedToken` takes for every token that is declared.

    vocab: the ids of names, names: those of bytes and merges' results, declared: `added_tokens` of `tokenizer.json`,
    settings: what `join_settings` returns.

    Raises ValueError for what is declared without a content or with two ids, and for a name that has an id but that
    no merge makes and nobody declares, unless it stands in brackets: it is more likely that merges are missing.
    """
    entries: dict[str, dict[str, Any]] = {}
    decoder = settings["added_tokens_decoder"].items()
    for entry in [*declared, *({**_flags(entry), "id": token_id} for token_id, entry in decoder)]:
        content = _content(entry)
        known = entries.get(content, {"id": vocab.get(content, entry["id"])})
        if known["id"] != entry["id"]:
            raise ValueError(f"{content!r} has two ids, {known['id']} and {entry['id']}")
        entries[content] = {**entry, "special": known.get("special") or entry.get("special")}
    ids = [*vocab.items(), *((content, entry["id"]) for content, entry in entries.items())]
    for name, token_id in ids:
        if type(token_id) is not int:
            raise ValueError(f"the id of {name!r} is {token_id!r}; ids are whole numbers from 0")
    free = max((token_id for _, token_id in ids), default=-1) + 1
    described = set(entries)
    for content, flags, has_role in _named(settings):
        if content in described:
            entries[content]["special"] = entries[content]["special"] or has_role
        elif content != END_OF_TEXT or content in vocab:  # the class's default, which other vocabularies lack
            token_id = entries.get(content, {"id": vocab.get(content, free)})["id"]
            free += token_id == free
            if has_role or content not in entries:
                entries[content] = {**flags, "special": True, "id": token_id}
    for name in vocab:
        if name not in names and name not in entries and not re.fullmatch(r"<.*>|\[.*\]", name):
            raise ValueError(f"{name!r} has an id, but no merge makes it and it is not among the added tokens")
    return {content: _complete(content, entry) for content, entry in entries.items() if content}


def find_roles(tokens: Mapping[str, Mapping[str, Any]], settings: Mapping[str, Any], ends: bool) -> dict[str, Any]:
    """Return, by the engine's names, which tokens begin and end a text, where that is not `<|endoftext|>`.

    `ends`: also, which of them `add_bos_token` and `add_eos_token` put before and behind every text.
    """
    usual = tokens.get(END_OF_TEXT, {}).get("id")
    options: dict[str, Any] = {}
    for name, role, place in (("bos_id", "bos_token", "prefix"), ("eot_id", "eos_token", "suffix")):
        content = _content(settings.get(role) or END_OF_TEXT)
        token_id = tokens[content]["id"] if content in tokens else usual
        if token_id != usual:
            options[name] = token_id
        if ends and settings.get(f"add_{role}") and token_id is not None:
            options[place] = [token_id]
    return options


def _named(settings: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Yield the content of each token that is named as a special one, what is said of it, and whether it has a role."""
    others = sorted(name for name in settings if name.endswith("_token") and name not in ROLES)
    for name in (*ROLES, *others):
        if isinstance(value := settings.get(name), (str, dict)):
            yield _content(value), _flags(value), True
    for entry in _listed(settings):
        yield _content(entry), _flags(entry), False


def _listed(settings: Mapping[str, Any]) -> list[Any]:
    """Return the special tokens that have no role."""
    lists = [settings.get(name) or [] for name in LISTS]
    return [entry for tokens in lists for entry in (tokens.values() if isinstance(tokens, dict) else tokens)]


def _content(entry: Any) -> str:
    content = entry.get("content") if isinstance(entry, dict) else entry
    if not isinstance(content, str):
        raise ValueError(f"{entry!r} is no added token: its content is missing")
    return content


def _flags(entry: Any) -> dict[str, Any]:
    return dict(entry) if isinstance(entry, dict) else {}


def _complete(content: str, entry: dict[str, Any]) -> dict[str, Any]:
    flags = {flag: bool(entry.get(flag, False)) for flag in ("special", *FLAGS)}
    normalized = bool(entry.get("normalized", not flags["special"]))
    return {"content": content, "id": entry["id"], "normalized": normalized, **flags}
