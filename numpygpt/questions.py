"""Stories with questions <-> tokens: the whole difference between a language model and one that answers.

A file of the bAbI tasks numbers the lines of a story; a question has its answer and the lines that it rests on behind
tabs:

    1 Mary moved to the bathroom.
    2 John went to the hallway.
    3 Where is Mary?	bathroom	1

As tokens (here in two lines), a question and its answer each end with `<|endoftext|>`, and the loss counts where the
answer stands:

    <|endoftext|> Mary moved to the bathroom. John went to the hallway. Where is Mary?<|endoftext|> bathroom
    <|endoftext|>

Source of the format: Weston et al. 2015, "Towards AI-complete question answering", and the README of its data.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from numpygpt.tokenizer import Tokenizer

LIST = re.compile(r"[^\W\d]+(,[^\W\d]+)+")
SENTENCE = re.compile(r"[^.!?\n]+[.!?]*")  # with the marks that end it


class Line(NamedTuple):
    """A line of a story: a sentence, or a question with its answer and the numbers of the lines that it rests on."""

    text: str
    answer: str | None = None
    support: tuple[int, ...] = ()  # counted from 1


Story = list[Line]


class Tokens(NamedTuple):
    """A story as tokens, three lists of one length."""

    ids: list[int]
    questions: list[int]  # which question of the story a token belongs to, from 0; -1 for its sentences
    is_answer: list[bool]  # whether it belongs to an answer, its end among them: where the loss counts


def read_stories(text: str) -> list[Story]:
    r"""Read a file of the bAbI tasks.

    >>> [story] = read_stories("1 Mary left.\n2 Who left?\tMary\t1\n")
    >>> story[1]
    Line(text='Who left?', answer='Mary', support=(1,))

    A list of answers, `football,milk`, becomes `football, milk`, as one writes it. Raises ValueError, naming the line,
    for one without a number or that does not go on from the line before.
    """
    stories: list[Story] = []
    for place, row in enumerate(text.splitlines(), 1):
        if not row.strip():
            continue
        number, _, rest = row.partition(" ")
        if number == "1":
            stories.append([])
        if not stories or number != str(len(stories[-1]) + 1) or not rest.strip():
            raise ValueError(f"line {place}: expected a number, which begins at 1 or goes on from the line before")
        sentence, *more = (part.strip() for part in rest.split("\t"))
        try:
            support = tuple(int(word) for word in more[1].split()) if len(more) > 1 else ()
        except ValueError:
            raise ValueError(f"line {place}: expected numbers of lines, not {more[1]!r}") from None
        answer = more[0] if more and more[0] else None
        if answer is not None and LIST.fullmatch(answer):
            answer = answer.replace(",", ", ")
        stories[-1].append(Line(sentence, answer, support))
    return stories


def story_tokens(story: Iterable[Line], tokenizer: Tokenizer) -> Tokens:
    """Turn a story with its questions and answers into tokens.

    >>> tokenizer = Tokenizer()
    >>> tokens = story_tokens([Line("Mary left."), Line("Who left?", "Mary")], tokenizer)
    >>> tokenizer.decode(tokens.ids)
    '<|endoftext|> Mary left. Who left?<|endoftext|> Mary<|endoftext|>'
    >>> tokenizer.decode(token_id for token_id, counts in zip(tokens.ids, tokens.is_answer) if counts)
    ' Mary<|endoftext|>'
    """
    end = [tokenizer.eot_id]
    tokens, n_questions = Tokens(list(end), [-1], [False]), 0
    for line in story:
        parts = [(tokenizer.encode(" " + line.text), False)]
        if line.answer is not None:
            parts += [(end, False), (tokenizer.encode(" " + line.answer) + end, True)]
        number = -1 if line.answer is None else n_questions
        n_questions += line.answer is not None
        for ids, is_answer in parts:
            tokens.ids.extend(ids)
            tokens.questions.extend([number] * len(ids))
            tokens.is_answer.extend([is_answer] * len(ids))
    return tokens


def prompt_ids(sentences: Sequence[str], question: str, tokenizer: Tokenizer) -> list[int]:
    """Return the tokens that an answer follows: the story's, the question's and its end.

    >>> tokenizer = Tokenizer()
    >>> tokenizer.decode(prompt_ids(["Mary left."], "Who left?", tokenizer))
    '<|endoftext|> Mary left. Who left?<|endoftext|>'
    """
    text = "".join(" " + sentence for sentence in (*sentences, question))
    return [tokenizer.eot_id, *tokenizer.encode(text), tokenizer.eot_id]


def split_sentences(text: str) -> list[str]:
    """Cut a text into sentences, with single blanks between words.

    >>> split_sentences("Mary went to the kitchen.  Where is she? ")
    ['Mary went to the kitchen.', 'Where is she?']
    """
    return [sentence for match in SENTENCE.finditer(text) if (sentence := " ".join(match[0].split()))]
