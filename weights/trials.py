"""Compare shapes for the embedded model: train each for the same number of floating-point operations.

    python weights/trials.py ../shared/corpus && python weights/publish.py checkpoints/stories-2

writes `weights/stories/trials.json`, and the model card that shows it. Every trial starts from nothing, sees the same
texts and is measured on the same held-out items, in bits per byte, so that vocabularies can be compared too. The shapes
that did clearly better than the published one train for longer, beside the first run of the embedded model, and the one
that is still ahead then as far as that model's second run. A trial that was interrupted goes on; one that is in the
file already is not repeated.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from numpygpt.files import atomic_write
from numpygpt.train.loop import read_state

ROOT = Path(__file__).parents[1]
FOLDERS = ROOT / "checkpoints" / "trials"
TRIALS = ROOT / "weights" / "stories" / "trials.json"
TEXTS = ["tinystories.txt", "tinystories_recased.txt", "picturebooks.txt"]
TOKENS_A_STEP = 2048
OPERATIONS = 75e12  # of a trial: about two million tokens of the published shape
PRESENT = {"n_layer": 6, "n_head": 4, "n_embd": 256, "n_ctx": 256, "merges": 3840}
SHAPES: dict[str, dict[str, Any]] = {
    "as published": PRESENT,
    "smaller vocabulary": {**PRESENT, "merges": 1920},
    "larger vocabulary": {**PRESENT, "merges": 7680},
    "deeper": {**PRESENT, "n_layer": 10, "n_embd": 192, "n_head": 3},
    "wider": {**PRESENT, "n_layer": 4, "n_embd": 320, "n_head": 5},
    "shorter context": {**PRESENT, "n_ctx": 128},
    "longer context": {**PRESENT, "n_ctx": 512},
}
LONGER = ["wider", "shorter context"]  # those that did better than the published shape by two per cent or more
LONGER_STEPS = 2120  # at the constant learning rate of the embedded model's first run
CONSTANT = ["--lr-end=0.001", "--warmup=200"]
FINISHED = ["shorter context"]  # those still ahead then
FINISHED_STEPS = 3096  # along half a cosine to 0: as many operations in all as the embedded model's first two runs


def operations_a_token(n_layer: int, n_embd: int, n_ctx: int, merges: int, **_: Any) -> int:
    """Return what learning from a token costs: 6 operations a weight (2 forward, 4 backward), and attention's."""
    n_weights = 12 * n_layer * n_embd**2 + (merges + 257) * n_embd
    return 6 * n_weights + 6 * n_layer * n_ctx * n_embd


def folder_of(name: str, *kind: str) -> Path:
    """Return the folder of a trial."""
    return FOLDERS / "-".join([*name.split(), *kind])


def shape_flags(shape: dict[str, Any]) -> list[str]:
    """Return what tells `numpygpt.train` of a shape."""
    return [f"--{option.replace('_', '-')}={value}" for option, value in shape.items()]


def run_trial(folder: Path, corpus: Path, n_ctx: int, steps: int, *flags: str) -> list[list[float]]:
    """Train, and return the points of the curve: tokens seen, and bits per byte of what was held out."""
    command = [sys.executable, "-m", "numpygpt.train", *(str(corpus / text) for text in TEXTS), f"--out={folder}"]
    command += [f"--steps={steps}", f"--batch-size={TOKENS_A_STEP // n_ctx}", "--beta2=0.99", "--threads=2"]
    subprocess.run([*command, *flags], check=True)
    history = read_state(folder / "training")["history"]
    return [[int(point["tokens"]), round(point["validation_bits_per_byte"], 4)] for point in history]


def main() -> None:
    """Run the trials that are missing."""
    parser = argparse.ArgumentParser(description="Compare shapes for the embedded model.")
    parser.add_argument("corpus", type=Path, help="the folder of the texts")
    corpus = parser.parse_args().corpus
    done = json.loads(TRIALS.read_text(encoding="utf-8")) if TRIALS.exists() else {}

    def save(kind: str, name: str, measured: Any) -> None:
        done.setdefault(kind, {})[name] = measured
        with atomic_write(TRIALS) as file:
            file.write((json.dumps(done, indent=1) + "\n").encode())

    for name, shape in SHAPES.items():
        if name not in done.get("trials", {}):
            steps = round(OPERATIONS / operations_a_token(**shape) / TOKENS_A_STEP)
            tokens, bits = run_trial(folder_of(name), corpus, shape["n_ctx"], steps, *shape_flags(shape))[-1]
            save("trials", name, {**shape, "tokens": tokens, "bits_per_byte": bits})
    for name in LONGER:
        if name not in done.get("longer", {}):
            flags, n_ctx = [*shape_flags(SHAPES[name]), *CONSTANT], SHAPES[name]["n_ctx"]
            save("longer", name, run_trial(folder_of(name, "longer"), corpus, n_ctx, LONGER_STEPS, *flags))
    for name in FINISHED:
        if name not in done.get("finished", {}):
            flags, n_ctx = [f"--init={folder_of(name, 'longer')}", "--warmup=50", "--seed=1"], SHAPES[name]["n_ctx"]
            save("finished", name, run_trial(folder_of(name, "finished"), corpus, n_ctx, FINISHED_STEPS, *flags))


if __name__ == "__main__":
    main()
