"""A model with its tokenizer: from a prompt's text to new text."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from numpygpt.arrays import Array, Params
from numpygpt.config import GPT2Config
from numpygpt.sampling import Sampling
from numpygpt.stream import Continuation, TextStream
from numpygpt.trace import Hook, trace

try:
    from numpygpt.engine import KVCache as KVCache
    from numpygpt.engine import Tokenizer as Tokenizer
    from numpygpt.engine import generate, gpt2
    from numpygpt.engine import pad_left as pad_left
except ModuleNotFoundError:  # without its folder, the book does all that there is to do, slowly
    from numpygpt.without_engine import KVCache as KVCache  # type: ignore[assignment]
    from numpygpt.without_engine import Tokenizer as Tokenizer  # type: ignore[assignment]
    from numpygpt.without_engine import generate, gpt2  # type: ignore[assignment]
    from numpygpt.without_engine import pad_left as pad_left  # type: ignore[assignment]


class GPT2:
    """A GPT-2 with its tokenizer: `config` is its shape, `params` the tree of its parameters.

        model = GPT2.from_pretrained("gpt2")
        model.generate("Alan Turing theorized that computers would one day become", max_new_tokens=20)

    What `logits` does, by hand: `gpt2(model.tokenizer.encode(prompt), **model.params, n_head=model.config.n_head)`.
    """

    def __init__(self, config: GPT2Config, params: Params, tokenizer: Tokenizer | None) -> None:
        self.config = config
        self.params = params
        self._tokenizer = tokenizer

    @classmethod
    def from_pretrained(cls, name_or_folder: str | os.PathLike[str]) -> GPT2:
        """Load a model by its folder, or by its name on the Hugging Face hub.

        A name is `gpt2`, `gpt2-medium`, `gpt2-large`, `gpt2-xl`, `distilgpt2`, or any `owner/name`; what is not on
        disk yet is downloaded, once (`numpygpt.models.hub` says how and where to).

        Raises FileNotFoundError where there is no such folder, `HubError` (an OSError) where the name cannot be found
        or fetched, and ValueError where what is there is not a GPT-2.
        """
        from numpygpt.models import checkpoint, names  # here, for a model that is made in Python needs no files

        return cls(*checkpoint.load(names.find_or_download(name_or_folder), tokenizer_class=Tokenizer))

    @property
    def tokenizer(self) -> Tokenizer:
        """What turns text into the model's ids and back. Raises ValueError where the model's folder has none."""
        if self._tokenizer is None:
            raise ValueError("the model's folder has no tokenizer; put its vocab.json and merges.txt there")
        return self._tokenizer

    def logits(self, ids: ArrayLike, logits_to_keep: int | None = None) -> Array:
        """Return the logits of the next token after every position: ids [..., n_seq] -> [..., n_seq, n_vocab].

        `logits_to_keep` asks for the last positions only. Raises TypeError and ValueError for what are no ids of this
        model, or too many.
        """
        return gpt2(ids, **self.params, config=self.config, logits_to_keep=logits_to_keep)

    def trace(self, ids: ArrayLike, hook: Hook | None = None) -> dict[str, Array]:
        """Return every activation on the way to the logits, by name, and let `hook` change it: see `numpygpt.trace`."""
        return trace(ids, **self.params, config=self.config, hook=hook)

    def generate(
        self, prompt: str | Sequence[str], max_new_tokens: int = 40, *, num_return_sequences: int = 1, **options: Any
    ) -> str | list[str]:
        """Continue a prompt and return the new text alone.

        Returns a list where there are several: for a sequence of prompts, or for `num_return_sequences` above 1, the
        continuations of one prompt side by side. The options, with the names and meanings of `transformers`:

        - `do_sample`, `temperature`, `top_k`, `top_p`, `repetition_penalty`: see `Sampling`; greedy without them
        - `stop_strings`: one or several; the text ends before the first of them
        - `seed`: a number, or a NumPy Generator; the same seed gives the same text
        - `prompt_lookup_num_tokens`: guess so many tokens ahead where text repeats itself; greedy, one sequence

        The text ends where the model ends it, at a stop string, after `max_new_tokens`, or with the context window.
        An empty prompt starts from `<|endoftext|>`; those letters in a prompt are letters.

        Raises ValueError for a prompt longer than the context window and for values that have no meaning.
        """
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        *_, texts = self.grow(prompts, max_new_tokens, num_return_sequences=num_return_sequences, **options)
        results = [text.text for text in texts]
        return results[0] if isinstance(prompt, str) and num_return_sequences == 1 else results

    def stream(self, prompt: str, max_new_tokens: int = 40, **options: Any) -> Iterator[str]:
        """Continue a prompt and yield pieces of the new text as they come. The options are those of `generate`.

        A piece is never half a character; their sum is what `generate` returns.
        """
        if options.get("num_return_sequences", 1) != 1:
            raise ValueError("num_return_sequences must be 1 for a stream, which is one text; grow yields several")
        growing = self.grow([prompt], max_new_tokens, **options)  # checks the options now, not at the first piece
        return (piece for (text,) in growing if (piece := text.piece))

    def grow(
        self,
        prompts: Sequence[str],
        max_new_tokens: int = 40,
        *,
        num_return_sequences: int = 1,
        stop_strings: str | Sequence[str] = (),
        seed: int | np.random.Generator | None = None,
        prompt_lookup_num_tokens: int = 0,
        **sampling: Any,
    ) -> Iterator[list[TextStream]]:
        """Continue prompts and yield the list of their texts at the start and after every token.

        `generate` and `stream` are made of this. The options are theirs.
        """
        if not prompts:
            raise ValueError("no prompt: give a text, or a list of texts")
        if not all(isinstance(prompt, str) for prompt in prompts):
            raise TypeError("a prompt is text; `numpygpt.engine.generate` continues token ids")
        stops = [stop_strings] if isinstance(stop_strings, str) else list(stop_strings)
        if not all(stops):
            raise ValueError("a stop string is empty; it would end every text before its first character")
        steps = generate(
            [self.tokenizer.encode(prompt) or [self.tokenizer.eot_id] for prompt in prompts],
            self.params,
            self.config,
            max_new_tokens=max_new_tokens,
            sampling=Sampling(**sampling),
            num_return_sequences=num_return_sequences,
            eos_token_id=self.tokenizer.eot_id,
            n_vocab=self.tokenizer.n_vocab,
            seed=seed,
            prompt_lookup_num_tokens=prompt_lookup_num_tokens,
        )
        return self._grow(steps, stops)

    def _grow(self, steps: Iterator[list[Continuation]], stops: list[str]) -> Iterator[list[TextStream]]:
        texts: list[TextStream] = []
        for continuations in steps:
            texts = texts or [TextStream(continuation, self.tokenizer, stops) for continuation in continuations]
            for text in texts:
                text.read()
            yield texts
