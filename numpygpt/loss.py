"""How well a model predicts a text: cross-entropy, perplexity, bits per byte.

Run as a command, it scores a text file: `python -m numpygpt.loss FILE`.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from numpygpt.arrays import Array
from numpygpt.tokenizer import Tokenizer

WINDOW_ROWS = 1024  # rows of logits computed at once, over all windows of a batch

REDS = (231, 230, 229, 223, 217, 210, 203, 196)  # colors of a terminal, for a loss of 0, 1, 2 ... nats

Model = Callable[..., Array]  # ids [..., n_seq], logits_to_keep=n -> the last logits [..., n, n_vocab]


def cross_entropy(logits: Array, targets: ArrayLike) -> Array:
    """Minus the log of the probability that the model gave to what came: its surprise, in nats.

        loss = log Σ_j exp(logits_j) - logits_target

    logits: [..., n_vocab], targets: [...] integers -> [...], one loss for each position

    The largest logit is subtracted first, which changes nothing in the formula and keeps exp from overflowing.

    >>> cross_entropy(np.array([0.0, math.log(3.0)]), 1)  # probabilities 1/4 and 3/4
    array(0.28768207)
    """
    logits = logits - logits.max(axis=-1, keepdims=True)
    at_target = np.take_along_axis(logits, np.asarray(targets)[..., None], axis=-1)
    return np.asarray(np.log(np.exp(logits).sum(axis=-1)) - at_target[..., 0])


@dataclass(frozen=True)
class TextLoss:
    """The loss of a text, in the three units that papers use.

    nats: the sum over all tokens; n_bytes: those of the text in UTF-8
    """

    nats: float
    n_tokens: int
    n_bytes: int

    @property
    def loss(self) -> float:
        """Mean cross-entropy, in nats per token."""
        return self.nats / self.n_tokens

    @property
    def perplexity(self) -> float:
        """Among how many equally likely tokens the model hesitates, as it were: exp(loss)."""
        return math.exp(self.loss)

    @property
    def bits_per_byte(self) -> float:
        """What the text would compress to; the unit that compares models with different tokenizers."""
        return self.nats / math.log(2) / self.n_bytes


def token_losses(ids: Sequence[int], model: Model, *, n_ctx: int, stride: int | None = None) -> Iterator[Array]:
    """Score every token but the first, each once, with a window that slides over the text.

    ids: [n_tokens] -> arrays of losses, n_tokens - 1 in all. `model` is `GPT2.logits`, or does what it does.

    The window is n_ctx tokens wide and moves on by `stride`; in every place but the first only its last `stride`
    predictions count, so each token is predicted from at least n_ctx - stride tokens before it. A small stride
    costs more and usually gives a lower loss; the default is half the window. The paper does not say what stride its
    table 3 used (Radford et al. 2019, section 3): compare such numbers only at the same stride.

    Raises ValueError for fewer than two tokens, or a stride that is not from 1 to n_ctx.
    """
    stride = (n_ctx + 1) // 2 if stride is None else stride
    if not 1 <= stride <= n_ctx:
        raise ValueError(f"the stride must be from 1 to the context window of {n_ctx} tokens, not {stride}")
    if len(ids) < 2:
        raise ValueError("the text is empty: there is no token to predict")
    tokens = np.asarray(ids)
    inputs, targets = tokens[:-1], tokens[1:]
    end = min(n_ctx, len(inputs))
    yield cross_entropy(model(inputs[:end], logits_to_keep=end), targets[:end])
    while len(inputs) - end >= stride:
        n_windows = min((len(inputs) - end) // stride, max(1, WINDOW_ROWS // n_ctx))
        ends = end + stride * np.arange(1, n_windows + 1)
        windows = ends[:, None] - np.arange(n_ctx, 0, -1)  # [n_windows, n_ctx]
        yield cross_entropy(model(inputs[windows], logits_to_keep=stride), targets[windows[:, -stride:]]).ravel()
        end = int(ends[-1])
    if rest := len(inputs) - end:
        yield cross_entropy(model(inputs[-n_ctx:], logits_to_keep=rest), targets[-rest:])


def text_loss(
    text: str, model: Model, tokenizer: Tokenizer, *, n_ctx: int, stride: int | None = None, progress: bool = False
) -> TextLoss:
    """Score a text, as `token_losses` does; the first token is predicted from `<|endoftext|>`, or what begins texts.

    Raises ValueError for an empty text and for a stride that is not from 1 to n_ctx.
    """
    from tqdm import tqdm

    if not text:
        raise ValueError("the text is empty: there is no token to predict")
    ids = _encode(text, tokenizer)
    sums = []
    every = 0.1 if sys.stderr is not None and sys.stderr.isatty() else 10.0  # seconds between two reports
    with tqdm(total=len(ids) - 1, unit=" tokens", disable=not progress, leave=False, delay=1, mininterval=every) as bar:
        for losses in token_losses(ids, model, n_ctx=n_ctx, stride=stride):
            sums.append(float(losses.sum(dtype=np.float64)))
            bar.update(losses.size)
    return TextLoss(math.fsum(sums), len(ids) - 1, len(text.encode()))


def _encode(text: str, tokenizer: Tokenizer) -> list[int]:
    """Return a text's ids, behind one that begins it."""
    begins_by_itself = bool(tokenizer.encode(""))  # some put a token of their own before every text
    return ([] if begins_by_itself else [tokenizer.eot_id]) + tokenizer.encode(text)


