"""Draw the figures: `python -m tutorials.figures [NAME ...]`; all of them, if none is named."""

from __future__ import annotations

import sys

from tutorials.figures import NAMES, make

if __name__ == "__main__":
    for name in sys.argv[1:] or NAMES:
        make(name)
        print(name)
