"""The translator: files of sentence pairs -> a folder with an encoder-decoder.

A file holds a pair a line: the source, a tab, the target. What is held out is a file of its own, or every 100th source
sentence with all its translations.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Sequence
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
from numpygpt.tokenizer import END_OF_TEXT
from numpygpt.train.config import TrainingError, TranslationConfig
from numpygpt.train.text import HELD_OUT_EVERY
from numpygpt.transformer_config import TransformerConfig, initialize

SPECIAL = (END_OF_TEXT, "<|pad|>", "<|startoftext|>")  # the last three ids
PAIRS = {"train": "train.safetensors", "validation": "validation.safetensors"}
NO_TARGET = -1
log = logging.getLogger("numpygpt.train")

Lines = list[tuple[str, str]]


class Pairs(NamedTuple):
    """Sentence pairs as ids, one after the other, each with its end token; pair i is at [starts[i]:starts[i + 1]]."""

    source: Ids
    source_starts: NDArray[np.int64]
    target: Ids
    target_starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.source_starts) - 1


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
        config = self.config
        return (
            f"{config.encoder_layers} + {config.decoder_layers} layers, {config.encoder_attention_heads} heads, width "
            f"{config.d_model}, {config.vocab_size} tokens\n{len(self.pairs)} pairs to learn from, "
            f"{len(self.held_out)} held out; steps of about {self.options.batch_tokens} tokens"
        )


def begin(texts: Sequence[str], out: Path, options: TranslationConfig) -> Translation:
    """Make shape, vocabulary and files of pairs. Raises TrainingError where the text does not give them."""
    lines, held_out = _read(texts, options)
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
    folder = out / "training"
    save_tokenizer(tokenizer, folder)
    for name, part in (("train", lines), ("validation", held_out)):
        pairs = encode(part, tokenizer, config.max_position_embeddings, name)
        tensors = {field: np.asarray(value) for field, value in pairs._asdict().items()}
        save_file(tensors, folder / PAIRS[name], {})
    return open_again(out, options, config, begin_with)


def open_again(
    out: Path, options: TranslationConfig, config: TransformerConfig | dict[str, Any], begin_with: Params | None = None
) -> Translation:
    """Open what `begin` has written, for the run that goes on."""
    folder = out / "training"
    train, validation = (Pairs(**load_file(folder / name)) for name in PAIRS.values())
    config = TransformerConfig(**config) if isinstance(config, dict) else config
    return Translation(options, config, load_tokenizer(folder, Tokenizer), train, validation, out, begin_with)


def _read(texts: Sequence[str], options: TranslationConfig) -> tuple[Lines, Lines]:
    """Read the pairs to learn from and those held out."""
    lines = [line for text in texts for line in read_pairs(Path(text))]
    if options.validation is not None:
        held_out = read_pairs(Path(options.validation))
    else:
        sources = list(dict.fromkeys(source for source, _ in lines))
        chosen = set(sources[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY])
        held_out = [line for line in lines if line[0] in chosen]
        lines = [line for line in lines if line[0] not in chosen]
    if not lines or not held_out:
        raise TrainingError(
            f"{', '.join(texts)}: {len(lines)} pairs to learn from and {len(held_out)} held out; give more"
        )
    return lines, held_out


def read_pairs(path: Path) -> Lines:
    """Read a file of pairs, also one that is compressed as `.gz`, in the form that the model will see.

    Raises TrainingError, naming the line, where one is no pair; what follows a second tab is left out.
    """
    import gzip

    if not path.is_file():
        raise TrainingError(f"{path}: there is no such file")
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        text = data.decode("utf-8-sig")
    except (OSError, EOFError) as error:
        raise TrainingError(f"{path} cannot be read: {error}") from None
    except UnicodeDecodeError:
        raise TrainingError(f"{path} is not UTF-8 text; convert it first") from None
    pairs = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        parts = [normalize(part) for part in line.split("\t")[:2]]
        if len(parts) < 2 or not all(parts):
            raise TrainingError(f"{path}, line {number}: expected a sentence, a tab and its translation")
        pairs.append((normalize_case(parts[0]), parts[1]))
    return pairs


def make_tokenizer(lines: Lines, vocab_size: int) -> Tokenizer:
    """Learn one vocabulary for both languages; every text ends with `<|endoftext|>`."""
    text = "\n".join(part for line in lines for part in line)
    merges = Tokenizer.train(text, vocab_size - len(SPECIAL) + 1).merges
    first = 256 + len(merges)
    special = {name: first + i for i, name in enumerate(SPECIAL)}
    return Tokenizer(merges, special_tokens=special, suffix=[first])


def encode(lines: Lines, tokenizer: Tokenizer, longest: int, name: str) -> Pairs:
    """Turn pairs into ids, leaving out those of more than `longest` tokens on a side, and say how many."""
    ids = [(tokenizer.encode(source), tokenizer.encode(target)) for source, target in lines]
    fitting = [pair for pair in ids if max(map(len, pair)) <= longest]
    if n_left_out := len(ids) - len(fitting):
        log.info("%s: left out %d pairs of more than %d tokens", name, n_left_out, longest)
    if not fitting:
        raise TrainingError(f"no pair has at most {longest} tokens on either side: give a larger --n-ctx")
    sides = []
    for side in zip(*fitting, strict=True):
        starts = np.cumsum([0, *map(len, side)])
        sides += [np.array([token_id for ids in side for token_id in ids], np.int32), starts]
    return Pairs(*sides)


def cut_batches(pairs: Pairs, tokens: int, rng: np.random.Generator) -> list[NDArray[np.intp]]:
    """Share out all pairs to batches of about so many tokens, those of like length together, in a random order.

    Within a batch all targets have one length, as good as always, and sources nearly one: so little of it is padding.
    """
    n_source, n_target = np.diff(pairs.source_starts), np.diff(pairs.target_starts)
    order = rng.permutation(len(pairs))
    order = order[np.lexsort((n_source[order], n_target[order]))]
    width = n_source[order] + n_target[order]
    batches, start, widest = [], 0, 0
    for end, n in enumerate(width.tolist()):
        widest = max(widest, n)
        if (end + 1 - start) * widest > tokens and end > start:
            batches.append(order[start:end])
            start, widest = end, n
    batches.append(order[start:])
    return [batches[i] for i in rng.permutation(len(batches))]


def make_batch(pairs: Pairs, chosen: NDArray[np.intp], config: TransformerConfig) -> tuple[Ids, Ids, Ids]:
    """Lay pairs into arrays: the sources, filled up with padding, what the decoder reads, and what it shall say."""
    source = _pad(pairs.source, pairs.source_starts, chosen, config.pad_token_id)
    target = _pad(pairs.target, pairs.target_starts, chosen, config.pad_token_id)
    read = np.full_like(target, config.decoder_start_token_id)
    read[:, 1:] = np.where(target[:, 1:] == config.pad_token_id, config.pad_token_id, target[:, :-1])
    return source, read, np.where(target == config.pad_token_id, NO_TARGET, target)


def _pad(ids: Ids, starts: NDArray[np.int64], chosen: NDArray[np.intp], pad_token_id: int) -> Ids:
    lengths = starts[chosen + 1] - starts[chosen]
    column = np.arange(lengths.max())
    place = np.minimum(starts[chosen][:, None] + column, len(ids) - 1)
    return np.where(column < lengths[:, None], ids[place], pad_token_id).astype(np.intp)


def validation_loss(params: Params, config: TransformerConfig, pairs: Pairs) -> float:
    """Return the mean loss of a target's tokens, in nats, its end among them."""
    batches = cut_batches(pairs, 2500, np.random.default_rng(0))

    def nats(number: int) -> float:
        source, read, targets = make_batch(pairs, batches[number], config)
        logits = transformer(source, read, params, config)
        return float(cross_entropy(logits, np.maximum(targets, 0))[targets >= 0].sum(dtype=np.float64))

    with np.errstate(all="ignore"):
        return sum(parallel_map(nats, range(len(batches)))) / len(pairs.target)
