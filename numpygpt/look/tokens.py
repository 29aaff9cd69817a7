"""What the page says of tokens: how they are written, how they came to be, and which are alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from numpygpt.arrays import Array
from numpygpt.look.packing import pack
from numpygpt.tokenizer import Tokenizer

SIGNS = {" ": "␣", "\n": "⏎", "\t": "⇥"}
N_NEIGHBORS = 8


def written(token: bytes) -> str:
    r"""Write a token so that all of it is seen: signs for white space, escapes for what does not print or is no UTF-8.

    >>> written(b" cat"), written(b"\n"), written("\u202e".encode()), written(b" \xf0\x9f")
    ('␣cat', '⏎', '\\u202e', '␣\\xf0\\x9f')
    """
    return "".join(map(_sign, token.decode("utf-8", errors="backslashreplace")))


def _sign(character: str) -> str:
    if character in SIGNS or character.isprintable():
        return SIGNS.get(character, character)
    return character.encode("unicode_escape").decode("ascii")


def vocabulary(tokenizer: Tokenizer, n_vocab: int) -> list[str]:
    """Write every token of a model, by its id."""
    unused = set(tokenizer.unused_ids)
    unused.update(range(tokenizer.n_vocab, n_vocab))
    return [
        f"<unused {token_id}>" if token_id in unused else written(tokenizer.token_bytes(token_id))
        for token_id in range(n_vocab)
    ]


def merges(tokenizer: Tokenizer, text: str, ids: Sequence[int]) -> list[list[list[str]]]:
    """List the words of a text, each as its parts after every merge, from bytes to tokens.

    Empty where the tokenizer does more than merging, such as one with added tokens, and the ids are others.
    """
    words = [list(tokenizer.merge_steps(word)) for word in tokenizer.split(text)]
    if [tokenizer.vocab.get(part) for word in words for part in word[-1]] != list(ids):
        return []
    return [[list(map(written, parts)) for parts in word] for word in words]


def neighbors(ids: Sequence[int], wte: Array, n: int = N_NEIGHBORS) -> dict[str, Any]:
    """Find the tokens whose embeddings point most in the direction of each token's own, by cosine.

    wte: [n_vocab, n_embd] -> "ids" and "cosine", both [n_seq, n]
    """
    unit = wte / np.maximum(np.linalg.norm(wte, axis=-1, keepdims=True), np.finfo(wte.dtype).tiny)
    cosine = unit[np.asarray(ids)] @ unit.T  # [n_seq, n_vocab]
    cosine[np.arange(len(ids)), ids] = -np.inf  # not the token itself
    best = largest(cosine, n)
    return {"ids": pack(best, "int32"), "cosine": pack(np.take_along_axis(cosine, best, axis=-1), "float16")}


def largest(x: Array, n: int) -> Array:
    """Return the indices of the n largest numbers of every row, the largest first: [..., k] -> [..., min(n, k)].

    >>> largest(np.array([0.1, 0.7, 0.2]), 2)
    array([1, 2])
    """
    n = min(n, x.shape[-1])
    found = np.argpartition(-x, n - 1, axis=-1)[..., :n]
    order = np.argsort(-np.take_along_axis(x, found, axis=-1), axis=-1, kind="stable")
    return np.take_along_axis(found, order, axis=-1)
