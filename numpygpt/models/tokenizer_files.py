"""A tokenizer in a model's folder: `tokenizer.json`, or `merges.txt` with `vocab.json`, as Hugging Face has them."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any, TypeVar, cast

from numpygpt.files import atomic_write
from numpygpt.models.added_tokens import FLAGS, find_added_tokens, find_roles, join_settings
from numpygpt.models.tokenizer_json import Files, OtherTokenizerError, from_json, parse_merges, to_json
from numpygpt.tokenizer import ALPHABET, BYTES, END_OF_TEXT, LETTERS, Tokenizer

T = TypeVar("T", bound=Tokenizer)

SENTENCEPIECE = ("spiece.model", "tokenizer.model", "sentencepiece.bpe.model", "source.spm", "target.spm")
OTHER_KINDS = ("vocab.txt", *SENTENCEPIECE)  # vocab.txt: WordPiece
OUR_CLASSES = ("GPT2Tokenizer", "PreTrainedTokenizer", "TokenizersBackend")  # the last two say nothing of the kind


def load_tokenizer(
    folder: str | os.PathLike[str],
    kind: type[T] = Tokenizer,  # type: ignore[assignment]
    *,
    n_rows: int | None = None,
    eos_token_id: int | None = None,
) -> T:
    """Read a tokenizer from a model's folder: the book's, or that of another `kind`.

    Reads `tokenizer.json`, which counts where it is there, or else `merges.txt`, with `vocab.json` where it exists;
    and what is declared besides, as `numpygpt.models.added_tokens` says. `n_rows`, of the model's embedding, and
    `eos_token_id`, which counts where the files name no end of a text, are what the model's config says.

    Raises FileNotFoundError where neither file is there, ValueError, naming the file or the folder, for one that is
    malformed, and OtherTokenizerError (a ValueError) for another kind of tokenizer.
    """
    folder = Path(folder)
    config, names, added = (
        _read_object(folder / name) if (folder / name).exists() else {}
        for name in ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
    )
    _check_kind(folder, config)
    is_old = not (folder / "tokenizer.json").exists()
    if not is_old:
        files = from_json(_read_object(folder / "tokenizer.json"), folder / "tokenizer.json")
    elif (folder / "merges.txt").exists():
        files = _read_merges_txt(folder, config)
    else:
        message = f"{folder} holds no tokenizer: neither merges.txt (with vocab.json) nor tokenizer.json is there"
        raise FileNotFoundError(message)
    try:
        settings = join_settings(config, names, added)
        tokens = find_added_tokens(files.vocab, files.names, files.added, settings)
        options = files.options | find_roles(tokens, settings, ends=is_old)
        if n_rows is not None and any(token["id"] >= n_rows for token in tokens.values()):
            options["n_rows"] = n_rows
        if END_OF_TEXT not in tokens and eos_token_id is not None:
            options.setdefault("eot_id", eos_token_id)
        return _build(kind, files, tokens, options)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from None
    except (TypeError, AttributeError, KeyError) as error:  # a number, say, where a list must be
        raise ValueError(f"{folder}: a file of the tokenizer is malformed: {error}") from None


def _build(kind: type[T], files: Files, tokens: dict[str, dict[str, Any]], options: dict[str, Any]) -> T:
    """Make the tokenizer: of the kind asked for if it is numbered in the order of creation, else the engine's."""
    vocab = {
        files.names.get(name, name.encode()): i
        for name, i in files.vocab.items()
        if name not in tokens or name in files.names
    }
    created = [*BYTES, *map(b"".join, files.merges)]
    end = dict.fromkeys(FLAGS, False) | {"content": END_OF_TEXT, "id": len(created), "special": True}
    is_usual = vocab == dict(zip(created, range(len(created)), strict=True)) and tokens.keys() == {END_OF_TEXT}
    if is_usual and not options and tokens[END_OF_TEXT].items() >= end.items():
        return kind(files.merges)
    from numpygpt.engine import bpe  # here, for the book's tokenizer needs no engine
    from numpygpt.engine.added_tokens import AddedToken

    engines: Any = kind if issubclass(kind, bpe.Tokenizer) else bpe.Tokenizer
    added = [AddedToken(**token) for token in tokens.values()]
    return cast(T, engines(files.merges, vocab=vocab, special_tokens={}, added_tokens=added, **options))


