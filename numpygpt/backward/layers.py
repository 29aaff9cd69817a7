"""The gradient of every function in `layers.py`, worked out by hand: same names, same order.

Where the forward pass computes `y = f(x, ...)`, the function `f` here takes dy, which stands for ∂loss/∂y and has
the shape of y, then what `f` took, and returns dx = ∂loss/∂x, followed by the gradients of its parameters as dicts of
the parameters' own names. So the gradient of the whole model is a tree of the same shape as its parameters.

A function made of other functions needs what those computed on the way forward. Beside each of them stands its
forward pass in a form that keeps it: `forward_mlp(x, ...)` returns y and `saved`, which `mlp(dy, saved, ...)` takes.
The forward passes differ from the book's in dropout, which only training has, and in computing in place.

Every derivation is the chain rule: the sum, over all the ways by which x reaches the loss, of ∂loss/∂y · ∂y/∂x.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from numpygpt import layers
from numpygpt.arrays import Array, Ids, Params, Tensors
from numpygpt.backward import forward
from numpygpt.backward.dropout import Dropout, dropout
from numpygpt.layers import causal_mask

QUERY_BLOCK = 64  # queries attended at once: keys after the block's last query need no work at all


def token_embedding(dy: Array, ids: Ids, weight: Array) -> Tensors:
    """Give every row of the table the gradients of all the places where its token stood.

        y_t = weight[ids_t]   so   dweight[i] = Σ_{t: ids_t = i} dy_t

    dy: [..., n_embd], ids: [...], weight: [n_vocab, n_embd] -> {"weight": [n_vocab, n_embd]}

    >>> token_embedding(np.array([[1.0], [2.0], [4.0]]), np.array([2, 0, 2]), np.zeros((3, 1)))["weight"]
    array([[2.],
           [0.],
           [5.]])
    """
    ids = ids.ravel()
    order = ids.argsort(kind="stable")  # equal ids side by side, so that each run of them is one sum
    present, starts = np.unique(ids[order], return_index=True)
    dweight = np.zeros_like(weight)
    dweight[present] = np.add.reduceat(dy.reshape(-1, dy.shape[-1])[order], starts)
    return {"weight": dweight}


def positional_embedding(dy: Array, weight: Array) -> Tensors:
    """Give every position the gradients of that position in all sequences, which start at position 0.

        y_bt = weight[t]   so   dweight[t] = Σ_b dy_bt

    dy: [..., n_seq, n_embd], weight: [n_ctx, n_embd] -> {"weight": [n_ctx, n_embd]}
    """
    n_seq, n_embd = dy.shape[-2:]
    dweight = np.zeros_like(weight)
    dweight[:n_seq] = dy.reshape(-1, n_seq, n_embd).sum(axis=0)
    return {"weight": dweight}


def layer_norm(dy: Array, x: Array, weight: Array, bias: Array, eps: float = 1e-5) -> tuple[Array, Tensors]:
    """Undo scale and shift, then take out what mean and variance fixed.

        y = n · weight + bias,   n = (x - mean(x)) / s,   s = sqrt(variance(x) + eps)
        dweight = Σ dy · n,   dbias = Σ dy,   dn = dy · weight
        ∂n_i/∂x_j = (δ_ij - 1/d - n_i · n_j / d) / s   so   dx = (dn - mean(dn) - n · mean(dn · n)) / s

    dy, x: [..., n_embd] -> dx [..., n_embd], {"weight": [n_embd], "bias": [n_embd]}
    """
    n = x - x.mean(axis=-1, keepdims=True)
    s = np.sqrt(np.square(n).mean(axis=-1, keepdims=True) + eps)
    n /= s
    rows = dy.reshape(-1, dy.shape[-1])
    product = dy * n
    gradients = {"weight": product.reshape(rows.shape).sum(axis=0), "bias": rows.sum(axis=0)}
    dx = dy * weight
    product *= weight  # dn · n
    n *= product.mean(axis=-1, keepdims=True)
    n += dx.mean(axis=-1, keepdims=True)
    dx -= n
    dx /= s
    return dx, gradients


def linear(dy: Array, x: Array, weight: Array, bias: Array) -> tuple[Array, Tensors]:
    """Send the gradient back through the matrix, and to the matrix the outer product of what met in it.

        y_tj = Σ_i x_ti · weight_ij + bias_j
        dx = dy · weightᵀ,   dweight = xᵀ · dy,   dbias = Σ_t dy_t

    dy: [..., n_out], x: [..., n_in], weight: [n_in, n_out]
    -> dx [..., n_in], {"weight": [n_in, n_out], "bias": [n_out]}
    """
    dy_rows, x_rows = dy.reshape(-1, dy.shape[-1]), x.reshape(-1, x.shape[-1])
    gradients = {"weight": x_rows.T @ dy_rows, "bias": dy_rows.sum(axis=0)}
    return (dy_rows @ weight.T).reshape(x.shape), gradients


def relu(dy: Array, x: Array) -> Array:
    """Let the gradient pass where x was above 0, for y = max(x, 0): dy, x [...] -> dx [...]."""
    return dy * (x > 0)


def gelu(dy: Array, x: Array) -> Array:
    """Multiply by the slope of the curve.

        y = x / 2 · (1 + t),   t = tanh(u),   u = c · (x + 0.044715 · x³),   c = sqrt(2 / π)
        dy/dx = (1 + t) / 2 + x / 2 · (1 - t²) · du/dx,   du/dx = c · (1 + 3 · 0.044715 · x²)

    dy, x: [...] -> dx [...]
    """
    c = math.sqrt(2 / math.pi)
    u_slope = x * x
    t = u_slope * (c * 0.044715)
    t += c
    t *= x
    np.tanh(t, out=t)
    u_slope *= 3 * 0.044715 * c
    u_slope += c
    u_slope *= x  # x · du/dx
    slope = t * t
    np.subtract(1, slope, out=slope)
    slope *= u_slope
    slope += t
    slope += 1
    slope *= 0.5
    slope *= dy
    return slope


class Activation(NamedTuple):
    """An activation and its gradient."""

    forward: Callable[[Array], Array]
    gradient: Callable[[Array, Array], Array]


def softmax(dy: Array, y: Array) -> Array:
    """Share the gradient out among scores that can only rise together by others falling.

        ∂y_i/∂x_j = y_i · (δ_ij - y_j)   so   dx = y · (dy - Σ_i dy_i · y_i)

    dy: [..., n], y: [..., n], what softmax returned -> dx [..., n]
    """
    return y * (dy - (dy * y).sum(axis=-1, keepdims=True))


class SavedAttention(NamedTuple):
    """What attention keeps for its gradient.

    probabilities: [..., n_query, n_key], after softmax; y: [..., n_query, n_dim]; mask: what dropout multiplied the
    probabilities by, [..., n_query, n_key], 0 or 1 / (1 - the rate); None without dropout
    """

    probabilities: Array
    mask: Array | None
    y: Array


def forward_attention(
    q: Array, k: Array, v: Array, scale: float, drop: Dropout, mask_of_last: Array
) -> tuple[Array, SavedAttention]:
    """`layers.attention`, with dropout of the probabilities.

    q: [..., n_query, n_dim], k, v: [..., n_key, n_dim] -> y [..., n_query, n_dim], saved

    The mask is that of the last keys alone, all others being seen: [..., n_query, n_last], or [..., 1, n_last].
    """
    scores = (q * scale) @ k.swapaxes(-1, -2)  # [..., n_query, n_key]
    scores[..., -mask_of_last.shape[-1] :] += mask_of_last
    probabilities = forward.softmax(scores)
    mask = drop.mask(probabilities)
    y = dropout(probabilities, mask) @ v
    return y, SavedAttention(probabilities, mask, y)


def attention(
    dy: Array, saved: SavedAttention, q: Array, k: Array, v: Array, scale: float
) -> tuple[Array, Array, Array]:
    """Go back through the weighted sum, the softmax and the scores.

        y = p · v,   p = softmax(s),   s = scale · q · kᵀ
        dv = pᵀ · dy,   dp = dy · vᵀ,   ds = p · (dp - Σ dp · p),   dq = scale · ds · k,   dk = scale · dsᵀ · q
        Σ_j dp_j · p_j = Σ_j Σ_i dy_i · v_ji · p_j = Σ_i dy_i · y_i, a sum of n_dim terms instead of n_key

    dy, q: [..., n_query, n_dim], k, v: [..., n_key, n_dim], saved: what `SavedAttention` says -> dq, dk, dv

    Masked scores have p = 0 and so get no gradient. With dropout, y = (p · mask) · v, so dv = (p · mask)ᵀ · dy and
    dp = (dy · vᵀ) · mask; the third line still holds.
    """
    p, mask, y = saved
    dv = dropout(p, mask).swapaxes(-1, -2) @ dy
    ds = dy @ v.swapaxes(-1, -2)  # dp
    if mask is not None:
        ds *= mask
    ds -= (dy * y).sum(axis=-1, keepdims=True)
    ds *= p
    dq = ds @ k
    dq *= scale
    dk = ds.swapaxes(-1, -2) @ (q * scale)
    return dq, dk, dv


def split_heads(dy: Array) -> Array:
    """Put the heads' gradients side by side again: a rearrangement sends its gradient back the way it came.

    dy: [..., n_head, n_seq, n_dim] -> dx [..., n_seq, n_head · n_dim]
    """
    return layers.merge_heads(dy)


def merge_heads(dy: Array, n_head: int) -> Array:
    """Cut the gradient into the heads that it came from: dy [..., n_seq, n_embd] -> dx [..., n_head, n_seq, n_dim]."""
    return layers.split_heads(dy, n_head)


class SavedMultiHeadAttention(NamedTuple):
    x: Array  # [..., n_seq, n_embd]
    qkv: Array  # [..., n_seq, 3 · n_embd]
    blocks: list[SavedAttention]  # of QUERY_BLOCK queries each
    merged: Array  # [..., n_seq, n_embd]


def _query_blocks(n_seq: int) -> Iterable[slice]:
    return (slice(start, min(start + QUERY_BLOCK, n_seq)) for start in range(0, n_seq, QUERY_BLOCK))


def forward_multi_head_attention(
    x: Array, c_attn: Tensors, c_proj: Tensors, n_head: int, scale: float, drop: Dropout
) -> tuple[Array, SavedMultiHeadAttention]:
    """`layers.multi_head_attention`, causal: x [..., n_seq, n_embd] -> y [..., n_seq, n_embd], saved."""
    qkv = forward.linear(x, **c_attn)
    q, k, v = (layers.split_heads(part, n_head) for part in np.split(qkv, 3, axis=-1))
    merged = np.empty_like(x)
    heads = layers.split_heads(merged, n_head)  # a view
    blocks = []
    for block in _query_blocks(x.shape[-2]):
        seen = slice(block.stop)
        mask = causal_mask(block.stop - block.start)
        heads[..., block, :], saved = forward_attention(
            q[..., block, :], k[..., seen, :], v[..., seen, :], scale, drop, mask
        )
        blocks.append(saved)
    return forward.linear(merged, **c_proj), SavedMultiHeadAttention(x, qkv, blocks, merged)


def multi_head_attention(
    dy: Array, saved: SavedMultiHeadAttention, c_attn: Tensors, c_proj: Tensors, n_head: int, scale: float
) -> tuple[Array, Params]:
    """Go back through the last linear layer, every block of queries, and the first linear layer.

        A key is seen by several blocks of queries, so dk and dv are sums over the blocks.

    dy: [..., n_seq, n_embd] -> dx [..., n_seq, n_embd], {"c_attn": {...}, "c_proj": {...}}
    """
    x, qkv, blocks, merged = saved
    dmerged, dc_proj = linear(dy, merged, **c_proj)
    dheads = merge_heads(dmerged, n_head)
    dqkv = np.zeros_like(qkv)
    q, k, v = (layers.split_heads(part, n_head) for part in np.split(qkv, 3, axis=-1))
    dq, dk, dv = (layers.split_heads(part, n_head) for part in np.split(dqkv, 3, axis=-1))  # views of dqkv
    for block, saved_block in zip(_query_blocks(x.shape[-2]), blocks, strict=True):
        seen = slice(block.stop)
        dq_block, dk_block, dv_block = attention(
            dheads[..., block, :], saved_block, q[..., block, :], k[..., seen, :], v[..., seen, :], scale
        )
        dq[..., block, :] = dq_block
        dk[..., seen, :] += dk_block
        dv[..., seen, :] += dv_block
    dx, dc_attn = linear(dqkv, x, **c_attn)
    return dx, {"c_attn": dc_attn, "c_proj": dc_proj}


class SavedMLP(NamedTuple):
    x: Array  # [..., n_embd]
    neurons: Array  # [..., n_inner], before the activation
    active: Array  # [..., n_inner], after it


def forward_mlp(x: Array, c_fc: Tensors, c_proj: Tensors, activation: Activation) -> tuple[Array, SavedMLP]:
    """`layers.mlp`: x [..., n_embd] -> y [..., n_embd], saved."""
    neurons = forward.linear(x, **c_fc)
    active = activation.forward(neurons)
    return forward.linear(active, **c_proj), SavedMLP(x, neurons, active)


def mlp(dy: Array, saved: SavedMLP, c_fc: Tensors, c_proj: Tensors, activation: Activation) -> tuple[Array, Params]:
    """Go back through the narrowing, the activation and the widening: the chain rule, three times.

    dy: [..., n_embd] -> dx [..., n_embd], {"c_fc": {...}, "c_proj": {...}}
    """
    x, neurons, active = saved
    dactive, dc_proj = linear(dy, active, **c_proj)
    dneurons = activation.gradient(dactive, neurons)
    dx, dc_fc = linear(dneurons, x, **c_fc)
    return dx, {"c_fc": dc_fc, "c_proj": dc_proj}
