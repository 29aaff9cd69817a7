"""Publish a training run as the embedded translator.

    pip install -e ".[reference,figures]" && python weights/publish_translator.py RUN_FOLDER CORPUS/translation

writes `weights/english-french/`: the model folder with float16 weights, the loss curve, the scores, what `transformers`
computes with these weights, and the model card, every number of which is measured here or read from the run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import random
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from architectures import RESULT, table
from publish import draw_curve, write_curve
from translation_scores import contenders, far_sentences, group, read, scores
from translator_card import CARD

from numpygpt import Translator
from numpygpt.arrays import flatten
from numpygpt.engine import Tokenizer
from numpygpt.files import atomic_write
from numpygpt.models import marian
from numpygpt.models.tokenizer_files import load_tokenizer
from numpygpt.safetensors import save_file
from numpygpt.train.config import TranslationConfig, flag
from numpygpt.train.loop import read_state
from numpygpt.train.translation import open_again, validation_loss

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "weights" / "english-french"
LARGEST_FILE = 16_000_000  # bytes, of the weights
N_SAMPLES, SEED = 30, 0
REFERENCE = ["Where is the station?", "I don't know.", "Tom lost his keys yesterday, so he couldn't come in."]


def measure(translator: Translator, corpus: Path) -> dict[str, Any]:
    """Score the translator, greedy and with beams, and what can be had without one, on the test sentences."""
    train, test = read(corpus / "fra-train.tsv.gz"), group(read(corpus / "fra-test.tsv"))
    far = far_sentences(list(test), train)
    table = {name: scores(translate, test, far) for name, translate in contenders(translator, train).items()}
    return {"n_test": len(test), "n_far": len(far), "scores": table}


def samples(translator: Translator, corpus: Path) -> str:
    """Translate sentences drawn at random from the test part, beside one of the translations there."""
    test = group(read(corpus / "fra-test.tsv"))
    drawn = random.Random(SEED).sample(sorted(test), N_SAMPLES)
    lines = ["| English | the model, 4 beams | one translation in the data |", "| --- | --- | --- |"]
    found = translator.translate(drawn)
    return "\n".join([*lines, *(f"| {s} | {f} | {test[s][0]} |" for s, f in zip(drawn, found, strict=True))])


def score_table(measured: dict[str, Any]) -> str:
    """Return the scores as a table."""
    names = ["BLEU", "chrF", "BLEU, far", "chrF, far"]
    lines = [f"| | {' | '.join(names)} |", "| --- |" + " ---: |" * len(names)]
    for contender, row in measured["scores"].items():
        lines.append(f"| {contender} | " + " | ".join(f"{row[name]:.1f}" for name in names) + " |")
    return "\n".join(lines)


def command(options: TranslationConfig, name: str) -> str:
    """Return the command that trains it again."""
    words = ["python -m numpygpt.train --task translation corpus/translation/fra-train.tsv.gz"]
    words.append(f"--out checkpoints/{name}")
    default = TranslationConfig()
    for option, value in vars(options).items():
        if value != getattr(default, option) and option not in ("hours", "threads"):
            value = f"corpus/translation/{Path(value).name}" if option == "validation" else value
            quoted = f'"{value}"' if " " in str(value) else value
            words.append(flag(option) if value is True else f"{flag(option)} {quoted}")
    return textwrap.indent(
        textwrap.fill(" ".join(words), 112, subsequent_indent="    ", break_on_hyphens=False), "    "
    )


def write_reference() -> None:
    """Write what `transformers` computes with the folder: logits, and ids with 4 beams and with one."""
    import torch
    import transformers

    model = transformers.MarianMTModel.from_pretrained(FOLDER, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDER)
    tensors: dict[str, Any] = {}
    for number, text in enumerate(REFERENCE):
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            for beams in (1, 4):
                tensors[f"{number}.beams{beams}"] = model.generate(ids, num_beams=beams)[0].numpy()
            read_ids = torch.tensor(tensors[f"{number}.beams4"])[None]
            tensors[f"{number}.logits"] = model(input_ids=ids, decoder_input_ids=read_ids).logits[0].numpy()
        tensors[f"{number}.source"] = ids[0].numpy()
    weights = hashlib.sha256((FOLDER / "model.safetensors").read_bytes()).hexdigest()
    metadata = {"weights": weights, "torch": torch.__version__, "transformers": transformers.__version__}
    save_file(tensors, FOLDER / "reference.safetensors", metadata)


def publish(folder: Path, corpus: Path, note: str = "") -> None:
    """Write `weights/english-french/` from a run."""
    state = read_state(folder / "training")
    options, history = TranslationConfig(**state["options"]), state["history"]
    config, params = marian.load(folder)
    languages = {"source_language": "en", "target_language": "fr"}
    tokenizer = load_tokenizer(folder, Tokenizer)
    marian.save(FOLDER, config, params, tokenizer, dtype=np.float16, overwrite=True, about=languages)
    size = (FOLDER / "model.safetensors").stat().st_size
    if size > LARGEST_FILE:
        sys.exit(f"the weights take {size} bytes; at most {LARGEST_FILE} may be published")
    rows = [{**row, "step": int(row["step"]), "tokens": int(row["tokens"])} for row in history]
    write_curve(rows, FOLDER / "loss.csv")
    draw_curve(rows, FOLDER / "loss.png")
    translator = Translator.from_pretrained(FOLDER)
    measured = measure(translator, corpus)
    held_out = open_again(folder, options, state["config"]).held_out
    loss = validation_loss(translator.params, config, held_out)
    n_bytes = sum(len(tokenizer.token_bytes(i)) for i in held_out.target.tolist() if i != config.eos_token_id)
    with atomic_write(FOLDER / "scores.json") as file:
        file.write(json.dumps(measured, indent=1).encode() + b"\n")
    card = CARD.format(
        **vars(config),
        note=f"\n{textwrap.fill(note, 120)}\n" if note else "",
        n_params=sum(tensor.size for tensor in flatten(params).values()),
        size=size,
        steps=state["step"],
        n_target=rows[-1]["tokens"],
        hours=state["seconds"] / 3600,
        threads=options.threads,
        loss=loss,
        perplexity=math.exp(loss),
        bits=loss * len(held_out.target) / math.log(2) / n_bytes,
        scores=score_table(measured),
        architectures=table(json.loads(RESULT.read_text(encoding="utf-8"))),
        n_test=measured["n_test"],
        n_far=measured["n_far"],
        n_samples=N_SAMPLES,
        samples=samples(translator, corpus),
        command=command(options, folder.name),
        lr=options.lr,
        warmup=options.warmup,
        dropout=options.dropout,
        smoothing=options.label_smoothing,
        batch_tokens=options.batch_tokens,
    )
    with atomic_write(FOLDER / "README.md") as file:
        file.write(card.encode())
    write_reference()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Publish a training run as the embedded translator.")
    parser.add_argument("folder", metavar="RUN_FOLDER", type=Path, help="a folder that numpygpt.train wrote")
    parser.add_argument("corpus", metavar="CORPUS", type=Path, help="the folder with fra-train.tsv.gz and fra-test.tsv")
    parser.add_argument("--note", default="", help="a paragraph for the beginning of the card")
    arguments = parser.parse_args()
    publish(arguments.folder, arguments.corpus, arguments.note)
