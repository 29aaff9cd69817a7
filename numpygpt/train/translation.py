"""The translator: files of sentence pairs -> a folder with an encoder-decoder."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numpygpt import backward
from numpygpt.arrays import Ids, Params
from numpygpt.engine import Tokenizer
from numpygpt.engine.threads import parallel_map
from numpygpt.engine.transformer import transformer
from numpygpt.engine.translate import translate
from numpygpt.loss import cross_entropy
from numpygpt.models import marian
from numpygpt.models.tokenizer_files import load_tokenizer, save_tokenizer
from numpygpt.safetensors import load_file, save_file
from numpygpt.sentences import normalize, normalize_case
from numpygpt.train.config import TrainingError, TranslationConfig, count
from numpygpt.train.pairs import Pairs, cut_batches, encode, make_batch, make_tokenizer, read_parts
from numpygpt.transformer_config import TransformerConfig, initialize

FILES = ("train.safetensors", "validation.safetensors")
log = logging.getLogger("numpygpt.train")


class Epoch(NamedTuple):
    """One walk through all pairs."""

    number: int
    start: int  # the step of its first batch
    batches: list[NDArray[np.intp]]


@dataclass
class Translation:
    """An encoder-decoder that learns to translate: what `loop` knows as a `Task`."""

    options: TranslationConfig
    config: TransformerConfig
    tokenizer: Tokenizer
    pairs: Pairs
    held_out: Pairs
    out: Path
    begin_with: Params | None = None
    _epoch: Epoch = field(default_factory=lambda: Epoch(-1, 0, []), repr=False)

    def initialize(self) -> Params:
        """Return the parameters to begin with; the logits' bias is a constant."""
        params = initialize(self.config, self.options.seed) if self.begin_with is None else self.begin_with
        return {"model": params["model"]}

    def draw(self, step: int) -> tuple[Ids, Ids, Ids]:
        """Return the batch of a step, which depends on the step and the seed alone.

        -> source_ids [n_pairs, n_source], target_ids and targets [n_pairs, n_target], targets one position ahead
        """
        if step < self._epoch.start:
            self._epoch = Epoch(-1, 0, [])
        while step >= self._epoch.start + len(self._epoch.batches):
            number = self._epoch.number + 1
            rng = np.random.default_rng([self.options.seed, 0, number])
            batches = cut_batches(self.pairs, self.options.batch_tokens, rng)
            self._epoch = Epoch(number, self._epoch.start + len(self._epoch.batches), batches)
        return make_batch(self.pairs, self._epoch.batches[step - self._epoch.start], self.config)

    def gradients(
        self, params: Params, batch: tuple[NDArray[Any], ...], drop: backward.Dropout
    ) -> tuple[float, Params, int]:
        """Return the summed loss of some pairs, its gradients, and how many targets counted."""
        source, read, targets = batch
        smoothing = self.options.label_smoothing
        loss, tree = backward.transformer(
            source, read, targets, self._whole(params), self.config, drop=drop, label_smoothing=smoothing, n_targets=1
        )
        return loss, tree, int(np.count_nonzero(targets >= 0))

    def evaluate(self, params: Params, step: int) -> dict[str, float]:
        """Measure the validation loss, without label smoothing, and show a translation."""
        params = self._whole(params)
        loss = validation_loss(params, self.config, self.held_out)
        n_bytes = sum(len(self.tokenizer.token_bytes(i)) for i in self.held_out.target.tolist() if i != self.eos_id)
        bits = loss * len(self.held_out.target) / math.log(2) / max(1, n_bytes)
        log.info("step %d: validation loss %.4f nats per token, %.4f bits per byte", step, loss, bits)
        if math.isfinite(loss) and self.options.prompt:
            log.info("  %s", self.sample(params))
        return {"validation_loss": loss, "validation_bits_per_byte": bits}

    @property
    def blind_loss(self) -> float:
        """The loss of blind guessing."""
        return math.log(self.config.vocab_size)

    @property
    def eos_id(self) -> int:
        """The id that ends every sentence."""
        return self.tokenizer.eot_id

    def sample(self, params: Params) -> str:
        """Translate the prompt, the likeliest token each time."""
        source = self.tokenizer.encode(normalize_case(normalize(self.options.prompt)))
        [target] = translate([source], params, self.config)
        return f"{self.options.prompt} -> {self.tokenizer.decode(target)}"

    def save(self, params: Params) -> None:
        """Write the model folder."""
        dtype = np.float16 if self.options.float16 else None
        about = {
            name: value for name in ("source_language", "target_language") if (value := getattr(self.options, name))
        }
        marian.save(
            self.out, self.config, self._whole(params), self.tokenizer, dtype=dtype, overwrite=True, about=about
        )

    def _whole(self, params: Params) -> Params:
        given = self.begin_with or {"final_logits_bias": np.zeros((1, self.config.vocab_size), np.float32)}
        return params | {"final_logits_bias": given["final_logits_bias"]}

    def describe(self) -> dict[str, Any]:
        """Return what the state file says of the model."""
        return {"config": dataclasses.asdict(self.config)}

    @property
    def how_to_use(self) -> str:
        """The command that tries the model."""
        return f'python -m numpygpt.translate --model {self.out} "{self.options.prompt or self._first_source()}"'

    def _first_source(self) -> str:
        ids = self.held_out.source[: self.held_out.source_starts[1]].tolist()
        return self.tokenizer.decode(token_id for token_id in ids if token_id != self.eos_id)

    def __str__(self) -> str:
        config, options = self.config, self.options
        return (
            f"{config.encoder_layers} + {count(config.decoder_layers, 'layer')}, "
            f"{count(config.encoder_attention_heads, 'head')}, width {config.d_model}, {config.vocab_size} tokens\n"
            f"{len(self.pairs)} pairs to learn from, {len(self.held_out)} held out, about {options.batch_tokens} "
            "tokens a step"
        )


