"""How well a translator does: BLEU and chrF on the test sentences, beside what can be had without one.

    pip install -e ".[reference]" && python weights/translation_scores.py english-french CORPUS/translation

scores each English sentence of `fra-test.tsv` once, against all its French translations there, by `sacrebleu`
(tokenizer 13a). The far sentences are those that differ from every training sentence in more than one word.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from numpygpt import Translator

Lines = list[tuple[str, str]]
WORD = re.compile(r"\w+(?:'\w+)?|[^\w\s]")


def read(path: Path) -> Lines:
    """Read a file of pairs."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    lines = [line.split("\t") for line in data.decode().splitlines()]
    return [(line[0], line[1]) for line in lines]


def group(lines: Lines) -> dict[str, list[str]]:
    """Return all translations of each sentence, in order of first appearance."""
    grouped: dict[str, list[str]] = defaultdict(list)
    for source, target in lines:
        grouped[source].append(target)
    return dict(grouped)


def words(text: str) -> tuple[str, ...]:
    """Return a sentence's words and marks, in small letters."""
    return tuple(WORD.findall(text.lower()))


def with_one_blank(sentence: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return a sentence with a blank instead of each word in turn, and with one more between them.

    Two sentences share one of these if and only if they differ in one word, by replacing, adding or leaving it out.
    """
    blotted = [(*sentence[:i], "\0", *sentence[i + 1 :]) for i in range(len(sentence))]
    grown = [(*sentence[:i], "\0", *sentence[i:]) for i in range(len(sentence) + 1)]
    return blotted + grown


def far_sentences(sources: Sequence[str], train: Lines) -> list[str]:
    """Return the sentences that differ from every training sentence in more than one word."""
    known = {blank for source in {words(source) for source, _ in train} for blank in with_one_blank(source)}
    return [source for source in sources if not known & set(with_one_blank(words(source)))]


def word_for_word(train: Lines) -> Callable[[str], str]:
    """Return a translator that looks up each word: the French one that most often comes with it, for its frequency."""
    english, french, both = Counter[str](), Counter[str](), Counter[tuple[str, str]]()
    for source, target in train:
        ours, theirs = set(words(source)), set(words(target))
        english.update(ours)
        french.update(theirs)
        both.update((one, other) for one in ours for other in theirs)
    best: dict[str, tuple[float, str]] = {}
    for (one, other), count in both.items():
        dice = 2 * count / (english[one] + french[other])
        best[one] = max(best.get(one, (0.0, "")), (dice, other))

    def translate(text: str) -> str:
        found = " ".join(best.get(word, (0.0, word))[1] for word in words(text))
        return found[:1].upper() + found[1:]

    return translate


def nearest_sentence(train: Lines) -> Callable[[str], str]:
    """Return a translator that gives back the translation of the training sentence with the most words in common."""
    known = group(train)
    with_word: dict[str, set[str]] = defaultdict(set)
    sets = {source: frozenset(words(source)) for source in known}
    for source, its_words in sets.items():
        for word in its_words:
            with_word[word].add(source)

    def translate(text: str) -> str:
        own = frozenset(words(text))
        rare = sorted(own & with_word.keys(), key=lambda word: len(with_word[word]))[:4]
        candidates = set[str]().union(*(with_word[word] for word in rare))
        nearest = max(sorted(candidates), key=lambda other: len(own & sets[other]) / len(own | sets[other]), default="")
        return known[nearest][0] if nearest else text

    return translate


def score(found: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Return BLEU and chrF, by sacrebleu: all references of a sentence count."""
    import sacrebleu

    longest = max(map(len, references))
    streams: Any = [[own[i] if i < len(own) else None for own in references] for i in range(longest)]
    return {
        "BLEU": sacrebleu.corpus_bleu(list(found), streams, tokenize="13a", force=True).score,
        "chrF": sacrebleu.corpus_chrf(list(found), streams).score,
    }


def scores(translate: Callable[[list[str]], list[str]], test: dict[str, list[str]], far: list[str]) -> dict[str, float]:
    """Score all sentences, and the far ones alone."""
    found = dict(zip(test, translate(list(test)), strict=True))
    all_of_them = score(list(found.values()), list(test.values()))
    of_far = score([found[source] for source in far], [test[source] for source in far])
    return {**all_of_them, **{f"{name}, far": value for name, value in of_far.items()}}


def contenders(translator: Translator, train: Lines) -> dict[str, Callable[[list[str]], list[str]]]:
    """Return the translator, greedy and with beams, and what can be had without one."""
    lookup, nearest = word_for_word(train), nearest_sentence(train)
    return {
        "word for word": lambda texts: [lookup(text) for text in texts],
        "nearest training sentence": lambda texts: [nearest(text) for text in texts],
        "english-french, greedy": lambda texts: translator.translate(texts, num_beams=1),
        "english-french, 4 beams": lambda texts: translator.translate(texts, num_beams=4),
    }


def main() -> None:
    """Print the scores of the translator, and of what can be had without one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--part", default="test", choices=["test", "val"])
    options = parser.parse_args()
    train, test = read(options.corpus / "fra-train.tsv.gz"), group(read(options.corpus / f"fra-{options.part}.tsv"))
    far = far_sentences(list(test), train)
    translator = Translator.from_pretrained(options.model)
    print(f"{len(test)} sentences, {len(far)} of them far from every training sentence")
    for name, translate in contenders(translator, train).items():
        started = time.perf_counter()
        result = {key: round(value, 2) for key, value in scores(translate, test, far).items()}
        print(f"{name:26} {json.dumps(result)}  {time.perf_counter() - started:.1f} s", flush=True)


if __name__ == "__main__":
    main()
