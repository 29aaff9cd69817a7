"""Other right implementations of GPT-2's block, the whole model, and the decode loop."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from typing import Any

import numpy as np
from alternatives import other

from numpygpt import layers
from numpygpt.gpt2 import transformer_block
from numpygpt.layers import causal_mask, layer_norm, multi_head_attention, positional_embedding, token_embedding
from numpygpt.sampling import Sampling

GREEDY = Sampling()


@other("transformer_block")
def block_by_names(x: Any, ln_1: Any, attn: Any, ln_2: Any, mlp: Any, *, n_head: int) -> Any:
    normed = layer_norm(x, ln_1["weight"], ln_1["bias"])
    mask = causal_mask(normed.shape[-2])
    attended = multi_head_attention(normed, c_attn=attn["c_attn"], c_proj=attn["c_proj"], n_head=n_head, mask=mask)
    after = attended + x
    return layers.mlp(layer_norm(after, ln_2["weight"], ln_2["bias"]), mlp["c_fc"], mlp["c_proj"]) + after


@other("transformer_block")
def block_into_a_copy(x: Any, ln_1: Any, attn: Any, ln_2: Any, mlp: Any, *, n_head: int) -> Any:
    stream = np.array(x)
    stream += multi_head_attention(layer_norm(stream, **ln_1), **attn, n_head=n_head, mask=causal_mask(x.shape[-2]))
    stream += layers.mlp(layer_norm(stream, **ln_2), **mlp)
    return stream


@other("transformer_block")
def block_of_branches(x: Any, ln_1: Any, attn: Any, ln_2: Any, mlp: Any, *, n_head: int) -> Any:
    def attend(x: Any) -> Any:
        return multi_head_attention(x, **attn, n_head=n_head, mask=np.triu(np.full([x.shape[-2]] * 2, -1e9), 1))

    for norm, branch in ((ln_1, attend), (ln_2, lambda x: layers.mlp(x, **mlp))):
        x = x + branch(layer_norm(x, **norm))
    return x


@other("transformer_block")
def block_one_sequence_at_a_time(x: Any, ln_1: Any, attn: Any, ln_2: Any, mlp: Any, *, n_head: int) -> Any:
    if x.ndim == 3:
        return np.array([block_one_sequence_at_a_time(one, ln_1, attn, ln_2, mlp, n_head=n_head) for one in x])
    mask = np.where(np.tri(len(x), dtype=bool), 0, layers.MASKED)
    y = multi_head_attention(layer_norm(x, **ln_1), attn["c_attn"], attn["c_proj"], n_head, mask)
    return x + y + layers.mlp(layer_norm(x + y, **ln_2), **mlp)


@other("transformer_block")
def block_position_by_position(x: Any, ln_1: Any, attn: Any, ln_2: Any, mlp: Any, *, n_head: int) -> Any:
    """Without a mask: what a position may see is all that is handed on, and its own row the last."""
    normed, rows = layer_norm(x, **ln_1), []
    for t in range(x.shape[-2]):
        seen = multi_head_attention(normed[..., : t + 1, :], **attn, n_head=n_head)
        row = x[..., t, :] + seen[..., -1, :]
        rows.append(row + layers.mlp(layer_norm(row, **ln_2), **mlp))
    return np.stack(rows, axis=-2)


@other("gpt2")
def gpt2_by_einsum(ids: Any, wte: Any, wpe: Any, h: Any, ln_f: Any, *, n_head: int) -> Any:
    ids = np.asarray(ids)
    x = wte["weight"][ids] + wpe["weight"][: ids.shape[-1]]
    for i in range(len(h)):
        x = transformer_block(x, **h[i], n_head=n_head)
    return np.einsum("...e,ve->...v", layer_norm(x, **ln_f), wte["weight"])


@other("gpt2")
def gpt2_by_reduce(ids: Any, wte: Any, wpe: Any, h: Any, ln_f: Any, *, n_head: int) -> Any:
    positions = list(range(np.array(ids).shape[-1]))
    start = positional_embedding(positions, **wpe) + token_embedding(ids, wte["weight"])
    end = reduce(lambda x, block: transformer_block(x, **block, n_head=n_head), h, start)
    return np.matmul(layer_norm(end, ln_f["weight"], ln_f["bias"]), wte["weight"].transpose())


@other("gpt2")
def gpt2_by_recursion(ids: Any, wte: Any, wpe: Any, h: Any, ln_f: Any, *, n_head: int) -> Any:
    def through(x: Any, blocks: Any) -> Any:
        return through(transformer_block(x, **blocks[0], n_head=n_head), blocks[1:]) if blocks else x

    at = np.broadcast_to(np.arange(np.shape(ids)[-1]), np.shape(ids))
    x = through(np.take(wte["weight"], ids, axis=0) + np.take(wpe["weight"], at, axis=0), h)
    return layers.linear(layer_norm(x, **ln_f), wte["weight"].T)


@other("gpt2")
def gpt2_one_sequence_at_a_time(ids: Any, wte: Any, wpe: Any, h: Any, ln_f: Any, *, n_head: int) -> Any:
    if np.ndim(ids) > 1:
        return np.stack([gpt2_one_sequence_at_a_time(row, wte, wpe, h, ln_f, n_head=n_head) for row in ids])
    x = np.array([wte["weight"][token] + wpe["weight"][i] for i, token in enumerate(ids)])
    for block in h:
        x = transformer_block(x, block["ln_1"], block["attn"], block["ln_2"], block["mlp"], n_head=n_head)
    return (wte["weight"] @ layer_norm(x, **ln_f).T).T


@other("gpt2")
def gpt2_in_float64(ids: Any, wte: Any, wpe: Any, h: Any, ln_f: Any, *, n_head: int) -> Any:
    x = token_embedding(ids, wte["weight"].astype(float)) + wpe["weight"][np.arange(len(np.transpose(ids)))]
    stream = [x]
    for block in h:
        stream.append(transformer_block(stream[-1], **block, n_head=n_head))
    return layer_norm(stream[-1], **ln_f).dot(wte["weight"].T)


def _next(model: Any, ids: Any, sampling: Any, rng: Any, n_vocab: Any) -> int:
    return int(sampling.choose(np.asarray(model(list(ids)))[-1][None, :n_vocab], [ids], [rng])[0])


@other("generate")
def generate_with_while(
    prompt: Any,
    model: Any,
    *,
    max_new_tokens: int,
    n_ctx: int,
    sampling: Any = GREEDY,
    eos_token_id: Any = None,
    n_vocab: Any = None,
    seed: Any = None,
) -> Iterator[int]:
    rng, ids, made = np.random.default_rng(seed), [*prompt], 0
    while made < max_new_tokens and len(ids) < n_ctx:
        token = _next(model, ids, sampling, rng, n_vocab)
        if eos_token_id is not None and token == eos_token_id:
            break
        ids.append(token)
        made += 1
        yield token


@other("generate")
def generate_a_list(
    prompt: Any,
    model: Any,
    *,
    max_new_tokens: int,
    n_ctx: int,
    sampling: Any = GREEDY,
    eos_token_id: Any = None,
    n_vocab: Any = None,
    seed: Any = None,
) -> Any:
    """Return the tokens instead of yielding them one by one."""
    rng, new = np.random.default_rng(seed), []  # type: ignore[var-annotated]
    for _ in range(max_new_tokens):
        if len(prompt) + len(new) >= n_ctx:
            return new
        token = _next(model, list(prompt) + new, sampling, rng, n_vocab)
        if token == eos_token_id:
            return new
        new += [token]
    return new


@other("generate")
def generate_numpy_integers(
    prompt: Any,
    model: Any,
    *,
    max_new_tokens: int,
    n_ctx: int,
    sampling: Any = GREEDY,
    eos_token_id: Any = None,
    n_vocab: Any = None,
    seed: Any = None,
) -> Iterator[Any]:
    """Keep the ids in an array, and yield its numbers as they are."""
    rng, ids = np.random.default_rng(seed), np.array(prompt)
    for _ in range(max_new_tokens):
        if len(ids) == n_ctx:
            return
        logits = model(ids.tolist())[-1]
        if n_vocab is not None:
            logits = logits[:n_vocab]
        chosen = sampling.choose(logits.reshape(1, -1), [ids.tolist()], [rng])
        if chosen[0] == eos_token_id:
            return
        ids = np.append(ids, chosen)
        yield ids[-1]


@other("generate")
def generate_by_recursion(
    prompt: Any,
    model: Any,
    *,
    max_new_tokens: int,
    n_ctx: int,
    sampling: Any = GREEDY,
    eos_token_id: Any = None,
    n_vocab: Any = None,
    seed: Any = None,
) -> Iterator[int]:
    """A generator handed on is used as it is, so `seed` counts once."""
    rng = np.random.default_rng(seed)
    if max_new_tokens > 0 and len(prompt) < n_ctx:
        token = _next(model, prompt, sampling, rng, n_vocab)
        if token != eos_token_id:
            yield token
            yield from generate_by_recursion(
                [*prompt, token],
                model,
                max_new_tokens=max_new_tokens - 1,
                n_ctx=n_ctx,
                sampling=sampling,
                eos_token_id=eos_token_id,
                n_vocab=n_vocab,
                seed=rng,
            )


@other("generate")
def generate_with_masked_logits(
    prompt: Any,
    model: Any,
    *,
    max_new_tokens: int,
    n_ctx: int,
    sampling: Any = GREEDY,
    eos_token_id: Any = None,
    n_vocab: Any = None,
    seed: Any = None,
) -> Iterator[int]:
    """Choose the likeliest by argmax where nothing is drawn, and hide what is no token by -inf."""
    ids, rng = list(prompt), np.random.default_rng(seed)
    for _ in range(max(0, min(max_new_tokens, n_ctx - len(ids)))):
        logits = np.array(model(ids)[-1:])
        if n_vocab:
            logits[:, n_vocab:] = -np.inf
        if sampling.is_greedy and sampling.repetition_penalty == 1:
            token = int(np.argmax(logits))
        else:
            token = sampling.choose(logits, [ids], [rng]).item()
        if token == eos_token_id:
            return
        yield token
        ids = [*ids, token]
