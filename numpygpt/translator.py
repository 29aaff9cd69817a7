"""A translator with its tokenizer: from a text in one language to a text in another."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, overload

from numpy.typing import ArrayLike

from numpygpt.alignment import Alignment, align
from numpygpt.arrays import Array, Params
from numpygpt.sentences import normalize, normalize_case, split_sentences
from numpygpt.tokenizer import Tokenizer
from numpygpt.transformer_config import TransformerConfig

try:
    from numpygpt.engine.translate import cross_attention, transformer, translate
except ModuleNotFoundError:  # without its folder, the book does it, slowly
    from numpygpt.without_engine import cross_attention, transformer, translate

if TYPE_CHECKING:
    from numpygpt.look.page import Page

EMBEDDED = "english-french"
ALIGNING_LAYER = -1  # of the decoder, whose cross-attention looks most at the word that is being translated
NUM_BEAMS = 4
BATCH = 32  # sentences translated at once
log = logging.getLogger("numpygpt.translator")


class Translator:
    """An encoder-decoder with its tokenizer: `config` is its shape, `params` the tree of its parameters.

    >>> translator = Translator.from_pretrained("english-french")
    >>> translator.translate("Where is the station?")
    'Où est la gare ?'
    """

    def __init__(
        self,
        config: TransformerConfig,
        params: Params,
        tokenizer: Tokenizer | None,
        *,
        folder: str | os.PathLike[str] | None = None,
    ) -> None:
        self.config, self.params, self._tokenizer = config, params, tokenizer
        self.folder = None if folder is None else Path(folder)

    @classmethod
    def from_pretrained(cls, name_or_folder: str | os.PathLike[str] = EMBEDDED) -> Translator:
        """Load a translator by its name or its folder.

        A name is `english-french`, the small model that comes along, or `owner/name` of any Marian on the Hugging Face
        hub that is there in safetensors; it is downloaded, once.

        Raises FileNotFoundError where there is no such folder, `HubError` (an OSError) where the name cannot be found
        or fetched, and ValueError where what is there is no such model.
        """
        from numpygpt.models import marian, names

        if os.fspath(name_or_folder) == "french-english" and not Path(name_or_folder).is_dir():
            raise ValueError("french-english: the model that comes along translates from English to French alone")
        folder = names.find_or_download(name_or_folder)
        config, params = marian.load(folder)
        return cls(config, params, marian.load_tokenizer(folder, config), folder=folder)

    @property
    def tokenizer(self) -> Tokenizer:
        """What turns text into the model's ids and back.

        Raises ValueError where the model's folder has none, or one of another kind than a byte-level BPE.
        """
        if self._tokenizer is None:
            from numpygpt.models import marian

            raise ValueError(marian.why_no_tokenizer(self.folder))
        return self._tokenizer

    def logits(self, source_ids: ArrayLike, target_ids: ArrayLike) -> Array:
        """Return the logits of the next target token after every position of the target.

        source_ids: [..., n_source], target_ids: [..., n_target] -> [..., n_target, n_vocab]

        Nothing is added: the source has its end token, and the target begins with `config.decoder_start_token_id`.
        Raises TypeError and ValueError for what are no ids of this model, or too many.
        """
        return transformer(source_ids, target_ids, self.params, self.config)

    @overload
    def translate(self, text: str, num_beams: int = ..., *, length_penalty: float = ...) -> str: ...
    @overload
    def translate(
        self, text: list[str] | tuple[str, ...], num_beams: int = ..., *, length_penalty: float = ...
    ) -> list[str]: ...
    def translate(
        self, text: str | Sequence[str], num_beams: int = NUM_BEAMS, *, length_penalty: float = 1.0
    ) -> str | list[str]:
        """Translate a text, or each of a list. One beam is the greedy choice: quicker, and a little worse.

        Quotes, blanks and case are first brought to the form that training has shown, and sentences are translated one
        by one. A sentence longer than the model has positions is cut near its middle. A text that is longer as a whole
        is said to be translated in parts, by a warning in the log.

        Raises ValueError for fewer beams than one and for half a character (a lone surrogate).
        """
        if num_beams < 1:
            raise ValueError(f"num_beams must be at least 1, not {num_beams}")
        if isinstance(text, str):
            return self.translate([text], num_beams, length_penalty=length_penalty)[0]
        pieces = [self._pieces(each) for each in text]
        sources = [ids for each in pieces for ids in each]
        order = sorted(range(len(sources)), key=lambda i: len(sources[i]))  # like lengths together: little padding
        done: dict[int, str] = {}
        for first in range(0, len(order), BATCH):
            batch = order[first : first + BATCH]
            found = translate(
                [sources[i] for i in batch],
                self.params,
                self.config,
                num_beams=num_beams,
                length_penalty=length_penalty,
            )
            done |= {i: self.tokenizer.decode(ids).strip() for i, ids in zip(batch, found, strict=True)}
        texts = iter(done[i] for i in range(len(sources)))
        return [" ".join(next(texts) for _ in each) for each in pieces]

    def align(self, text: str, num_beams: int = NUM_BEAMS) -> Alignment:
        """Translate a text, and say how much each word of the translation looked at each word of the text.

        The weights are those of the decoder's last cross-attention, the mean of its heads, where it chose the word.
        Raises ValueError for an empty text, and for one of several sentences.
        """
        pieces = self._pieces(text)
        if len(pieces) != 1:
            raise ValueError("a picture of attention is that of one sentence" if pieces else "the text is empty")
        [target] = translate(pieces, self.params, self.config, num_beams=num_beams)
        weights = cross_attention(pieces[0], target, self.params, self.config)[ALIGNING_LAYER].mean(axis=0)
        return align(pieces[0][:-1], target, weights, self.tokenizer)

    def look(self, text: str, lang: str = "en") -> Page:
        """Return a page that shows where the decoder looked for each token: a notebook shows it, or save it.

        `lang` is the page's language: "zh" for Chinese. Raises ValueError for an empty text, and for one of several
        sentences.
        """
        from numpygpt.look.page import look_at_translation  # here, for only those who look need it

        return look_at_translation(self, text, lang=lang)

    def _pieces(self, text: str) -> list[list[int]]:
        """Turn a text into ids, a piece for every sentence: it was single ones that the model has learned from."""
        pieces: list[list[int]] = []
        for sentence in split_sentences(normalize(text)):
            pieces += self._cut(normalize_case(sentence))
        n_tokens, longest = sum(map(len, pieces)), self.config.max_position_embeddings
        if n_tokens > longest:
            log.warning("%d tokens are more than the %d that fit: translated in parts", n_tokens, longest)
        return pieces

    def _cut(self, sentence: str) -> Iterator[list[int]]:
        """Cut a sentence in halves, at the blank nearest to its middle, until the parts fit."""
        ids, longest = self.tokenizer.encode(sentence), self.config.max_position_embeddings
        if len(ids) <= longest:
            yield ids
            return
        middle = len(sentence) // 2
        blanks = [place for place, character in enumerate(sentence) if character == " "]
        place = min(blanks, key=lambda blank: abs(blank - middle), default=middle)
        for part in (sentence[:place].strip(), sentence[place:].strip()):
            yield from self._cut(part)

    def __repr__(self) -> str:
        return f"<Translator {self.folder.name if self.folder else ''}: {self.config}>"
