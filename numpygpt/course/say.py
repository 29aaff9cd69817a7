"""What the course says, in the language of the learner: `say("{name} passes", name="softmax")`."""

from __future__ import annotations

from pathlib import Path

from numpygpt.languages import speaker

FOLDER = Path(__file__).parent
say = speaker(FOLDER, FOLDER / "mistakes")  # messages, and the hints of all known mistakes