def _read(path: str) -> str:
    """Return the text as training reads it: with line ends of one kind, and without Windows' mark at the start."""
    try:
        data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        return data.decode().removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        where = "standard input" if path == "-" else path
        raise ValueError(f"{where} is not UTF-8 text (byte {error.start}); convert it first") from None


def show_tokens(text: str, model: Model, tokenizer: Tokenizer, *, n_ctx: int, stride: int | None = None) -> None:
    """Print every token with its loss: on a terminal the text itself, the redder the more surprising."""
    from numpygpt.command_line import shows_color

    ids = _encode(text, tokenizer)
    losses = np.concatenate(list(token_losses(ids, model, n_ctx=n_ctx, stride=stride))).tolist()
    for token_id, loss in zip(ids[1:], losses, strict=True):
        token = tokenizer.decode([token_id])
        if shows_color(sys.stdout):
            red = REDS[min(int(loss), len(REDS) - 1)]
            print(f"\x1b[30;48;5;{red}m{token}\x1b[0m", end="")
        else:
            print(f"{loss:8.4f}  {json.dumps(token, ensure_ascii=False)}")
    print("\n" if shows_color(sys.stdout) else "")


def main(argv: list[str] | None = None) -> None:
    """Score a text file, from the command line."""
    from numpygpt.command_line import Parser, friendly_exit, number

    parser = Parser(
        "python -m numpygpt.loss",
        "Say how well a model predicts a text: loss in nats per token, perplexity, bits per byte.",
        "examples: python -m numpygpt.loss story.txt\n"
        '          echo "Once upon a time there was a cat." | python -m numpygpt.loss --model stories --per-token\n'
        "          python -m numpygpt.loss wiki.txt --model gpt2 --stride 512",
    )
    parser.add_argument(
        "file", metavar="FILE", nargs="?", default="-", help="a text in UTF-8 (default: standard input)"
    )
    parser.add_argument(
        "-m", "--model", metavar="NAME", help="a model's name or folder (default: as for python -m numpygpt)"
    )
    parser.add_argument(
        "--stride",
        type=number(int, 1),
        metavar="N",
        help="move the window on by N tokens (default: half the context window); smaller is slower, and gives each "
        "token more context",
    )
    parser.add_argument("--per-token", action="store_true", help="show the loss of each token as well, in nats")
    options: argparse.Namespace = parser.parse_args(argv)
    with friendly_exit(parser.prog):
        from numpygpt.models.names import default_model
        from numpygpt.pretrained import GPT2

        text = _read(options.file)
        name = options.model or default_model()
        model = GPT2.from_pretrained(name)
        n_ctx = model.config.n_ctx
        if options.per_token:
            show_tokens(text, model.logits, model.tokenizer, n_ctx=n_ctx, stride=options.stride)
        result = text_loss(text, model.logits, model.tokenizer, n_ctx=n_ctx, stride=options.stride, progress=True)
        print(f"model          {name}")
        print(f"{result.n_tokens} tokens, {result.n_bytes} bytes")
        print(f"loss           {result.loss:.4f} nats per token")
        print(f"perplexity     {result.perplexity:.2f}")
        print(f"bits per byte  {result.bits_per_byte:.4f}")


if __name__ == "__main__":
    main()
