"""The forward pass with everything it computes on the way, by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from numpygpt import layers
from numpygpt.layers import Array, Tensors
from numpygpt.model import GPT2Config, Params

if TYPE_CHECKING:
    from numpygpt.backward import SavedAttention, SavedBlock


def trace(
    ids: ArrayLike,
    wte: Tensors,
    wpe: Tensors,
    h: Sequence[Params],
    ln_f: Tensors,
    lm_head: Tensors | None = None,
    *,
    config: GPT2Config,
) -> dict[str, Array]:
    """Run `gpt2` and return what its parts return, in the order in which it is computed.

    ids: [..., n_seq] -> arrays by name. Call it as `trace(ids, **params, config=config)`.

    An array has the name of the part that made it, which is the name of that part's parameters:

    - `wte` [..., n_seq, n_embd] and `wpe` [n_seq, n_embd]; their sum is the residual stream at the first block
    - `h.0.ln_1` [..., n_seq, n_embd]
    - `h.0.attn.q`, `h.0.attn.k`, `h.0.attn.v` [..., n_head, n_seq, n_dim], where n_dim = n_embd / n_head
    - `h.0.attn.probabilities` [..., n_head, n_seq, n_seq]: a row for every query, a column for every key
    - `h.0.attn.heads` [..., n_head, n_seq, n_dim]: probabilities · v, which `c_proj` is about to mix
    - `h.0.attn` [..., n_seq, n_embd]: what attention adds to the residual stream
    - `h.0.ln_2` [..., n_seq, n_embd]
    - `h.0.mlp.c_fc` and `h.0.mlp.activation` [..., n_seq, n_inner]: the neurons, before and after the activation
    - `h.0.mlp` [..., n_seq, n_embd]: what the MLP adds to the residual stream
    - `h.0` [..., n_seq, n_embd]: the residual stream after the block; then `h.1.ln_1` and so on
    - `ln_f` [..., n_seq, n_embd]
    - `logits` [..., n_seq, n_vocab]

    All of it stays in memory: 1024 tokens of the smallest official model keep 1.5 GB, of which the probabilities are
    0.6. Raises what `gpt2` raises.

    >>> from numpygpt import GPT2Config, checkpoint, model
    >>> config = GPT2Config(vocab_size=9, n_ctx=5, n_embd=6, n_layer=2, n_head=3)
    >>> shapes = model.parameter_shapes(config)
    >>> params = checkpoint.unflatten({name: np.ones(shape) for name, shape in shapes.items()})
    >>> kept = trace([3, 1, 4], **params, config=config)
    >>> kept["h.1.attn.probabilities"][0].round(2)  # keys that are all equal share the attention
    array([[1.  , 0.  , 0.  ],
           [0.5 , 0.5 , 0.  ],
           [0.33, 0.33, 0.33]])
    >>> np.allclose(kept["h.1"], kept["h.0"] + kept["h.1.attn"] + kept["h.1.mlp"])
    True
    """
    from numpygpt import backward  # here, so that `import numpygpt` does not read what most programs never use

    ids = np.atleast_1d(ids)
    if ids.size == 0:
        raise ValueError("no token ids: give at least one, [n_seq] or [batch, n_seq]")
    kept = {
        "wte": layers.token_embedding(ids, **wte),
        "wpe": layers.positional_embedding(np.arange(ids.shape[-1]), **wpe),
    }
    x = kept["wte"] + kept["wpe"]
    for layer, block in enumerate(h):
        x, saved = backward.forward_transformer_block(x, block, config, layer, backward.Dropout())
        kept |= {f"h.{layer}.{name}": array for name, array in _name(saved, block, config.n_head).items()}
        kept[f"h.{layer}"] = x
    kept["ln_f"] = layers.layer_norm(x, **ln_f, eps=config.layer_norm_epsilon)
    kept["logits"] = layers.linear(kept["ln_f"], (lm_head or wte)["weight"].T)
    return kept


def _name(saved: SavedBlock, block: Params, n_head: int) -> dict[str, Array]:
    """Name what the backward pass wants kept of a block, and repeat the two small steps of which it wants nothing."""
    q, k, v = (layers.split_heads(part, n_head) for part in np.split(saved.attn.qkv, 3, axis=-1))
    return {
        "ln_1": saved.attn.x,
        "attn.q": q,
        "attn.k": k,
        "attn.v": v,
        "attn.probabilities": _join(saved.attn.blocks),
        "attn.heads": layers.split_heads(saved.attn.merged, n_head),
        "attn": layers.linear(saved.attn.merged, **block["attn"]["c_proj"]),
        "ln_2": saved.mlp.x,
        "mlp.c_fc": saved.mlp.wide,
        "mlp.activation": saved.mlp.bent,
        "mlp": layers.linear(saved.mlp.bent, **block["mlp"]["c_proj"]),
    }


def _join(blocks: Sequence[SavedAttention]) -> Array:
    """Put blocks of queries under each other, and 0 where a block leaves out the keys after its last query.

    [..., n_head, n_query, n_key] each -> [..., n_head, n_seq, n_seq]
    """
    *leading, n_seq = blocks[-1].probabilities.shape  # the last block's keys are all keys
    joined = np.zeros((*leading[:-1], n_seq, n_seq), blocks[-1].probabilities.dtype)
    for block in blocks:
        n_query, n_key = block.probabilities.shape[-2:]
        joined[..., n_key - n_query : n_key, :n_key] = block.probabilities
    return joined
