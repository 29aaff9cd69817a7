"""GPT-2 from token ids to logits: the parts put together.

The parameters are a tree: `params["h"][3]["mlp"]["c_fc"]` holds the tensors `h.3.mlp.c_fc.weight` and `.bias` of the
checkpoint, and `**` hands each branch to its function. This is GPT-2 as published; the `gpt2` of `engine/forward.py`
knows every option of `GPT2Config`, and is fast.

Source: Radford et al. 2019, section 2.3, and https://github.com/openai/gpt-2/blob/master/src/model.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from numpygpt import layers
from numpygpt.arrays import Array, Params, Tensors
from numpygpt.config import names_the_engine
from numpygpt.layers import causal_mask, layer_norm, multi_head_attention, positional_embedding, token_embedding


def transformer_block(x: Array, ln_1: Params, attn: Params, ln_2: Params, mlp: Params, *, n_head: int) -> Array:
    """Add to the residual stream x what attention gathers from this and earlier positions, then the MLP's output.

    x: [..., n_seq, n_embd] -> [..., n_seq, n_embd]. `ln_1` and `ln_2` are dicts that `layer_norm` takes, `attn` one
    for `multi_head_attention`, `mlp` one for `layers.mlp`.

    Source: Radford et al. 2019, section 2.3 (layer norm moved to the input of each sub-block).
    """
    mask = causal_mask(x.shape[-2])
    x = x + multi_head_attention(layer_norm(x, **ln_1), **attn, n_head=n_head, mask=mask)
    return x + layers.mlp(layer_norm(x, **ln_2), **mlp)  # `mlp` alone is the parameter


@names_the_engine
def gpt2(ids: ArrayLike, wte: Tensors, wpe: Tensors, h: Sequence[Params], ln_f: Params, *, n_head: int) -> Array:
    """GPT-2: the logits of the next token after every position.

    ids: [..., n_seq] -> [..., n_seq, n_vocab]. Call it as `gpt2(ids, **params, n_head=12)`: `wte` and `wpe` are the
    tables of tokens and positions, {"weight": [n_vocab, n_embd]} and {"weight": [n_ctx, n_embd]}; `h` is a list of
    dicts, the parameters of every block, that `transformer_block` takes; `ln_f` is the last layer norm's dict.

    >>> from numpygpt.arrays import unflatten
    >>> from numpygpt.config import GPT2Config, parameter_shapes
    >>> config = GPT2Config(vocab_size=9, n_ctx=5, n_embd=6, n_layer=2, n_head=3)
    >>> params = unflatten({name: np.ones(shape) for name, shape in parameter_shapes(config).items()})
    >>> gpt2([3, 1, 4], **params, n_head=3).shape
    (3, 9)
    """
    positions = np.arange(np.shape(ids)[-1])
    x = token_embedding(ids, **wte) + positional_embedding(positions, **wpe)  # [..., n_seq, n_embd]
    for block in h:
        x = transformer_block(x, **block, n_head=n_head)
    return layer_norm(x, **ln_f) @ wte["weight"].T  # [..., n_seq, n_vocab]; the token embedding serves once more
