"""The command line: `python -m numpygpt "prompt"` prints the prompt and what GPT-2 continues it with."""

from __future__ import annotations

import argparse
import io
import sys
import time
from typing import Any

from numpygpt import GPT2, Sampling, __version__
from numpygpt.command_line import Parser, friendly_exit, number
from numpygpt.models.names import EMBEDDED_MODEL, FETCH, default_model
from numpygpt.stream import TextStream

DESCRIPTION = """\
Continue a text with GPT-2, in plain NumPy. The prompt and its continuation are printed as one text,
as the words come. The likeliest token is taken each time, unless an option under sampling is given."""

EPILOG = """\
examples:
  python -m numpygpt "Once upon a time"
  python -m numpygpt -n 100 --temperature 0.8 --top-k 40 --seed 1 "The old house"
  python -m numpygpt --model gpt2-large --stop "\\n" "Q: What is the capital of France? A:"
  echo "Dear reader," | python -m numpygpt --no-prompt > continuation.txt

In Python:
  from numpygpt import GPT2
  GPT2.from_pretrained("gpt2").generate("Once upon a time", max_new_tokens=40)"""


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line; a mistake in it ends the program with one line and status 2."""
    parser = Parser("python -m numpygpt", DESCRIPTION, EPILOG)
    parser.add_argument(
        "prompt", nargs="*", help='the text to continue; "" starts from nothing, none reads standard input'
    )
    parser.add_argument("-m", "--model", metavar="NAME", help="a model folder, or a name such as gpt2 or gpt2-medium")
    parser.add_argument("--version", action="version", version=f"numpygpt {__version__}")
    sampling = parser.add_argument_group("sampling: temperature, top-k or top-p draw the next token by chance")
    sampling.add_argument(
        "--temperature",
        type=number(float, 0),
        metavar="T",
        help="below 1 careful, above 1 wild, 0 always the likeliest token",
    )
    sampling.add_argument(
        "--top-k", type=number(int, 0), metavar="K", help="draw from the K likeliest tokens (0: from all)"
    )
    sampling.add_argument(
        "--top-p", type=number(float, 0), metavar="P", help="draw from the likeliest tokens with probability P together"
    )
    sampling.add_argument("--seed", type=number(int, 0), metavar="N", help="the same number gives the same text again")
    sampling.add_argument(
        "--num-return-sequences", type=number(int, 1), metavar="N", default=1, help="write N texts (default: 1)"
    )
    text = parser.add_argument_group("text")
    text.add_argument(
        "-n",
        "--max-new-tokens",
        type=number(int, 0),
        metavar="N",
        default=40,
        help="stop after N tokens, of about four letters each (default: 40)",
    )
    text.add_argument(
        "--repetition-penalty",
        type=number(float, 0, above=True),
        metavar="X",
        default=1.0,
        help="above 1 makes words that occurred already less likely (1.2 is usual)",
    )
    text.add_argument(
        "--stop",
        action="append",
        metavar="TEXT",
        default=[],
        help='stop before this text; "\\n" is a line\'s end; may be repeated',
    )
    text.add_argument(
        "--prompt-lookup-num-tokens",
        type=number(int, 0),
        metavar="N",
        default=0,
        help="guess N tokens ahead where the text repeats itself: the same text, sooner (try 15)",
    )
    text.add_argument("--no-prompt", action="store_true", help="print the new text alone")
    text.add_argument("--stats", action="store_true", help="tell the speed on standard error, as on a terminal")
    options = parser.parse_args(argv)
    if not options.prompt and (sys.stdin is None or sys.stdin.isatty()):
        parser.error('give a prompt, such as "Once upon a time"')
    return options


def read_prompt(words: list[str]) -> str:
    """Return the prompt from the command line, or else from standard input, without the line end that `echo` adds."""
    if words:
        prompt = " ".join(words)
        if any("\ud800" <= character <= "\udfff" for character in prompt):  # how Python passes on other bytes
            raise ValueError("the prompt is not UTF-8 text; give text, or convert it first, for example with iconv")
        return prompt
    data = sys.stdin.buffer.read()
    try:
        text = data.decode("utf-8-sig")  # without the mark that Windows puts before a text
    except UnicodeDecodeError as error:
        raise ValueError(
            f"standard input is not UTF-8 text (byte {error.start} is 0x{data[error.start]:02x}); "
            "convert it first, for example with iconv"
        ) from None
    return text.removesuffix("\n").removesuffix("\r")


def write(model: GPT2, prompt: str, options: argparse.Namespace) -> None:
    """Print the prompt and its continuation while it grows; several continuations when they are complete."""
    start = time.perf_counter()
    growing = model.grow(
        [prompt],
        options.max_new_tokens,
        num_return_sequences=options.num_return_sequences,
        stop_strings=[stop.replace("\\n", "\n") for stop in options.stop],
        seed=options.seed,
        prompt_lookup_num_tokens=options.prompt_lookup_num_tokens,
        **sampling_options(options),
    )
    shown = "" if options.no_prompt else prompt
    if options.num_return_sequences == 1:
        print(shown, end="", flush=True)
        for texts in growing:
            print(texts[0].piece, end="", flush=True)
        print()
    else:
        *_, texts = growing
        print("\n----------\n".join(shown + text.text for text in texts))
    if options.stats or (sys.stderr is not None and sys.stderr.isatty()):
        print(statistics(texts, time.perf_counter() - start), file=sys.stderr)


def sampling_options(options: argparse.Namespace) -> dict[str, Any]:
    """Pick the options that say how the next token is chosen."""
    return {name: getattr(options, name) for name in ("temperature", "top_k", "top_p", "repetition_penalty")}


def statistics(texts: list[TextStream], seconds: float) -> str:
    """Say in one line what was written, how fast and why it ended.

    >>> from numpygpt.stream import Continuation
    >>> from numpygpt import Tokenizer
    >>> statistics([TextStream(Continuation([0], [1, 2, 3], "stop string"), Tokenizer(), [])], 0.5)
    '[3 tokens in 0.50 s, 6.0 tokens/s; ended by: stop string]'
    """
    n_tokens = sum(text.n_tokens for text in texts)
    reasons = ", ".join(dict.fromkeys(str(text.finish_reason) for text in texts))
    return f"[{n_tokens} tokens in {seconds:.2f} s, {n_tokens / seconds:.1f} tokens/s; ended by: {reasons}]"


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    options = parse_arguments(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # "?" for a character that the terminal's encoding lacks
    with friendly_exit("python -m numpygpt"):
        prompt = read_prompt(options.prompt)
        Sampling(**sampling_options(options))  # a mistake in them should not wait for a model to load
        folder = default_model() if options.model is None else options.model
        write(GPT2.from_pretrained(folder), prompt, options)
        if folder in EMBEDDED_MODEL:
            print(f"[{folder.name}, the small model that comes along; {FETCH} fetches OpenAI's]", file=sys.stderr)


if __name__ == "__main__":
    main()
