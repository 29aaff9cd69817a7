"""Encoders of GPT-2's tokens, on one thread, and texts for them."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import regex

from numpygpt import Tokenizer
from numpygpt.models.tokenizer_files import save_tokenizer
from numpygpt.tokenizer import WORD

Encode = Callable[[str], list[int]]


def ours() -> Encode:
    """This package; a new tokenizer, which has seen no word yet."""
    return Tokenizer().encode


def tiktoken() -> Encode:
    """OpenAI's tiktoken, built from the same merges."""
    import tiktoken as library

    tokenizer = Tokenizer()
    ranks = {tokenizer.token_bytes(i): i for i in range(tokenizer.eot_id)}
    encoding = library.Encoding("gpt2", pat_str=WORD, mergeable_ranks=ranks, special_tokens={})
    encode: Encode = encoding.encode_ordinary
    return encode


def hugging_face() -> Encode:
    """Hugging Face's tokenizers."""
    import tempfile

    import tokenizers as library

    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    with tempfile.TemporaryDirectory() as folder:
        save_tokenizer(Tokenizer(), folder)
        tokenizer = library.ByteLevelBPETokenizer.from_file(f"{folder}/vocab.json", f"{folder}/merges.txt")
    return lambda text: list(tokenizer.encode(text).ids)


def plain_python() -> Encode:
    """The algorithm as minbpe and others teach it, written for this comparison: join the earliest merge, and again."""
    tokenizer = Tokenizer()
    ids = {tokenizer.token_bytes(i): i for i in range(tokenizer.eot_id)}
    pattern = regex.compile(WORD)

    def encode(text: str) -> list[int]:
        result = []
        for word in pattern.findall(text):
            parts = [bytes([byte]) for byte in word.encode()]
            while len(parts) > 1:
                pairs = [ids.get(left + right, len(ids)) for left, right in pairwise(parts)]
                rank = min(pairs)
                if rank == len(ids):
                    break
                i = pairs.index(rank)
                parts[i : i + 2] = [parts[i] + parts[i + 1]]
            result += [ids[part] for part in parts]
        return result

    return encode


ENCODERS = {"numpygpt": ours, "tiktoken": tiktoken, "tokenizers": hugging_face, "plain Python": plain_python}


def texts(n_bytes: int) -> dict[str, str]:
    """About n_bytes each of English (where NUMPYGPT_CORPUS has stories), Python code and random Chinese characters."""
    found = {}
    stories = Path(os.environ.get("NUMPYGPT_CORPUS", "."), "tinystories.txt")
    if stories.is_file():
        found["English"] = stories.read_bytes()[:n_bytes].decode(errors="ignore")
    sources = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    found["code"] = b"".join(path.read_bytes() for path in sources)[:n_bytes].decode(errors="ignore")
    rng = np.random.default_rng(0)
    # Zipf's law for the frequencies of characters and of words of one to four of them, between punctuation
    characters = "".join(map(chr, 0x4E00 + rng.permutation(3000)))
    words = ["".join(characters[i % 3000] for i in rng.zipf(1.2, 1 + i % 4)) for i in range(20000)]
    chosen = [words[i % 20000] + ("，" if i % 5 == 0 else "") for i in rng.zipf(1.2, n_bytes // 5)]
    found["Chinese"] = "".join(chosen).encode()[:n_bytes].decode(errors="ignore")
    return found
