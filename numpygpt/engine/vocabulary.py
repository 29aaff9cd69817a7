"""What makes a vocabulary consistent: merges that build on each other, and one id for each token."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from numpygpt.engine.added_tokens import AddedToken
from numpygpt.tokenizer import BYTES, LETTERS, Pair


def checked_merges(merges: Iterable[Pair], may_repeat: bool) -> Iterator[Pair]:
    """Refuse merges whose parts do not exist when their turn comes, and a token made twice unless it `may_repeat`."""
    known, seen = set(BYTES), set[Pair]()
    for i, (left, right) in enumerate(merges):
        if unknown := [part for part in (left, right) if part not in known]:
            raise ValueError(f"merge {i} joins {unknown[0]!r}, which is neither a byte nor made by an earlier merge")
        if (left, right) in seen or (left + right in known and not may_repeat):
            raise ValueError(f"merge {i} makes {left + right!r}, which an earlier merge makes already")
        known.add(left + right)
        seen.add((left, right))
        yield left, right


def check_ids(merges: list[Pair], vocab: Mapping[bytes, int], added: Iterable[AddedToken]) -> None:
    """Refuse a vocabulary that does not give every token an id of its own."""
    owners: dict[int, object] = {}
    names = {token.content: token.id for token in added}
    for token, token_id in chain[tuple[object, int]](vocab.items(), names.items()):
        if type(token_id) is not int or token_id < 0:
            raise ValueError(f"the id of {token!r} is {token_id!r}; ids are whole numbers from 0")
        ordinary = vocab.get(_written(token), token_id) if isinstance(token, str) else token_id
        if ordinary != token_id:
            raise ValueError(f"{token!r} has two ids, {ordinary} and {token_id}")
        if token_id in owners and not (isinstance(token, str) and _written(token) == owners[token_id]):
            raise ValueError(f"the id {token_id} is used twice, for {owners[token_id]!r} and for {token!r}")
        owners.setdefault(token_id, token)
    if "" in names:
        raise ValueError("an added token is empty")
    made = set(map(b"".join, merges))
    if missing := [token for token in dict.fromkeys(chain(*merges, made)) if token not in vocab]:
        raise ValueError(f"the vocabulary lacks {missing[0]!r} and {len(missing) - 1} more of what the merges use")


def _written(name: str) -> bytes:
    """The ordinary token that a name in `vocab.json` would stand for; b"", which is none, where it cannot be one."""
    return b"".join(map(LETTERS.__getitem__, name)) if set(name) <= LETTERS.keys() else b""
