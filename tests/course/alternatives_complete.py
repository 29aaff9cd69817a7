"""Other right implementations of the program at the end of the course."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from alternatives import other

from numpygpt.generate import generate
from numpygpt.gpt2 import gpt2
from numpygpt.tokenizer import Tokenizer


@other("complete")
def complete_by_a_loop(prompt: str, merges: Any, params: Any, n_head: int, max_new_tokens: int = 40) -> Any:
    tokenizer = Tokenizer(merges)
    ids = tokenizer.encode(prompt)
    n_prompt, n_ctx = len(ids), params["wpe"]["weight"].shape[0]
    while len(ids) < min(n_ctx, n_prompt + max_new_tokens):
        logits = gpt2(ids, **params, n_head=n_head)
        chosen = int(logits[-1].argmax())
        if chosen == tokenizer.eot_id:
            break
        ids.append(chosen)
    return tokenizer.decode(ids[n_prompt:])


@other("complete")
def complete_with_a_named_model(prompt: str, merges: Any, params: Any, n_head: int, max_new_tokens: int = 40) -> Any:
    tok = Tokenizer(merges)

    def model(ids: Any) -> Any:
        return gpt2(np.array(ids), params["wte"], params["wpe"], params["h"], params["ln_f"], n_head=n_head)

    n_ctx = params["wpe"]["weight"].shape[0]
    new = generate(tok.encode(prompt), model, max_new_tokens=max_new_tokens, n_ctx=n_ctx, eos_token_id=tok.eot_id)
    return tok.decode(list(new))


@other("complete")
def complete_token_by_token(prompt: str, merges: Any, params: Any, n_head: int, max_new_tokens: int = 40) -> Any:
    """Decode while the text is made, holding half characters back."""
    tok, text = Tokenizer(merges), ""
    decoder, ids = tok.decoder(), tok.encode(prompt)
    for _ in range(min(max_new_tokens, len(params["wpe"]["weight"]) - len(ids))):
        ids.append(int(np.argmax(gpt2(ids, **params, n_head=n_head)[-1, : tok.n_vocab])))
        if ids[-1] == tok.eot_id:
            break
        text += decoder.feed(ids[-1])
    return text + decoder.flush()


@other("complete")
def complete_by_bytes(prompt: str, merges: Any, params: Any, n_head: int, max_new_tokens: int = 40) -> Any:
    tok = Tokenizer(merges)
    n_ctx, ids = len(params["wpe"]["weight"]), tok.encode(prompt)
    model = partial(gpt2, **params, n_head=n_head)
    new = list(generate(ids, model, max_new_tokens=max_new_tokens, n_ctx=n_ctx, eos_token_id=tok.eot_id))
    return b"".join(tok.token_bytes(i) for i in new).decode("utf-8", errors="replace")


@other("complete")
def complete_by_recursion(prompt: str, merges: Any, params: Any, n_head: int, max_new_tokens: int = 40) -> Any:
    tok = Tokenizer(merges)

    def more(ids: Any, left: int) -> Any:
        if not left or len(ids) >= len(params["wpe"]["weight"]):
            return []
        token = int(gpt2([ids], **params, n_head=n_head)[0, -1].argmax())
        return [] if token == tok.eot_id else [token, *more([*ids, token], left - 1)]

    return tok.decode(more(tok.encode(prompt), max_new_tokens))
