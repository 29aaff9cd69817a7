"""Stories that a small world tells, and a model's folder that has learned nothing yet."""

from __future__ import annotations

from pathlib import Path

from numpygpt.arrays import Params
from numpygpt.config import GPT2Config, initialize
from numpygpt.engine import Tokenizer
from numpygpt.models import checkpoint
from numpygpt.questions import Line, Story, read_stories
from numpygpt.train.stories import make_tokenizer

NAMES, PLACES = ("Mary", "John", "Sandra"), ("kitchen", "garden", "office")
WORDS = (*NAMES, *PLACES, "went", "moved", "to", "the")


def story(number: int) -> str:
    """The lines of a story with two questions, in the form of the bAbI tasks."""
    one, other = NAMES[number % 3], NAMES[(number + 1) % 3]
    first, second = PLACES[number % 3], PLACES[number // 3 % 3]
    return (
        f"1 {one} went to the {first}.\n2 Where is {one}? \t{first}\t1\n"
        f"3 {other} moved to the {second}.\n4 Where is {other}?\t{second}\t3\n"
    )


def file_of_stories(path: Path, n: int = 200) -> str:
    """Write a file of stories, and return its path."""
    path.write_text("".join(map(story, range(n))), encoding="utf-8")
    return str(path)


def stories(n: int = 9) -> list[Story]:
    """The same, read."""
    return read_stories("".join(map(story, range(n))))


def tiny_model(folder: Path, seed: int = 0, n_ctx: int = 60) -> tuple[GPT2Config, Params, Tokenizer]:
    """Write a folder with random weights, large ones for words, which it therefore writes rather than single bytes."""
    tokenizer = make_tokenizer([*stories(), [Line("Is it a football, milk?", "yes, no")]], 2000)
    config = GPT2Config(vocab_size=tokenizer.n_vocab, n_ctx=n_ctx, n_embd=16, n_layer=2, n_head=2)
    params = initialize(config, seed)
    words = {token_id for word in WORDS for token_id in tokenizer.encode(" " + word)} | {tokenizer.eot_id}
    params["wte"]["weight"][[token_id in words for token_id in range(tokenizer.n_vocab)]] *= 40
    checkpoint.save(folder, config, params, tokenizer, overwrite=True)
    return config, params, tokenizer
