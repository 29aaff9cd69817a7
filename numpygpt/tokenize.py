"""The command `python -m numpygpt.tokenize`: a text as the model sees it, token by token."""

from __future__ import annotations

import json
import sys

from numpygpt import GPT2, Tokenizer
from numpygpt.__main__ import read_prompt
from numpygpt.command_line import Parser, friendly_exit, shows_color

COLORS = (44, 42, 45, 43, 46)  # backgrounds, one after the other


def written(token: bytes) -> str:
    """Write a token within quotes: as text, or as bytes where it is not whole characters."""
    try:
        return json.dumps(token.decode(), ensure_ascii=False)
    except UnicodeDecodeError:
        return repr(token)


def show(tokenizer: Tokenizer, text: str) -> None:
    """Print the text with its tokens apart, and then every id with what it stands for."""
    ids = tokenizer.encode(text)
    tokens = [tokenizer.decode([token_id]) for token_id in ids]
    if shows_color(sys.stdout):
        print("".join(f"\x1b[30;{COLORS[i % len(COLORS)]}m{token}\x1b[0m" for i, token in enumerate(tokens)))
    else:
        print("|".join(tokens))
    for token_id in ids:
        print(f"{token_id:6}  {written(tokenizer.token_bytes(token_id))}")


def show_merges(tokenizer: Tokenizer, text: str) -> None:
    """Print how each word of the text came to be, merge by merge."""
    for word in tokenizer.split(text):
        for parts in tokenizer.merge_steps(word):
            print(" ".join(map(written, parts)))
        print()


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    parser = Parser(
        "python -m numpygpt.tokenize",
        "Show the tokens of a text: the text cut into them, and the id of each. Without one, reads standard input.",
        'examples: python -m numpygpt.tokenize "Once upon a time"\n'
        '          python -m numpygpt.tokenize --merges "lowest"',
    )
    parser.add_argument("text", nargs="*", metavar="TEXT", help="the text")
    parser.add_argument("-m", "--model", metavar="NAME", help="the model whose tokens they are (default: GPT-2)")
    parser.add_argument("--merges", action="store_true", help="show how each token came to be, merge by merge")
    options = parser.parse_args(argv)
    with friendly_exit(parser.prog):
        text = read_prompt(options.text)
        model = GPT2.from_pretrained(options.model, memory_map=True) if options.model else None
        tokenizer = model.tokenizer if model else Tokenizer()
        (show_merges if options.merges else show)(tokenizer, text)


if __name__ == "__main__":
    main()
