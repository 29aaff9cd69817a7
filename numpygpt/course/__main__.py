"""The course's command: `python -m numpygpt.course start FOLDER`, then `check`, `status`, `hint`, `show`, `reset`."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpygpt.command_line import Parser, friendly_exit, number
from numpygpt.course import commands
from numpygpt.course.exercises import EXERCISES, find
from numpygpt.course.folder import reset, start
from numpygpt.course.progress import Progress
from numpygpt.course.run import TIME_LIMIT
from numpygpt.course.say import say
from numpygpt.languages import LANGUAGES, of_locale, speaking

COMMANDS = {
    "start": "write the exercises into a folder, or add what is new to one",
    "check": "check exercises; without a NAME, all that are begun",
    "status": "what is done, and what is next",
    "hint": "a hint for a mistake, and more at the second asking",
    "show": "the book's solution",
    "reset": "make an exercise a stub again; the old text is kept beside it",
}


class _Command(Parser):
    """The parser of one command, whose options may stand anywhere among its names."""

    def __init__(self, prog: str, description: str, **_: Any) -> None:
        super().__init__(prog, description)
        self._mixing = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if self._mixing:  # what follows calls this one
            return super().parse_known_args(args, namespace)
        self._mixing = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._mixing = False


def _parser() -> Parser:
    parser = Parser(
        "python -m numpygpt.course",
        "Write GPT-2 yourself, and let the real model tell you whether it works.",
        "examples: python -m numpygpt.course start my-gpt2\n"
        "          python -m numpygpt.course check my-gpt2 softmax\n"
        "          python -m numpygpt.course status my-gpt2",
    )
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Command)
    for name, text in COMMANDS.items():
        command = subparsers.add_parser(name, help=text, description=text)
        if name != "show":
            command.add_argument("folder", metavar="FOLDER", type=Path)
        if name == "check":
            command.add_argument("names", metavar="NAME", nargs="*", default=[])
        elif name == "show":
            command.add_argument("names", metavar="NAME", nargs="+")
        elif name in ("hint", "reset"):
            command.add_argument("name", metavar="NAME")
        if name in ("check", "status"):
            more = "; what your code prints goes to standard error" if name == "check" else ""
            command.add_argument("--json", action="store_true", help=f"the same for programs{more}")
        if name in ("check", "hint"):
            help_text = f"seconds for one exercise (default: {TIME_LIMIT:.0f})"
            command.add_argument("--time-limit", type=number(float, 0, above=True), default=TIME_LIMIT, help=help_text)
        about_lang = (
            "the language of messages and hints (default: the folder's, which start remembers, or the locale's)"
        )
        command.add_argument("--lang", choices=LANGUAGES, help=about_lang)
    return parser


def _options_last(argv: Sequence[str]) -> list[str]:
    """Put the options that stand before the command behind it."""
    at = next((i for i, word in enumerate(argv) if word in COMMANDS), 0)
    if {"-h", "--help"} & set(argv[:at]):
        at = 0
    return [*argv[at : at + 1], *argv[:at], *argv[at + 1 :]]


def language(options: argparse.Namespace) -> str:
    """Return the language that was asked for: now, or when the folder was begun; or else the locale's."""
    folder = options.folder if "folder" in options else Path(options.names[0])  # of show, which may do without one
    remembered = Progress(folder).lang
    return options.lang or remembered or of_locale()


def run(options: argparse.Namespace) -> int:
    """Do what the command line asks for; return the exit status."""
    if options.command == "show":
        folder, *names = options.names
        return commands.show([find(name) for name in (names if names and Path(folder).is_dir() else options.names)])
    if options.command == "start":
        start(options.folder, options.lang)
        return 0
    if not options.folder.is_dir():
        raise FileNotFoundError(_no_folder(options.folder, options.command))
    if options.command == "check":
        return commands.check(options.folder, options.names, options.time_limit, options.json)
    if options.command == "status":
        return commands.status(options.folder, options.json)
    exercise = find(options.name)
    if options.command == "hint":
        return commands.hint(options.folder, exercise, options.time_limit)
    reset(options.folder, exercise)
    return 0


def _no_folder(folder: Path, command: str) -> str:
    if folder.is_file():
        return say("{file} is a file; give the folder of the course", file=folder)
    if str(folder) in EXERCISES:
        text = "the folder comes first: python -m numpygpt.course {command} FOLDER {name}"
        return say(text, command=command, name=folder)
    return say("there is no folder {folder}; python -m numpygpt.course start {folder} makes it", folder=folder)


def main(argv: list[str] | None = None) -> None:
    """Run the course's command."""
    parser = _parser()
    options = parser.parse_args(_options_last(sys.argv[1:] if argv is None else argv))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # "?" for a character that the terminal's encoding lacks
    with friendly_exit(parser.prog), speaking(language(options)):
        sys.exit(run(options))


if __name__ == "__main__":
    main()
