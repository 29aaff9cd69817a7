"""The tokenizer against tiktoken, tokenizers and transformers, and against its own definition."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from numpygpt.tokenizer import _BLOCK, END_OF_TEXT, Tokenizer, _WordCache, _words

# The pattern as src/encoder.py in openai/gpt-2 has it.
PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

GPT2 = Tokenizer()

# Every character of Unicode; a lone surrogate is none.
SCALARS = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]

# Text that reaches every branch of the pattern more often than characters drawn evenly would.
BLANKS = " |  |    |\n|\t|\x1c|\x85|\xa0|\u2028|\u3000|\x00"
WORDS = "'s|'ll|don't|’s|the| The|é|e\u0301|ß|ſ|中文|ಠ_ಠ|🙂|👩\u200d👧|7| 2024|٣|½|Ⅷ|!?|...|\ufffd"
fragments = st.sampled_from([*BLANKS.split("|"), *WORDS.split("|"), END_OF_TEXT])
texts = st.text() | st.lists(fragments | st.text(max_size=4)).map("".join)


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GPT-2's files as `save` writes them, which is how the other libraries come to know the tokenizer."""
    folder = tmp_path_factory.mktemp("gpt2")
    GPT2.save(folder)
    return folder


@pytest.fixture(scope="session")
def tiktoken_gpt2(saved: Path) -> Any:
    tiktoken = pytest.importorskip("tiktoken")
    load = pytest.importorskip("tiktoken.load")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", "")
        ranks = load.data_gym_to_mergeable_bpe_ranks(str(saved / "merges.txt"), str(saved / "vocab.json"))
    return tiktoken.Encoding("gpt2", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={END_OF_TEXT: 50256})


@pytest.fixture(scope="session")
def tokenizers_gpt2(saved: Path) -> Any:
    tokenizers = pytest.importorskip("tokenizers")
    return tokenizers.ByteLevelBPETokenizer(str(saved / "vocab.json"), str(saved / "merges.txt"))


@pytest.fixture(scope="session")
def shakespeare() -> str:
    folder = os.environ.get("NUMPYGPT_CORPUS")
    if not folder:
        pytest.skip("the environment variable NUMPYGPT_CORPUS names no folder with tinyshakespeare.txt")
    return (Path(folder) / "tinyshakespeare.txt").read_text(encoding="utf-8")


