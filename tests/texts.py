"""What tests of tokenizers share: texts that are hard to cut, and the same tokenizer in other libraries."""

from __future__ import annotations

import random
import tempfile
from functools import cache
from typing import Any

import pytest
from hypothesis import strategies as st

from numpygpt.models.tokenizer_files import save_tokenizer
from numpygpt.tokenizer import END_OF_TEXT, Tokenizer

# The pattern as src/encoder.py in openai/gpt-2 has it.
PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

# Every character of Unicode; a lone surrogate is none.
SCALARS = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]

# Text that reaches every branch of the pattern more often than characters drawn evenly would.
BLANKS = " |  |    |\n|\t|\x1c|\x85|\xa0|\u2028|\u3000|\x00"
WORDS = "'s|'ll|don't|’s|the| The|é|e\u0301|ß|ſ|中文|ಠ_ಠ|🙂|👩\u200d👧|7| 2024|٣|½|Ⅷ|!?|...|\ufffd"
fragments = st.sampled_from([*BLANKS.split("|"), *WORDS.split("|"), END_OF_TEXT])
texts = st.text() | st.lists(fragments | st.text(max_size=4)).map("".join)


def prose(letters: int, seed: int = 0) -> str:
    """Make a text of invented words, some of which come much more often than others, as in a language."""
    rng = random.Random(seed)
    words = ["".join(rng.choices("abdeéiklmnost", k=rng.randint(1, 8))) for _ in range(2000)]
    chosen = rng.choices(words, [1 / rank for rank in range(1, 2001)], k=letters)
    marks = rng.choices([" ", ", ", ". ", "\n", " 17 "], [20, 2, 2, 1, 1], k=letters)
    return "".join(map("".join, zip(chosen, marks, strict=True)))[:letters]


@cache
def tiktoken_gpt2() -> Any:
    """GPT-2's tokenizer in tiktoken, made from the files that we save."""
    tiktoken = pytest.importorskip("tiktoken")
    load = pytest.importorskip("tiktoken.load")
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", "")
        save_tokenizer(Tokenizer(), folder)
        ranks = load.data_gym_to_mergeable_bpe_ranks(f"{folder}/merges.txt", f"{folder}/vocab.json")
    return tiktoken.Encoding("gpt2", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={END_OF_TEXT: 50256})
