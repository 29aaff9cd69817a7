"""The command `python -m numpygpt.translate`: a translation for every line."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence

from numpygpt import Translator
from numpygpt.sentences import normalize
from numpygpt.translator import EMBEDDED, NUM_BEAMS


def lines(words: Sequence[str]) -> Iterator[str]:
    """Yield the text of the command line, or else the lines of standard input as they come."""
    if words:
        text = " ".join(words)
        if any("\ud800" <= character <= "\udfff" for character in text):  # how Python passes on other bytes
            raise ValueError("the text is not UTF-8; give text, or convert it first, for example with iconv")
        yield text
        return
    for number, line in enumerate(iter(sys.stdin.buffer.readline, b""), 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"standard input, line {number}: not UTF-8 text (byte {error.start} is 0x{line[error.start]:02x}); "
                "convert it first, for example with iconv"
            ) from None


def answer(translator: Translator, texts: Iterable[str], num_beams: int) -> None:
    """Print the translation of each text as soon as it is there."""
    for text in texts:
        print(translator.translate(text, num_beams), flush=True)


def show_attention(translator: Translator, texts: Iterable[str], num_beams: int, path: str | None) -> None:
    """Print each translation with its picture of attention, or write the picture of one to an SVG file."""
    for number, text in enumerate(texts):
        if path is not None and number:
            raise ValueError(f"{path} holds the picture of one sentence: give one")
        if not normalize(text):
            print(flush=True)
            continue
        alignment = translator.align(text, num_beams)
        if path is None:
            print(alignment, end="\n\n", flush=True)
        else:
            from numpygpt.files import atomic_write

            with atomic_write(path) as file:
                file.write(alignment.to_svg().encode())
            print(f"{' '.join(alignment.target)}\n{path}: written")


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    from numpygpt.command_line import Parser, friendly_exit, number

    parser = Parser(
        "python -m numpygpt.translate",
        "Translate English into French, or with another model what it translates. Without a text, each line of\n"
        "standard input is answered with a line.",
        'examples: python -m numpygpt.translate "Where is the station?"\n'
        '          python -m numpygpt.translate --attention "I have lost my keys."\n'
        "          python -m numpygpt.translate --beams 1 < english.txt > french.txt",
    )
    parser.add_argument("text", nargs="*", metavar="TEXT", help="what to translate")
    parser.add_argument("-m", "--model", metavar="NAME", default=EMBEDDED, help=f"the model (default: {EMBEDDED})")
    parser.add_argument(
        "--beams",
        type=number(int, 1),
        default=NUM_BEAMS,
        metavar="N",
        help=f"beginnings that are kept in view; 1 is the greedy choice (default: {NUM_BEAMS})",
    )
    parser.add_argument(
        "--attention", action="store_true", help="show which source word each target word looked at, in characters"
    )
    parser.add_argument("--svg", metavar="FILE", help="the same as a picture, written to a file")
    options = parser.parse_args(argv)
    if not options.text and (sys.stdin is None or sys.stdin.isatty()):
        parser.error('give a text, such as "Where is the station?"')
    with friendly_exit(parser.prog):
        texts = lines(options.text)
        translator = Translator.from_pretrained(options.model)
        if options.attention or options.svg:
            show_attention(translator, texts, options.beams, options.svg)
        else:
            answer(translator, texts, options.beams)


if __name__ == "__main__":
    main()
