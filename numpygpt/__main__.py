"""The command line: `python -m numpygpt "prompt"` prints the prompt and what GPT-2 continues it with."""

from __future__ import annotations

import argparse
import io
import json
import re
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from numpygpt import GPT2, Sampling, __version__, speed
from numpygpt.command_line import Parser, friendly_exit, number, shows_color
from numpygpt.models.names import FETCH, default_model
from numpygpt.models.repos import EMBEDDED
from numpygpt.stream import TextStream

DESCRIPTION = """\
Continue a text with GPT-2, in plain NumPy. The prompt and its continuation are printed as one text,
as the words come. The likeliest token is taken each time, unless an option under sampling is given."""

EPILOG = """\
examples:
  python -m numpygpt "Once upon a time"
  python -m numpygpt -n 100 --temperature 0.8 --top-k 40 --seed 1 "The old house"
  python -m numpygpt --top 5 "Once upon a"
  python -m numpygpt --interactive --temperature 0.8
  python -m numpygpt --model someone/chat-gpt2 --chat "What is a bear?"
  python -m numpygpt --model gpt2-large --stop "\\n" "Q: What is the capital of France? A:"
  echo "Dear reader," | python -m numpygpt --no-prompt > continuation.txt

In Python:
  from numpygpt import GPT2
  GPT2.from_pretrained("stories").generate("Once upon a time", max_new_tokens=40)"""

