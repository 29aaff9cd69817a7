"""A tokenizer in a model's folder: `merges.txt` with `vocab.json`, or `tokenizer.json`, as Hugging Face lays them out.

The files write bytes as the printable characters of `numpygpt.tokenizer.ALPHABET`.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

from numpygpt.files import atomic_write
from numpygpt.tokenizer import ALPHABET, END_OF_TEXT, LETTERS, Pair, Tokenizer

T = TypeVar("T", bound=Tokenizer)


OTHER_KINDS = ("vocab.txt", "spiece.model", "tokenizer.model", "sentencepiece.bpe.model")  # WordPiece, SentencePiece
OUR_CLASSES = ("GPT2Tokenizer", "PreTrainedTokenizer", "TokenizersBackend")  # the last two say nothing of the kind


class OtherTokenizerError(ValueError):
    """A tokenizer that is not GPT-2's byte-level BPE: the message names the file and the kind."""


class Files(NamedTuple):
    """What the files say: the merges, each token by the name it is written with, and the ids of names."""

    merges: list[Pair]
    names: dict[str, bytes]
    vocab: dict[str, int] | None
    added: dict[str, int]


def load_tokenizer(folder: str | os.PathLike[str], kind: type[T] = Tokenizer) -> T:  # type: ignore[assignment]
    """Read a tokenizer from a model's folder: the book's, or that of another `kind`.

    Reads `tokenizer.json`, which counts where it is there, or else `merges.txt`, with `vocab.json` and
    `added_tokens.json` where they exist. Special tokens are the added ones and those in `vocab.json` that stand in
    brackets, like `<|endoftext|>` or `[PAD]`.

    Raises FileNotFoundError where neither file is there, ValueError, naming the file or the folder, for one that is
    malformed, and OtherTokenizerError (a ValueError) for another kind of tokenizer.
    """
    folder = Path(folder)
    _check_kind(folder)
    if (folder / "tokenizer.json").exists():
        files = _read_tokenizer_json(folder / "tokenizer.json")
    elif (folder / "merges.txt").exists():
        files = _read_merges_txt(folder / "merges.txt")
    else:
        message = f"{folder} holds no tokenizer: neither merges.txt (with vocab.json) nor tokenizer.json is there"
        raise FileNotFoundError(message)
    try:
        vocab, special_tokens = _number(files)
        tokenizer = kind(files.merges)
        if (tokenizer.vocab, tokenizer.special_tokens) == (vocab, special_tokens):
            return tokenizer
        engines: Any = kind  # the book's numbers its tokens in no other way
        return cast(T, engines(files.merges, vocab=vocab, special_tokens=special_tokens))
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from None


def save_tokenizer(tokenizer: Tokenizer, folder: str | os.PathLike[str]) -> None:
    """Write `vocab.json` and `merges.txt` as OpenAI wrote GPT-2's, into a folder that is made if need be.

    Special tokens besides `<|endoftext|>` are listed in `added_tokens.json` too. Each file replaces an older one only
    once it is complete. Raises OSError where it cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_tokenizer(Tokenizer([(b" ", b"a")]), folder)
    ...     Path(folder, "merges.txt").read_text(encoding="utf-8").splitlines()
    ['#version: 0.2', 'Ġ a']
    """
    folder = Path(folder)
    vocab = {_printable(token): token_id for token, token_id in tokenizer.vocab.items()} | tokenizer.special_tokens
    added = {name: token_id for name, token_id in tokenizer.special_tokens.items() if name != END_OF_TEXT}
    merges = [f"{_printable(left)} {_printable(right)}\n" for left, right in tokenizer.merges]
    files = {
        "vocab.json": json.dumps(dict(sorted(vocab.items(), key=lambda item: item[1]))),
        "merges.txt": "".join(["#version: 0.2\n", *merges]),
    }
    if added:
        files["added_tokens.json"] = json.dumps(added)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        with atomic_write(folder / name) as file:
            file.write(text.encode())
    for name in {"added_tokens.json", "tokenizer.json"} - files.keys():  # of another tokenizer
        (folder / name).unlink(missing_ok=True)