def begin(
    texts: Sequence[str], out: Path, options: TranslationConfig, before_writing: Callable[[], None]
) -> Translation:
    """Make shape, vocabulary and files of pairs. Raises TrainingError where the text does not give them."""
    lines, held_out = read_parts(texts, options)
    begin_with = None
    if options.init is not None:
        from numpygpt.models.names import find_or_download

        folder = find_or_download(options.init)
        config, begin_with = marian.load(folder)
        tokenizer = load_tokenizer(folder, Tokenizer)
    else:
        tokenizer = make_tokenizer(lines, options.vocab_size or 4096)
        try:
            config = TransformerConfig(
                vocab_size=tokenizer.n_vocab,
                d_model=options.n_embd or 256,
                max_position_embeddings=options.n_ctx or 64,
                encoder_layers=options.n_layer or 3,
                decoder_layers=options.n_layer or 3,
                encoder_attention_heads=options.n_head or 4,
            )
        except ValueError as error:
            raise TrainingError(str(error)) from None
    encoded = [encode(part, tokenizer, config.max_position_embeddings) for part in (lines, held_out)]
    before_writing()
    folder = out / "training"
    save_tokenizer(tokenizer, folder)
    for name, pairs in zip(FILES, encoded, strict=True):
        tensors = {field: np.asarray(value) for field, value in pairs._asdict().items()}
        save_file(tensors, folder / name, {})
    return open_again(out, options, config, begin_with)


def open_again(
    out: Path, options: TranslationConfig, config: TransformerConfig | dict[str, Any], begin_with: Params | None = None
) -> Translation:
    """Open what `begin` has written, for the run that goes on."""
    folder = out / "training"
    train, validation = (Pairs(**load_file(folder / name)) for name in FILES)
    config = TransformerConfig(**config) if isinstance(config, dict) else config
    return Translation(options, config, load_tokenizer(folder, Tokenizer), train, validation, out, begin_with)


def validation_loss(params: Params, config: TransformerConfig, pairs: Pairs) -> float:
    """Return the mean loss of a target's tokens, in nats, its end among them."""
    batches = cut_batches(pairs, 2500, np.random.default_rng(0))

    def nats(number: int) -> float:
        source, read, targets = make_batch(pairs, batches[number], config)
        logits = transformer(source, read, params, config)
        return float(cross_entropy(logits, np.maximum(targets, 0))[targets >= 0].sum(dtype=np.float64))

    with np.errstate(all="ignore"):
        return sum(parallel_map(nats, range(len(batches)))) / len(pairs.target)
