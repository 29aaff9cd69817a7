"""Stories with questions: the format of the bAbI tasks, and what becomes of it as tokens."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpygpt import Tokenizer
from numpygpt.questions import Line, Story, prompt_ids, read_stories, split_sentences, story_tokens

TOKENIZER = Tokenizer()
WORDS = st.text("abcdefghij ", min_size=1, max_size=20).map(str.strip).filter(bool)
LINES = st.builds(
    lambda text, answer, support: Line(text, answer, support if answer else ()),
    WORDS,
    st.none() | WORDS,
    st.lists(st.integers(1, 9), max_size=3).map(tuple),
)
STORIES = st.lists(st.lists(LINES, min_size=1, max_size=6), max_size=5)


def written(stories: list[Story]) -> str:
    """Stories as a file has them."""
    rows = []
    for story in stories:
        for number, line in enumerate(story, 1):
            support = " ".join(map(str, line.support))
            rows.append(f"{number} {line.text}" + ("" if line.answer is None else f" \t{line.answer}\t{support}"))
    return "\n".join(rows)


@given(STORIES)
def test_reading_undoes_writing(stories: list[Story]) -> None:
    assert read_stories(written(stories)) == stories


def test_a_list_of_answers_becomes_one_that_is_written() -> None:
    [[line]] = read_stories("1 How do you go?\ts,w\t1 2\n")
    assert line == Line("How do you go?", "s, w", (1, 2))
    [[line]] = read_stories("1 How much?\t1,5 euros\n")  # no list
    assert line.answer == "1,5 euros"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Mary left.\n", "line 1: expected a number"),
        ("1 Mary left.\n3 She came.\n", "line 2: expected a number"),
        ("2 Mary left.\n", "line 1: expected a number"),
        ("1 Mary left.\n\n2\n", "line 3: expected a number"),
        ("1 Who left?\tMary\tone\n", "line 1: expected numbers of lines, not 'one'"),
    ],
)
def test_a_line_that_is_none_is_named(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        read_stories(text)


@given(st.lists(LINES, min_size=1, max_size=6))
def test_tokens_say_which_question_they_belong_to(story: Story) -> None:
    end = "<|endoftext|>"
    tokens = story_tokens(story, TOKENIZER)
    assert len(tokens.ids) == len(tokens.questions) == len(tokens.is_answer)
    answers = [line.answer for line in story if line.answer is not None]
    told = [line.text for line in story if line.answer is None]
    rows = list(zip(*tokens, strict=True))
    for number, answer in enumerate(answers):
        counted = [token_id for token_id, question, counts in rows if question == number and counts]
        assert TOKENIZER.decode(counted) == f" {answer}{end}"
    sentences = [token_id for token_id, question, _ in rows if question < 0]
    assert TOKENIZER.decode(sentences) == end + "".join(f" {text}" for text in told)
    assert not any(counts for _, question, counts in rows if question < 0)


@given(st.lists(WORDS, max_size=4), WORDS, WORDS)
def test_a_prompt_is_what_training_shows_before_an_answer(sentences: list[str], question: str, answer: str) -> None:
    sentences, question = [f"{sentence}." for sentence in sentences], f"{question}?"  # which end words
    tokens = story_tokens([*map(Line, sentences), Line(question, answer)], TOKENIZER)
    assert prompt_ids(sentences, question, TOKENIZER) == tokens.ids[: tokens.is_answer.index(True)]


def test_sentences() -> None:
    text = "Mary went  to the\tkitchen. Really?! Yes\nJohn left...  "
    assert split_sentences(text) == ["Mary went to the kitchen.", "Really?!", "Yes", "John left..."]
    assert split_sentences(" \n. ") == []
