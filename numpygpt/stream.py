"""The text that tokens make as they arrive: whole characters, up to a stop string."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from numpygpt.tokenizer import Tokenizer

# Why a sequence ended
ENDED = "end of text"  # the model chose the token that ends texts
STOP_STRING = "stop string"
MAX_NEW_TOKENS = "max_new_tokens"
MAX_LENGTH = "max_length"
CONTEXT_WINDOW = "context window"  # prompt and new tokens fill it


@dataclass
class Continuation:
    """What one prompt is continued with: `ids`, without the prompt's, and why it ended, or None so far."""

    prompt: list[int]
    ids: list[int] = field(default_factory=list)
    finish_reason: str | None = None


class TextStream:
    """The text that streams from one sequence's tokens as they arrive.

    `text` is what is certain of it, `piece` what the last step added to it. Text that may turn out to begin a stop
    string, and bytes that do not make a character yet, wait for the tokens that decide. Special tokens are no text.
    """

    def __init__(self, continuation: Continuation, tokenizer: Tokenizer, stop_strings: Sequence[str]) -> None:
        self.continuation = continuation
        self.text = self.piece = self._waiting = ""
        self._stop_strings = stop_strings
        self._decoder = tokenizer.decoder()
        self._special_ids = set(tokenizer.special_tokens.values())
        self._n_read = 0

    def __repr__(self) -> str:
        return f"<TextStream: {self.n_tokens} tokens, {self.finish_reason or 'growing'}: {self.text!r}>"

    @property
    def finish_reason(self) -> str | None:
        """Why the text ended, one of the reasons above, or None while it grows."""
        return self.continuation.finish_reason

    @property
    def n_tokens(self) -> int:
        """The number of new tokens."""
        return len(self.continuation.ids)

    def read(self) -> None:
        """Take up the tokens that have arrived since the last call."""
        new_ids = self.continuation.ids[self._n_read :]
        self._n_read += len(new_ids)
        self._waiting += "".join(self._decoder.feed(i) for i in new_ids if i not in self._special_ids)
        if self.finish_reason is not None:
            self._waiting += self._decoder.flush()
        stops = [at for stop in self._stop_strings if (at := self._waiting.find(stop)) >= 0]
        if stops:
            self.continuation.finish_reason = STOP_STRING
            self._waiting = self._waiting[: min(stops)]
        certain = len(self._waiting) - (0 if self.finish_reason else self._length_of_possible_stop())
        self.piece, self._waiting = self._waiting[:certain], self._waiting[certain:]
        self.text += self.piece

    def _length_of_possible_stop(self) -> int:
        """How many of the waiting characters, at the end, a stop string begins with."""
        longest = max(map(len, self._stop_strings), default=1) - 1
        for length in range(min(longest, len(self._waiting)), 0, -1):
            if any(stop.startswith(self._waiting[-length:]) for stop in self._stop_strings):
                return length
        return 0
