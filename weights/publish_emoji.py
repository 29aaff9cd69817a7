"""Publish a training run as the embedded model that draws emoji.

    pip install -e ".[reference,figures]" && python weights/publish_emoji.py RUN_FOLDER CORPUS/pictures

writes `weights/emoji/`: the model folder with float16 weights, the loss curve, the scores, a contact sheet, licences,
what `transformers` computes with these weights, and the model card, every number of which is measured here or read from
the run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
from emoji_card import CARD
from emoji_scores import CAPTIONS, N_DRAWN, STYLES, drawings, measure
from publish import draw_curve, write_curve
from publish_questions import command

from numpygpt.arrays import flatten
from numpygpt.draw import DRAWN_AT, TRIES
from numpygpt.engine import Tokenizer
from numpygpt.files import atomic_write
from numpygpt.models import checkpoint
from numpygpt.painter import Painter, draw_codes, load
from numpygpt.pictures import draw_prompt, read_prompt
from numpygpt.png import write_png
from numpygpt.safetensors import save_file
from numpygpt.train.config import PicturesConfig, count
from numpygpt.train.drawings import Captioned, read_captions
from numpygpt.train.loop import read_state
from numpygpt.train.pictures import NAME_WEIGHT, open_again

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "weights" / "emoji"
LARGEST_FILE = 16_000_000  # bytes, of the weights
N_SHEET = 16  # names on the contact sheet
ENLARGED = 2  # a pixel's side on it


def write_licences(folder: Path) -> None:
    """Put the licences of the drawings and the names beside the weights."""
    _, _, terms = (folder / "MIT.txt").read_text(encoding="utf-8").partition("\n")  # its first line names all it is for
    (FOLDER / "LICENSE-fluent.txt").write_text(f"Fluent Emoji: Copyright (c) Microsoft Corporation\n{terms}", "utf-8")
    for name, licence in (("noto", "Apache-2.0.txt"), ("unicode", "Unicode-3.0.txt")):
        shutil.copyfile(folder / licence, FOLDER / f"LICENSE-{name}.txt")


def write_sheet(painter: Painter) -> None:
    """Draw names evenly spread over all, in every style: a row for each style, a column for each name."""
    names = np.linspace(0, len(painter.codebook.names) - 1, N_SHEET).astype(np.int32)
    styles = np.repeat(np.arange(len(STYLES), dtype=np.int32), N_SHEET)
    images = drawings(painter, Captioned(np.zeros((0, 1, 1, 3), np.uint8), np.tile(names, len(STYLES)), styles))
    framed = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)), constant_values=255)
    rows = framed.reshape(len(STYLES), N_SHEET, *framed.shape[1:])
    sheet = rows.swapaxes(1, 2).reshape(len(STYLES) * framed.shape[1], N_SHEET * framed.shape[2], 3)
    write_png(FOLDER / "sheet.png", sheet.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1))


def write_reference(painter: Painter) -> None:
    """Write what `transformers` computes with the folder: the logits of a drawing and of a reading."""
    import torch
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32).eval()
    tokenizer, book = painter.model.tokenizer, painter.codebook
    prompt = draw_prompt(book.names[0], tokenizer, book.styles[0])
    codes = draw_codes(painter, [prompt], book.n_patches, 0, 0)[0]
    drawn = [*prompt, *read_prompt(codes, tokenizer)[2:-1]]
    tensors: dict[str, Any] = {}
    for number, ids in enumerate([drawn, read_prompt(codes, tokenizer)]):
        with torch.no_grad():
            tensors[f"{number}.ids"] = np.array(ids)
            tensors[f"{number}.logits"] = model(torch.tensor([ids])).logits[0].numpy()
    weights = hashlib.sha256((FOLDER / "model.safetensors").read_bytes()).hexdigest()
    metadata = {"weights": weights, "torch": torch.__version__, "transformers": transformers.__version__}
    save_file(tensors, FOLDER / "reference.safetensors", metadata)


def publish(folder: Path, corpus: Path) -> None:
    """Write `weights/emoji/` from a run."""
    state = read_state(folder / "training")
    options = PicturesConfig(**state["options"])
    config, params, tokenizer = checkpoint.load(folder, tokenizer_class=Tokenizer)
    assert tokenizer is not None
    checkpoint.save(FOLDER, config, params, tokenizer, dtype=np.float16, overwrite=True, source=folder / "training")
    size = (FOLDER / "model.safetensors").stat().st_size
    if size > LARGEST_FILE:
        sys.exit(f"the weights take {size} bytes; at most {LARGEST_FILE} may be published")
    write_licences(corpus / "licences")
    rows = [{**row, "step": int(row["step"]), "tokens": int(row["tokens"])} for row in state["history"]]
    write_curve(rows, FOLDER / "loss.csv")
    draw_curve(rows, FOLDER / "loss.png")
    painter = load(str(FOLDER))
    book = painter.codebook
    measured = measure(painter, corpus)
    with atomic_write(FOLDER / "scores.json") as file:
        file.write(json.dumps(measured, indent=1).encode() + b"\n")
    write_sheet(painter)
    write_reference(painter)
    task = open_again(folder, options, state["config"])
    never = [row for row in read_captions(corpus / CAPTIONS) if row["split"] == "unseen"]
    what = f"pictures {' '.join(f'corpus/pictures/emoji_{style}.npz' for style in STYLES)} corpus/pictures/{CAPTIONS}"
    card = CARD.format(
        **vars(config),
        **{name: value for name, value in measured.items() if isinstance(value, (int, float))},
        **{f"known_{style}": measured["known"][style] for style in STYLES},
        n_params=sum(tensor.size for tensor in flatten(params).values()),
        size=size,
        n_patches=book.n_patches,
        patch=book.patch,
        n_codes=len(book.centers),
        n_names=f"{len(book.names):,}",
        n_never=len(never),
        n_drawn=N_DRAWN,
        n_sheet=N_SHEET,
        steps=state["step"],
        planned=options.steps,
        batch=options.batch_size,
        hours=state["seconds"] / 3600,
        threads=count(options.threads, "thread"),
        loss=task.evaluate(painter.model.params, state["step"])["validation_loss"],
        temperature=DRAWN_AT,
        tries=TRIES,
        groups=", ".join(f"{group} {share:.0%}" for group, share in measured["by_group"].items()),
        blank=", ".join(f"“{name}” ({share:.0%})" for name, share in measured["blank"][:3]),
        lr=options.lr,
        name_weight=NAME_WEIGHT,
        command=command(options, what, FOLDER.name),
    )
    with atomic_write(FOLDER / "README.md") as file:
        file.write(card.encode())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Publish a training run as the embedded model that draws emoji.")
    parser.add_argument("folder", metavar="RUN_FOLDER", type=Path, help="a folder that numpygpt.train wrote")
    parser.add_argument("corpus", metavar="CORPUS", type=Path, help="the folder with the drawings")
    arguments = parser.parse_args()
    publish(arguments.folder, arguments.corpus)
