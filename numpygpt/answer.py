"""Answers to questions about a story, and the command `python -m numpygpt.answer`.

The answer is what the model writes after the story and the question, token by token, as it would write any text:

    from numpygpt.answer import answer

    answer("Mary went to the kitchen. John went to the garden.", "Where is Mary?")
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from numpygpt.arrays import Array
from numpygpt.beam_search import Beams
from numpygpt.layers import softmax
from numpygpt.pretrained import GPT2
from numpygpt.questions import prompt_ids, split_sentences
from numpygpt.tokenizer import Tokenizer

MODEL = "questions"
UNSURE = 0.5  # an answer less likely than this is no answer; the model's card says how many such ones are right
LONGEST = 16  # tokens of an answer
WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")


def answer(story: str, question: str, model: str | GPT2 = MODEL) -> str:
    """Return the answer to a question about a story: at every step the likeliest token.

    `model` is a name, a folder or a loaded model. Raises ValueError for a word that the model has never seen, for no
    question, and for a story that is longer than the context window.
    """
    return answers(story, question, 1, model)[0][0]


def answers(story: str, question: str, n: int = 5, model: str | GPT2 = MODEL) -> list[tuple[str, float]]:
    """Return the `n` likeliest answers that beam search finds, each with its probability, the likeliest first.

    An answer's probability is the product of its tokens', its end among them. Raises what `answer` raises, and
    ValueError for `n` below 1.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, not {n}")
    model = load(model)
    prompt = read(story, question, model)
    beams = Beams(n, model.tokenizer.eot_id, LONGEST, length_penalty=0)
    while not beams.is_done:
        different = beams.ids[:1] if not beams.ids[0] else beams.ids  # at first they are all the same
        logits = model.logits([prompt + ids for ids in different], logits_to_keep=1)[:, -1]
        with np.errstate(divide="ignore"):
            beams.step(np.resize(np.log(softmax(logits.astype(np.float64))), (n, logits.shape[-1])))
    return [(model.tokenizer.decode(ids[:-1]).strip(), float(np.exp(score))) for score, ids in beams.finished]


def why(story: str, question: str, model: str | GPT2 = MODEL) -> list[tuple[str, list[tuple[str, float]]]]:
    """Return the words of a story, sentence by sentence, and how much of its attention the answer gave to each.

    It is the attention at the place where the answer's first token is chosen, the mean over heads and layers, as
    shares of what the sentences get in all. Raises what `answer` raises.
    """
    model = load(model)
    prompt = read(story, question, model)
    kept = model.trace(prompt)
    layers = [kept[f"h.{layer}.attn.probabilities"][:, -1] for layer in range(model.config.n_layer)]
    weights: Array = np.mean(layers, axis=(0, 1))  # [n_seq]
    sentences, start, found = split_sentences(story), 1, []
    for sentence in sentences:
        words = []
        for word in marked(known(sentence, model.tokenizer), ".").split():
            end = start + len(model.tokenizer.encode(" " + word))
            words.append((word, float(weights[start:end].sum())))
            start = end
        found.append((" ".join(word for word, _ in words), words))
    total = sum(weight for _, words in found for _, weight in words) or 1.0
    return [(sentence, [(word, weight / total) for word, weight in words]) for sentence, words in found]


def load(model: str | GPT2) -> GPT2:
    """Return a model by its name or folder; the last one stays in memory."""
    return model if isinstance(model, GPT2) else _load(model)


@lru_cache(maxsize=1)
def _load(name: str) -> GPT2:
    return GPT2.from_pretrained(name)


def read(story: str, question: str, model: GPT2) -> list[int]:
    """Turn a story and a question into the tokens that the answer follows. Raises what `answer` raises."""
    asked = split_sentences(question)
    if len(asked) != 1:
        raise ValueError(f"give one question, such as 'Where is Mary?', not {question.strip()!r}")
    sentences = [marked(known(sentence, model.tokenizer), ".") for sentence in split_sentences(story)]
    ids = prompt_ids(sentences, marked(known(asked[0], model.tokenizer), "?"), model.tokenizer)
    if len(ids) + LONGEST > model.config.n_ctx:
        raise ValueError(
            f"the story and its question are {len(ids)} tokens; with an answer, at most {model.config.n_ctx - LONGEST} "
            "fit the context window: tell a shorter story"
        )
    return ids


def known(sentence: str, tokenizer: Tokenizer) -> str:
    """Return a sentence in the model's own words: one that it knows only with another first letter gets that.

    Every word that it has learned from is a single token. Raises ValueError for others.
    """
    for word in WORD.findall(sentence):
        spellings = (word, word.lower(), word.capitalize())
        spelling = next((each for each in spellings if len(tokenizer.encode(" " + each)) == 1), None)
        if spelling is None:
            raise ValueError(f"the model has never seen the word {word!r}, so it cannot answer")
        sentence = re.sub(rf"(?<![\w'-]){re.escape(word)}(?![\w'-])", spelling, sentence)
    return sentence


