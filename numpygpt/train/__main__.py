"""The command `python -m numpygpt.train TEXT [TEXT ...] --out FOLDER`."""

from __future__ import annotations

import dataclasses
import logging
import sys

from tqdm.contrib.logging import logging_redirect_tqdm

from numpygpt.command_line import Parser, friendly_exit
from numpygpt.train.config import TrainingConfig, flag
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
    "prompt": "the beginning of the samples",
    "sample_tokens": "the length of the samples",
}
METAVARS = {"init": "NAME", "config": "FOLDER", "prompt": "TEXT"}


def make_parser() -> Parser:
    """Make the reader of the command line."""
    parser = Parser(
        "python -m numpygpt.train",
        "Train a GPT-2 on text, from scratch or from a model folder. The same command again goes on with a run\n"
        "that was interrupted; with more --steps, it makes a finished one longer. Items of the text are separated by\n"
        "<|endoftext|>, on lines of their own or not, and by the ends of files.",
        "example: python -m numpygpt.train stories.txt --out my-model --merges 3840 --hours 1\n"
        "         python -m numpygpt.train letters/ --out my-gpt2 --init gpt2 --steps 200 --lr 3e-5 --batch-size 4",
    )
    parser.add_argument(
        "texts",
        metavar="TEXT",
        nargs="+",
        help="a text file in UTF-8, or a folder with .txt files in it",
    )
    parser.add_argument("--out", metavar="FOLDER", required=True, help="where the model folder and the run's state go")
    parser.add_argument("--overwrite", action="store_true", help="start anew in a folder that holds something already")
    for option in dataclasses.fields(TrainingConfig):
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
                help=HELP[option.name] + default,
            )
    return parser


def main(argv: list[str] | None = None) -> None:
    """Train a model, from the command line."""
    parser = make_parser()
    arguments = vars(parser.parse_args(argv))
    texts, out, overwrite = (arguments.pop(name) for name in ("texts", "out", "overwrite"))
    log = logging.getLogger("numpygpt.train")
    log.setLevel(logging.INFO)
    handler = logging.StreamHandler(sys.stdout)
    log.addHandler(handler)
    try:
        with friendly_exit(parser.prog), logging_redirect_tqdm([log]):
            train(texts, out, TrainingConfig(**arguments), overwrite=overwrite)
    finally:
        log.removeHandler(handler)


if __name__ == "__main__":
    main()
