"""Measure this package beside other engines: `python -m benchmarks.engines`."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.engines.process import UNSET
from benchmarks.engines.rounds import Comparison, tell
from benchmarks.engines.table import markdown, result
from benchmarks.engines.work import OURS, PEERS, workloads
from benchmarks.measure import PAUSE, machine, model_folder
from numpygpt import GPT2Config
from numpygpt.command_line import Parser, friendly_exit, number
from numpygpt.files import atomic_write

SLOW = "eager-bf16"
TINY = GPT2Config(n_layer=2, n_head=2, n_embd=32, n_ctx=64)


def main(argv: list[str] | None = None) -> None:
    """Measure and print tables."""
    parser = Parser(
        "python -m benchmarks.engines",
        "Measure this package beside other engines that run GPT-2 on this machine, each in a process of its own,\n"
        "in rounds in which they take turns. Prints Markdown tables: medians, and how many times better this\n"
        "package is (median and extremes of the rounds' ratios).",
        "needs: pip install -r benchmarks/requirements-engines.txt; what is not installed is left out. "
        "Let nothing else run meanwhile.",
    )
    parser.add_argument("--rounds", type=number(int, 1), default=5, metavar="N", help="default: 5")
    parser.add_argument(
        "--threads", type=number(int, 1), default=os.cpu_count(), metavar="N", help="default: the cores"
    )
    parser.add_argument(
        "--engines",
        nargs="*",
        choices=list(PEERS),
        default=[name for name in PEERS if name != SLOW],
        help=f"default: all but {SLOW}, which takes minutes a round where the processor has no such arithmetic",
    )
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write all measurements there, and FILE.svg")
    parser.add_argument("--quick", action="store_true", help="one round with a tiny model, to see that all works")
    options = parser.parse_args(argv)
    if options.out and options.out.suffix != ".json":
        parser.error(f"--out {options.out}: the name has to end in .json; the picture takes the same with .svg")
    with friendly_exit(parser.prog):
        report(quick(options) if options.quick else measure(options, model_folder(), options.rounds), options.out)


def quick(options: argparse.Namespace) -> dict[str, Any]:
    """Run one round with a tiny model, which is not kept."""
    with tempfile.TemporaryDirectory() as folder:
        return measure(options, model_folder(Path(folder, "tiny"), TINY), 1)


def measure(options: argparse.Namespace, folder: Path, rounds: int) -> dict[str, Any]:
    """Run all rounds and return what was measured."""
    comparison = Comparison(folder, options.threads, workloads(options.quick), 0 if options.quick else PAUSE)
    try:
        comparison.open([PEERS[name] for name in options.engines])
        for round_number in range(rounds + 1):
            comparison.round(round_number)
        blas = comparison.engines[OURS]("blas")
    finally:
        comparison.close()
    unset = {f"{name} (unset)": os.environ[name] for name in UNSET if name in os.environ}
    return result(comparison, machine() | {"weights": folder.name, "BLAS": blas} | unset)


def report(measured: dict[str, Any], out: Path | None) -> None:
    """Print the tables, and write the numbers and the picture."""
    print(markdown(measured))
    if not out:
        return
    with atomic_write(out) as file:
        file.write(json.dumps(measured, indent=1).encode() + b"\n")
    try:
        from benchmarks.engines.figure import draw

        tell(f"wrote {out} and {draw(out)}")
    except ModuleNotFoundError as error:
        tell(f"wrote {out}, and no picture: {error}; install it, then python -m benchmarks.engines.figure {out}")


if __name__ == "__main__":
    main()
