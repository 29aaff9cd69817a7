"""What the figures of page 10 share: its model, its sentence and its three stories."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from numpygpt import GPT2

SENTENCE = "Once upon a time there was a little girl named Lily. She had a red ball. Lily liked to play with her"

STORY = (
    "Once upon a time there was a little boy named Tom. Tom had a big brown dog. The dog liked to run in the park. "
    "One day, Tom and his dog went to the park. The sun was warm and the sky was blue. Tom saw a girl. She was sad. "
    '"Why are you sad?" asked Tom. "I lost my red ball," said the girl. "I can not find it." Tom wanted to help. '
    '"Do not be sad," he said. "My dog can find your ball!" The dog ran and ran. It looked under the big tree. '
    "It looked behind the old bench. Then the dog saw the red ball in the water. It jumped in and got the ball. "
    'The girl was very happy. She said, "Thank you, Tom! Thank you, dog!" Tom smiled. The girl and Tom played with '
    "the ball all day. Then they went home and told their mom about the dog and the red ball."
)

SECOND_STORY = (
    'Lily and her mom went to the shop. Lily saw a big cake. "Can I have the cake, please?" she asked. Her mom '
    'looked at the cake. It was pink and it had a star on top. "We have to wait until your birthday," her mom said. '
    'Lily was not happy, but she did not cry. They walked home in the rain. "I like the rain," said Lily. '
    '"It makes the flowers grow."'
)

THIRD_STORY = (
    'Ben and his sister Mia were in the garden. They saw a small frog near the pond. "Look, it is green!" said Mia. '
    'The frog made a big jump and hid in the grass. "Where did it go?" asked Ben. They looked and looked. Their dad '
    'came out of the house. "I think you can hear it," he said. They sat down and were very quiet. Then the frog sang '
    "a song, and they all laughed."
)


@cache
def model() -> GPT2:
    """The embedded model."""
    return GPT2.from_pretrained(Path(__file__).parents[2] / "weights" / "stories")


def pieces(ids: list[int]) -> list[str]:
    """The text of each token."""
    return [model().tokenizer.decode([i]) for i in ids]


def readable(pieces: list[str]) -> list[str]:
    """Tokens as labels, with a visible space."""
    return [piece.replace(" ", "␣") for piece in pieces]


def in_speech(pieces: list[str]) -> NDArray[np.bool_]:
    """Which tokens stand between quotation marks: an odd number of marks before them, and none in them."""
    marks = np.array([piece.count('"') for piece in pieces])
    inside: NDArray[np.bool_] = (np.cumsum(marks) % 2 == 1) & (marks == 0)
    return inside
