"""Mistakes in `transformer.py`: positions, padding, embedding, attention."""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

import numpy as np

from numpygpt.course.mistakes.registry import mistake
from numpygpt.layers import MASKED, token_embedding

book: Any = import_module("numpygpt.transformer")  # the page, not the function of its name


def _angles(n_seq: int, n_embd: int, exponent: Any) -> Any:
    column = np.arange(n_embd)
    angles = np.arange(n_seq)[:, None] / 10000 ** exponent(column)
    return np.where(column % 2 == 0, np.sin(angles), np.cos(angles))


@mistake("sinusoidal_encoding", "Which columns share a wavelength?", "Sine and cosine come in pairs: column // 2 * 2.")
def no_pairs(n_seq: int, n_embd: int) -> Any:
    return _angles(n_seq, n_embd, lambda column: column / n_embd)


@mistake("sinusoidal_encoding", "How fast do the wavelengths grow?", "The exponent is 2i / n_embd, not i / n_embd.")
def half_exponent(n_seq: int, n_embd: int) -> Any:
    return _angles(n_seq, n_embd, lambda column: column // 2 / n_embd)


@mistake("sinusoidal_encoding", "Sine or cosine first?", "Even columns are sines, odd ones cosines.")
def cosines_first(n_seq: int, n_embd: int) -> Any:
    column = np.arange(n_embd)
    angles = np.arange(n_seq)[:, None] / 10000 ** (column // 2 * 2 / n_embd)
    return np.where(column % 2 == 0, np.cos(angles), np.sin(angles))


@mistake(
    "sinusoidal_encoding",
    "In turn, or one half after the other?",
    "Here they are in turn; `sines_first` has them in halves.",
)
def in_halves(n_seq: int, n_embd: int) -> Any:
    return book.sines_first(n_seq, n_embd)


@mistake("sinusoidal_encoding", "Which position is the first?", "Positions count from 0.")
def positions_from_one(n_seq: int, n_embd: int) -> Any:
    return book.sinusoidal_encoding(n_seq + 1, n_embd)[1:]


@mistake("sines_first", "In halves, or in turn?", "All sines, then all cosines: columns 0::2, then 1::2.")
def in_turn(n_seq: int, n_embd: int) -> Any:
    return book.sinusoidal_encoding(n_seq, n_embd)


@mistake("sines_first", "Which half comes first?", "The sines, columns 0::2.")
def cosines_before(n_seq: int, n_embd: int) -> Any:
    encoding = book.sinusoidal_encoding(n_seq, n_embd)
    return np.concatenate([encoding[:, 1::2], encoding[:, 0::2]], axis=-1)


@mistake("sines_first", "Halves of what?", "Of the even and odd columns, not of positions.")
def columns_halved(n_seq: int, n_embd: int) -> Any:
    encoding = book.sinusoidal_encoding(n_seq, n_embd)
    return np.concatenate([encoding[:, n_embd // 2 :], encoding[:, : n_embd // 2]], axis=-1)


@mistake("padding_mask", "What is hidden?", "The padding: MASKED where the id is pad_token_id, 0 elsewhere.")
def inverted(ids: Any, pad_token_id: int) -> Any:
    mask = book.padding_mask(ids, pad_token_id)
    return np.where(mask == 0, np.float32(MASKED), np.float32(0))


@mistake("padding_mask", "Whom does it serve?", "Every head and every query: two axes of 1 before n_seq.")
def no_axes(ids: Any, pad_token_id: int) -> Any:
    return book.padding_mask(ids, pad_token_id)[..., 0, 0, :]


@mistake("padding_mask", "Added or multiplied?", "It is added: 0 and MASKED, not 1 and 0.")
def ones(ids: Any, pad_token_id: int) -> Any:
    return (book.padding_mask(ids, pad_token_id) == 0).astype(np.float32)


@mistake("padding_mask", "Which id is the padding?", "pad_token_id: it need not be 0.")
def zero_is_padding(ids: Any, pad_token_id: int) -> Any:
    return book.padding_mask(ids, 0)


@mistake(
    "embed", "How long are embeddings, how long the encoding?", "Multiply by sqrt(n_embd) before the encoding is added."
)
def not_scaled(ids: Any, weight: Any) -> Any:
    return token_embedding(ids, weight) + book.sines_first(np.shape(ids)[-1], weight.shape[-1])


@mistake("embed", "What is scaled?", "The embedding alone, not the sum.")
def sum_scaled(ids: Any, weight: Any) -> Any:
    return not_scaled(ids, weight) * math.sqrt(weight.shape[-1])


@mistake("embed", "Is the position in it?", "Add sines_first(n_seq, n_embd).")
def no_positions(ids: Any, weight: Any) -> Any:
    return token_embedding(ids, weight) * math.sqrt(weight.shape[-1])


@mistake("embed", "Which order of columns?", "Sines first, as the checkpoints have it.")
def columns_in_turn(ids: Any, weight: Any) -> Any:
    return no_positions(ids, weight) + book.sinusoidal_encoding(np.shape(ids)[-1], weight.shape[-1])


_ATTENTION = "transformer.multi_head_attention"


def _swapped(a: str, b: str) -> Any:
    def attend(x: Any, memory: Any, n_head: int, mask: Any = 0.0, **parts: Any) -> Any:
        parts[a], parts[b] = parts[b], parts[a]
        return book.multi_head_attention(x, memory, n_head=n_head, mask=mask, **parts)

    return attend


@mistake(_ATTENTION, "Where do keys and values come from?", "From the memory: x only asks.")
def memory_ignored(x: Any, memory: Any, n_head: int, mask: Any = 0.0, **parts: Any) -> Any:
    return book.multi_head_attention(x, x, n_head=n_head, mask=mask, **parts)


@mistake(_ATTENTION, "Who asks?", "The queries come from x.")
def memory_asks(x: Any, memory: Any, n_head: int, mask: Any = 0.0, **parts: Any) -> Any:
    return book.multi_head_attention(memory, memory, n_head=n_head, mask=mask, **parts)


@mistake(_ATTENTION, "Which matrix makes the keys?", "k_proj makes keys and v_proj values: they are swapped.")
def matrices_swapped(x: Any, memory: Any, n_head: int, mask: Any = 0.0, **parts: Any) -> Any:
    return _swapped("k_proj", "v_proj")(x, memory, n_head, mask, **parts)


@mistake(_ATTENTION, "Does the mask arrive anywhere?", "Hand it on to attention.")
def mask_not_passed(x: Any, memory: Any, n_head: int, mask: Any = 0.0, **parts: Any) -> Any:
    return book.multi_head_attention(x, memory, n_head=n_head, **parts)


@mistake("sinusoidal_encoding", "Divided by the power, or multiplied?", "Divided: wavelengths grow along the columns.")
def multiplied(n_seq: int, n_embd: int) -> Any:
    return _angles(n_seq, n_embd, lambda column: -(column // 2 * 2) / n_embd)


@mistake("sinusoidal_encoding", "Are the odd columns cosines?", "They are: sine and cosine of one angle make a pair.")
def sines_alone(n_seq: int, n_embd: int) -> Any:
    column = np.arange(n_embd)
    return np.sin(np.arange(n_seq)[:, None] / 10000 ** (column // 2 * 2 / n_embd))


@mistake("sines_first", "How fast do the wavelengths grow?", "As in sinusoidal_encoding: 2i / n_embd, not i / n_embd.")
def half_as_fast(n_seq: int, n_embd: int) -> Any:
    angles = np.arange(n_seq)[:, None] / 10000 ** (np.arange(n_embd // 2) / n_embd)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=-1)


@mistake("sines_first", "Which position is the first?", "Positions count from 0.")
def first_position_left_out(n_seq: int, n_embd: int) -> Any:
    return book.sines_first(n_seq + 1, n_embd)[1:]


@mistake("padding_mask", "What is softmax of a row of -inf?", "NaN: inf - inf. MASKED is finite, and hides as well.")
def infinities(ids: Any, pad_token_id: int) -> Any:
    return np.where(book.padding_mask(ids, pad_token_id) == 0, np.float32(0), np.float32(-np.inf))


@mistake(
    "padding_mask", "Is all hidden after the first padding?", "Hide where the id is pad_token_id, and nowhere else."
)
def from_the_first_on(ids: Any, pad_token_id: int) -> Any:
    return np.minimum.accumulate(book.padding_mask(ids, pad_token_id), axis=-1)


@mistake("padding_mask", "Plus or minus?", "MASKED is negative: a score so high would be all that is seen.")
def positive(ids: Any, pad_token_id: int) -> Any:
    return np.abs(book.padding_mask(ids, pad_token_id))


@mistake("padding_mask", "Queries or keys?", "The keys, on the last axis: nobody sees the padding.")
def queries_hidden(ids: Any, pad_token_id: int) -> Any:
    return book.padding_mask(ids, pad_token_id).swapaxes(-1, -2)


@mistake("embed", "Multiplied or divided?", "Multiplied by sqrt(n_embd).")
def divided(ids: Any, weight: Any) -> Any:
    encoding = book.sines_first(np.shape(ids)[-1], weight.shape[-1]).astype(weight.dtype)
    return token_embedding(ids, weight) / math.sqrt(weight.shape[-1]) + encoding


@mistake("embed", "Scaled by how much?", "By the square root of n_embd.")
def without_the_root(ids: Any, weight: Any) -> Any:
    encoding = book.sines_first(np.shape(ids)[-1], weight.shape[-1]).astype(weight.dtype)
    return token_embedding(ids, weight) * weight.shape[-1] + encoding


@mistake(_ATTENTION, "Which matrix makes the queries?", "q_proj, and k_proj the keys: they are swapped.")
def queries_and_keys_swapped(x: Any, memory: Any, n_head: int, mask: Any = 0.0, **parts: Any) -> Any:
    return _swapped("q_proj", "k_proj")(x, memory, n_head, mask, **parts)


@mistake(_ATTENTION, "How many heads look?", "n_head of them: split q, k and v.")
def one_head(x: Any, memory: Any, n_head: int, mask: Any = 0.0, **parts: Any) -> Any:
    return book.multi_head_attention(x, memory, n_head=1, mask=mask, **parts)


@mistake(_ATTENTION, "What happens after the heads are merged?", "One more linear layer: out_proj.")
def no_projection(x: Any, memory: Any, n_head: int, mask: Any = 0.0, **parts: Any) -> Any:
    parts["out_proj"] = {"weight": np.eye(x.shape[-1], dtype=x.dtype)}
    return book.multi_head_attention(x, memory, n_head=n_head, mask=mask, **parts)
