"""The command `python -m numpygpt.train TEXT [TEXT ...] --out FOLDER`."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys

from tqdm.contrib.logging import logging_redirect_tqdm

from numpygpt.command_line import Parser, friendly_exit
from numpygpt.train.config import PicturesConfig, QuestionsConfig, TrainingConfig, TranslationConfig, flag
from numpygpt.train.runs import train
from numpygpt.train.workers import MICRO_TOKENS

HELP = {
    "init": "a model to start from, its folder or name, instead of a new one",
    "merges": "use the first so many of GPT-2's merges as vocabulary (default: all)",
    "vocab_size": "learn a vocabulary of this size from the text instead",
    "config": "a folder whose config.json gives the shape; the next four options override it",
    "n_layer": "layers (default: 6)",
    "n_head": "attention heads (default: 8)",
    "n_embd": "width (default: 256)",
    "n_ctx": "context window, in tokens (default: 256)",
    "steps": "how many batches to learn from",
    "hours": "instead of --steps: as many as fit, at the speed of the first",
    "batch_size": "sequences of n_ctx tokens that make a step",
    "micro_batch": "how many of them a thread computes at once, adding up gradients; 0: as many as make "
    f"{MICRO_TOKENS} tokens",
    "threads": "how many share out a batch; 0: one for every core",
    "lr": "learning rate after the warm-up",
    "lr_end": "learning rate at the end of the cosine",
    "warmup": "steps over which the learning rate rises",
    "weight_decay": "of matrices",
    "beta1": "AdamW's",
    "beta2": "AdamW's",
    "eps": "AdamW's",
    "clip": "the gradients' greatest global norm",
    "dropout": "share of embeddings, attention weights and results set to 0 while training",
    "seed": "for weights, order and dropout",
    "evaluate_every": "steps between evaluations, which also save the state",
    "validation_tokens": "held-out tokens that an evaluation uses at most",
    "keep_best": "save the weights of the lowest validation loss instead of the last",
    "float16": "save the model in half the size",
    "label_smoothing": "share of every target that is spread over the vocabulary",
    "batch_tokens": "source and target tokens that make a step, about",
    "validation": "a file of pairs to measure on (default: every 100th sentence of TEXT, which is not learned from)",
    "source_language": "what the model's folder says that it translates from, such as en",
    "target_language": "and to",
    "patch": "pixels, the side of the squares that a picture is cut into",
    "codes": "how many of them the codebook has",
    "prompt": "the beginning of the samples",
    "sample_tokens": "the length of the samples",
}
TASKS = {
    "language": TrainingConfig,
    "translation": TranslationConfig,
    "questions": QuestionsConfig,
    "pictures": PicturesConfig,
}
NOT_OF = {
    "merges": ("translation", "questions", "pictures"),
    "config": ("translation", "questions", "pictures"),
    "sample_tokens": ("translation", "questions", "pictures"),
    "batch_size": ("translation", "questions"),
    "validation_tokens": ("translation", "questions"),
    "prompt": ("questions", "pictures"),
    "init": ("pictures",),
    "n_ctx": ("pictures",),
}
HELP_OF = {  # where a task means something else by an option
    ("translation", "vocab_size"): "learn a vocabulary of this size from both languages (default: 4096)",
    ("translation", "n_layer"): "layers of the encoder, and of the decoder (default: 3)",
    ("translation", "n_head"): "attention heads (default: 4)",
    ("translation", "n_ctx"): "the longest sentence, in tokens; pairs with longer ones are left out (default: 64)",
    ("translation", "micro_batch"): "pairs that a thread computes at once; 0: as many as make "
    f"{MICRO_TOKENS} tokens of the source",
    ("translation", "prompt"): "a sentence to translate at every evaluation",
    ("pictures", "vocab_size"): "tokens of text at most, learned from the captions (default: 2048)",
    ("pictures", "n_layer"): "layers (default: 4)",
    ("pictures", "n_head"): "attention heads (default: 4)",
    ("pictures", "n_embd"): "width (default: 128)",
    ("pictures", "batch_size"): "pictures a step, half of them to be drawn, half to be read",
    ("pictures", "validation_tokens"): "tokens of held-out pictures that the loss is measured on at most",
}
TEXTS = {
    "language": "a text file in UTF-8, or a folder with .txt files in it",
    "translation": "a file with a pair of sentences a line, a tab between them; it may be compressed as .gz",
    "questions": "a file of stories with questions, as the bAbI tasks have them; it may be compressed as .gz",
    "pictures": "an .npz with handwritten digits and their labels; or an .npz of each artist's drawings, and a .tsv "
    "with their captions",
}
METAVARS = {
    "validation": "FILE",
    "source_language": "NAME",
    "target_language": "NAME",
    "init": "NAME",
    "config": "FOLDER",
    "prompt": "TEXT",
}


def make_parser(task: str = "language") -> Parser:
    """Make the reader of the command line, with the options of a task."""
    parser = Parser(
        "python -m numpygpt.train",
        "Train a GPT-2 on text, from scratch or from a model folder; or, with --task translation, an encoder-decoder\n"
        "on pairs of sentences, with questions, a GPT-2 that answers, with pictures, one that draws and reads (--task\n"
        "pictures --help shows its options). The same command again goes on with a run that was interrupted; with\n"
        "more --steps, it makes a finished one longer. Items of a text are separated by <|endoftext|>, on lines of\n"
        "their own or not, and by the ends of files.",
        "example: python -m numpygpt.train stories.txt --out my-model --merges 3840 --hours 1\n"
        "         python -m numpygpt.train letters/ --out my-gpt2 --init gpt2 --steps 200 --lr 3e-5 --batch-size 4\n"
        "         python -m numpygpt.train --task translation fra-train.tsv --out my-translator --hours 1\n"
        "         python -m numpygpt.train --task pictures tutorials/digits_8x8.npz --out digits",
    )
    parser.add_argument(
        "texts",
        metavar="TEXT",
        nargs="+",
        help=TEXTS[task],
    )
    parser.add_argument("--task", choices=TASKS, default="language", help="what to learn (default: language)")
    parser.add_argument("--out", metavar="FOLDER", required=True, help="where the model folder and the run's state go")
    parser.add_argument("--overwrite", action="store_true", help="start anew in a folder that holds something already")
    for option in dataclasses.fields(TASKS[task]):
        if task in NOT_OF.get(option.name, ()):
            continue
        kind = str(option.type).split(" ")[0]
        if kind == "bool":
            parser.add_argument(flag(option.name), action="store_true", help=HELP[option.name])
        else:
            default = "" if option.default in (None, "") else f" (default: {option.default:g})"
            parser.add_argument(
                flag(option.name),
                metavar=METAVARS.get(option.name, "N" if kind == "int" else "X"),
                type={"int": int, "float": float, "str": str}[kind],
                default=option.default,
                help=HELP_OF.get((task, option.name), HELP[option.name]) + default,
            )
    return parser


def main(argv: list[str] | None = None) -> None:
    """Train a model, from the command line."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--task", default="language")
    said = first.parse_known_args(argv)[0].task
    parser = make_parser(said if said in TASKS else "language")
    arguments = vars(parser.parse_args(argv))
    texts, out, overwrite, task = (arguments.pop(name) for name in ("texts", "out", "overwrite", "task"))
    log = logging.getLogger("numpygpt.train")
    log.setLevel(logging.INFO)
    handler = logging.StreamHandler(sys.stdout)
    log.addHandler(handler)
    try:
        with friendly_exit(parser.prog), logging_redirect_tqdm([log]):
            train(texts, out, TASKS[task](**arguments), overwrite=overwrite)
    finally:
        log.removeHandler(handler)


if __name__ == "__main__":
    main()
