"""Pictures from words and words from pictures, and the command `python -m numpygpt.draw`.

The model is a GPT-2 whose vocabulary has patches of pictures beside words; it writes those as it would write any text:

    from numpygpt.draw import draw, read

    image = draw("three seven", "digits")  # of a folder that training made: bytes [height, width, channels]
    read(image, "digits")
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

import numpy as np

from numpygpt.arrays import Ids
from numpygpt.beam_search import Beams
from numpygpt.engine import KVCache, generate, gpt2
from numpygpt.half_blocks import blocks, enlarged
from numpygpt.layers import softmax
from numpygpt.models.names import find_embedded
from numpygpt.pictures import PICTURE, Codebook, Pixels, code_ids, draw_prompt, fit, load_codebook, read_prompt
from numpygpt.png import read_png, write_png
from numpygpt.pretrained import GPT2
from numpygpt.sampling import Sampling

MODEL = "emoji"  # the one to use where none is named, once it comes along
DRAWN_AT = 1.0  # temperature, if nothing else is said
TRAIN = "python -m numpygpt.train --task pictures tutorials/digits_8x8.npz --out digits"
WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


class Painter(NamedTuple):
    """A model with the codebook of its pictures."""

    model: GPT2
    codebook: Codebook


def draw(
    caption: str,
    model: str | Painter = MODEL,
    *,
    style: str | None = None,
    seed: int | None = 0,
    temperature: float = DRAWN_AT,
) -> Pixels:
    """Draw what a caption names: -> [height, width, channels], from 0 (black) to 255 (white).

    `style` is one of the codebook's, the first one if it is left out; a `temperature` of 0 takes the likeliest patch
    each time. Raises ValueError for a caption with a word that the model has never seen, and for an unknown style.
    """
    model = load(model)
    styles = model.codebook.styles or ("",)
    if style is not None and style not in styles:
        raise ValueError(f"the model knows no style {style!r}: it has {', '.join(filter(None, styles)) or 'only one'}")
    words = find(caption, model.codebook)
    prompt = draw_prompt(words, model.model.tokenizer, styles[0] if style is None else style)
    return model.codebook.decode(draw_codes(model, [prompt], model.codebook.n_patches, seed, temperature)[0])


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


def load(model: str | Painter) -> Painter:
    """Return a model by its folder; the last one stays in memory. Raises ValueError where it draws no pictures."""
    return model if isinstance(model, Painter) else _load(model)


@lru_cache(maxsize=1)
def _load(name: str) -> Painter:
    folder = find_embedded(name) or name
    if not os.path.isdir(folder):
        missing = "no model of pictures comes along yet" if name == MODEL else f"there is no folder {name}"
        raise ValueError(f"{missing}: give one that training has made (--model FOLDER), such as by {TRAIN}")
    codebook, model = load_codebook(folder), GPT2.from_pretrained(folder)
    special = model.tokenizer.special_tokens
    names = {PICTURE, *(f"<|{code}|>" for code in range(len(codebook.centers)))}
    if not names <= special.keys() or code_ids([len(codebook.centers) - 1], model.tokenizer)[0] != max(
        special.values()
    ):
        raise ValueError(f"{folder}: its tokenizer is not that of its codebook")
    return Painter(model, codebook)


def load_picture(picture: str | os.PathLike[str] | Pixels, shape: tuple[int, int, int]) -> Pixels:
    """Return a picture, a PNG file or bytes [height, width, 1, 3 or 4], in the size and the colors of a model's.

    Raises OSError where a file cannot be read, and ValueError where it is no PNG or the bytes are no picture.
    """
    if not isinstance(picture, np.ndarray):
        return fit(read_png(picture), shape)
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] not in (1, 3, 4) or not picture.size:
        raise ValueError(f"a picture is bytes [height, width, 1, 3 or 4], not {picture.dtype} {list(picture.shape)}")
    colors = np.broadcast_to(picture[..., :3], (*picture.shape[:2], 3))
    alpha = picture[..., 3:] if picture.shape[2] == 4 else np.full((*picture.shape[:2], 1), 255, np.uint8)
    return fit(np.concatenate([colors, alpha], axis=-1), shape)


def find(caption: str, codebook: Codebook) -> str:
    """Return a caption as the model has learned it, or else with words that it knows.

    Raises ValueError for one without words, and for a word that the model has never seen, with what may be meant.
    """
    spellings = {" ".join(name.lower().split()): name for name in codebook.names}
    asked = " ".join(caption.lower().split())
    if asked in spellings:
        return spellings[asked]
    known = {word.lower(): word for name in codebook.names for word in WORD.findall(name)}
    words = WORD.findall(asked)
    if unknown := [word for word in words if word not in known]:
        near = difflib.get_close_matches(asked, spellings, 3, 0.7) or difflib.get_close_matches(unknown[0], known, 3)
        meant = " or ".join(repr(spellings.get(each, known.get(each))) for each in near)
        hint = f"did you mean {meant}?" if near else "--list shows the names"
        raise ValueError(f"the model has never seen the word {unknown[0]!r}; {hint}")
    if not words:
        raise ValueError("the caption has no words; --list shows the names")
    return WORD.sub(lambda word: known[word[0]], asked)


def draw_codes(
    model: Painter, prompts: Sequence[Sequence[int]], n: int, seed: int | np.random.Generator | None, temperature: float
) -> Ids:
    """Continue prompts with `n` codes each, and nothing else: -> [n_prompts, n].

    Raises ValueError where they do not fit behind a prompt.
    """
    gpt = model.model
    [first] = code_ids([0], gpt.tokenizer)
    if max(map(len, prompts)) + n > gpt.config.n_ctx:
        raise ValueError(
            f"the caption has too many words: the picture does not fit behind it ({gpt.config.n_ctx} tokens)"
        )
    *_, drawn = generate(
        prompts,
        gpt.params,
        gpt.config,
        max_new_tokens=n,
        sampling=Sampling(temperature=temperature),
        suppress_tokens=range(first),
        n_vocab=first + len(model.codebook.centers),
        seed=seed,
    )
    return np.array([each.ids for each in drawn]) - first


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    from numpygpt.command_line import Parser, friendly_exit, number, shows_color

    parser = Parser(
        "python -m numpygpt.draw",
        "Draw what is named, name what is drawn, or complete a drawing of which the upper half is there. A picture\n"
        "that is read may be any PNG; it is scaled. What a model has seen, it may draw from memory, close to the\n"
        "original: the licences of the drawings that it learned from hold for such a copy.",
        'examples: python -m numpygpt.draw "three seven" --model digits --out scene.png\n'
        "          python -m numpygpt.draw --read scene.png --model digits\n"
        f"To make the model: {TRAIN}",
    )
    parser.add_argument(
        "words", nargs="*", metavar="WORD", help="what to draw; with --list, what a name must have in it"
    )
    parser.add_argument("-m", "--model", metavar="FOLDER", default=MODEL, help="a model that learned pictures")
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
    parser.add_argument("--top", type=number(int, 1), default=1, metavar="N", help="with --read: the N likeliest names")
    options = parser.parse_args(argv)
    caption = " ".join(options.words)
    if caption and (options.read or options.complete):
        parser.error("give words to draw, or a picture to read or to complete, not both")
    if not (caption or options.read or options.complete or options.list):
        parser.error('say what to draw, such as "three seven"; --list shows the names')
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
            image = draw(caption, model, style=options.style, **chances)
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
