"""Guessing what comes next from what came before, to check several tokens in one pass of the model."""

from __future__ import annotations

from collections.abc import Sequence


class PromptLookup:
    """Guesses how a sequence goes on: as it did when its last three tokens stood in it before.

    Text repeats itself, greedy text all the more. The model checks a guess in one pass over all its tokens: as long as
    it would have chosen the same, they are its choice, got for less. Where it would not, the guesses pause, for longer
    each time, so that they cost little in a text that does not repeat.

    Source: Saxena 2023, "Prompt Lookup Decoding" (https://github.com/apoorvumang/prompt-lookup-decoding), a form of
    speculative decoding (Leviathan et al. 2023, arXiv:2211.17192).

    >>> lookup = PromptLookup([1, 2, 3, 4, 5, 1, 2, 3], num_tokens=7)
    >>> lookup.guess()
    [4, 5, 1, 2, 3, 4, 5]
    """

    N_GRAM = 3
    PAUSE = 16  # steps after a wrong guess, doubled after each further one
    WORTHWHILE = 2  # right tokens that a guess must bring to be faster than no guess

    def __init__(self, prompt: Sequence[int], num_tokens: int) -> None:
        self.num_tokens = num_tokens
        self.ids: list[int] = []
        self._followed_by: dict[tuple[int, ...], int] = {}  # some tokens -> where in ids their latest successor stands
        self._pause, self._next_pause = 0, self.PAUSE
        for token_id in prompt:
            self.append(token_id)

    def append(self, token_id: int) -> None:
        """Take up the next token of the sequence."""
        self._followed_by[tuple(self.ids[-self.N_GRAM :])] = len(self.ids)
        self.ids.append(token_id)
        self._pause = max(self._pause - 1, 0)

    def guess(self) -> list[int]:
        """Guess the next tokens, `num_tokens` of them or none. What has followed before may go on periodically."""
        start = self._followed_by.get(tuple(self.ids[-self.N_GRAM :]))
        if start is None or self._pause:
            return []
        period = self.ids[start:]
        return (period * -(-self.num_tokens // len(period)))[: self.num_tokens]

    def learn(self, n_right: int) -> None:
        """Hear how many tokens of a guess were right."""
        if n_right >= self.WORTHWHILE:
            self._next_pause = self.PAUSE
        else:
            self._pause, self._next_pause = self._next_pause, 2 * self._next_pause
