"""What the training loop knows of a model and its data."""

from __future__ import annotations

from typing import Any, Protocol

from numpy.typing import NDArray

from numpygpt.arrays import Params
from numpygpt.backward import Dropout


class Task(Protocol):
    """A model and its data. A run that is resumed is the same run because a batch depends on seed and step alone."""

    @property
    def blind_loss(self) -> float:
        """The loss of blind guessing; a run whose loss is twice that has exploded."""

    @property
    def how_to_use(self) -> str:
        """The command that tries the model."""

    def initialize(self) -> Params:
        """Return the parameters to begin with."""

    def draw(self, step: int) -> tuple[NDArray[Any], ...]:
        """Return the batch of a step: arrays [batch_size, n_seq, ...], which are cut between rows to share them out."""

    def gradients(self, params: Params, batch: tuple[NDArray[Any], ...], drop: Dropout) -> tuple[float, Params, int]:
        """Return the summed loss of some rows, its gradients, and how many targets counted; one below 0 does not."""

    def evaluate(self, params: Params, step: int) -> dict[str, float]:
        """Measure the model on what was held out: the columns of `loss.csv`, `validation_loss` among them."""

    def save(self, params: Params) -> None:
        """Write the model to the run's folder."""

    def describe(self) -> dict[str, Any]:
        """Return what the state file says of the model beside its parameters."""

    def __str__(self) -> str:
        """Say, in two lines, what shape the model has and how much data there is."""
