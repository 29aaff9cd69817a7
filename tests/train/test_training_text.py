"""From text files to tokens to learn from and tokens held out."""

from __future__ import annotations

import itertools
import logging
import re
import tracemalloc
from collections import Counter
from operator import itemgetter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from numpygpt import Tokenizer
from numpygpt.train import text as module
from numpygpt.train.config import TrainingError
from numpygpt.train.text import load_tokens, read_pieces, text_files, write_tokens


def test_items_end_at_marks_and_files(tmp_path: Path) -> None:
    first, second = tmp_path / "1.txt", tmp_path / "2.txt"
    first.write_bytes(
        b"\n<|endoftext|>\none\n\nmore <|endoftext|>\n<|endoftext|> \n  <|endoftext|>\r\ntwo\r\n"
        b"<|startoftext|> three<|endoftext|>four <|endoftext|>\tfive\n <|startoftext|>six\n"
    )
    second.write_text("seven")
    counts = Counter[str]()
    items = list(read_pieces([first, second], counts))
    assert items == [(0, "one\n\nmore"), (1, "two\nthree"), (2, "four"), (3, "five\nsix"), (4, "seven")]
    assert counts == {"items": 5, "<|startoftext|>": 2}


TOKENIZER = Tokenizer()
MARKS = st.sampled_from(["<|endoftext|>", "<|startoftext|>", " ", "\t", "\n", "\r\n", "\n\n", "  "])
WORDS = st.sampled_from(["a", "don't", "12", "é", "🐈", "...", "<|", "|>", "x" * 9, "\u3000", "'s", " the", "中文"])


@given(st.lists(MARKS | WORDS, max_size=60), st.integers(60, 90))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pieces_have_the_tokens_of_whole_items(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: list[str], size: int
) -> None:
    """Wherever a long item is cut, and wherever the marks stand."""
    content = "".join(parts)
    (tmp_path / "text").write_bytes(content.encode())
    text = content.replace("\r\n", "\n").replace("\r", "\n")
    whole = [item.strip("\n") for item in re.split(r"[ \t]*<\|endoftext\|>[ \t]*", without_starts(text))]
    with monkeypatch.context() as patch:
        patch.setattr(module, "PIECE", size)
        patch.setattr(module, "MARGIN", 40)
        pieces = list(read_pieces([tmp_path / "text"]))
    items = [[piece for _, piece in group] for _, group in itertools.groupby(pieces, key=itemgetter(0))]
    expected = [TOKENIZER.encode(item) for item in whole if item.strip()]
    assert [[i for piece in item for i in TOKENIZER.encode(piece)] for item in items] == expected
    assert [number for number, _ in itertools.groupby(pieces, key=itemgetter(0))] == list(range(len(expected)))


@given(st.lists(WORDS | st.sampled_from([" ", "\n", " \n\n", "\n \n"]), min_size=30, max_size=90), st.integers(9, 40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(["a\n\n\nb "] * 40, 10)
@example(["x" * 9 + "é"] * 40, 25)
def test_a_long_item_is_cut_between_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: list[str], size: int
) -> None:
    text = "a" + "".join(parts).replace("<|", "<") + "a"
    (tmp_path / "text").write_bytes(text.encode())
    with monkeypatch.context() as patch:
        patch.setattr(module, "PIECE", size)
        patch.setattr(module, "MARGIN", 0)
        pieces = [piece for _, piece in read_pieces([tmp_path / "text"])]
    assert "".join(pieces) == text
    words = list(Tokenizer.split(text))
    starts = [0, *itertools.accumulate(map(len, words))]
    places = [start for start in starts if start in (0, len(text)) or not text[start - 1].isspace()]
    if max(end - start for start, end in itertools.pairwise(places)) < size:  # what is longer must be cut
        assert [word for piece in pieces for word in Tokenizer.split(piece)] == words


def without_starts(text: str) -> str:
    """Drop the mark with the blanks behind it, and those before it where nothing else is on the line."""
    return re.sub(r"(^[ \t]*)?<\|startoftext\|>[ \t]*", "", text, flags=re.MULTILINE)


@pytest.mark.parametrize("unit", ["word ", "longerword, and 12 more; ", "中文没有空格", "x" * 50 + " "])
def test_memory_does_not_grow_with_a_line(unit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file without a line break, as text8 is."""
    monkeypatch.setattr(module, "PIECE", 2**14)
    peaks = []
    for size in (2**16, 2**18):
        (tmp_path / "line").write_text(unit * (size // len(unit)))
        tracemalloc.start()
        try:
            write_tokens([tmp_path / "line"], Tokenizer([]), tmp_path)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        tokens = np.fromfile(tmp_path / "train.bin", np.uint16)
        assert len(tokens) == len((unit * (size // len(unit))).encode()) + 2
    assert peaks[1] < peaks[0] + 2**16


def test_a_folder_stands_for_all_its_text_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("b.TXT", "a/c.txt", "a/d/e.Txt", ".hidden/f.txt", "a/.g.txt", "notes.md", "a/h.pdf"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(name)
    caplog.set_level(logging.INFO, "numpygpt.train")
    found = [str(path.relative_to(tmp_path)) for path in text_files([str(tmp_path)])]
    assert found == ["a/c.txt", "a/d/e.Txt", "b.TXT"]
    assert caplog.messages == [f"{tmp_path}: left out what is no .txt file, 2 in all: a/h.pdf, notes.md"]
    assert text_files([str(tmp_path / "notes.md")]) == [tmp_path / "notes.md"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(TrainingError, match=r"no \.txt file is in it"):
        text_files([str(tmp_path / "empty")])


def test_the_run_says_what_it_found(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "numpygpt.train")
    (tmp_path / "text").write_text("<|startoftext|>one<|endoftext|>\n<|startoftext|>two<|endoftext|>\n")
    write_tokens([tmp_path / "text"], Tokenizer([]), tmp_path)
    assert caplog.messages == [
        "2 items of text",
        "dropped <|startoftext|>, 2 times: every item begins at an <|endoftext|> here",
    ]


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