SENTENCE_END = "end of a sentence"
LONG_ENOUGH, TOO_LONG = 40, 80  # tokens of a text whose length nobody has said
LONGEST_ANSWER = 256  # and of an answer in a chat
BAR = 30  # characters of the bar of a certain token


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line; a mistake in it ends the program with one line and status 2."""
    parser = Parser("python -m numpygpt", DESCRIPTION, EPILOG)
    parser.add_argument(
        "prompt", nargs="*", help='the text to continue; "" starts from nothing, none reads standard input'
    )
    parser.add_argument(
        "-m", "--model", metavar="NAME", help="a model folder, or a name: stories, gpt2, gpt2-medium ..."
    )
    parser.add_argument(
        "--memory-map", action="store_true", help="leave the weights on disk, for a model that hardly fits into memory"
    )
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
        help="stop after N tokens, of about four letters each (default: where a sentence ends after 40, 80 at most)",
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
    text.add_argument(
        "--allowed-special",
        metavar="TOKEN",
        action="append",
        default=[],
        help='take TOKEN in the prompt for the special token, not for letters; or "all"; may be given several times',
    )
    text.add_argument("--top", type=number(int, 1), metavar="N", help="show the N likeliest next tokens, and no text")
    text.add_argument("-i", "--interactive", action="store_true", help="continue one prompt after the other")
    text.add_argument("--chat", action="store_true", help="answer the prompt, by the chat template of the model")
    text.add_argument("--no-prompt", action="store_true", help="print the new text alone")
    text.add_argument(
        "--stats",
        action="store_true",
        help="tell the speed on standard error, as on a terminal, and what share of the memory's that is",
    )
    options = parser.parse_args(argv)
    if options.prompt and options.interactive:
        parser.error("with --interactive, type the prompts when it asks for them")
    if options.top and options.chat:
        parser.error("--top shows what may follow a text; it does not go with --chat")
    if not options.prompt and not options.interactive and (sys.stdin is None or sys.stdin.isatty()):
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
        TOO_LONG if options.max_new_tokens is None else options.max_new_tokens,
        num_return_sequences=options.num_return_sequences,
        **text_options(options),
    )
    if options.max_new_tokens is None:
        growing = end_with_sentences(growing)
    watch = speed.Watch()
    growing = watch.over(growing)
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
        note(statistics(texts, time.perf_counter() - start))
    if options.stats and not options.prompt_lookup_num_tokens:  # which takes several tokens a step
        for line in watch.tell(model.params, model.config):
            note(line)


def answer(model: GPT2, message: str, earlier: list[dict[str, str]], options: argparse.Namespace) -> None:
    """Print the answer to a message while it grows, and add both to the messages before them."""
    messages = [*earlier, {"role": "user", "content": message}]
    n_tokens = LONGEST_ANSWER if options.max_new_tokens is None else options.max_new_tokens
    as_written = {**text_options(options), "allowed_special": "all", "add_special_tokens": False}
    text = ""
    for piece in model.stream(model.chat_prompt(messages), n_tokens, **as_written):
        print(piece, end="", flush=True)
        text += piece
    print()
    earlier[:] = [*messages, {"role": "assistant", "content": text}]


def end_with_sentences(growing: Iterator[list[TextStream]]) -> Iterator[list[TextStream]]:
    """End each text that is long enough where a sentence ends."""
    for texts in growing:
        for text in texts:
            ends = re.search(r"[.!?][\"')]*\s*$", text.text)
            if text.finish_reason is None and text.n_tokens >= LONG_ENOUGH and ends:
                text.continuation.finish_reason = SENTENCE_END
        yield texts


def show_top(model: GPT2, prompt: str, n: int) -> None:
    """Print the likeliest next tokens with bars."""
    for token, probability in model.top(prompt, n):
        bar = "█" * round(BAR * probability) or "▏"
        if shows_color(sys.stdout):
            bar = f"\x1b[36m{bar}\x1b[0m"
        print(f"{probability:7.1%}  {json.dumps(token, ensure_ascii=False):16} {bar}")


def interact(model: GPT2, options: argparse.Namespace) -> None:
    """Ask for prompts and continue each, until the input ends; Ctrl-C stops a text."""
    with suppress(ImportError):
        import readline  # noqa: F401 - from here on, input() has a history and can be edited
    note(f"{model}\nType {'a message' if options.chat else 'the beginning of a text'}. Ctrl-C stops, Ctrl-D ends.")
    messages: list[dict[str, str]] = []
    while True:
        try:
            respond(model, input("> " if sys.stdin.isatty() else ""), messages, options)
        except KeyboardInterrupt:
            print()
        except EOFError:
            break
        except ValueError as error:  # a prompt that is too long, say
            note(str(error))


def respond(model: GPT2, prompt: str, messages: list[dict[str, str]], options: argparse.Namespace) -> None:
    """Do with a prompt what the options ask for."""
    if options.top:
        show_top(model, prompt, options.top)
    elif options.chat:
        answer(model, prompt, messages, options)
    else:
        write(model, prompt, options)


def text_options(options: argparse.Namespace) -> dict[str, Any]:
    """Pick the options that `GPT2.generate` takes for one text."""
    return {
        **sampling_options(options),
        "stop_strings": [stop.replace("\\n", "\n") for stop in options.stop],
        "allowed_special": "all" if "all" in options.allowed_special else options.allowed_special,
        "seed": options.seed,
        "prompt_lookup_num_tokens": options.prompt_lookup_num_tokens,
    }


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
        prompt = "" if options.interactive else read_prompt(options.prompt)
        sampling = Sampling(**sampling_options(options))  # a mistake in it should not wait for a model to load
        if options.seed is not None and sampling.is_greedy:
            note("--seed has no effect: the likeliest token is taken each time; give --temperature, --top-k or --top-p")
        name = default_model() if options.model is None else options.model
        model = GPT2.from_pretrained(name, memory_map=options.memory_map)
        if options.interactive:
            interact(model, options)
        else:
            respond(model, prompt, [], options)
        if options.model is None and name in EMBEDDED:
            note(f"[{name}, the small model that comes along; {FETCH} fetches OpenAI's]")


def note(text: str) -> None:
    """Print a remark to standard error, where it is in nobody's way."""
    if sys.stderr is not None:
        print(text, file=sys.stderr)


if __name__ == "__main__":
    main()
