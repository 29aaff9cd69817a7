"""What a training run is asked to do."""

from __future__ import annotations

import math
from dataclasses import dataclass

from numpygpt.tokenizer import END_OF_TEXT


class TrainingError(ValueError):
    """A run that cannot start or go on; the message says why and what to do."""


@dataclass(frozen=True)
class TrainingConfig:
    """What a run is asked to do, under the names of the command's options; None is "not said"."""

    # The model to begin with
    init: str | None = None  # a folder or a name, instead of a new one
    merges: int | None = None  # the first so many of GPT-2's; None: all
    vocab_size: int | None = None  # of a vocabulary learned from the text instead
    config: str | None = None  # a folder whose config.json gives the shape
    n_layer: int | None = None
    n_head: int | None = None
    n_embd: int | None = None
    n_ctx: int | None = None
    # The batches
    steps: int = 1000
    hours: float | None = None  # instead of steps
    batch_size: int = 24  # sequences a step
    micro_batch: int = 0  # sequences that a thread computes at once; 0: as many as make 512 tokens
    threads: int = 0  # 0: one for every core
    # The optimizer
    lr: float = 1e-3
    lr_end: float = 0.0
    warmup: int = 100  # steps
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    clip: float = 1.0  # the gradients' greatest global norm
    dropout: float = 0.0
    seed: int = 0
    # What is measured and kept
    evaluate_every: int = 250  # steps
    validation_tokens: int = 100_000  # at most
    keep_best: bool = False  # the weights of the lowest validation loss instead of the last
    float16: bool = False  # the model in half the size
    prompt: str = ""  # the beginning of the samples
    sample_tokens: int = 60

    def check(self) -> None:
        """Refuse numbers that make no sense. Raises TrainingError."""
        for name in ("steps", "hours", "batch_size", "lr", "clip", "eps", "evaluate_every", "sample_tokens"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise TrainingError(f"{flag(name)} must be above 0, not {value}")
        for name in ("micro_batch", "threads", "warmup", "weight_decay", "lr_end", "seed"):
            if not 0 <= getattr(self, name) < math.inf:
                raise TrainingError(f"{flag(name)} must be at least 0, not {getattr(self, name)}")
        for name in ("dropout", "beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise TrainingError(f"{flag(name)} must be at least 0 and below 1, not {getattr(self, name)}")
        if self.validation_tokens < 2:
            raise TrainingError(f"--validation-tokens must be at least 2, not {self.validation_tokens}")
        if self.vocab_size is not None and self.vocab_size < 257:
            raise TrainingError(f"--vocab-size must be at least 257 (the bytes, {END_OF_TEXT}), not {self.vocab_size}")
        if self.merges is not None and self.vocab_size is not None:
            raise TrainingError("give --merges (of GPT-2's) or --vocab-size (learned from the text), not both")


@dataclass(frozen=True)
class TranslationConfig(TrainingConfig):
    """The same for a translator: other defaults, after Vaswani et al. 2017, section 5, and options of its own."""

    vocab_size: int | None = None  # None: 4096
    n_layer: int | None = None  # of the encoder, and of the decoder
    n_ctx: int | None = None  # the longest sentence
    lr: float = 1e-3
    warmup: int = 300
    weight_decay: float = 0.0
    beta2: float = 0.98
    eps: float = 1e-9
    dropout: float = 0.1
    label_smoothing: float = 0.1
    batch_tokens: int = 2500  # source and target tokens a step, instead of batch_size
    validation: str | None = None  # a file of pairs, held out
    source_language: str | None = None  # what the model's folder says
    target_language: str | None = None

    def check(self) -> None:
        """Refuse numbers that make no sense. Raises TrainingError."""
        super().check()
        if not 0 <= self.label_smoothing < 1:
            raise TrainingError(f"--label-smoothing must be at least 0 and below 1, not {self.label_smoothing}")
        if self.batch_tokens < 2:
            raise TrainingError(f"--batch-tokens must be at least 2, not {self.batch_tokens}")


@dataclass(frozen=True)
class QuestionsConfig(TrainingConfig):
    """The same for a model that answers questions about stories."""

    batch_tokens: int = 4096  # tokens a step, padding among them, instead of batch_size
    validation: str | None = None  # a file of stories, held out

    def check(self) -> None:
        """Refuse numbers that make no sense. Raises TrainingError."""
        super().check()
        if self.batch_tokens < 2:
            raise TrainingError(f"--batch-tokens must be at least 2, not {self.batch_tokens}")


@dataclass(frozen=True)
class PicturesConfig(TrainingConfig):
    """The same for a model that draws and reads pictures."""

    steps: int = 2000
    batch_size: int = 48  # pictures a step, half of them from their captions, half to them
    lr: float = 2e-3
    evaluate_every: int = 500
    validation_tokens: int = 20_000
    patch: int = 2  # pixels, the side of a patch
    codes: int = 128  # patches that the codebook has

    def check(self) -> None:
        """Refuse numbers that make no sense. Raises TrainingError."""
        super().check()
        if self.batch_size < 2:
            raise TrainingError(f"--batch-size must be at least 2, one for each direction, not {self.batch_size}")
        if not 2 <= self.codes <= 2**16:
            raise TrainingError(f"--codes must be at least 2 and at most {2**16}, not {self.codes}")
        for name in ("init", "merges", "config", "n_ctx"):
            if getattr(self, name) is not None:
                raise TrainingError(
                    f"a model of pictures begins anew, with a context window that fits: no {flag(name)}"
                )


def flag(name: str) -> str:
    """Return an option's name as it is typed.

    >>> flag("n_layer")
    '--n-layer'
    """
    return "--" + name.replace("_", "-")


def as_typed(name: str, value: object) -> str:
    """Return an option as it is typed, or that it is not.

    >>> as_typed("n_layer", 6), as_typed("hours", None)
    ('--n-layer 6', 'no --hours')
    """
    if isinstance(value, list):
        return " ".join(value)
    if value is None or value is False:
        return f"no {flag(name)}"
    return flag(name) if value is True else f"{flag(name)} {value}"


def count(number: int, noun: str) -> str:
    """Return how many there are, in words.

    >>> count(1, "layer"), count(2, "layer")
    ('1 layer', '2 layers')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
