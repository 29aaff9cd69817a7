"""Words cut between characters: the ids are those of whole words."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from numpygpt import Tokenizer
from numpygpt import tokenizer as book
from numpygpt.engine import seams
from numpygpt.engine.seams import Seams

BOOK = book.Tokenizer()
SHARED = Tokenizer()
# Characters that GPT-2's tokens join with others, wholly or by some of their bytes, and others that none joins
CHARACTERS = st.sampled_from([*"の魔龍契士裏覚醒喚極ーンットイア中文没有空格한국어ไทยéüßжи\ufffd…—🐈👩\u200d🎨 ab1'"])
TEXTS = st.text(CHARACTERS, max_size=40)


@given(TEXTS)
@example("龍契士龍喚士裏覚醒の魔の大")
@example("�����������")
def test_gpt2s_ids_are_those_of_the_definition(text: str) -> None:
    assert SHARED.encode(text) == BOOK.encode(text)


@given(TEXTS, TEXTS, st.integers(257, 320))
def test_learned_merges_across_characters_too(text: str, other: str, vocab_size: int) -> None:
    learned = Tokenizer.train(text, vocab_size)
    assert learned.encode(text + other) == book.Tokenizer(learned.merges).encode(text + other)


def test_what_is_remembered_is_bounded() -> None:
    cut = Seams(["中文".encode()])
    seams_before, seams.MAX_PAIRS = seams.MAX_PAIRS, 2
    try:
        for word, parts in (("中文中", ["中文", "中"]), ("文文中文", ["文", "文", "中文"]), ("中文", ["中文"])):
            assert list(cut.cut(word)) == parts
        assert len(cut) <= 4
    finally:
        seams.MAX_PAIRS = seams_before
