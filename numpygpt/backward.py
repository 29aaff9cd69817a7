"""The gradient of every function in `layers.py` and `model.py`, worked out by hand: same names, same order.

Where the forward pass computes `y = f(x, ...)`, the function `f` here takes dy, which stands for ∂loss/∂y and has
the shape of y, then what `f` took, and returns dx = ∂loss/∂x, followed by the gradients of its parameters as dicts of
the parameters' own names. So the gradient of the whole model is a tree of the same shape as its parameters.

A function made of other functions needs what those computed on the way forward. Beside each of them stands its
forward pass in a form that keeps it: `forward_mlp(x, ...)` returns y and `saved`, which `mlp(dy, saved, ...)` takes.
The forward passes differ from those of `layers.py` in nothing else but dropout, which only training has.

Every derivation is the chain rule: the sum, over all the ways by which x reaches the loss, of ∂loss/∂y · ∂y/∂x.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from numpygpt import layers
from numpygpt.layers import Array, Tensors
from numpygpt.model import ACTIVATIONS, GPT2Config, Params

Ids = NDArray[np.integer]

QUERY_BLOCK = 64  # queries attended at once: keys after the block's last query need no work at all
LOGIT_ROWS = 256  # rows of logits that exist at once: the full [n_tokens, n_vocab] would be most of the memory


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


def gelu_exact(dy: Array, x: Array) -> Array:
    """Multiply by the slope of the curve.

        y = x · Φ(x)   so   dy/dx = Φ(x) + x · φ(x),   φ(x) = exp(-x² / 2) / sqrt(2π)

    dy, x: [...] -> dx [...]
    """
    erf = np.vectorize(math.erf, otypes=[x.dtype])
    dx: Array = dy * ((1 + erf(x / math.sqrt(2))) / 2 + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi))
    return dx


ACTIVATION_GRADIENTS: dict[Callable[[Array], Array], Callable[[Array, Array], Array]] = {
    layers.gelu: gelu,
    layers.gelu_exact: gelu_exact,
}


def softmax(dy: Array, y: Array) -> Array:
    """Share the gradient out among scores that can only rise together by others falling.

        ∂y_i/∂x_j = y_i · (δ_ij - y_j)   so   dx = y · (dy - Σ_i dy_i · y_i)

    dy: [..., n], y: [..., n], what softmax returned -> dx [..., n]
    """
    dx: Array = y * (dy - (dy * y).sum(axis=-1, keepdims=True))
    return dx


def linear(dy: Array, x: Array, weight: Array, bias: Array | None = None) -> tuple[Array, Tensors]:
    """Send the gradient back through the matrix, and to the matrix the outer product of what met in it.

        y_tj = Σ_i x_ti · weight_ij + bias_j
        dx = dy · weightᵀ,   dweight = xᵀ · dy,   dbias = Σ_t dy_t

    dy: [..., n_out], x: [..., n_in], weight: [n_in, n_out] -> dx [..., n_in], {"weight": ..., "bias": ...}
    """
    dy_rows, x_rows = dy.reshape(-1, dy.shape[-1]), x.reshape(-1, x.shape[-1])
    gradients = {"weight": x_rows.T @ dy_rows}
    if bias is not None:
        gradients["bias"] = dy_rows.sum(axis=0)
    return (dy_rows @ weight.T).reshape(x.shape), gradients


@dataclass
class Dropout:
    """Sets numbers to 0 at random while training, so that no part of the model relies on one other part.

    Each number survives with probability 1 - p and is then divided by 1 - p, which keeps the expected value.

    Source: Srivastava et al. 2014, "Dropout: A Simple Way to Prevent Neural Networks from Overfitting" (JMLR 15).
    """

    p: float = 0.0
    rng: np.random.Generator | None = None

    def mask(self, x: Array) -> Array | None:
        """Return what x is to be multiplied by, forward and backward: 0 or 1 / (1 - p); None if all survive.

        x: [...] -> [...]
        """
        if self.p == 0:
            return None
        if self.rng is None:
            raise ValueError("dropout needs a random generator: Dropout(p, np.random.default_rng(seed))")
        kept = self.rng.integers(0, 2**16, x.shape, np.uint16) >= round(self.p * 2**16)  # quicker than floats
        return np.multiply(kept, 1 / (1 - self.p), dtype=x.dtype)


def dropout(dy: Array, mask: Array | None) -> Array:
    """Multiply by the mask, the same forward and backward: y = x · mask so dx = dy · mask.

    dy, mask: [...] -> dx [...]
    """
    return dy if mask is None else dy * mask


class SavedAttention(NamedTuple):
    probabilities: Array  # [..., n_query, n_key], after softmax
    mask: Array | None  # dropout's
    y: Array  # [..., n_query, n_dim]


def forward_attention(q: Array, k: Array, v: Array, scale: float, drop: Dropout) -> tuple[Array, SavedAttention]:
    """`layers.attention`, with dropout of the probabilities.

    q: [..., n_query, n_dim], k, v: [..., n_key, n_dim] -> y [..., n_query, n_dim], saved
    """
    n_query = q.shape[-2]
    scores = (q * scale) @ k.swapaxes(-1, -2)  # [..., n_query, n_key]
    scores[..., -n_query:] += layers.causal_mask(n_query)
    probabilities = layers.softmax(scores, out=scores)
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

    dy, q: [..., n_query, n_dim], k, v: [..., n_key, n_dim] -> dq, dk, dv

    Masked scores have p = 0 and so get no gradient. With dropout, y = (p · mask) · v and the third line still holds.
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
    dx = dy.swapaxes(-2, -3)
    return dx.reshape(*dx.shape[:-2], -1)


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
    """`layers.multi_head_attention`.

    x: [..., n_seq, n_embd] -> y [..., n_seq, n_embd], saved
    """
    qkv = layers.linear(x, **c_attn)
    q, k, v = (layers.split_heads(part, n_head) for part in np.split(qkv, 3, axis=-1))
    merged = np.empty_like(x)
    heads = layers.split_heads(merged, n_head)  # a view
    blocks = []
    for block in _query_blocks(x.shape[-2]):
        seen = slice(block.stop)
        heads[..., block, :], saved = forward_attention(q[..., block, :], k[..., seen, :], v[..., seen, :], scale, drop)
        blocks.append(saved)
    return layers.linear(merged, **c_proj), SavedMultiHeadAttention(x, qkv, blocks, merged)


def multi_head_attention(
    dy: Array, saved: SavedMultiHeadAttention, c_attn: Tensors, c_proj: Tensors, n_head: int, scale: float
) -> tuple[Array, Params]:
    """Go back through the last linear layer, every block of queries, and the first linear layer.

        A key is seen by several blocks of queries, so dk and dv are sums over the blocks.

    dy: [..., n_seq, n_embd] -> dx [..., n_seq, n_embd], {"c_attn": {...}, "c_proj": {...}}
    """
    x, qkv, blocks, merged = saved
    dmerged, dc_proj = linear(dy, merged, **c_proj)
    dheads = layers.split_heads(dmerged, n_head)
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
    wide: Array  # [..., n_inner], before the activation
    bent: Array  # [..., n_inner], after it


def forward_mlp(
    x: Array, c_fc: Tensors, c_proj: Tensors, activation: Callable[[Array], Array]
) -> tuple[Array, SavedMLP]:
    """`layers.mlp`.

    x: [..., n_embd] -> y [..., n_embd], saved
    """
    wide = layers.linear(x, **c_fc)
    bent = activation(wide)
    return layers.linear(bent, **c_proj), SavedMLP(x, wide, bent)


def mlp(
    dy: Array, saved: SavedMLP, c_fc: Tensors, c_proj: Tensors, activation: Callable[[Array], Array]
) -> tuple[Array, Params]:
    """Go back through the narrowing, the activation and the widening: the chain rule, three times.

    dy: [..., n_embd] -> dx [..., n_embd], {"c_fc": {...}, "c_proj": {...}}
    """
    x, wide, bent = saved
    dbent, dc_proj = linear(dy, bent, **c_proj)
    dwide = ACTIVATION_GRADIENTS[activation](dbent, wide)
    dx, dc_fc = linear(dwide, x, **c_fc)
    return dx, {"c_fc": dc_fc, "c_proj": dc_proj}


class SavedBlock(NamedTuple):
    x: Array  # [..., n_seq, n_embd], the residual stream at the block's start
    attn: SavedMultiHeadAttention
    attn_mask: Array | None
    middle: Array  # the stream between attention and MLP
    mlp: SavedMLP
    mlp_mask: Array | None


def forward_transformer_block(
    x: Array, block: Params, config: GPT2Config, layer: int, drop: Dropout
) -> tuple[Array, SavedBlock]:
    """`model.transformer_block`, with dropout of what each half adds to the stream.

    x: [..., n_seq, n_embd] -> y [..., n_seq, n_embd], saved
    """
    eps, activation = config.layer_norm_epsilon, ACTIVATIONS[config.activation_function]
    y, attn = forward_multi_head_attention(
        layers.layer_norm(x, **block["ln_1"], eps=eps),
        **block["attn"],
        n_head=config.n_head,
        scale=config.attention_scale(layer),
        drop=drop,
    )
    attn_mask = drop.mask(y)
    middle = x + dropout(y, attn_mask)
    y, saved_mlp = forward_mlp(
        layers.layer_norm(middle, **block["ln_2"], eps=eps), **block["mlp"], activation=activation
    )
    mlp_mask = drop.mask(y)
    return middle + dropout(y, mlp_mask), SavedBlock(x, attn, attn_mask, middle, saved_mlp, mlp_mask)


def transformer_block(
    dy: Array, saved: SavedBlock, block: Params, config: GPT2Config, layer: int
) -> tuple[Array, Params]:
    """Go back through the MLP and through attention; the residual stream hands dy on as it is.

        y = x + f(layer_norm(x))   so   dx = dy + ∂f/∂x · dy, for each half in turn

    dy: [..., n_seq, n_embd] -> dx [..., n_seq, n_embd], {"ln_1": ..., "attn": ..., "ln_2": ..., "mlp": ...}
    """
    eps, activation = config.layer_norm_epsilon, ACTIVATIONS[config.activation_function]
    dnormed, dmlp = mlp(dropout(dy, saved.mlp_mask), saved.mlp, **block["mlp"], activation=activation)
    dmiddle, dln_2 = layer_norm(dnormed, saved.middle, **block["ln_2"], eps=eps)
    dmiddle += dy
    dnormed, dattn = multi_head_attention(
        dropout(dmiddle, saved.attn_mask),
        saved.attn,
        **block["attn"],
        n_head=config.n_head,
        scale=config.attention_scale(layer),
    )
    dx, dln_1 = layer_norm(dnormed, saved.x, **block["ln_1"], eps=eps)
    dx += dmiddle
    return dx, {"ln_1": dln_1, "attn": dattn, "ln_2": dln_2, "mlp": dmlp}


def cross_entropy(logits: Array, targets: Ids) -> tuple[float, Array]:
    """Pull up the logit of the token that came, push down all others, each by its probability.

        loss = Σ_t (log Σ_j exp(logits_tj) - logits_t,target)   so   dlogits = softmax(logits) - onehot(target)

    logits: [n_rows, n_vocab], overwritten; targets: [n_rows] -> the sum of the losses, dlogits [n_rows, n_vocab]

    The loss is returned as well, because its softmax is the gradient's.
    """
    rows = np.arange(len(logits))
    layers.softmax(logits, out=logits)
    likelihood = logits[rows, targets]
    logits[rows, targets] -= 1
    with np.errstate(divide="ignore"):
        return -float(np.log(likelihood).sum(dtype=np.float64)), logits


def output_layer(x: Array, targets: Ids, weight: Array, n_targets: int) -> tuple[float, Array, Array]:
    """The logits, their loss and its gradients, LOGIT_ROWS rows at a time, so that few logits exist at once.

        logits = x · weightᵀ   so   dx = dlogits · weight,   dweight = dlogitsᵀ · x

    x: [n_rows, n_embd], targets: [n_rows], weight: [n_vocab, n_embd] -> Σ loss / n_targets, dx, dweight
    """
    loss, dx, dweight = 0.0, np.empty_like(x), np.zeros_like(weight)
    for start in range(0, len(x), LOGIT_ROWS):
        rows = slice(start, start + LOGIT_ROWS)
        loss_rows, dlogits = cross_entropy(x[rows] @ weight.T, targets[rows])
        loss += loss_rows / n_targets
        dlogits /= n_targets
        dx[rows] = dlogits @ weight
        dweight += dlogits.T @ x[rows]
    return loss, dx, dweight


def gpt2(
    ids: Ids, targets: Ids, params: Params, config: GPT2Config, *, drop: Dropout | None = None, n_targets: int = 0
) -> tuple[float, Params]:
    """The loss of the whole model, and its gradient as a tree of the shape of params.

        loss = Σ cross_entropy(gpt2(ids), targets) / n_targets

    ids: [..., n_seq], targets: [..., n_seq], the token after each -> loss, gradients

    `n_targets` is what the sum is divided by; 0 stands for the number of targets here. To compute a large batch in
    parts, give the number of targets of the whole: then losses and gradients of the parts add up to the batch's.

    The token embedding is also the output layer's matrix (unless params has an lm_head), so its gradient has two parts.
    """
    drop = drop or Dropout()
    x = layers.token_embedding(ids, **params["wte"])
    x += layers.positional_embedding(np.arange(ids.shape[-1]), **params["wpe"])
    embedding_mask = drop.mask(x)
    x = dropout(x, embedding_mask)
    saved = []
    for layer, block in enumerate(params["h"]):
        x, saved_block = forward_transformer_block(x, block, config, layer, drop)
        saved.append(saved_block)

    normed = layers.layer_norm(x, **params["ln_f"], eps=config.layer_norm_epsilon)
    output = params.get("lm_head") or params["wte"]
    loss, dnormed, doutput = output_layer(
        normed.reshape(-1, config.n_embd), targets.ravel(), output["weight"], n_targets or targets.size
    )

    dx, dln_f = layer_norm(dnormed.reshape(x.shape), x, **params["ln_f"], eps=config.layer_norm_epsilon)
    dh: list[Params] = []
    for layer in reversed(range(config.n_layer)):
        dx, dblock = transformer_block(dx, saved.pop(), params["h"][layer], config, layer)
        dh.insert(0, dblock)
    dx = dropout(dx, embedding_mask)
    gradients: Params = {
        "wte": token_embedding(dx, ids, **params["wte"]),
        "wpe": positional_embedding(dx, **params["wpe"]),
        "h": dh,
        "ln_f": dln_f,
    }
    if "lm_head" in params:
        gradients["lm_head"] = {"weight": doutput}
    else:
        gradients["wte"]["weight"] += doutput
    return loss, gradients
