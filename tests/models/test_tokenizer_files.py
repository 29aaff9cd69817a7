"""Tokenizers in folders: the published files, what `transformers` writes and reads, and files that are broken."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_models import random_params
from texts import prose

from numpygpt import GPT2, GPT2Config, Tokenizer
from numpygpt import tokenizer as book
from numpygpt.models import checkpoint, tokenizer_files
from numpygpt.models.tokenizer_files import save_tokenizer
from numpygpt.tokenizer import BYTES, END_OF_TEXT, LETTERS

load_tokenizer = partial(tokenizer_files.load_tokenizer, kind=Tokenizer)

AB, ABC = (b"a", b"b"), (b"ab", b"c")


def renumbered() -> Tokenizer:
    """A tokenizer numbered otherwise: `<|endoftext|>` and another special token first."""
    merges = Tokenizer.train(prose(5000), 300).merges
    vocab = {token: i for i, token in enumerate([*sorted(BYTES), *map(b"".join, merges)], 2)}
    return Tokenizer(merges, vocab=vocab, special_tokens={END_OF_TEXT: 0, "pad é": 1})


# What others write and read


def test_saved_files_are_the_published_ones(tmp_path: Path) -> None:
    save_tokenizer(book.Tokenizer(), tmp_path)
    # sha256 of the files in openai-community/gpt2
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.iterdir()} == {
        "vocab.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
        "merges.txt": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
    }


@pytest.mark.parametrize("make", [Tokenizer, renumbered])
def test_transformers_reads_and_writes_the_same_tokens(make: Callable[[], Tokenizer], tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    ours = make()
    save_tokenizer(ours, tmp_path / "ours")
    theirs = transformers.GPT2Tokenizer.from_pretrained(tmp_path / "ours")
    text = f"{prose(1000)} It's 3 o'clock!{END_OF_TEXT}pad é<user> text"
    assert ours.encode(text, allowed_special="all") == theirs(text)["input_ids"]
    theirs.add_special_tokens({"additional_special_tokens": ["<user>"]})
    theirs.save_pretrained(tmp_path / "theirs")
    loaded = load_tokenizer(tmp_path / "theirs")
    assert loaded.merges == ours.merges
    assert loaded.special_tokens.keys() - ours.special_tokens.keys() == {"<user>"}
    assert loaded.encode(text, allowed_special="all") == theirs(text)["input_ids"]


# What we write and read


def test_what_is_saved_can_be_loaded_and_leaves_nothing_of_another(tmp_path: Path) -> None:
    for tokenizer in (Tokenizer(), renumbered(), Tokenizer([AB])):
        save_tokenizer(tokenizer, tmp_path / "new" / "folder")
        loaded = load_tokenizer(tmp_path / "new" / "folder")
        assert type(loaded) is Tokenizer
        assert loaded == tokenizer


def test_a_failed_save_leaves_the_old_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_tokenizer(Tokenizer([AB]), tmp_path)
    monkeypatch.setattr(os, "fsync", Mock(side_effect=OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        save_tokenizer(Tokenizer([AB, ABC]), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["merges.txt", "vocab.json"]
    assert load_tokenizer(tmp_path) == Tokenizer([AB])


def test_merges_alone_are_enough(tmp_path: Path) -> None:
    save_tokenizer(Tokenizer([AB, ABC]), tmp_path)
    (tmp_path / "vocab.json").unlink()
    merges = (tmp_path / "merges.txt").read_bytes()
    for same in (merges, merges.replace(b"\n", b"\r\n"), merges.rstrip(), merges.split(b"\n", 1)[1]):
        (tmp_path / "merges.txt").write_bytes(same)
        assert load_tokenizer(tmp_path) == Tokenizer([AB, ABC])


def tokenizer_json(path: str = "normalizer", value: Any = None) -> str:
    """What transformers 5 writes for the merge of "a" and "b", one setting of it changed."""
    data: dict[str, Any] = {
        "added_tokens": [{"id": 257, "content": END_OF_TEXT, "special": True}],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "merges": [["a", "b"]]},
    }
    data["model"]["vocab"] = {name: i for i, name in enumerate([*LETTERS, "ab", END_OF_TEXT])}
    *parents, last = path.split(".")
    (data[parents[0]] if parents else data)[last] = value
    return json.dumps(data)


@pytest.mark.parametrize("merge", ["a b", ["a", "b"]])
def test_tokenizer_json(merge: Any, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(tokenizer_json("model.merges", [merge]))
    assert load_tokenizer(tmp_path) == Tokenizer([AB])


def test_tokenizer_json_counts_where_older_files_stand_beside_it(tmp_path: Path) -> None:
    """And who saves another tokenizer there removes it."""
    save_tokenizer(Tokenizer([AB, ABC]), tmp_path)
    (tmp_path / "tokenizer.json").write_text(tokenizer_json())
    assert load_tokenizer(tmp_path) == Tokenizer([AB])
    save_tokenizer(Tokenizer([AB, ABC]), tmp_path)
    assert load_tokenizer(tmp_path) == Tokenizer([AB, ABC])


def test_tokenizer_json_counts_in_transformers_too(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    save_tokenizer(Tokenizer([AB, ABC]), tmp_path)
    (tmp_path / "tokenizer.json").write_text(tokenizer_json())
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert theirs("abc")["input_ids"] == load_tokenizer(tmp_path).encode("abc") == Tokenizer([AB]).encode("abc")


OTHERS = [
    ({"vocab.txt": "[PAD]"}, "vocab.txt is of another kind"),
    ({"spiece.model": ""}, "spiece.model is of another kind"),
    ({"tokenizer_config.json": '{"tokenizer_class": "BertTokenizerFast"}'}, "tokenizer_class is 'BertTokenizerFast'"),
    ({"tokenizer_config.json": '{"tokenizer_class": "T5Tokenizer"}', "vocab.json": "{}"}, "is 'T5Tokenizer'"),
    ({"tokenizer.json": '{"model": {"type": "WordPiece"}}'}, "model.type is 'WordPiece'"),
    ({"config.json": "BertTokenizer"}, "config.json: tokenizer_class is 'BertTokenizer'"),
]


@pytest.mark.parametrize(("files", "message"), OTHERS)
def test_with_another_kind_of_tokenizer_a_model_opens_and_refuses_text_alone(
    files: dict[str, str], message: str, tmp_path: Path
) -> None:
    """Even where the vocabulary happens to have the size of GPT-2's; and so does a copy."""
    config = GPT2Config(n_ctx=8, n_embd=2, n_layer=1, n_head=1)
    checkpoint.save(tmp_path / "model", config, random_params(config), None)
    for name, content in files.items():
        if name == "config.json":
            said = json.loads((tmp_path / "model" / name).read_text())
            content = json.dumps(said | {"tokenizer_class": content})
        (tmp_path / "model" / name).write_text(content)
    checkpoint.convert(tmp_path / "model", tmp_path / "converted")
    GPT2.from_pretrained(tmp_path / "model").save(tmp_path / "saved")
    for folder in (tmp_path / "model", tmp_path / "converted", tmp_path / "saved"):
        model = GPT2.from_pretrained(folder)
        assert model.logits([1]).shape == (1, 50257)
        for use in (model.generate, model.tokens, lambda _, folder=folder: load_tokenizer(folder)):
            with pytest.raises(ValueError, match=message):
                use("a")


