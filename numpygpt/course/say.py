"""What the course says, in the language of the learner: `say("{name} passes", name="softmax")`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from numpygpt.languages import speaker

FOLDER = Path(__file__).parent
say = speaker(FOLDER, FOLDER / "mistakes")  # messages, and the hints of all known mistakes


def listed(names: Sequence[str], most: int = 4) -> str:
    """Return names as a list to read, of a long one the first and how many more there are: "a, b and c"."""
    if len(names) > most:
        return say("{names} and {n} more", names=say(", ").join(names[: most - 1]), n=len(names) - most + 1)
    return say(" and ").join(filter(None, [say(", ").join(names[:-1]), *names[-1:]]))
