"""GPT-2, alone: from a prompt to a text, with the functions of this folder.

`python main.py "Once upon a time"` writes on. It takes from the package the reader of weights, and nothing else.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from numpygpt.course.weights import read_weights
from numpygpt.generate import generate
from numpygpt.gpt2 import gpt2
from numpygpt.tokenizer import Tokenizer


def complete(prompt: str, merges: list[tuple[bytes, bytes]], params: Any, n_head: int, max_new_tokens: int = 40) -> str:
    """Continue a prompt greedily: text -> ids -> logits -> ids -> the new text alone.

    merges: the tokenizer's; params: the tree of the model's parameters, `params["wpe"]["weight"]`: [n_ctx, n_embd].
    The text ends where the model chooses `<|endoftext|>`, the tokenizer's `eot_id`.
    """
    tokenizer = Tokenizer(merges)
    ids = generate(
        tokenizer.encode(prompt),
        lambda ids: gpt2(ids, **params, n_head=n_head),
        max_new_tokens=max_new_tokens,
        n_ctx=len(params["wpe"]["weight"]),
        eos_token_id=tokenizer.eot_id,
    )
    return tokenizer.decode(ids)


def main() -> None:
    """Write on from the prompt on the command line."""
    prompt = " ".join(sys.argv[1:]) or "Once upon a time"
    folder = Path(__file__).parent / "weights"
    merges, params, n_head = read_weights(folder if folder.is_dir() else None)
    try:
        print(prompt + complete(prompt, merges, params, n_head))
    except NotImplementedError:
        sys.exit("something is not written yet: python -m numpygpt.course status FOLDER says what")


if __name__ == "__main__":
    main()
