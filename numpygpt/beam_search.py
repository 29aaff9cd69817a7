"""Beam search: keep several beginnings of a text in view, and end with the likeliest whole.

The greedy choice takes the likeliest token each time, and cannot take back a first word that leads nowhere good. Beam
search goes on with the `num_beams` likeliest beginnings at once.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from numpygpt.arrays import Array


class Beams:
    """The beginnings of one text that are in view, likeliest first, and the whole texts that have been found.

    A beginning's score is its log-probability, the sum of its tokens'. A whole text's is that divided by
    `length ** length_penalty`, its end counted: longer texts, always the less likely ones, are not put at a
    disadvantage so. The search is over when no beginning has a better score than the worst of `num_beams` whole texts.
    With one beam it is the greedy choice, and over at the first end.

    Source: Wu et al. 2016, "Google's Neural Machine Translation System" (arXiv:1609.08144), section 7, with the length
    penalty and the end of the search as in `transformers`.
    """

    def __init__(self, num_beams: int, eos_token_id: int, max_new_tokens: int, length_penalty: float = 1.0) -> None:
        self.num_beams, self.eos_token_id = num_beams, eos_token_id
        self.max_new_tokens, self.length_penalty = max_new_tokens, length_penalty
        self.ids: list[list[int]] = [[] for _ in range(num_beams)]
        self.scores = np.array([0.0] + [-1e9] * (num_beams - 1))  # all the same to begin with: one of them counts
        self.finished: list[tuple[float, list[int]]] = []  # score and ids, best first
        self.is_done = max_new_tokens < 1

    def step(self, log_probabilities: Array) -> list[int]:
        """Grow every beginning by a token, and keep the best: [num_beams, n_vocab] -> which each has grown from.

        The last token that there is room for is the end.
        """
        length = len(self.ids[0]) + 1
        if length == self.max_new_tokens:
            self._finish([(score, [*ids, self.eos_token_id]) for score, ids in zip(self.scores, self.ids, strict=True)])
            self.is_done = True
            return list(range(self.num_beams))
        totals = (self.scores[:, None] + log_probabilities).ravel()
        n_best = 1 if self.num_beams == 1 else 2 * self.num_beams  # half of them may be ends
        best = np.argpartition(-totals, n_best - 1)[:n_best]
        best = best[np.argsort(-totals[best], kind="stable")]
        parents, tokens = np.divmod(best, log_probabilities.shape[-1])
        grown = [
            (float(totals[i]), [*self.ids[parent], token], parent)
            for i, parent, token in zip(best.tolist(), parents.tolist(), tokens.tolist(), strict=True)
        ]
        self._finish([(score, ids) for score, ids, _ in grown[: self.num_beams] if ids[-1] == self.eos_token_id])
        running = [beam for beam in grown if beam[1][-1] != self.eos_token_id][: self.num_beams]
        if len(self.finished) == self.num_beams:
            bar = self.finished[-1][0]
            self.is_done = self.num_beams == 1 or running[0][0] / length**self.length_penalty <= bar
        if self.is_done:
            return list(range(self.num_beams))
        self.ids, self.scores = [ids for _, ids, _ in running], np.array([score for score, _, _ in running])
        return [parent for _, _, parent in running]

    def _finish(self, found: list[tuple[float, list[int]]]) -> None:
        scored = [(score / len(ids) ** self.length_penalty, ids) for score, ids in found]
        self.finished = sorted(self.finished + scored, key=lambda text: -text[0])[: self.num_beams]

    @property
    def best(self) -> list[int]:
        """The best whole text, without its end."""
        return self.finished[0][1][:-1] if self.finished else []


def beam_search(
    model: Callable[[list[list[int]]], Array],
    *,
    num_beams: int,
    eos_token_id: int,
    max_new_tokens: int,
    length_penalty: float = 1.0,
) -> list[int]:
    """Write the likeliest text that beam search finds.

    `model` turns beginnings [num_beams][n_seq] into log-probabilities of the token after each, [num_beams, n_vocab].

    >>> first = np.log([0.4, 0.6, 1e-9])  # the better first word leads to worse second ones
    >>> second = {0: np.log([0.01, 0.01, 0.98]), 1: np.log([0.35, 0.35, 0.3])}
    >>> def model(beams):
    ...     return np.array([second[ids[-1]] if ids else first for ids in beams])
    >>> [beam_search(model, num_beams=n, eos_token_id=2, max_new_tokens=3) for n in (1, 2)]
    [[1, 0], [0]]
    """
    beams = Beams(num_beams, eos_token_id, max_new_tokens, length_penalty)
    while not beams.is_done:
        beams.step(model(beams.ids))
    return beams.best
