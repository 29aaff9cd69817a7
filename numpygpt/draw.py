"""Pictures from words and words from pictures, and the command `python -m numpygpt.draw`.

The model is a GPT-2 whose vocabulary has patches of pictures beside words; it writes those as it would write any text:

    from numpygpt.draw import draw, read

    image = draw("red apple", style="noto")  # bytes [height, width, channels]
    read(image)
"""

from __future__ import annotations

import os
import sys
from itertools import groupby

import numpy as np

from numpygpt.beam_search import Beams
from numpygpt.engine import KVCache, gpt2
from numpygpt.half_blocks import blocks, enlarged
from numpygpt.layers import softmax
from numpygpt.painter import MODEL, TRAIN, Painter, draw_codes, draw_named, find, load, load_picture
from numpygpt.pictures import PICTURE, Codebook, Pixels, code_ids, read_prompt
from numpygpt.png import write_png

DRAWN_AT = 0.3  # temperature, if nothing else is said
TRIES = 8  # drawings of which the best is kept


def draw(
    caption: str,
    model: str | Painter = MODEL,
    *,
    style: str | None = None,
    seed: int | None = 0,
    temperature: float = DRAWN_AT,
    tries: int = TRIES,
) -> Pixels:
    """Draw what a caption names: -> [height, width, channels], from 0 (black) to 255 (white).

    `style` is one of the codebook's, the first one if it is left out; a `temperature` of 0 takes the likeliest patch
    each time. Of several `tries`, the one is kept from which the model reads the caption with the highest probability.
    Raises ValueError for a caption with a word that the model has never seen, an unknown style, or no try.
    """
    if tries < 1:
        raise ValueError(f"tries must be at least 1, not {tries}")
    model = load(model)
    styles = model.codebook.styles or ("",)
    if style is not None and style not in styles:
        raise ValueError(f"the model knows no style {style!r}: it has {', '.join(filter(None, styles)) or 'only one'}")
    wanted = find(caption, model.codebook), styles[0] if style is None else style
    tries = tries if temperature else 1  # the likeliest patches are the same each time
    return model.codebook.decode(draw_named(model, [wanted], seed, temperature, tries)[0])


def read(picture: str | os.PathLike[str] | Pixels, model: str | Painter = MODEL) -> str:
    """Return the name of what a picture shows: the likeliest token each time. Raises what `load_picture` raises."""
    return readings(picture, 1, model)[0][0]


