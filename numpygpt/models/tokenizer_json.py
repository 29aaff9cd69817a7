"""The file `tokenizer.json` of Hugging Face's `tokenizers`, where it holds a byte-level BPE."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from numpygpt.tokenizer import LETTERS, Pair

if TYPE_CHECKING:  # the book's tokenizer is read without the engine
    from numpygpt.engine.bpe import Tokenizer

POST_PROCESSORS = (None, "ByteLevel", "TemplateProcessing", "BertProcessing", "RobertaProcessing")
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}

# What decides the tokens, and the values with which they are GPT-2's.
_NOTHING: tuple[object, ...] = (None, False, "", {})
SETTINGS: dict[str, tuple[object, ...]] = {
    "model.type": ("BPE",),
    "model.dropout": _NOTHING,
    "model.continuing_subword_prefix": _NOTHING,
    "model.end_of_word_suffix": _NOTHING,
    "model.byte_fallback": _NOTHING,
    "model.ignore_merges": _NOTHING,
    "normalizer": _NOTHING,
    "pre_tokenizer.type": ("ByteLevel",),
    "pre_tokenizer.add_prefix_space": (False,),
    "pre_tokenizer.use_regex": (True, None),
}


class OtherTokenizerError(ValueError):
    """A tokenizer that is not GPT-2's byte-level BPE: the message names the file and the kind."""


class Files(NamedTuple):
    """What the files say: the merges, each token by the name it is written with, the ids of names, and more."""

    merges: list[Pair]
    names: dict[str, bytes]
    vocab: dict[str, int]
    added: list[Any]  # as `tokenizer.json` declares them
    options: dict[str, Any]  # of the engine's tokenizer


def from_json(data: dict[str, Any], path: Path) -> Files:
    """Read what a file says. Raises ValueError, naming it, and OtherTokenizerError for another kind of tokenizer."""
    for setting, allowed in SETTINGS.items():
        value: Any = data
        for key in setting.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if value not in allowed:
            raise OtherTokenizerError(f"{path}: {setting} is {value!r}, which is not GPT-2's byte-level BPE")
    model = data["model"]
    merges, vocab, added = model.get("merges"), model.get("vocab"), data.get("added_tokens") or []
    if not isinstance(merges, list) or not isinstance(vocab, dict) or not isinstance(added, list):
        raise ValueError(f"{path}: model.merges and added_tokens must be lists, and model.vocab an object")
    if not all(isinstance(token, dict) and isinstance(token.get("content"), str) and "id" in token for token in added):
        raise ValueError(f"{path}: an entry of added_tokens lacks its content or its id")
    merges = [merge.split(" ") if isinstance(merge, str) else merge for merge in merges]
    options = _read_ends(data.get("post_processor") or {}, path)
    if unk := model.get("unk_token"):
        ids = {token["content"]: token["id"] for token in added} | vocab
        options |= {"unk_id": ids.get(unk), "fuse_unk": bool(model.get("fuse_unk"))}
    return Files(*parse_merges(merges, f"{path}, merge", 0), vocab, added, options)


def parse_merges(merges: Sequence[Any], where: str, first: int) -> tuple[list[Pair], dict[str, bytes]]:
    """Turn merges of printable text into pairs of bytes, and name every token in the order of ids.

    `where` and `first` tell the reader of an error which merge is wrong.
    """
    names = dict(LETTERS)
    pairs: list[Pair] = []
    for number, parts in enumerate(merges, first):
        try:
            left, right = parts
            pairs.append((names[left], names[right]))
        except KeyError as error:
            raise ValueError(f"{where} {number}: {error} is neither a byte nor made by an earlier merge") from None
        except (TypeError, ValueError):
            raise ValueError(f"{where} {number}: expected two parts, found {parts!r}") from None
        names[left + right] = b"".join(pairs[-1])
    return pairs, names


def _read_ends(processor: Any, path: Path) -> dict[str, Any]:
    """Read which ids the post-processor puts before and behind a text, by the engine's names."""
    ends: list[list[int] | None] = [None]  # None is the text
    try:
        for each in processor["processors"] if processor.get("type") == "Sequence" else [processor]:
            kind = each.get("type")
            if kind not in POST_PROCESSORS:
                name = f"{path}: post_processor.type is {kind!r}"
                raise OtherTokenizerError(f"{name}, which is not GPT-2's byte-level BPE")
            if kind == "TemplateProcessing":
                ids = {name: token["ids"] for name, token in each["special_tokens"].items()}
                ends = [ids[part["SpecialToken"]["id"]] if "SpecialToken" in part else None for part in each["single"]]
            elif "cls" in each:
                ends = [[each["cls"][1]], None, [each["sep"][1]]]
        text = ends.index(None)
        places = {"prefix": ends[:text], "suffix": ends[text + 1 :]}
        options = {name: [token_id for ids in place for token_id in ids or []] for name, place in places.items()}
    except OtherTokenizerError:
        raise
    except (KeyError, TypeError, IndexError, AttributeError, ValueError):
        raise ValueError(f"{path}: post_processor is malformed") from None
    return {name: ids for name, ids in options.items() if ids}


def to_json(
    tokenizer: Tokenizer, vocab: dict[str, int], merges: list[tuple[str, str]]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what `tokenizer.json` and `tokenizer_config.json` say of a tokenizer.

    vocab, merges: those of the tokenizer, in printable characters.
    """
    added = sorted((vars(token) for token in tokenizer.added_tokens.values()), key=lambda token: token["id"])
    names = {token_id: name for name, token_id in vocab.items()} | {token["id"]: token["content"] for token in added}
    parts = [{"Sequence": {"id": "A", "type_id": 0}}]
    before, behind = (
        [{"SpecialToken": {"id": names[token_id], "type_id": 0}} for token_id in ids]
        for ids in (tokenizer.prefix, tokenizer.suffix)
    )
    template = {
        "type": "TemplateProcessing",
        "single": [*before, *parts, *behind],
        "pair": [*parts, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {
            names[token_id]: {"id": names[token_id], "ids": [token_id], "tokens": [names[token_id]]}
            for token_id in (*tokenizer.prefix, *tokenizer.suffix)
        },
    }
    model = {
        "type": "BPE",
        "unk_token": None if tokenizer.unk_id is None else names[tokenizer.unk_id],
        "fuse_unk": tokenizer.fuse_unk,
        "vocab": vocab,
        "merges": merges,
    }
    data = {
        "version": "1.0",
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": BYTE_LEVEL,
        "post_processor": template if before or behind else BYTE_LEVEL,
        "decoder": BYTE_LEVEL,
        "model": model,
    }
    roles = {role: names[token_id] for role, token_id in tokenizer.roles.items()}
    return data, {"tokenizer_class": "PreTrainedTokenizerFast", **roles}