# What is refused

SETTINGS = """model.type model.dropout model.continuing_subword_prefix model.end_of_word_suffix model.byte_fallback
    model.ignore_merges normalizer pre_tokenizer.type pre_tokenizer.add_prefix_space pre_tokenizer.use_regex
    post_processor.type"""


def refuse(folder: Path, message: str) -> None:
    """Check that loading fails with one line that names the folder, or a file in it."""
    with pytest.raises(ValueError, match=message) as caught:
        load_tokenizer(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        *[(setting, "other", f"json: {setting} is 'other', which is not GPT-2's") for setting in SETTINGS.split()],
        ("model", None, "model.type is None"),
        ("pre_tokenizer", None, "pre_tokenizer.type is None"),
        ("model.merges", {"a": "b"}, "model.merges and added_tokens must be lists"),
        ("model.merges", [["a", "b"], "a"], r"tokenizer.json, merge 1: expected two parts, found \['a'\]"),
        ("model.merges", [["a", 5]], "tokenizer.json, merge 0: 5 is neither a byte"),
        ("model.vocab", [], "model.vocab an object"),
        ("added_tokens", {"a": 1}, "must be lists"),
        ("added_tokens", [{"id": 1}], "an entry of added_tokens lacks its content"),
        ("added_tokens", [{"id": 300, "content": ["<x>"]}], "an entry of added_tokens lacks its content"),
        ("added_tokens", [{"id": "1", "content": "<x>"}], "the id of '<x>' is '1'"),
        ("added_tokens", [{"id": 300, "content": "ab"}], "'ab' has two ids, 256 and 300"),
        ("post_processor", {"type": "TemplateProcessing"}, "tokenizer.json: post_processor is malformed"),
        ("post_processor", {"type": "TemplateProcessing", "single": [], "special_tokens": {}}, "is malformed"),
    ],
)
def test_other_tokenizers_are_refused_by_name(path: str, value: Any, message: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(tokenizer_json(path, value))
    refuse(tmp_path, message)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("merges.txt", b"#version: 0.2\na b\nab\n", r"merges.txt, line 3: expected two parts, found \['ab'\]"),
        ("merges.txt", b"a b\n\nab c\n", "merges.txt, line 2: expected two parts"),
        ("merges.txt", b"#version: 0.2\nab c\na b\n", "merges.txt, line 2: 'ab' is neither a byte nor made by"),
        ("merges.txt", b"#version: 0.2\na b\na b\n", "merge 1 makes b'ab', which an earlier merge makes already"),
        ("merges.txt", b"#version: 0.2\na b\n\xff c\n", "merges.txt, line 3: byte 0xff is not UTF-8"),
        ("merges.txt", b"", "'ab' has an id, but no merge makes it and it is not among the added tokens"),
        ("vocab.json", b'{"a": 1', "vocab.json: not valid JSON: .* line 1 column 8"),
        ("vocab.json", b'{"a": 1, "a": 1}', "vocab.json: not valid JSON: 'a' occurs twice"),
        ("vocab.json", b"[" * 100_000, "vocab.json: not valid JSON"),
        ("vocab.json", b"[1, 2]", "vocab.json: expected an object in braces, found list"),
        ("vocab.json", b'{"a": "1"}', "the id of 'a' is '1'"),
        ("vocab.json", b'{"a": 1}', "the vocabulary lacks b'b'"),
        ("added_tokens.json", b'{"<x>": 5}', "the id 5 is used twice, for b'&' and for '<x>'"),
        ("added_tokens.json", b'{"<|endoftext|>": 258}', "has two ids, 257 and 258"),
        ("added_tokens.json", b"{", "added_tokens.json: not valid JSON"),
        ("tokenizer_config.json", b'{"add_prefix_space": true}', "tokenizer_config.json: add_prefix_space is true"),
    ],
)
def test_malformed_files_are_refused(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    save_tokenizer(Tokenizer([AB]), tmp_path)
    (tmp_path / name).write_bytes(content)
    refuse(tmp_path, message)


def test_a_folder_without_a_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"missing holds no tokenizer: neither merges\.txt \(with"):
        load_tokenizer(tmp_path / "missing")


@given(st.sampled_from(["merges.txt", "vocab.json"]), st.integers(0, 10_000), st.binary(max_size=3), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_files_give_an_error_or_a_tokenizer(
    tmp_path: Path, name: str, place: int, damage: bytes, cut: bool
) -> None:
    save_tokenizer(Tokenizer.train("a few words and a few more words", 270), tmp_path)
    data = (tmp_path / name).read_bytes()
    place %= len(data)
    (tmp_path / name).write_bytes(data[:place] + damage + (b"" if cut else data[place + len(damage) :]))
    try:
        tokenizer = load_tokenizer(tmp_path)
    except ValueError as error:
        message = str(error)
        assert str(tmp_path) in message
    else:
        assert tokenizer.decode(tokenizer.encode("a few words")) == "a few words"
        assert damage or not cut or place == len(data) - 1, "cut short"
