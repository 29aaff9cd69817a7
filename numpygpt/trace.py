"""The forward pass line by line, with a name for everything it computes: to look at it, and to change it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from numpygpt.activations import ACTIVATIONS
from numpygpt.arrays import Array, Params, Tensors
from numpygpt.config import GPT2Config
from numpygpt.layers import (
    causal_mask,
    layer_norm,
    linear,
    merge_heads,
    positional_embedding,
    softmax,
    split_heads,
    token_embedding,
)

Hook = Callable[[str, Array], "Array | None"]


class Activations(dict[str, Array]):
    """Arrays by name, which shows itself as names and shapes."""

    def __repr__(self) -> str:
        return "\n".join(f"{name:26} {list(array.shape)}" for name, array in self.items())

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><td>{name}</td><td>{list(array.shape)}</td></tr>" for name, array in self.items())
        return f"<table>{rows}</table>"


def trace(
    ids: ArrayLike,
    wte: Tensors,
    wpe: Tensors,
    h: Sequence[Params],
    ln_f: Tensors,
    lm_head: Tensors | None = None,
    *,
    config: GPT2Config,
    hook: Hook | None = None,
) -> Activations:
    """Run the model and return every activation on the way to the logits, in the order in which it is computed.

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

    `hook(name, array)` is called with each as soon as it is there. An array that it returns takes the place, and the
    model goes on from it: zeros silence a head (ablation), and an array from the trace of another text shows what
    that one array carries (activation patching). It may not change the given array in place.

    All of it stays in memory: 1024 tokens of the smallest official model keep 1.5 GB, of which the probabilities are
    0.6. Raises what `GPT2Config.check_ids` raises, and ValueError where the hook returns an array of another shape.

    >>> from numpygpt.arrays import unflatten
    >>> from numpygpt.config import parameter_shapes
    >>> config = GPT2Config(vocab_size=9, n_ctx=5, n_embd=6, n_layer=2, n_head=3)
    >>> params = unflatten({name: np.ones(shape) for name, shape in parameter_shapes(config).items()})
    >>> kept = trace([3, 1, 4], **params, config=config)
    >>> kept["h.1.attn.probabilities"][0].round(2)  # keys that are all equal share the attention
    array([[1.  , 0.  , 0.  ],
           [0.5 , 0.5 , 0.  ],
           [0.33, 0.33, 0.33]])
    >>> silent = trace([3, 1, 4], **params, config=config, hook=lambda name, x: 0 * x if name == "h.1.mlp" else None)
    >>> np.array_equal(silent["h.1"], kept["h.0"] + kept["h.1.attn"])
    True
    """
    kept = Activations()

    def keep(name: str, array: Array) -> Array:
        changed = None if hook is None else hook(name, array)
        if changed is not None and np.shape(changed) != array.shape:
            raise ValueError(f"the hook returned shape {np.shape(changed)} for {name}, which has shape {array.shape}")
        kept[name] = array if changed is None else np.asarray(changed, array.dtype)
        return kept[name]

    ids = config.check_ids(ids)
    activation, eps = ACTIVATIONS[config.activation_function], config.layer_norm_epsilon
    mask = causal_mask(ids.shape[-1])
    x = keep("wte", token_embedding(ids, **wte)) + keep("wpe", positional_embedding(np.arange(ids.shape[-1]), **wpe))
    for layer, block in enumerate(h):
        name, attn, mlp = f"h.{layer}", block["attn"], block["mlp"]

        normed = keep(f"{name}.ln_1", layer_norm(x, **block["ln_1"], eps=eps))
        parts = np.split(linear(normed, **attn["c_attn"]), 3, axis=-1)
        q, k, v = (
            keep(f"{name}.attn.{letter}", split_heads(part, config.n_head).copy())
            for letter, part in zip("qkv", parts, strict=True)
        )
        scores = q @ k.swapaxes(-1, -2) * config.attention_scale(layer)
        probabilities = keep(f"{name}.attn.probabilities", softmax(scores + mask))
        heads = keep(f"{name}.attn.heads", probabilities @ v)
        x = x + keep(f"{name}.attn", linear(merge_heads(heads), **attn["c_proj"]))

        normed = keep(f"{name}.ln_2", layer_norm(x, **block["ln_2"], eps=eps))
        neurons = keep(f"{name}.mlp.c_fc", linear(normed, **mlp["c_fc"]))
        active = keep(f"{name}.mlp.activation", activation(neurons))
        x = keep(name, x + keep(f"{name}.mlp", linear(active, **mlp["c_proj"])))
    normed = keep("ln_f", layer_norm(x, **ln_f, eps=eps))
    keep("logits", linear(normed, (lm_head or wte)["weight"].T))
    return kept
