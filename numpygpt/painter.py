"""A model of pictures at work: its folder -> GPT-2 and codebook, captions and prompts -> codes, the best of several."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from numpygpt.arrays import Array, Ids
from numpygpt.engine import generate, gpt2
from numpygpt.loss import cross_entropy
from numpygpt.models.names import find_embedded
from numpygpt.pictures import PICTURE, Codebook, Pixels, code_ids, draw_prompt, fit, load_codebook, read_prompt
from numpygpt.png import read_png
from numpygpt.pretrained import GPT2
from numpygpt.sampling import Sampling

MODEL = "emoji"  # the one to use where none is named
TRAIN = "python -m numpygpt.train --task pictures tutorials/digits_8x8.npz --out digits"
WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


class Painter(NamedTuple):
    """A model with the codebook of its pictures."""

    model: GPT2
    codebook: Codebook


def load(model: str | Painter) -> Painter:
    """Return a model by its folder; the last one stays in memory. Raises ValueError where it draws no pictures."""
    return model if isinstance(model, Painter) else _load(model)


@lru_cache(maxsize=1)
def _load(name: str) -> Painter:
    folder = find_embedded(name) or name
    if not os.path.isdir(folder):
        raise ValueError(f"there is no folder {name}: give one that training has made, such as by {TRAIN}")
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


def draw_named(
    model: Painter, wanted: Sequence[tuple[str, str]], seed: int | None, temperature: float, tries: int
) -> Ids:
    """Draw captions, each in a style, `tries` times, and keep the try that reads best: -> [n_wanted, n_patches].

    The best is the one from which the model reads the caption with the highest probability. DALL·E draws 512 pictures
    and lets CLIP choose (Ramesh et al. 2021, section 2.6); here one model does both. Raises ValueError where the words
    leave no room for the picture.
    """
    prompts = [draw_prompt(caption, model.model.tokenizer, style) for caption, style in wanted]
    codes = draw_codes(model, prompts, model.codebook.n_patches, seed, temperature, tries)
    drawn = codes.reshape(len(wanted), tries, -1)
    if tries == 1:
        return drawn[:, 0]
    return np.array(
        [each[read_as(model, each, caption).argmax()] for each, (caption, _) in zip(drawn, wanted, strict=True)]
    )


def read_as(model: Painter, codes: Ids, caption: str) -> Array:
    """Return the log-probability that pictures are read as a caption: codes [n_pictures, n_patches] -> [n_pictures]."""
    gpt = model.model
    words = [*gpt.tokenizer.encode(" " + caption), gpt.tokenizer.eot_id]
    ids = np.array([[*read_prompt(each, gpt.tokenizer), *words] for each in codes])
    logits = gpt2(ids[:, :-1], **gpt.params, config=gpt.config, logits_to_keep=len(words))
    log_probs: Array = -cross_entropy(logits, ids[:, -len(words) :]).sum(axis=-1)
    return log_probs


def draw_codes(
    model: Painter,
    prompts: Sequence[Sequence[int]],
    n: int,
    seed: int | np.random.Generator | None,
    temperature: float,
    tries: int = 1,
) -> Ids:
    """Continue each prompt `tries` times with `n` codes, and nothing else: -> [n_prompts * tries, n].

    Raises ValueError where they do not fit behind a prompt.
    """
    gpt = model.model
    [first] = code_ids([0], gpt.tokenizer)
    if max(map(len, prompts)) + n >= gpt.config.n_ctx:  # one more token ends the picture
        raise ValueError(
            f"the caption has too many words: the picture does not fit behind it ({gpt.config.n_ctx} tokens)"
        )
    *_, drawn = generate(
        prompts,
        gpt.params,
        gpt.config,
        max_new_tokens=n,
        num_return_sequences=tries,
        sampling=Sampling(temperature=temperature),
        suppress_tokens=range(first),
        n_vocab=first + len(model.codebook.centers),
        seed=seed,
    )
    return np.array([each.ids for each in drawn]) - first
