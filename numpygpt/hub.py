"""Where `python -m numpygpt.hub` was: it says what the command is called now."""

import sys

if __name__ == "__main__":
    sys.exit(sys.stderr.write(f"say: python -m numpygpt.models {' '.join(sys.argv[1:]) or 'list'}\n") and 2)
