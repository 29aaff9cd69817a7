"""The command `python -m numpygpt.look`: a page that shows what goes on inside a model when it reads a prompt."""

from __future__ import annotations

import io
import sys
import webbrowser
from pathlib import Path

from numpygpt.__main__ import read_prompt
from numpygpt.command_line import Parser, friendly_exit
from numpygpt.languages import LANGUAGES, of_locale, speaking
from numpygpt.look.page import Page, look, look_at_translation
from numpygpt.look.say import say
from numpygpt.look.server import serve
from numpygpt.models.names import default_model
from numpygpt.pretrained import GPT2
from numpygpt.translator import EMBEDDED, Translator

PORT = 8000


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    parser = Parser(
        "python -m numpygpt.look",
        "Write a page that shows what goes on inside a model when it reads a prompt: tokens, attention, residual\n"
        "stream, neurons and the next token. It is one file, which needs no network.",
        'examples: python -m numpygpt.look --open "The little boat went to the"\n'
        '          python -m numpygpt.look --serve --open "Tom had a dog. Tom liked his"',
    )
    parser.add_argument("text", nargs="*", metavar="TEXT", help="the prompt; without one, reads standard input")
    parser.add_argument("-m", "--model", metavar="NAME", help="a model folder, or a name: stories, gpt2 ...")
    parser.add_argument(
        "--translate",
        action="store_true",
        help=f"translate the text, and show where the decoder looked for each word (default model: {EMBEDDED})",
    )
    parser.add_argument("--out", metavar="FILE", default="look.html", help="the file to write (default: look.html)")
    parser.add_argument("--open", action="store_true", help="show it in the browser")
    parser.add_argument(
        "--serve",
        metavar="PORT",
        nargs="?",
        const=str(PORT),
        help="write no file but answer a browser on this machine, which can ask for other prompts and switch off heads"
        f" and MLPs, until Ctrl-C; 0: any free port (default: {PORT})",
    )
    parser.add_argument(
        "--lang", choices=LANGUAGES, default=of_locale(), help="the language of the page (default: the locale's)"
    )
    options = parser.parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # "?" for a character that the terminal's encoding lacks
    if options.serve is not None and not options.serve.isdecimal():  # it is the text, and the port was left out
        options.serve, options.text = str(PORT), [options.serve, *options.text]
    if not options.text and (sys.stdin is None or sys.stdin.isatty()):
        parser.error('give a prompt, such as "The little boat went to the"')
    if options.serve is not None and int(options.serve[:6]) > 65535:
        parser.error(f"--serve {options.serve}: a port is a number up to 65535")
    if options.serve is not None and options.translate:
        parser.error("--serve answers questions about a GPT-2; it does not go with --translate")
    with friendly_exit(parser.prog), speaking(options.lang):
        text = read_prompt(options.text)
        if options.translate:
            page = look_at_translation(Translator.from_pretrained(options.model or EMBEDDED), text, lang=options.lang)
            write(page, options.out, show=options.open)
            return
        model = GPT2.from_pretrained(default_model() if options.model is None else options.model)
        if options.serve is None:
            write(look(model, text, lang=options.lang), options.out, show=options.open)
        else:
            ready = webbrowser.open if options.open else None
            serve(model, text, int(options.serve), ready=ready, lang=options.lang)


def write(page: Page, path: str, *, show: bool) -> None:
    """Write the page to a file, say where, and show it in the browser if asked for."""
    page.save(path)
    print(say("{path}: written", path=path), flush=True)
    if show:
        webbrowser.open(Path(path).absolute().as_uri())


if __name__ == "__main__":
    main()
