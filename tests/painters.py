"""Files of small pictures, and a model's folder that has learned nothing yet."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from numpygpt.config import GPT2Config, initialize
from numpygpt.models import checkpoint
from numpygpt.pictures import Codebook
from numpygpt.train.pictures import make_tokenizer

NAMES = ("red cat", "cat face", "flag Åland")
STYLES = ("noto", "fluent")


def file_of_digits(path: Path, n: int = 120) -> str:
    """Write digits of 4 x 4 pixels, values 0 to 16: a bar for each, at a place and of a length of its own."""
    rng, labels = np.random.default_rng(0), np.arange(n) % 10
    images = rng.integers(0, 3, (n, 4, 4))
    for image, digit in zip(images, labels.tolist(), strict=True):
        image[digit % 4, : 2 + digit // 4] += 13
    np.savez_compressed(path, images=images.astype(np.uint8), labels=labels.astype(np.uint8))
    return str(path)


def files_of_drawings(folder: Path, n: int = 8) -> list[str]:
    """Write the drawings of two artists and a table of captions: of the last, one drawing is held out, or all."""
    rng = np.random.default_rng(1)
    for style in STYLES:
        images = rng.integers(0, 256, (n, 4, 4, 3), dtype=np.uint8)
        np.savez_compressed(folder / f"emoji_{style}.npz", images=images, present=np.arange(n) != 0)
    rows = ["index\tname\tsplit\ttest_style"]
    rows += [f'{i}\tthing “{i}"\ttrain\t{"noto" if i == n - 2 else ""}' for i in range(n - 1)]
    rows += [f"{n - 1}\tsecret\tunseen\t"]
    (folder / "captions.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return [*(str(folder / f"emoji_{style}.npz") for style in STYLES), str(folder / "captions.tsv")]


def tiny_painter(folder: Path, shape: tuple[int, int, int] = (4, 8, 3), seed: int = 0) -> Codebook:
    """Write a folder with random weights, for pictures of two squares of four patches."""
    rng = np.random.default_rng(seed)
    centers = rng.random((6, 4 * shape[2]), np.float32)
    codebook = Codebook(centers, 2, shape, NAMES, STYLES)
    tokenizer = make_tokenizer(codebook, 2000)
    n_ctx = codebook.n_patches + 8
    config = GPT2Config(vocab_size=tokenizer.n_vocab, n_ctx=n_ctx, n_embd=16, n_layer=2, n_head=2)
    params = initialize(config, seed)
    words = {token_id for name in NAMES for token_id in tokenizer.encode(" " + name)} | {tokenizer.eot_id}
    params["wte"]["weight"][[token_id in words for token_id in range(tokenizer.n_vocab)]] *= 30
    checkpoint.save(folder, config, params, tokenizer, overwrite=True)
    codebook.save(folder)
    return codebook
