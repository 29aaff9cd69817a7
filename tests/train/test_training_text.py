"""From text files to tokens to learn from and tokens held out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from numpygpt import Tokenizer
from numpygpt.train import text as module
from numpygpt.train.text import load_tokens, read_pieces, write_tokens


def test_items_end_at_separators_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "1.txt", tmp_path / "2.txt"
    first.write_bytes(b"\n<|endoftext|>\none\n\nmore <|endoftext|>\n<|endoftext|>\n\n<|endoftext|>\r\ntwo\r\n")
    second.write_text("three")
    items = [(0, "one\n\nmore <|endoftext|>"), (1, "two"), (2, "three")]
    assert list(read_pieces([first, second])) == items
    monkeypatch.setattr(module, "PIECE", 3)
    pieces = list(read_pieces([first, second]))
    assert [number for number, _ in pieces] == [0, 0, 1, 2]
    assert [text for _, text in pieces] == ["one\n", "\nmore <|endoftext|>\n", "two\n", "three"]


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    first, second = tmp_path / "1.txt", tmp_path / "2.txt"
    first.write_bytes(b"\xef\xbb\xbfone\n")
    second.write_bytes(b"\xef\xbb\xbf<|endoftext|>\n two")
    assert list(read_pieces([first, second])) == [(0, "one"), (1, " two")]


def test_every_hundredth_item_is_held_out(text: str, tmp_path: Path) -> None:
    tokenizer = Tokenizer([])
    write_tokens([text], tokenizer, tmp_path)
    tokens, held_out = load_tokens(tmp_path, tokenizer, 16)
    items = [tokenizer.encode(item) for _, item in read_pieces([text])]
    assert held_out.tolist() == [tokenizer.eot_id, *items[99]]
    expected = [token for n, item in enumerate(items) if n != 99 for token in (tokenizer.eot_id, *item)]
    assert tokens.tolist() == [*expected, tokenizer.eot_id]
    assert isinstance(tokens, np.memmap)
    assert tokens.dtype == np.uint16


def test_of_few_items_the_last_twentieth_is_held_out(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("abcdefghij" * 50)
    tokenizer = Tokenizer([])
    write_tokens([tmp_path / "text"], tokenizer, tmp_path)
    tokens, held_out = load_tokens(tmp_path, tokenizer, 16)
    assert (len(tokens), len(held_out)) == (476, 26)
    everything = [tokenizer.eot_id, *tokenizer.encode("abcdefghij" * 50), tokenizer.eot_id]
    assert [*tokens, *held_out] == everything


def test_ids_beyond_16_bits_are_stored_whole(tmp_path: Path) -> None:
    tokenizer = Tokenizer([], special_tokens={"<|endoftext|>": 70_000})
    (tmp_path / "text").write_text("abc" * 100)
    write_tokens([tmp_path / "text"], tokenizer, tmp_path)
    tokens, _ = load_tokens(tmp_path, tokenizer, 16)
    assert tokens[0] == 70_000
