"""JAX: GPT-2 as a function that `jit` compiles, with a cache of a fixed length that is changed in place."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.engines.engine import StepEngine, serve


class Jax(StepEngine):
    """One compiled program for each number of ids, sequences and positions."""

    packages = ("jax", "jaxlib")

    def __init__(self, folder: Path, mode: str, threads: int) -> None:
        import jax

        from numpygpt.models.checkpoint import load

        config, params, _ = load(folder)
        self.jnp, self.config = jax.numpy, config
        self.params = jax.tree.map(jax.numpy.asarray, params)
        bound = partial(forward, jax, config.n_head, config.layer_norm_epsilon)
        self.forward = jax.jit(bound, donate_argnums=1, static_argnums=4)

    def start(self, batch: int, n_ctx: int) -> Callable[..., Any]:
        config, jnp = self.config, self.jnp
        shape = (batch, config.n_head, n_ctx, config.n_embd // config.n_head)
        cache = [(jnp.zeros(shape, jnp.float32), jnp.zeros(shape, jnp.float32)) for _ in range(config.n_layer)]
        n_seq = 0

        def step(ids: Any, logits_to_keep: int = 1) -> Any:
            nonlocal cache, n_seq
            logits, cache = self.forward(self.params, cache, jnp.asarray(ids, jnp.int32), n_seq, logits_to_keep)
            n_seq += ids.shape[1]
            return logits

        return step


def forward(jax: Any, n_head: int, eps: float, params: Any, cache: Any, ids: Any, n_past: Any, n_kept: int) -> Any:
    """Return the last logits [batch, n_kept, n_vocab] and the longer cache: ids [batch, n_seq]."""
    jnp = jax.numpy

    def norm(x: Any, weight: Any, bias: Any) -> Any:
        return (x - x.mean(-1, keepdims=True)) * jax.lax.rsqrt(x.var(-1, keepdims=True) + eps) * weight + bias

    def linear(x: Any, weight: Any, bias: Any) -> Any:
        return x @ weight + bias

    batch, n = ids.shape
    positions = n_past + jnp.arange(n)
    n_ctx = cache[0][0].shape[2]
    mask = jnp.where(jnp.arange(n_ctx)[None] <= positions[:, None], 0.0, -1e10)
    x = params["wte"]["weight"][ids] + params["wpe"]["weight"][positions]
    longer = []
    for block, (keys, values) in zip(params["h"], cache, strict=True):
        qkv = linear(norm(x, **block["ln_1"]), **block["attn"]["c_attn"])
        q, k, v = (part.reshape(batch, n, n_head, -1).transpose(0, 2, 1, 3) for part in jnp.split(qkv, 3, axis=-1))
        keys = jax.lax.dynamic_update_slice(keys, k, (0, 0, n_past, 0))
        values = jax.lax.dynamic_update_slice(values, v, (0, 0, n_past, 0))
        longer.append((keys, values))
        weights = jax.nn.softmax(q @ keys.swapaxes(-1, -2) / q.shape[-1] ** 0.5 + mask, axis=-1)
        mixed = (weights @ values).transpose(0, 2, 1, 3).reshape(batch, n, -1)
        x = x + linear(mixed, **block["attn"]["c_proj"])
        hidden = jax.nn.gelu(linear(norm(x, **block["ln_2"]), **block["mlp"]["c_fc"]), approximate=True)
        x = x + linear(hidden, **block["mlp"]["c_proj"])
    return norm(x[:, -n_kept:], **params["ln_f"]) @ params["wte"]["weight"].T, longer


if __name__ == "__main__":
    serve(Jax)