def marked(sentence: str, mark: str) -> str:
    """Return a sentence that ends with a mark.

    >>> marked("Where is she", "?"), marked("She left.", ".")
    ('Where is she?', 'She left.')
    """
    return sentence if sentence.endswith((".", "!", "?")) else sentence + mark


def split_question(text: str) -> tuple[str, str]:
    """Cut a text into the story and the question that ends it. Raises ValueError where none does.

    >>> split_question("Mary left. Where is Mary?")
    ('Mary left.', 'Where is Mary?')
    """
    sentences = split_sentences(text)
    if not sentences or not sentences[-1].endswith("?"):
        raise ValueError("the text ends with no question, such as 'Where is Mary?'")
    return " ".join(sentences[:-1]), sentences[-1]


def show(story: str, question: str, model: GPT2, n: int, is_explained: bool) -> None:
    """Print the answer with its probability, and what was asked for besides."""
    found = answers(story, question, max(n, 1), model)
    text, probability = found[0]
    if probability < UNSURE:
        print(f"I do not know. (Likeliest, at {probability:.0%}: {text})")
    else:
        print(f"{text} ({probability:.0%})")
    for other, share in found[1:n]:
        print(f"  {share:6.1%}  {other}")
    if is_explained:
        for sentence, words in why(story, question, model):
            strongest = sorted(words, key=lambda word: -word[1])[:2]
            named = ", ".join(f"{word.strip('.,!?')} {weight:.0%}" for word, weight in strongest if weight >= 0.02)
            print(f"  {sum(weight for _, weight in words):4.0%}  {sentence}" + (f"  ({named})" if named else ""))
    sys.stdout.flush()


def talk(model: GPT2, n: int, is_explained: bool) -> None:
    """Read a story line by line, and answer its questions as they come."""
    print("Tell a story, a sentence or more a line, and ask. An empty line begins a new story; Ctrl-D ends.")
    story: list[str] = []
    for line in sys.stdin:
        if not line.strip():
            story.clear()
            print("A new story.")
        for sentence in split_sentences(line):
            try:
                if sentence.endswith("?"):
                    show(" ".join(story), sentence, model, n, is_explained)
                else:
                    known(sentence, model.tokenizer)
                    story.append(marked(sentence, "."))
            except ValueError as error:
                print(f"{str(error)[0].upper()}{str(error)[1:]}.")


def text_of(words: Sequence[str], path: str | None) -> str:
    """Return the text of the command line, behind that of a file, or else that of standard input."""
    parts = []
    try:
        if path is not None:
            parts.append(Path(path).read_text(encoding="utf-8-sig"))
        if words:
            parts.append(" ".join(words))
            parts[-1].encode()
        return "\n".join(parts or [sys.stdin.buffer.read().decode("utf-8-sig")])
    except UnicodeError:
        raise ValueError("the text is not UTF-8; convert it first, for example with iconv") from None


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    from numpygpt.command_line import Parser, friendly_exit, number

    parser = Parser(
        "python -m numpygpt.answer",
        "Answer a question about a story: the text's last sentence is the question. Without a text, it is read from\n"
        "standard input.",
        'examples: python -m numpygpt.answer "Mary went to the kitchen. John took the milk. Where is Mary?"\n'
        '          python -m numpygpt.answer --story story.txt "Where is the milk?"\n'
        "          python -m numpygpt.answer --interactive",
    )
    parser.add_argument("text", nargs="*", metavar="TEXT", help="a story and a question, or the question alone")
    parser.add_argument("--story", metavar="FILE", help="a file with the story")
    parser.add_argument("-i", "--interactive", action="store_true", help="tell a story line by line, and ask")
    parser.add_argument("--why", action="store_true", help="show which sentences and words the answer looked at")
    parser.add_argument(
        "--top", type=number(int, 1), default=1, metavar="N", help="show the N likeliest answers (default: 1)"
    )
    parser.add_argument("-m", "--model", metavar="NAME", default=MODEL, help=f"the model (default: {MODEL})")
    options = parser.parse_args(argv)
    if options.interactive and (options.text or options.story):
        parser.error("--interactive reads the story as it is typed: leave out the text and --story")
    if not (options.interactive or options.text) and (sys.stdin is None or sys.stdin.isatty()):
        parser.error('give a story and a question, such as "Mary went to the kitchen. Where is Mary?"')
    with friendly_exit(parser.prog):
        if options.interactive:
            talk(load(options.model), options.top, options.why)
        else:
            story, question = split_question(text_of(options.text, options.story))
            show(story, question, load(options.model), options.top, options.why)


if __name__ == "__main__":
    main()
