"""Several translations at once, each source read once and each target token once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from numpygpt.arrays import Array, Params
from numpygpt.beam_search import Beams
from numpygpt.engine.transformer import Decoder
from numpygpt.engine.transformer import transformer as transformer
from numpygpt.transformer_config import TransformerConfig


def translate(
    sources: Sequence[Sequence[int]],
    params: Params,
    config: TransformerConfig,
    *,
    num_beams: int = 1,
    length_penalty: float = 1.0,
    max_length: int | None = None,
) -> list[list[int]]:
    """Return the translation of each source, as ids without start and end.

    sources: [n_texts][n_source] ids, with their end tokens. `max_length` counts both ends of a translation, and is
    at most `max_position_embeddings`, which it is by default. The padding is never chosen.

    Raises ValueError for no ids, too many, and ids outside the vocabulary.
    """
    rows = [config.check_ids(source, "the source") for source in sources]
    if not rows:
        return []
    n_source = max(map(len, rows))
    padded = np.array([[*row.tolist(), *[config.pad_token_id] * (n_source - len(row))] for row in rows])
    longest = min(max_length or config.max_position_embeddings, config.max_position_embeddings)
    texts = [Beams(num_beams, config.eos_token_id, longest - 1, length_penalty) for _ in rows]
    decoder = Decoder(padded, params, config)
    decoder.choose(np.repeat(np.arange(len(rows)), num_beams))
    running = [text for text in texts if not text.is_done]
    ids = np.full((len(running) * num_beams, 1), config.decoder_start_token_id)
    while running:
        logits = decoder.logits(ids)[:, -1]
        logits -= logits.max(axis=-1, keepdims=True)
        log_probabilities = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        log_probabilities[:, config.pad_token_id] = -np.inf
        chosen = []
        for number, text in enumerate(running):
            first = number * num_beams
            parents = text.step(log_probabilities[first : first + num_beams])
            if not text.is_done:
                chosen += [first + parent for parent in parents]
        decoder.choose(chosen)
        running = [text for text in running if not text.is_done]
        ids = np.array([[beam[-1]] for text in running for beam in text.ids], np.intp).reshape(-1, 1)
    return [text.best for text in texts]


def cross_attention(
    source: Sequence[int], target: Sequence[int], params: Params, config: TransformerConfig
) -> list[Array]:
    """Return how much the decoder looked at each source token when it chose each of the target's.

    source: with its end token, target: without start and end -> [n_layer][n_head, n_target, n_source]
    """
    decoder = Decoder(np.array(source), params, config, keep_weights=True)
    decoder.logits(np.array([config.decoder_start_token_id, *target[:-1]]))
    return decoder.looked_at