def readings(
    picture: str | os.PathLike[str] | Pixels, n: int = 5, model: str | Painter = MODEL
) -> list[tuple[str, float]]:
    """Return the `n` likeliest names that beam search finds, each with its probability, the likeliest first.

    Raises what `load_picture` raises, and ValueError for `n` below 1.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, not {n}")
    (gpt, codebook), tokenizer = load(model), load(model).model.tokenizer
    prompt = read_prompt(codebook.encode(load_picture(picture, codebook.shape)), tokenizer)
    cache = KVCache(gpt.config, (1,), dtype=gpt.params["wte"]["weight"].dtype)
    logits = gpt2([prompt], **gpt.params, config=gpt.config, cache=cache, logits_to_keep=1)[:, -1]
    logits, parents = np.repeat(logits, n, axis=0), [0] * n
    beams = Beams(n, tokenizer.eot_id, gpt.config.n_ctx - len(prompt) + 1, length_penalty=0)
    special = sorted(set(tokenizer.special_tokens.values()) - {tokenizer.eot_id})
    while True:
        logits[:, special] = -np.inf
        with np.errstate(divide="ignore"):
            chosen = beams.step(np.log(softmax(logits.astype(np.float64))))
        if beams.is_done:
            return [(tokenizer.decode(ids[:-1]).strip(), float(np.exp(score))) for score, ids in beams.finished]
        cache.select([parents[row] for row in chosen])
        parents = list(range(n))
        last = [[ids[-1]] for ids in beams.ids]
        logits = gpt2(last, **gpt.params, config=gpt.config, cache=cache)[:, -1]


def complete(
    picture: str | os.PathLike[str] | Pixels,
    model: str | Painter = MODEL,
    *,
    seed: int | None = 0,
    temperature: float = DRAWN_AT,
) -> Pixels:
    """Keep the upper half of a picture, and draw the lower one anew: -> [height, width, channels].

    Of a picture that is wider than high, so is every square. Raises what `load_picture` raises.
    """
    model = load(model)
    codebook, tokenizer = model.codebook, model.model.tokenizer
    given = codebook.encode(load_picture(picture, codebook.shape)).tolist()
    n_rows, rng = codebook.shape[0] // codebook.patch, np.random.default_rng(seed)
    codes: list[int] = []
    for is_given, places in groupby(range(len(given)), lambda place: place // n_rows % n_rows < n_rows / 2):
        part = list(places)
        if is_given:
            codes += given[part[0] : part[-1] + 1]
        else:
            prompt = [tokenizer.eot_id, tokenizer.special_tokens[PICTURE], *code_ids(codes, tokenizer)]
            codes += draw_codes(model, [prompt], len(part), rng, temperature)[0].tolist()
    return codebook.decode(np.array(codes))


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    from numpygpt.command_line import Parser, friendly_exit, number, shows_color

    parser = Parser(
        "python -m numpygpt.draw",
        "Draw what is named, name what is drawn, or complete a drawing of which the upper half is there. A picture\n"
        "that is read may be any PNG; it is scaled. What a model has seen, it may draw from memory, close to the\n"
        "original: the licences of the drawings that it learned from hold for such a copy. Those of the model that\n"
        "comes along are Noto Emoji (Google, Apache 2.0), Fluent Emoji (Microsoft, MIT), and Twemoji (Twitter and\n"
        "contributors, CC BY 4.0: name them, and say that it was changed).",
        'examples: python -m numpygpt.draw "red apple" --style noto --out apple.png\n'
        "          python -m numpygpt.draw --read apple.png --top 3\n"
        f"To make a model of handwritten digits: {TRAIN}",
    )
    parser.add_argument(
        "words", nargs="*", metavar="WORD", help="what to draw; with --list, what a name must have in it"
    )
    parser.add_argument(
        "-m", "--model", metavar="NAME", default=MODEL, help=f"the model, or its folder (default: {MODEL})"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--read", metavar="PICTURE", help="name what a PNG file shows")
    what.add_argument("--complete", metavar="PICTURE", help="keep the upper half, and draw the rest")
    what.add_argument("--list", action="store_true", help="list the names and the styles that the model has learned")
    parser.add_argument("--style", metavar="NAME", help="whose drawings it is to resemble (default: the first)")
    parser.add_argument("-o", "--out", metavar="FILE", help="write the picture to a PNG file, instead of showing it")
    parser.add_argument("--seed", type=number(int, 0), metavar="N", help="for the same drawing each time")
    parser.add_argument(
        "--temperature",
        type=number(float, 0),
        default=DRAWN_AT,
        metavar="X",
        help="0: the likeliest patches (default: %(default)g)",
    )
    parser.add_argument(
        "--tries",
        type=number(int, 1),
        default=TRIES,
        metavar="N",
        help="draw so many, and keep the one that reads best (default: %(default)s)",
    )
    parser.add_argument("--top", type=number(int, 1), default=1, metavar="N", help="with --read: the N likeliest names")
    options = parser.parse_args(argv)
    caption = " ".join(options.words)
    if caption and (options.read or options.complete):
        parser.error("give words to draw, or a picture to read or to complete, not both")
    if not (caption or options.read or options.complete or options.list):
        parser.error('say what to draw, such as "red apple"; --list shows the names')
    with friendly_exit(parser.prog):
        model = load(options.model)
        if options.list:
            _print_names(model.codebook, caption.lower())
            return
        if options.read:
            for name, share in readings(options.read, options.top, model):
                print(f"{name} ({share:.0%})" if options.top == 1 else f"{share:6.1%}  {name}")
            return
        chances = {"seed": options.seed, "temperature": options.temperature}
        if options.complete:
            image = complete(options.complete, model, **chances)
        else:
            image = draw(caption, model, style=options.style, tries=options.tries, **chances)
            if find(caption, model.codebook) not in model.codebook.names:
                print(
                    f"{parser.prog}: no drawing that it learned from has this name, so much may be missing",
                    file=sys.stderr,
                )
        if options.out:
            write_png(options.out, enlarged(image))
        else:
            print(blocks(image, shows_color(sys.stdout)))


def _print_names(codebook: Codebook, part: str) -> None:
    if not part and any(codebook.styles):
        print("styles: " + ", ".join(codebook.styles))
    names = [name for name in codebook.names if part in name.lower()]
    if not names:
        raise ValueError(f"no name has {part!r} in it; --list alone shows all")
    print("\n".join(names))


if __name__ == "__main__":
    main()
