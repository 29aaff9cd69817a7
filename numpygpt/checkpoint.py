"""Where `python -m numpygpt.checkpoint` was: it says what the command is called now."""

import sys

if __name__ == "__main__":
    sys.exit(sys.stderr.write(f"say: python -m numpygpt.models convert {' '.join(sys.argv[1:])}\n") and 2)