def _check_kind(folder: Path) -> None:
    """Refuse the files of another kind of tokenizer, such as BERT's, and GPT-2's under the name of another."""
    path = folder / "tokenizer_config.json"
    settings = _read_object(path) if path.exists() else {}
    kind = settings.get("tokenizer_class")
    if isinstance(kind, str) and kind.removesuffix("Fast") not in OUR_CLASSES:
        raise OtherTokenizerError(f"{path}: tokenizer_class is {kind!r}, which is not GPT-2's byte-level BPE")
    ours = ("merges.txt", "tokenizer.json")
    for name in OTHER_KINDS:
        if (folder / name).exists() and not any((folder / our).exists() for our in ours):
            raise OtherTokenizerError(f"{folder / name} is of another kind of tokenizer than GPT-2's byte-level BPE")


def _printable(token: bytes) -> str:
    return token.decode("latin-1").translate(ALPHABET)


def _number(files: Files) -> tuple[dict[bytes, int], dict[str, int]]:
    """Find the id of every token by its name, and the special tokens.

    Special tokens are those that were added, and whatever in `vocab` is neither a byte nor a merge's result but
    stands in brackets. Without them it is more likely that merges are missing.
    """
    _, names, vocab, added = files
    if vocab is None:
        vocab = {name: i for i, name in enumerate([*names, END_OF_TEXT])}
    ids = {token: vocab[name] for name, token in names.items() if name in vocab}
    special_tokens = {name: token_id for name, token_id in vocab.items() if name not in names}
    for name in special_tokens:
        if name not in added and not re.fullmatch(r"<.*>|\[.*\]", name):
            raise ValueError(f"{name!r} has an id, but no merge makes it and it is not among the added tokens")
    for name, token_id in added.items():
        if special_tokens.setdefault(name, token_id) != token_id:
            raise ValueError(f"{name!r} has two ids, {special_tokens[name]} and {token_id}")
    return ids, special_tokens


def _parse_merges(merges: Sequence[Any], where: str, first: int) -> tuple[list[Pair], dict[str, bytes]]:
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


def _read_merges_txt(path: Path) -> Files:
    config, vocab, added = (
        _read_object(file) if (file := path.parent / name).exists() else None
        for name in ("tokenizer_config.json", "vocab.json", "added_tokens.json")
    )
    if config and config.get("add_prefix_space"):
        place = path.parent / "tokenizer_config.json"
        raise OtherTokenizerError(f"{place}: add_prefix_space is true, which is not GPT-2's byte-level BPE")
    lines = _read_text(path).rstrip("\n").split("\n")
    first = 1 if lines[0].startswith("#version") or lines == [""] else 0
    merges, names = _parse_merges([line.split(" ") for line in lines[first:]], f"{path}, line", first + 1)
    return Files(merges, names, vocab, added or {})


# What decides the tokens in `tokenizer.json`, and the values with which they are GPT-2's.
_NOTHING: tuple[object, ...] = (None, False, "", {})
_SETTINGS: dict[str, tuple[object, ...]] = {
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
    "post_processor.type": ("ByteLevel", "TemplateProcessing", None),
    "post_processor.special_tokens": _NOTHING,
}


def _read_tokenizer_json(path: Path) -> Files:
    data = _read_object(path)
    for setting, allowed in _SETTINGS.items():
        value: Any = data
        for key in setting.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if value not in allowed:
            raise OtherTokenizerError(f"{path}: {setting} is {value!r}, which is not GPT-2's byte-level BPE")
    merges, vocab, added = data["model"].get("merges"), data["model"].get("vocab"), data.get("added_tokens") or []
    if not isinstance(merges, list) or not isinstance(vocab, dict) or not isinstance(added, list):
        raise ValueError(f"{path}: model.merges and added_tokens must be lists, and model.vocab an object")
    if not all(isinstance(token, dict) and isinstance(token.get("content"), str) and "id" in token for token in added):
        raise ValueError(f"{path}: an entry of added_tokens lacks its content or its id")
    merges = [merge.split(" ") if isinstance(merge, str) else merge for merge in merges]
    return Files(*_parse_merges(merges, f"{path}, merge", 0), vocab, {token["content"]: token["id"] for token in added})


def _read_object(path: Path) -> dict[str, Any]:
    text = _read_text(path)
    try:
        data = json.loads(text, object_pairs_hook=_no_repeats)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(data, dict):
        raise ValueError(f"{path}: expected an object in braces, found {type(data).__name__}")
    return data


def _no_repeats(items: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(items)
    if len(data) < len(items):
        name = Counter(name for name, _ in items).most_common(1)[0][0]
        raise ValueError(f"{name!r} occurs twice")
    return data


def _read_text(path: Path) -> str:
    data = path.read_bytes()
    try:
        return data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}, line {line}: byte {data[error.start]:#04x} is not UTF-8 text") from None
