"""A translation as the page shows it: the decoder's cross-attention, and the distributions that it chose from."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from numpygpt.arrays import Array, Params, flatten
from numpygpt.engine.translate import cross_attention, translate
from numpygpt.look import inside, tokens
from numpygpt.look.packing import pack, pack_shares
from numpygpt.look.say import say
from numpygpt.sentences import normalize, normalize_case
from numpygpt.tokenizer import Tokenizer
from numpygpt.transformer_config import TransformerConfig

NUM_BEAMS = 4  # as `Translator.translate` has it


class Model(Protocol):
    """What the page needs of a translator: `Translator` has it."""

    config: TransformerConfig
    params: Params

    @property
    def tokenizer(self) -> Tokenizer: ...
    def logits(self, source_ids: ArrayLike, target_ids: ArrayLike) -> Array: ...


def view(model: Model, text: str) -> dict[str, Any]:
    """Translate a text and return what the page shows of it.

    Row i of the attention and of the logits is that from which token i of the translation was chosen.

    Raises ValueError for an empty text, for one that is longer than the model has positions, and where the model has
    no translation for it.
    """
    config, text = model.config, normalize_case(normalize(text))
    if not text:
        raise ValueError(say("the text is empty; give a sentence to translate"))
    source = model.tokenizer.encode(text)
    config.check_ids(source, "the text")
    [target] = translate([source], model.params, config, num_beams=NUM_BEAMS)
    if not target:
        raise ValueError(say("the model translates this text into nothing; give another sentence"))
    patterns = np.stack(cross_attention(source, target, model.params, config))  # [n_layer, n_head, n_target, n_source]
    logits = model.logits(source, [config.decoder_start_token_id, *target[:-1]]).copy()
    logits[:, config.pad_token_id] = -np.inf  # which is never chosen
    return {
        "text": text,
        "ids": target,
        "source_ids": source,
        "attention": {
            "patterns": pack_shares(patterns),
            "entropy": pack(inside.entropy(patterns), "float16"),
            "habits": [],
        },
        "logits": pack(logits, "float32"),
    }


def facts(model: Model) -> dict[str, Any]:
    """Return what is true of a translator whatever the text."""
    config = model.config
    return {
        "name": say("translator"),
        "n_params": sum(tensor.size for tensor in flatten(model.params).values()),
        "n_layer": config.decoder_layers,
        "n_head": config.decoder_attention_heads,
        "n_embd": config.d_model,
        "vocabulary": tokens.vocabulary(model.tokenizer, config.vocab_size),
    }