def prose(letters: int, seed: int = 0) -> str:
    """Make a text of invented words, some of which come much more often than others, as in a language."""
    rng = random.Random(seed)
    syllables = [a + b for a in ("b", "d", "k", "l", "m", "st", "th", "é") for b in "aeiou"]
    words = ["".join(rng.choices(syllables, k=rng.randint(1, 4))) for _ in range(2000)]
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    marks = rng.choices([" ", ", ", ". ", "\n", " 17 "], [20, 2, 2, 1, 1], k=letters)
    text = "".join(map("".join, zip(rng.choices(words, weights, k=letters // 2), marks, strict=False)))
    return text[:letters]


# Published tokens


@pytest.mark.parametrize(
    ("prompt", "ids"),
    [  # recorded in poloclub/transformer-explainer, src/constants/examples
        ("Data visualization empowers users to", [6601, 32704, 795, 30132, 2985, 284]),
        ("Artificial Intelligence is transforming the", [8001, 9542, 9345, 318, 25449, 262]),
        ("As the spaceship was approaching the", [1722, 262, 40663, 373, 13885, 262]),
        ("On the deserted planet they discovered a", [2202, 262, 36043, 5440, 484, 5071, 257]),
        ("IEEE VIS conference highlights the", [40, 31909, 50035, 4495, 11330, 262]),
    ],
)
def test_published_ids(prompt: str, ids: list[int]) -> None:
    assert GPT2.encode(prompt) == ids
    assert GPT2.decode(ids) == prompt


def test_published_ids_with_end_of_text() -> None:
    # The first tokens of the batch in karpathy/llm.c, test_gpt2.c.
    ids = [50256, 5962, 22307, 25, 198, 8421, 356, 5120, 597, 2252, 11, 3285, 502, 2740, 13, 628, 50256, 3237, 25, 198]
    text = "<|endoftext|>First Citizen:\nBefore we proceed any further, hear me speak.\n\n<|endoftext|>All:\n"
    assert GPT2.encode(text, allowed_special="all") == ids
    assert GPT2.decode(ids) == text


def test_saved_files_are_the_published_ones(saved: Path) -> None:
    # sha256 of the files in openai-community/gpt2
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in saved.iterdir()} == {
        "vocab.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
        "merges.txt": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
    }


def test_shakespeare_has_the_published_number_of_tokens(shakespeare: str) -> None:
    # karpathy/llm.c, dev/data/tinyshakespeare.py: 32,768 tokens to validate with and 305,260 to train on
    text = END_OF_TEXT + f"\n\n{END_OF_TEXT}".join(shakespeare.split("\n\n"))
    assert len(GPT2.encode(text, allowed_special={END_OF_TEXT})) == 338_028


# The same tokens as other libraries


def test_shakespeare_equals_tiktoken(shakespeare: str, tiktoken_gpt2: Any) -> None:
    ids = GPT2.encode(shakespeare)
    assert ids == tiktoken_gpt2.encode_ordinary(shakespeare)
    assert GPT2.decode(ids) == shakespeare


def test_shakespeare_equals_transformers(shakespeare: str, saved: Path) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.GPT2Tokenizer.from_pretrained(saved)
    text = shakespeare[:100_000] + END_OF_TEXT + " again"
    assert GPT2.encode(text, allowed_special="all") == theirs(text)["input_ids"]


@given(texts)
@settings(deadline=None, max_examples=400)
def test_text_equals_tiktoken(tiktoken_gpt2: Any, text: str) -> None:
    assert GPT2.encode(text) == tiktoken_gpt2.encode_ordinary(text)
    assert GPT2.encode(text, allowed_special="all") == tiktoken_gpt2.encode(text, allowed_special="all")


@given(texts)
@settings(deadline=None, max_examples=200)
def test_text_equals_tokenizers(tokenizers_gpt2: Any, text: str) -> None:
    assert GPT2.encode(text) == tokenizers_gpt2.encode(text).ids


@given(st.lists(fragments | st.just("\n")).map("".join))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_where_a_long_text_is_cut_makes_no_difference(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    whole = list(_words(text))
    with monkeypatch.context() as patch:
        patch.setattr("numpygpt.tokenizer._BLOCK", re.compile(_BLOCK.pattern.replace("4000", "2"), re.DOTALL))
        assert list(_words(text)) == whole


def test_every_character_equals_tiktoken(tiktoken_gpt2: Any) -> None:
    for start in range(0, len(SCALARS), 4096):
        text = "".join(SCALARS[start : start + 4096])
        ids = GPT2.encode(text)
        assert ids == tiktoken_gpt2.encode_ordinary(text), f"near U+{ord(text[0]):04X}"
        assert GPT2.decode(ids) == text


@pytest.mark.slow
def test_every_character_alone_and_among_others_equals_tiktoken(tiktoken_gpt2: Any) -> None:
    for character in SCALARS:
        for text in (character, f"a{character}1{character} {character}!{character}\n{character}"):
            assert GPT2.encode(text) == tiktoken_gpt2.encode_ordinary(text), f"U+{ord(character):04X}"


def test_every_token_is_what_tiktoken_says(tiktoken_gpt2: Any) -> None:
    assert [GPT2.token_bytes(i) for i in range(50257)] == [
        tiktoken_gpt2.decode_single_token_bytes(i) for i in range(50257)
    ]


# Encoding and decoding by their definition


@given(texts)
@settings(deadline=None, max_examples=400)
def test_decoding_gives_the_text_back(text: str) -> None:
    assert GPT2.decode(GPT2.encode(text)) == text
    assert GPT2.decode(GPT2.encode(text, allowed_special="all")) == text


@given(st.text(alphabet="abc", max_size=60), st.text(alphabet="abc", max_size=40), st.integers(257, 300))
@settings(deadline=None)
def test_encoding_follows_the_steps(corpus: str, word: str, vocab_size: int) -> None:
    tokenizer = Tokenizer.train(corpus, vocab_size)
    *_, parts = tokenizer.merge_steps(word)
    assert list(map(tokenizer.token_bytes, tokenizer.encode(word))) == parts


def test_steps_join_one_pair_at_a_time() -> None:
    steps = list(GPT2.merge_steps(" naïve".encode()))
    assert steps[0] == [bytes([byte]) for byte in " naïve".encode()]
    assert all(len(after) == len(before) - 1 for before, after in pairwise(steps))
    assert steps[-1] == [" naïve".encode()]


def test_a_token_of_gpt2_encodes_to_itself() -> None:
    words = ((i, GPT2.token_bytes(i)) for i in range(50256))
    assert all(list(GPT2.merge_steps(word))[-1] == [word] for i, word in words if i % 50 == 0)


@pytest.mark.parametrize("letters", ["abcdefghijklmnopqrstuvwxyz", "a", "é", "中文字"])
def test_a_word_of_100_000_letters_takes_less_than_a_second(letters: str) -> None:
    word = "".join(random.Random(0).choices(letters, k=100_000))
    start = time.process_time()
    ids = GPT2.encode(word)
    assert time.process_time() - start < 1
    assert GPT2.decode(ids) == word


@pytest.mark.parametrize("code", [0xD800, 0xDC80, 0xDFFF])
def test_lone_surrogates_are_refused(code: int) -> None:
    half = chr(code)
    with pytest.raises(ValueError, match=r"lone surrogate, '\\ud\w+', at position 6"):
        GPT2.encode(f"before{half}after")
    with pytest.raises(ValueError, match="at position 19"):
        GPT2.encode(f"{END_OF_TEXT}before{half}after", allowed_special="all")
    with pytest.raises(ValueError, match="lone surrogate"):
        Tokenizer.train(f"before{half}after", 300)


def test_words_are_kept_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_WordCache, "max_words", 10)
    tokenizer = Tokenizer()
    text = prose(3000) + " " + "long" * 100
    assert tokenizer.encode(text) == GPT2.encode(text)
    assert 0 < len(tokenizer._words) <= 10
    assert not any(len(word) > 64 for word in tokenizer._words)


def test_words_seen_before_are_not_merged_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = Tokenizer()
    ids = tokenizer.encode("seen before")
    monkeypatch.setattr(Tokenizer, "_merge", None)
    assert tokenizer.encode("seen before") == ids


def test_ids_outside_the_vocabulary_are_refused() -> None:
    for bad in (-1, 50257, 10**30):
        for call in (lambda i: GPT2.decode([15496, i]), GPT2.token_bytes, GPT2.decoder().feed):
            with pytest.raises(ValueError, match=f"token id {bad} is outside .* 50257 tokens"):
                call(bad)
    with pytest.raises(TypeError):
        GPT2.decode([1.0])  # type: ignore[list-item]


def test_ids_may_be_an_array() -> None:
    for dtype in (np.int32, np.int64, np.uint16):
        assert GPT2.decode(np.array([15496, 11, 995], dtype)) == "Hello, world"


def test_bytes_that_are_not_text_are_replaced() -> None:
    first, *rest = GPT2.encode("ᚠ")
    assert GPT2.decode_bytes([first, *rest]) == "ᚠ".encode()
    assert GPT2.decode([first]) == GPT2.decode_bytes([first]).decode(errors="replace") == "\ufffd"


# Special tokens


def test_special_tokens_only_where_allowed() -> None:
    text = f"one{END_OF_TEXT}two"
    plain = [505, 27, 91, 437, 1659, 5239, 91, 29, 11545]
    assert GPT2.encode(text) == GPT2.encode(text, allowed_special=[]) == plain
    for allowed in ("all", END_OF_TEXT, {END_OF_TEXT}, GPT2.special_tokens):
        assert GPT2.encode(text, allowed_special=allowed) == [505, 50256, 11545]
    assert GPT2.decode([505, 50256, 11545]) == GPT2.decode(plain) == text


def test_unknown_special_tokens_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'<pad>' is not a special token .* it has <\|endoftext\|>"):
        GPT2.encode("text", allowed_special={"<pad>"})


def test_the_longest_special_token_wins() -> None:
    special = {END_OF_TEXT: 0, "<a>": 1, "<a><b>": 2, "<c>.*": 3}
    vocab = {token: i + 4 for i, token in enumerate(bytes([b]) for b in range(256))}
    tokenizer = Tokenizer([], vocab=vocab, special_tokens=special)
    assert tokenizer.encode("<a><b><a>b<c>.*", allowed_special="all") == [2, 1, 4 + ord("b"), 3]
    assert tokenizer.encode("<a>", allowed_special={"<a><b>"}) == [4 + byte for byte in b"<a>"]
    assert (tokenizer.eot_id, tokenizer.n_vocab) == (0, 260)


# Decoding as ids come


@given(texts)
@settings(deadline=None)
def test_pieces_are_the_text_and_never_half_a_character(text: str) -> None:
    decoder = GPT2.decoder()
    id_of = {GPT2.token_bytes(i): i for i in range(256)}
    for ids in (GPT2.encode(text), [id_of[bytes([byte])] for byte in text.encode()]):
        so_far = ""
        for token_id in ids:
            so_far += decoder.feed(token_id)
            assert text.startswith(so_far)
        assert so_far == text
        assert decoder.flush() == ""


@given(st.lists(st.integers(0, 50256) | st.integers(94, 255)))
@settings(deadline=None)
def test_pieces_of_any_ids_are_what_decode_makes_of_them(ids: list[int]) -> None:
    decoder = GPT2.decoder()
    pieces = [*map(decoder.feed, ids), decoder.flush()]
    assert "".join(pieces) == GPT2.decode(ids)


def test_a_decoder_begins_anew_after_its_end() -> None:
    decoder = GPT2.decoder()
    first, second, third = GPT2.encode("ᚠ")
    assert [decoder.feed(first), decoder.flush(), decoder.flush()] == ["", "\ufffd", ""]
    assert [decoder.feed(first), decoder.feed(second), decoder.feed(third)] == ["", "", "ᚠ"]


# Training


def naive_training(text: str, vocab_size: int) -> Iterator[tuple[tuple[bytes, bytes], bool]]:
    """Count every pair anew before each merge; yield the merges, and whether each was the only most frequent pair."""
    import regex

    words = [[bytes([byte]) for byte in word.encode()] for word in regex.findall(PATTERN, text)]
    for _ in range(vocab_size - 257):
        counts = Counter(pair for word in words for pair in pairwise(word))
        if not counts:
            return
        best = max(counts, key=lambda pair: (counts[pair], pair))
        yield best, list(counts.values()).count(counts[best]) == 1
        for word in words:
            i = 0
            while i < len(word) - 1:
                if (word[i], word[i + 1]) == best:
                    word[i : i + 2] = [word[i] + word[i + 1]]
                i += 1


@pytest.mark.parametrize("seed", range(3))
def test_training_equals_the_definition(seed: int) -> None:
    text = prose(3000, seed)
    assert Tokenizer.train(text, 420).merges == [pair for pair, _ in naive_training(text, 420)]


@given(st.text(alphabet="ab éé ", max_size=80) | texts, st.integers(257, 300))
@settings(deadline=None)
def test_training_on_any_text_equals_the_definition(text: str, vocab_size: int) -> None:
    tokenizer = Tokenizer.train(text, vocab_size)
    assert tokenizer.merges == [pair for pair, _ in naive_training(text, vocab_size)]
    assert tokenizer.n_vocab == len(tokenizer.merges) + 257 <= vocab_size
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_training_equals_tokenizers_until_a_tie(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    text = prose(20_000)
    n = [is_unique for _, is_unique in naive_training(text, 320)].index(False)
    assert n >= 20
    theirs = tokenizers.ByteLevelBPETokenizer()  # takes the pair of lowest ids where two are as frequent
    theirs.train_from_iterator([text], vocab_size=256 + n, min_frequency=1, show_progress=False)
    merges = json.loads(theirs._tokenizer.to_str())["model"]["merges"]
    Tokenizer.train(text, 257 + n).save(tmp_path)
    assert (tmp_path / "merges.txt").read_text(encoding="utf-8").splitlines()[1:] == [" ".join(m) for m in merges]


def test_trained_tokenizer_equals_tokenizers_on_other_text(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    ours = Tokenizer.train(prose(20_000), 600)
    ours.save(tmp_path)
    theirs = tokenizers.ByteLevelBPETokenizer(str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt"))
    text = prose(20_000, seed=1) + "".join(SCALARS[:2000])
    assert ours.encode(text) == theirs.encode(text).ids


def test_training_stops_when_nothing_is_left_to_merge() -> None:
    assert Tokenizer.train("aaaa", 1000).merges == [(b"a", b"a"), (b"aa", b"aa")]
    assert Tokenizer.train("", 1000).n_vocab == 257


@pytest.mark.parametrize("vocab_size", [256, 0, -1])
def test_training_refuses_a_vocabulary_smaller_than_the_bytes(vocab_size: int) -> None:
    with pytest.raises(ValueError, match=f"vocab_size is {vocab_size}; the 256 bytes"):
        Tokenizer.train("text", vocab_size)


def test_training_130_kilobytes_to_500_tokens_takes_less_than_a_second() -> None:
    text = prose(130_000)
    start = time.process_time()
    assert Tokenizer.train(text, 500).n_vocab == 500
    assert time.process_time() - start < 1


# Making a tokenizer


AB, ABC = (b"a", b"b"), (b"ab", b"c")
IDS = {bytes([byte]): byte for byte in range(256)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"merges": [ABC, AB]}, "merge 0 joins b'ab', which is neither a byte nor made by an earlier merge"),
        ({"merges": [AB, ABC, AB]}, "merge 2 makes b'ab', which an earlier merge makes already"),
        ({"merges": [("a", "b")]}, "merge 0 joins 'a', which is neither"),
        ({"merges": [AB], "vocab": IDS}, "lacks the result of a merge, b'ab'"),
        ({"merges": [], "vocab": {}}, "lacks the byte b'!', and 255 more"),
        ({"merges": [], "vocab": IDS | {b"ab": 256}}, "has b'ab', which is neither a byte nor the result"),
        ({"merges": [], "vocab": IDS | {b"a": 7}}, r"id 7 is used twice, for b'\\x07' and for b'a'"),
        ({"merges": [], "special_tokens": {END_OF_TEXT: 3}}, "id 3 is used twice, for b'\\$' and for '<"),
        ({"merges": [], "special_tokens": {END_OF_TEXT: -1}}, "id of '<.*' is -1; ids are whole numbers"),
        ({"merges": [], "special_tokens": {END_OF_TEXT: 256.0}}, "is 256.0; ids are whole numbers"),
        ({"merges": [], "special_tokens": {}}, "is not among the special tokens"),
        ({"merges": [AB], "special_tokens": {END_OF_TEXT: 257, "ab": 258}}, "'ab' is empty or written like"),
        ({"merges": [], "special_tokens": {END_OF_TEXT: 256, "": 257}}, "'' is empty"),
    ],
)
def test_inconsistent_tokenizers_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        Tokenizer(**arguments)
    assert "\n" not in str(caught.value)


def test_equality_is_that_of_the_ids() -> None:
    assert Tokenizer() == GPT2
    assert Tokenizer(GPT2.merges) == GPT2
    assert Tokenizer(GPT2.merges[:10]) != GPT2
    assert Tokenizer([], vocab=IDS) != Tokenizer([])
    assert GPT2 != "gpt2"
    assert repr(GPT2) == "<Tokenizer: 50000 merges, 50257 tokens>"


# Files


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a small tokenizer, to be damaged."""
    folder = tmp_path_factory.mktemp("small")
    Tokenizer.train("a few words and a few more words", 270).save(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def renumbered() -> Tokenizer:
    """A tokenizer numbered otherwise: `<|endoftext|>` first, a gap, and a special token more."""
    merges = Tokenizer.train(prose(5000), 300).merges
    tokens = [bytes([byte]) for byte in range(256)] + [b"".join(pair) for pair in merges]
    special = {END_OF_TEXT: 0, "pad é": 1}
    return Tokenizer(merges, vocab={t: i for i, t in enumerate(tokens, 5)}, special_tokens=special)


@pytest.mark.parametrize("make", [Tokenizer, renumbered, lambda: Tokenizer.train(prose(5000), 400)])
def test_what_is_saved_can_be_loaded(make: Any, tmp_path: Path) -> None:
    tokenizer = make()
    tokenizer.save(tmp_path / "new" / "folder")
    loaded = Tokenizer.load(tmp_path / "new" / "folder")
    assert loaded == tokenizer
    text = prose(1000, seed=2) + END_OF_TEXT
    assert loaded.encode(text, allowed_special="all") == tokenizer.encode(text, allowed_special="all")


def test_saving_over_another_tokenizer_leaves_nothing_of_it(tmp_path: Path) -> None:
    renumbered().save(tmp_path)
    Tokenizer([AB]).save(tmp_path)
    assert Tokenizer.load(tmp_path) == Tokenizer([AB])


def test_transformers_reads_a_renumbered_tokenizer(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    ours = renumbered()
    ours.save(tmp_path)
    theirs = transformers.GPT2Tokenizer.from_pretrained(tmp_path)
    text = prose(1000, seed=2) + END_OF_TEXT + "pad é"
    assert ours.encode(text, allowed_special="all") == theirs(text)["input_ids"]


def test_merges_alone_are_enough(tmp_path: Path) -> None:
    tokenizer = Tokenizer.train(prose(5000), 400)
    tokenizer.save(tmp_path)
    (tmp_path / "vocab.json").unlink()
    assert Tokenizer.load(tmp_path) == tokenizer
    merges = (tmp_path / "merges.txt").read_bytes()
    for same in (merges.replace(b"\n", b"\r\n"), merges.rstrip(), merges.split(b"\n", 1)[1]):
        (tmp_path / "merges.txt").write_bytes(same)
        assert Tokenizer.load(tmp_path) == tokenizer


def test_added_tokens_are_special(tmp_path: Path) -> None:
    tokenizer = Tokenizer([AB])
    tokenizer.save(tmp_path)
    (tmp_path / "added_tokens.json").write_text('{"<user>": 258, "<|endoftext|>": 257}')
    loaded = Tokenizer.load(tmp_path)
    assert loaded.special_tokens == {END_OF_TEXT: 257, "<user>": 258}
    (tmp_path / "added_tokens.json").write_text('{"<|endoftext|>": 258}')
    with pytest.raises(ValueError, match="has two ids, 257 and 258"):
        Tokenizer.load(tmp_path)


def test_a_folder_of_transformers_gives_the_same_tokens(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    ours = Tokenizer.train(prose(5000), 400)
    ours.save(tmp_path / "ours")
    theirs = transformers.GPT2Tokenizer.from_pretrained(tmp_path / "ours")
    theirs.add_special_tokens({"additional_special_tokens": ["<user>"]})
    theirs.save_pretrained(tmp_path / "theirs")
    loaded = Tokenizer.load(tmp_path / "theirs")
    assert loaded.merges == ours.merges
    assert loaded.special_tokens == {END_OF_TEXT: 399, "<user>": 400}
    text = prose(2000, seed=3) + "<user> text"
    assert loaded.encode(text, allowed_special="all") == theirs(text)["input_ids"]


def tokenizer_json() -> dict[str, Any]:
    """What transformers 5 writes for the merge of "a" and "b", without the settings that change nothing."""
    letters = {letter: i for i, letter in enumerate(map(chr, range(33, 127)))}
    others = [c for c in map(chr, range(161, 324)) if c != "\xad"]
    vocab = letters | {letter: i for i, letter in enumerate(others, len(letters))} | {"ab": 256, END_OF_TEXT: 257}
    return {
        "added_tokens": [{"id": 257, "content": END_OF_TEXT, "special": True}],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
        "post_processor": {"type": "ByteLevel", "trim_offsets": False},
        "model": {"type": "BPE", "dropout": None, "vocab": vocab, "merges": [["a", "b"]]},
    }


@pytest.mark.parametrize("merge", ["a b", ["a", "b"]])
def test_tokenizer_json(merge: Any, tmp_path: Path) -> None:
    data = tokenizer_json()
    data["model"]["merges"] = [merge]
    (tmp_path / "tokenizer.json").write_text(json.dumps(data))
    assert Tokenizer.load(tmp_path) == Tokenizer([AB])


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("model.type", "WordPiece", "model.type is 'WordPiece'"),
        ("model.dropout", 0.1, "model.dropout is 0.1"),
        ("model.end_of_word_suffix", "</w>", "model.end_of_word_suffix is '</w>'"),
        ("model.byte_fallback", True, "model.byte_fallback is True"),
        ("model.ignore_merges", True, "model.ignore_merges is True"),
        ("model", None, "model.type is None"),
        ("normalizer", {"type": "NFC"}, "normalizer is {'type': 'NFC'}"),
        ("pre_tokenizer", None, "pre_tokenizer.type is None"),
        ("pre_tokenizer.type", "Whitespace", "pre_tokenizer.type is 'Whitespace'"),
        ("pre_tokenizer.add_prefix_space", True, "pre_tokenizer.add_prefix_space is True"),
        ("pre_tokenizer.use_regex", False, "pre_tokenizer.use_regex is False"),
        ("post_processor.type", "BertProcessing", "post_processor.type is 'BertProcessing'"),
        ("model.merges", {"a": "b"}, "model.merges and added_tokens must be lists"),
        ("model.merges", [["a", "b"], "a"], r"tokenizer.json, merge 1: expected two parts, found \['a'\]"),
        ("model.merges", [["a", 5]], "tokenizer.json, merge 0: 5 is neither a byte"),
        ("model.merges", [5], "tokenizer.json, merge 0: expected two parts, found 5"),
        ("model.vocab", [], "expected an object that gives each token its id, found list"),
        ("added_tokens", [{"id": 1}], "an entry of added_tokens lacks its content"),
        ("added_tokens", [{"id": "1", "content": "<x>"}], "the id of '<x>' is '1'"),
    ],
)
def test_other_tokenizers_are_refused_by_name(path: str, value: Any, message: str, tmp_path: Path) -> None:
    data = tokenizer_json()
    *parents, last = path.split(".")
    place = data
    for key in parents:
        place = place[key]
    place[last] = value
    (tmp_path / "tokenizer.json").write_text(json.dumps(data))
    with pytest.raises(ValueError, match=message) as caught:
        Tokenizer.load(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("merges.txt", b"#version: 0.2\na b\nab\n", r"merges.txt, line 3: expected two parts, found \['ab'\]"),
        ("merges.txt", b"a b\nab c d\n", "merges.txt, line 2: expected two parts"),
        ("merges.txt", b"a b\n\nab c\n", "merges.txt, line 2: expected two parts"),
        ("merges.txt", b"#version: 0.2\nab c\na b\n", "merges.txt, line 2: 'ab' is neither a byte nor made by"),
        ("merges.txt", b"#version: 0.2\na b\na b\n", "merges.txt, line 3: an earlier merge makes 'ab' already"),
        ("merges.txt", b"#version: 0.2\na b\n\xff c\n", "merges.txt, line 3: byte 0xff is not UTF-8"),
        ("merges.txt", b"", "'ab' has an id, but no merge makes it and it is not among the added tokens"),
        ("vocab.json", b'{"a": 1', "vocab.json: not valid JSON: .* line 1 column 8"),
        ("vocab.json", b'{"a": 1, "a": 1}', "vocab.json: not valid JSON: 'a' occurs twice"),
        ("vocab.json", b"[" * 100_000, "vocab.json: not valid JSON"),
        ("vocab.json", b"[1, 2]", "vocab.json: expected an object that gives each token its id, found list"),
        ("vocab.json", b'{"a": "1"}', "vocab.json: the id of 'a' is '1'"),
        ("vocab.json", b'{"a": 1}', "the vocabulary lacks the byte b'!'"),
        ("vocab.json", b"\xff", "vocab.json, line 1: byte 0xff is not UTF-8"),
        ("added_tokens.json", b'{"<x>": 5}', "the id 5 is used twice, for b'&' and for '<x>'"),
        ("added_tokens.json", b"{", "added_tokens.json: not valid JSON"),
        ("tokenizer_config.json", b'{"add_prefix_space": true}', "tokenizer_config.json: add_prefix_space is true"),
    ],
)
def test_malformed_files_are_refused(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    Tokenizer([AB]).save(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        Tokenizer.load(tmp_path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


@given(st.sampled_from(["merges.txt", "vocab.json"]), st.integers(0, 10_000), st.binary(max_size=3), st.booleans())
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_files_give_an_error_or_a_tokenizer(
    small: dict[str, bytes], tmp_path: Path, name: str, place: int, damage: bytes, cut: bool
) -> None:
    for file, data in small.items():
        (tmp_path / file).write_bytes(data)
    data = small[name]
    place %= len(data)
    (tmp_path / name).write_bytes(data[:place] + damage + (b"" if cut else data[place + len(damage) :]))
    try:
        tokenizer = Tokenizer.load(tmp_path)
    except ValueError as error:
        message = str(error)
        assert str(tmp_path) in message
    else:
        assert tokenizer.decode(tokenizer.encode("a few words")) == "a few words"


@pytest.mark.parametrize("name", ["merges.txt", "vocab.json"])
def test_files_cut_short_are_refused(name: str, small: dict[str, bytes], tmp_path: Path) -> None:
    for file, data in small.items():
        (tmp_path / file).write_bytes(data)
    whole = small[name]
    for length in [*range(0, len(whole) - 1, 37), len(whole.rstrip()) - 1]:
        (tmp_path / name).write_bytes(whole[:length])
        with pytest.raises(ValueError, match=re.escape(str(tmp_path))):
            Tokenizer.load(tmp_path)


def test_a_folder_without_a_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"neither merges\.txt \(with vocab\.json\) nor tokenizer\.json"):
        Tokenizer.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="missing"):
        Tokenizer.load(tmp_path / "missing")


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failed_save_leaves_the_old_files(call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = Tokenizer([AB])
    old.save(tmp_path)

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="No space left"):
        Tokenizer([AB, ABC]).save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["merges.txt", "vocab.json"]
    assert Tokenizer.load(tmp_path) == old
