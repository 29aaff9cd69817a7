"""Draw the figures: `python -m tutorials.figures [--keep-numbers] [NAME ...]`; all of them, if none is named."""

from __future__ import annotations

import argparse
import sys

from tutorials.figures import NAMES, compute, draw
from tutorials.figures._chinese import FONT

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tutorials.figures", description="Compute and draw the figures.")
    parser.add_argument(
        "names", nargs="*", choices=[*NAMES, []], metavar="NAME", help="a figure; all, if none is named"
    )
    parser.add_argument("--keep-numbers", action="store_true", help="only draw, after a change of colours or words")
    options = parser.parse_args()
    languages = set()
    for name in options.names or NAMES:
        if not options.keep_numbers:
            compute(name)
        languages |= {*(drawn := draw(name))}
        print(name, *drawn)
    if "zh" not in languages:
        print(f"no Chinese pictures: they need Matplotlib 3.11 or later and the font {FONT}", file=sys.stderr)