def save_tokenizer(tokenizer: Tokenizer, folder: str | os.PathLike[str], **settings: Any) -> None:
    """Write `vocab.json` and `merges.txt` as OpenAI wrote GPT-2's, into a folder that is made if need be.

    A tokenizer that has more than bytes, merges and `<|endoftext|>` is written as `tokenizer.json` instead. `settings`
    and what special tokens are for go to `tokenizer_config.json`. Each file replaces an older one only once it is
    complete. Raises OSError where it cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_tokenizer(Tokenizer([(b" ", b"a")]), folder)
    ...     Path(folder, "merges.txt").read_text(encoding="utf-8").splitlines()
    ['#version: 0.2', 'Ġ a']
    """
    folder = Path(folder)
    vocab = {_printable(token): token_id for token, token_id in tokenizer.vocab.items()}
    vocab = {name: i for name, i in tokenizer.special_tokens.items() if name not in LETTERS} | vocab
    vocab = dict(sorted(vocab.items(), key=lambda item: item[1]))
    merges = [(_printable(left), _printable(right)) for left, right in tokenizer.merges]
    if getattr(tokenizer, "is_plain", True):
        lines = ["#version: 0.2", *map(" ".join, merges)]
        files = {"vocab.json": json.dumps(vocab), "merges.txt": "\n".join(lines) + "\n"}
    else:
        data, roles = to_json(cast(Any, tokenizer), vocab, merges)
        files = {"tokenizer.json": json.dumps(data, ensure_ascii=False)}
        settings = {**settings, **roles}
    if settings:
        files["tokenizer_config.json"] = json.dumps(settings, indent=2)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        with atomic_write(folder / name) as file:
            file.write(text.encode())
    for name in {"vocab.json", "merges.txt", "added_tokens.json", "tokenizer.json"} - files.keys():  # of another one
        (folder / name).unlink(missing_ok=True)


def _check_kind(folder: Path, config: dict[str, Any]) -> None:
    """Refuse the files of another kind of tokenizer, such as BERT's, and GPT-2's under the name of another."""
    kind, place = config.get("tokenizer_class"), folder / "tokenizer_config.json"
    if kind is None and (folder / "config.json").exists():
        kind, place = _read_object(folder / "config.json").get("tokenizer_class"), folder / "config.json"
    if isinstance(kind, str) and kind.removesuffix("Fast") not in OUR_CLASSES:
        raise OtherTokenizerError(f"{place}: tokenizer_class is {kind!r}, which is not GPT-2's byte-level BPE")
    ours = ("merges.txt", "tokenizer.json")
    for name in OTHER_KINDS:
        if (folder / name).exists() and not any((folder / our).exists() for our in ours):
            raise OtherTokenizerError(f"{folder / name} is of another kind of tokenizer than GPT-2's byte-level BPE")


def _printable(token: bytes) -> str:
    return token.decode("latin-1").translate(ALPHABET)


def _read_merges_txt(folder: Path, config: dict[str, Any]) -> Files:
    if config.get("add_prefix_space"):
        place = folder / "tokenizer_config.json"
        raise OtherTokenizerError(f"{place}: add_prefix_space is true, which is not GPT-2's byte-level BPE")
    lines = _read_text(folder / "merges.txt").rstrip("\n").split("\n")
    first = 1 if lines[0].startswith("#version") or lines == [""] else 0
    where = f"{folder / 'merges.txt'}, line"
    merges, names = parse_merges([line.split(" ") for line in lines[first:]], where, first + 1)
    if (folder / "vocab.json").exists():
        vocab = _read_object(folder / "vocab.json")
    else:
        vocab = {name: i for i, name in enumerate([*names, END_OF_TEXT])}
    return Files(merges, names, vocab, [], {})


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
