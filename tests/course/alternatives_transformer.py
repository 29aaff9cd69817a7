"""Other right implementations of the original Transformer: positions, padding, embeddings, heads, feed forward."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from alternatives import other

from numpygpt.layers import attention, linear, merge_heads, relu, softmax, split_heads, token_embedding
from numpygpt.transformer import sines_first, sinusoidal_encoding


@other("sinusoidal_encoding")
def encoding_by_slices(n_seq: int, n_embd: int) -> Any:
    """The one that most tutorials have: zeros, then columns 0::2 and 1::2."""
    encoding = np.zeros((n_seq, n_embd))
    position = np.arange(n_seq)[:, np.newaxis]
    frequency = np.exp(np.arange(0, n_embd, 2) * -(np.log(10000.0) / n_embd))
    encoding[:, 0::2] = np.sin(position * frequency)
    encoding[:, 1::2] = np.cos(position * frequency)
    return encoding


@other("sinusoidal_encoding")
def encoding_by_loops(n_seq: int, n_embd: int) -> Any:
    rows = []
    for pos in range(n_seq):
        row: list[float] = []
        for i in range(n_embd // 2):
            angle = pos / 10000 ** (2 * i / n_embd)
            row += [math.sin(angle), math.cos(angle)]
        rows.append(row)
    return np.array(rows)


@other("sinusoidal_encoding")
def encoding_by_stack(n_seq: int, n_embd: int) -> Any:
    angles = np.outer(np.arange(n_seq), 10000.0 ** (-np.arange(0, n_embd, 2) / n_embd))
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(n_seq, n_embd)


@other("sinusoidal_encoding")
def encoding_by_complex_numbers(n_seq: int, n_embd: int) -> Any:
    """exp(i · angle), one turn after the other; its imaginary part is the sine."""
    turn = np.exp(1j / 10000 ** (np.arange(n_embd // 2) * 2 / n_embd))
    turned = np.array([turn**pos for pos in range(n_seq)])
    return np.dstack([turned.imag, turned.real]).reshape(n_seq, -1)


@other("sinusoidal_encoding")
def encoding_by_phase(n_seq: int, n_embd: int) -> Any:
    """A cosine is a sine a quarter turn ahead; float32, as the model computes."""
    column = np.arange(n_embd)
    angles = np.arange(n_seq)[:, None] / np.power(10000, (column - column % 2) / n_embd)
    return np.sin(angles + np.pi / 2 * (column % 2)).astype(np.float32)


@other("sines_first")
def halves_written_out(n_seq: int, n_embd: int) -> Any:
    angles = np.arange(n_seq)[:, None] / 10000 ** (np.arange(0, n_embd, 2) / n_embd)
    return np.hstack([np.sin(angles), np.cos(angles)])


@other("sines_first")
def halves_by_order(n_seq: int, n_embd: int) -> Any:
    return sinusoidal_encoding(n_seq, n_embd)[:, [*range(0, n_embd, 2), *range(1, n_embd, 2)]]


@other("sines_first")
def halves_by_argsort(n_seq: int, n_embd: int) -> Any:
    order = np.argsort(np.arange(n_embd) % 2, kind="stable")
    return np.take(sinusoidal_encoding(n_seq, n_embd), order, axis=1)


@other("sines_first")
def halves_by_transpose(n_seq: int, n_embd: int) -> Any:
    pairs = sinusoidal_encoding(n_seq, n_embd).reshape(n_seq, n_embd // 2, 2)
    return pairs.transpose(0, 2, 1).reshape(n_seq, n_embd)


@other("sines_first")
def halves_filled_in(n_seq: int, n_embd: int) -> Any:
    encoding, half = np.empty((n_seq, n_embd)), n_embd // 2
    for i in range(half):
        angles = np.arange(n_seq) / 10000 ** (2 * i / n_embd)
        encoding[:, i], encoding[:, half + i] = np.sin(angles), np.cos(angles)
    return encoding


@other("padding_mask")
def padding_of_whole_numbers(ids: Any, pad_token_id: int) -> Any:
    return np.where(np.array(ids) == pad_token_id, -1000000000, 0)[..., np.newaxis, np.newaxis, :]


@other("padding_mask")
def padding_of_billions(ids: Any, pad_token_id: int) -> Any:
    mask = np.zeros(np.shape(ids))
    mask[np.equal(ids, pad_token_id)] = -1e9
    return mask.reshape(*np.shape(ids)[:-1], 1, 1, -1)


@other("padding_mask")
def padding_by_product(ids: Any, pad_token_id: int) -> Any:
    hidden = (np.asarray(ids) == pad_token_id).astype(np.float32) * -1e9
    return np.expand_dims(hidden, (-3, -2))


@other("padding_mask")
def padding_by_recursion(ids: Any, pad_token_id: int) -> Any:
    if np.ndim(ids) > 1:
        return np.array([padding_by_recursion(row, pad_token_id) for row in ids])
    return np.array([[[-1e30 if token == pad_token_id else 0.0 for token in ids]]])


@other("padding_mask")
def padding_from_what_is_kept(ids: Any, pad_token_id: int) -> Any:
    kept = np.asarray(ids)[..., None, None, :] != pad_token_id
    return (1.0 - kept) * -1e10


@other("embed")
def embed_by_index(ids: Any, weight: Any) -> Any:
    ids = np.asarray(ids)
    return np.sqrt(weight.shape[1]) * weight[ids] + sines_first(ids.shape[-1], weight.shape[1])


@other("embed")
def embed_a_scaled_table(ids: Any, weight: Any) -> Any:
    scaled = weight * weight.shape[-1] ** 0.5
    x = np.take(scaled, ids, axis=0)
    return x + sines_first(*x.shape[-2:]).astype(x.dtype)


@other("embed")
def embed_position_by_position(ids: Any, weight: Any) -> Any:
    n_embd = weight.shape[-1]
    x = np.array(token_embedding(ids, weight) * math.sqrt(n_embd))
    for t, encoding in enumerate(sines_first(x.shape[-2], n_embd)):
        x[..., t, :] += encoding
    return x


@other("embed")
def embed_by_onehot(ids: Any, weight: Any) -> Any:
    n_vocab, n_embd = weight.shape
    rows = np.identity(n_vocab)[ids] @ weight
    return sines_first(rows.shape[-2], n_embd) + rows * n_embd**0.5


@other("embed")
def embed_one_sequence_at_a_time(ids: Any, weight: Any) -> Any:
    if np.ndim(ids) > 1:
        return np.stack([embed_one_sequence_at_a_time(row, weight) for row in ids])
    n_embd = len(weight[0])
    return np.array([weight[i] * math.sqrt(n_embd) for i in ids]) + sines_first(len(ids), n_embd)


@other("transformer.multi_head_attention")
def cross_heads_in_a_loop(
    x: Any, memory: Any, q_proj: Any, k_proj: Any, v_proj: Any, out_proj: Any, n_head: int, mask: Any = 0.0
) -> Any:
    q, k, v = linear(x, **q_proj), linear(memory, **k_proj), linear(memory, **v_proj)
    n, parts = x.shape[-1] // n_head, []
    for h in range(n_head):
        at = slice(h * n, (h + 1) * n)
        a, b, c = (part[..., None, :, at] for part in (q, k, v))  # a mask has an axis for the head
        parts.append(attention(a, b, c, mask)[..., 0, :, :])
    return linear(np.concatenate(parts, -1), **out_proj)


@other("transformer.multi_head_attention")
def cross_heads_by_einsum(
    x: Any, memory: Any, q_proj: Any, k_proj: Any, v_proj: Any, out_proj: Any, n_head: int, mask: Any = 0.0
) -> Any:
    q = (x @ q_proj["weight"] + q_proj["bias"]).reshape(*x.shape[:-1], n_head, -1)
    k = (memory @ k_proj["weight"] + k_proj["bias"]).reshape(*memory.shape[:-1], n_head, -1)
    v = (memory @ v_proj["weight"] + v_proj["bias"]).reshape(*memory.shape[:-1], n_head, -1)
    p = softmax(np.einsum("...qhd,...khd->...hqk", q, k) / q.shape[-1] ** 0.5 + mask)
    return np.einsum("...hqk,...khd->...qhd", p, v).reshape(x.shape) @ out_proj["weight"] + out_proj["bias"]


@other("transformer.multi_head_attention")
def cross_heads_projected_apart(
    x: Any, memory: Any, q_proj: Any, k_proj: Any, v_proj: Any, out_proj: Any, n_head: int, mask: Any = 0.0
) -> Any:
    q = split_heads(linear(x, **q_proj), n_head)
    k, v = (split_heads(linear(memory, **which), n_head) for which in (k_proj, v_proj))
    rows = out_proj["weight"].reshape(n_head, -1, x.shape[-1])
    return (attention(q, k, v, mask) @ rows).sum(axis=-3) + out_proj["bias"]


@other("transformer.multi_head_attention")
def cross_heads_of_one_wide_matrix(
    x: Any, memory: Any, q_proj: Any, k_proj: Any, v_proj: Any, out_proj: Any, n_head: int, mask: Any = None
) -> Any:
    weight = np.hstack([k_proj["weight"], v_proj["weight"]])
    k, v = np.split(linear(memory, weight, np.hstack([k_proj["bias"], v_proj["bias"]])), 2, axis=-1)
    q, k, v = (split_heads(part, n_head) for part in (linear(x, q_proj["weight"], q_proj["bias"]), k, v))
    return linear(merge_heads(attention(q, k, v, mask=0.0 if mask is None else mask)), **out_proj)


@other("transformer.multi_head_attention")
def cross_heads_query_by_query(
    x: Any, memory: Any, q_proj: Any, k_proj: Any, v_proj: Any, out_proj: Any, n_head: int, mask: Any = 0.0
) -> Any:
    k, v = split_heads(linear(memory, **k_proj), n_head), split_heads(linear(memory, **v_proj), n_head)
    full = np.broadcast_to(mask, (*k.shape[:-2], x.shape[-2], k.shape[-2]))
    rows = []
    for t in range(x.shape[-2]):
        q = split_heads(linear(x[..., t : t + 1, :], **q_proj), n_head)
        rows.append(merge_heads(attention(q, k, v, full[..., t : t + 1, :])))
    return linear(np.concatenate(rows, axis=-2), **out_proj)


@other("feed_forward")
def feed_forward_written_out(x: Any, fc1: Any, fc2: Any) -> Any:
    h = x @ fc1["weight"] + fc1["bias"]
    h[h < 0] = 0
    return h @ fc2["weight"] + fc2["bias"]


@other("feed_forward")
def feed_forward_by_where(x: Any, fc1: Any, fc2: Any) -> Any:
    hidden = linear(x, fc1["weight"], fc1["bias"])
    return linear(np.where(hidden > 0, hidden, 0.0), fc2["weight"], fc2["bias"])


@other("feed_forward")
def feed_forward_row_by_row(x: Any, fc1: Any, fc2: Any) -> Any:
    if x.ndim > 1:
        return np.stack([feed_forward_row_by_row(row, fc1, fc2) for row in x])
    return relu(x.dot(fc1["weight"]) + fc1["bias"]).dot(fc2["weight"]) + fc2["bias"]


@other("feed_forward")
def feed_forward_by_einsum(x: Any, fc1: Any, fc2: Any) -> Any:
    hidden = np.clip(np.einsum("...e,eh->...h", x, fc1["weight"]) + fc1["bias"], 0, None)
    return np.einsum("...h,he->...e", hidden, fc2["weight"]) + fc2["bias"]


@other("feed_forward")
def feed_forward_in_float64(x: Any, fc1: Any, fc2: Any) -> Any:
    hidden = linear(x.astype(np.float64), **fc1)
    return linear((hidden + np.abs(hidden)) / 2, **fc2)
