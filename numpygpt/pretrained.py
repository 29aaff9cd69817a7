"""A model with its tokenizer: from a prompt's text to new text."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, overload

import numpy as np
from numpy.typing import ArrayLike

from numpygpt.arrays import Array, Params, flatten
from numpygpt.config import GPT2Config
from numpygpt.layers import softmax
from numpygpt.options import DEFAULTS, Options, Several, with_options
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


if TYPE_CHECKING:
    from typing_extensions import Unpack

    from numpygpt.look.page import Page

NEW_TOKENS = 40  # where nobody says how many
SHAPE = ("n_layer", "n_head", "n_embd", "n_ctx", "vocab_size")  # what a model shows of its config


class GPT2:
    """A GPT-2 with its tokenizer: `config` is its shape, `params` the tree of its parameters.

        model = GPT2.from_pretrained("stories")
        model.generate("Once upon a time", max_new_tokens=20)

    What `logits` does, by hand: `gpt2(model.tokenizer.encode(prompt), **model.params, n_head=model.config.n_head)`.
    """

    def __init__(
        self,
        config: GPT2Config,
        params: Params,
        tokenizer: Tokenizer | None,
        *,
        folder: str | os.PathLike[str] | None = None,
        name: str | None = None,
        eos_token_id: int | Sequence[int] | None = None,
    ) -> None:
        self.config = config
        self.params = params
        self._tokenizer = tokenizer
        self.folder = None if folder is None else Path(folder)
        self.name = name
        self.eos_token_id = eos_token_id  # what ends a text; the tokenizer's `<|endoftext|>` where it is None

    @classmethod
    def from_pretrained(cls, name_or_folder: str | os.PathLike[str], *, memory_map: bool = False) -> GPT2:
        """Load a model by its name or its folder.

        A name is `stories`, the small model that comes along, `gpt2`, `gpt2-medium`, `gpt2-large`, `gpt2-xl`,
        `distilgpt2`, or any `owner/name` on the Hugging Face hub; what is not on disk yet is downloaded, once
        (`numpygpt.models.hub` says how and where to).

        `memory_map` leaves the weights where they are on disk and maps them into memory, for models that hardly fit:
        a token takes longer then.

        Raises FileNotFoundError where there is no such folder, `HubError` (an OSError) where the name cannot be found
        or fetched, and ValueError where what is there is not a GPT-2.
        """
        from numpygpt.models import checkpoint, names  # here, for a model that is made in Python needs no files

        folder = names.find_or_download(name_or_folder)
        loaded = checkpoint.load(folder, tokenizer_class=Tokenizer, memory_map=memory_map)
        return cls(
            *loaded, folder=folder, name=os.fspath(name_or_folder), eos_token_id=checkpoint.load_eos_token_id(folder)
        )

    @property
    def tokenizer(self) -> Tokenizer:
        """What turns text into the model's ids and back.

        Raises ValueError where the model's folder has none, or one of another kind than GPT-2's.
        """
        if self._tokenizer is None:
            if self.folder is not None:
                from numpygpt.models import tokenizer_files

                with suppress(FileNotFoundError):
                    tokenizer_files.load_tokenizer(self.folder)  # says what is wrong with it
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

    @overload
    def generate(self, prompt: str, max_new_tokens: int | None = None, **options: Unpack[Options]) -> str: ...
    @overload
    def generate(
        self, prompt: str, max_new_tokens: int | None = None, *, num_return_sequences: int, **options: Unpack[Options]
    ) -> str | list[str]: ...
    @overload
    def generate(
        self, prompt: list[str] | tuple[str, ...], max_new_tokens: int | None = None, **options: Unpack[Several]
    ) -> list[str]: ...
    @with_options
    def generate(
        self, prompt: str | Sequence[str], max_new_tokens: int | None = None, **options: Any
    ) -> str | list[str]:
        """Continue a prompt and return the new text alone.

        Returns a list where there are several: for a sequence of prompts, or for `num_return_sequences` above 1, the
        sequences of each prompt side by side. The options, all by keyword:

        - `do_sample`, `temperature`, `top_k`, `top_p`, `repetition_penalty`: see `Sampling`; greedy without them
        - `max_length`: the length with the prompt's tokens; counts where no `max_new_tokens`, by default 40, is given
        - `min_new_tokens`: the text does not end by itself before it has so many
        - `eos_token_id`: what ends a text, one id or several, instead of what the model's folder says
        - `stop_strings`: one or several; the text ends before the first of them
        - `allowed_special`: special tokens that a prompt may contain, such as `{"<|endoftext|>"}`, or "all"
        - `add_special_tokens`: whether the prompt gets those that the model's files put around every text; most, none
        - `seed`: a number, or a NumPy Generator; the same seed gives the same text, whatever else is in the batch
        - `prompt_lookup_num_tokens`: guess so many tokens ahead where text repeats itself; greedy, one sequence

        The text ends where the model ends it, at a stop string, after `max_new_tokens`, or with the context window.
        An empty prompt starts from `<|endoftext|>`; those letters in a prompt are letters unless allowed.

        Raises TypeError for an option that there is not, ValueError for a prompt longer than the context window and
        for values that have no meaning.
        """
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        *_, texts = self.grow(prompts, max_new_tokens, **options)
        results = [text.text for text in texts]
        return results[0] if isinstance(prompt, str) and options.get("num_return_sequences", 1) == 1 else results

    @with_options
    def stream(self, prompt: str, max_new_tokens: int | None = None, **options: Unpack[Options]) -> Iterator[str]:
        """Continue a prompt and yield pieces of the new text as they come. The options are those of `generate`.

        A piece is never half a character; their sum is what `generate` returns.
        """
        if cast(Several, options).get("num_return_sequences", 1) != 1:
            raise ValueError("num_return_sequences must be 1 for a stream, which is one text; grow yields several")
        growing = self.grow([prompt], max_new_tokens, **options)  # checks the options now, not at the first piece
        return (piece for (text,) in growing if (piece := text.piece))

    @with_options
    def grow(
        self, prompts: Sequence[str], max_new_tokens: int | None = None, **options: Unpack[Several]
    ) -> Iterator[list[TextStream]]:
        """Continue prompts and yield the list of their texts at the start and after every token.

        `generate` and `stream` are made of this. The options are theirs.
        """
        if not prompts:
            raise ValueError("no prompt: give a text, or a list of texts")
        if not all(isinstance(prompt, str) for prompt in prompts):
            raise TypeError("a prompt is text; `numpygpt.engine.generate` continues token ids")
        given: dict[str, Any] = {**DEFAULTS, **options}
        stops = [given["stop_strings"]] if isinstance(given["stop_strings"], str) else list(given["stop_strings"])
        if not all(stops):
            raise ValueError("a stop string is empty; it would end every text before its first character")
        max_length = given["max_length"] if max_new_tokens is None else None
        if max_new_tokens is None:
            max_new_tokens = NEW_TOKENS if max_length is None else self.config.n_ctx
        ends = [given["eos_token_id"], self.eos_token_id, self.tokenizer.roles.get("eos_token"), []]
        steps = generate(
            [self._encode(prompt, given["allowed_special"], given["add_special_tokens"]) for prompt in prompts],
            self.params,
            self.config,
            max_new_tokens=max_new_tokens,
            min_new_tokens=given["min_new_tokens"],
            max_length=max_length,
            sampling=Sampling(**{field.name: given[field.name] for field in fields(Sampling)}),
            num_return_sequences=given["num_return_sequences"],
            eos_token_id=next(end for end in ends if end is not None),
            n_vocab=self.tokenizer.n_vocab,
            suppress_tokens=self.tokenizer.unused_ids,
            seed=given["seed"],
            prompt_lookup_num_tokens=given["prompt_lookup_num_tokens"],
        )
        return self._grow(steps, stops)

    @with_options
    def chat(
        self, messages: Sequence[Mapping[str, str]], max_new_tokens: int | None = None, **options: Unpack[Options]
    ) -> str:
        """Answer the last message of a conversation; the options are those of `generate`.

        messages: `[{"role": "user", "content": "Hello"}]`, and so on, in turn. See `chat_prompt`, which writes them
        out and raises the errors. Special tokens count in that text, those in the messages too.
        """
        as_written: Options = {**options, "allowed_special": "all", "add_special_tokens": False}
        return self.generate(self.chat_prompt(messages), max_new_tokens, **as_written)

    def chat_prompt(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Write a conversation as the model was trained on it: by the chat template in its folder, used here alone.

        Raises ValueError where the model has no template or it refuses the messages, and ImportError without `jinja2`,
        which the extra `numpygpt[chat]` brings.
        """
        from numpygpt.models import chat

        if self.folder is None:
            raise ValueError("a chat template comes with a model's folder, and this model was made in Python")
        return chat.render(self.folder, messages)

    def top(self, prompt: str, n: int = 10) -> list[tuple[str, float]]:
        """Return the n likeliest next tokens after a prompt, as text, with their probabilities.

        Raises ValueError for an n below 1 and for a prompt longer than the context window.
        """
        if n < 1:
            raise ValueError(f"n must be at least 1, not {n}")
        logits = self.logits(self._encode(prompt), logits_to_keep=1)[-1, : self.tokenizer.n_vocab]
        logits[[token_id for token_id in self.tokenizer.unused_ids if token_id < len(logits)]] = -np.inf
        probabilities = softmax(logits.astype(np.float64))
        best = np.argsort(-probabilities, kind="stable")[:n].tolist()
        return [(self.tokenizer.decode([token_id]), float(probabilities[token_id])) for token_id in best]

    def tokens(self, text: str) -> list[tuple[int, str]]:
        """Return a text's tokens: the id of each, and what it stands for."""
        return [(token_id, self.tokenizer.decode([token_id])) for token_id in self.tokenizer.encode(text)]

    def look(self, text: str, lang: str = "en") -> Page:
        """Return a page that shows what goes on inside when the model reads a text: a notebook shows it, or save it.

            model.look("The little boat went to the").save("look.html")

        `lang` is the page's language: "zh" for Chinese. Raises ValueError for an empty text, and for one that is too
        long for the model or for a page.
        """
        from numpygpt.look.page import look  # here, for only those who look need it

        return look(self, text, lang=lang)

    def save(self, folder: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Save the model as a folder that `from_pretrained` and `transformers` open.

        Raises FileExistsError where the folder exists, unless `overwrite`, and OSError where it cannot be written.
        """
        from numpygpt.models import checkpoint

        checkpoint.save(folder, self.config, self.params, self._tokenizer, overwrite=overwrite, source=self.folder)

    def _encode(self, prompt: str, allowed_special: Collection[str] = (), add_special_tokens: bool = True) -> list[int]:
        """Turn a prompt into ids, at least one."""
        ids = self.tokenizer.encode(prompt, allowed_special=allowed_special, add_special_tokens=add_special_tokens)
        return ids or [self.tokenizer.bos_id]

    def _facts(self) -> dict[str, str]:
        """What a model shows of itself."""
        n_params = sum(tensor.size for tensor in flatten(self.params).values())
        return {"parameters": f"{n_params:,}"} | {name: f"{getattr(self.config, name):,}" for name in SHAPE}

    def __repr__(self) -> str:
        return f"<GPT2 {self.name or ''}: {', '.join(f'{name} {value}' for name, value in self._facts().items())}>"

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in self._facts().items())
        return f"<table><caption>GPT2 {escape(self.name or '')}</caption>{rows}</table>"

    def _grow(self, steps: Iterator[list[Continuation]], stops: list[str]) -> Iterator[list[TextStream]]:
        texts: list[TextStream] = []
        for continuations in steps:
            texts = texts or [TextStream(continuation, self.tokenizer, stops) for continuation in continuations]
            for text in texts:
                text.read()
            yield texts
