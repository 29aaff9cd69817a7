"""What the exercises of the tokenizer and of sampling are tried with."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache, wraps
from typing import Any

import numpy as np

from numpygpt.course.compare import settled
from numpygpt.course.inputs_learning import Case, case, floats
from numpygpt.layers import softmax
from numpygpt.sampling import Sampling
from numpygpt.tokenizer import Tokenizer

TEXTS = [
    "Hello, world",
    "the the  theater\n\nIt's 42!",
    "a cat: 🐈 naïve",
    "",
    "lowest lower low " * 3,
    "In the beginning there was banana nonsense",
    "two  blanks,\n \ta tab, and an end  ",
]
HALF_A_CAT = "half a cat: \ud83d"
REFUSED = {  # by a ValueError, say the docstrings
    "encode": [case("the <|end|>", allowed_special={"<|end|>"}), case(HALF_A_CAT)],
    "train": [case("too small", 256), case(HALF_A_CAT, 260)],
}
MERGES = 3000  # of GPT-2's list: enough to show an order, quick to set up


@cache
def _merges() -> list[tuple[bytes, bytes]]:
    return Tokenizer().merges[:MERGES]


@lru_cache(maxsize=4)
def _made(cls: Any) -> Any:
    return cls(_merges())


def _join(rng: Any) -> list[Case]:
    def parts(text: str) -> list[bytes]:
        return [bytes([byte]) for byte in text.encode()]

    return [
        case(parts("hello"), (b"l", b"l")),
        case(parts("aaab"), (b"a", b"a")),
        case(parts("aaaaa"), (b"a", b"a")),
        case([b"th", b"e", b"th", b"e"], (b"th", b"e")),
        case(parts("abcabd"), (b"a", b"b")),
        case(parts("xyz"), (b"q", b"u")),
        case([b"ab", b"c", b"a", b"bc"], (b"a", b"bc")),
        case(parts("baab"), (b"a", b"b")),
        case([], (b"a", b"b")),
    ]


def _words(rng: Any) -> list[Case]:
    words = ["hello", " theater", " beginning", " nonsense", " naïve", "🐈", "x", " banana", " understanding", " there"]
    words += ["-----", " .....", " wherever", " predicted"]  # pairs that overlap, and pairs in many orders
    return [case(word) for word in words]


def _encode(rng: Any) -> list[Case]:
    special = "<|endoftext|>"
    plain = [case(text) for text in TEXTS]
    ends = f"a{special}b {special}"
    allowed = [case(ends, allowed_special={special}), case(ends, allowed_special="all")]
    return [*plain, case(ends), *allowed, *REFUSED["encode"]]


def _decode(rng: Any) -> list[Case]:
    small = Tokenizer(_merges())
    return [
        *(case(small.encode(text)) for text in TEXTS),
        case([220, 97, 188, 98]),
        case(small.encode("🐈")[:2]),
        case([65, small.eot_id]),
    ]


def _train(rng: Any) -> list[Case]:
    return [
        case("low lower lowest", 261),
        case("banana bandana ban", 264),
        case("ab ab cd cd", 262),
        case("the cat sat on the mat. the cat ate.", 275),
        case("ab", 300),
        case("aaaa aaaa", 259),
        case("un deux un deux trois", 257),
        case("aaa ac bc", 263),
        case("The the THE", 261),
        case("<|endoftext|><|endoftext|>", 260),
        *REFUSED["train"],
    ]


def _logits(rng: Any) -> Any:
    return floats(rng, 2, 8) * 2


def _temperature(rng: Any) -> list[Case]:
    return [case(floats(rng, 6), 0.5), case(_logits(rng), 2.0), case(_logits(rng), 1.0), case(floats(rng, 5), 1.5)]


def _top_k(rng: Any) -> list[Case]:
    ties = np.array([1.0, 2.0, 2.0, 3.0, 0.0], np.float32)
    return [
        case(floats(rng, 6), 2),
        case(_logits(rng), 3),
        case(ties, 2),
        case(floats(rng, 5), 9),
        case(_logits(rng), 1),
    ]


def _top_p(rng: Any) -> list[Case]:
    cases = [case(np.log(np.array([0.2, 0.5, 0.3], np.float32)), 0.6), case(_logits(rng), 0.9)]
    cases += [case(_logits(rng), 0.5), case(floats(rng, 6), 0.01), case(floats(rng, 3, 9), 0.75)]
    return [*cases, case(_logits(rng), 0.0)]


def _penalty(rng: Any) -> list[Case]:
    one = np.array([[2.0, -2.0, 1.0, -0.5]], np.float32)
    return [
        case(one, [[0, 1]], 2.0),
        case(_logits(rng), [[0, 3, 3, 5], [7]], 1.5),
        case(_logits(rng), [[], [2, 2, 2]], 3.0),
        case(one, [[1, 2]], 1.0),
    ]


def _sample(rng: Any) -> list[Case]:
    sure = np.where(np.arange(6) == np.array([[2], [5], [0]]), 3, -99).astype(np.float32)
    return [case(sure[0], 1), case(sure, 2), case(floats(rng, 7), 3, 4000), case(_logits(rng)[0] / 2, 6, 4000)]


CHANCE = 0.035  # of 4000 draws, a token's share is off by its probability's standard deviation, 0.008, or four of them


def draw(sample: Any, logits: Any, seed: int, n: int = 0) -> Any:
    """Draw once; or n times, for the share of each token, where any way to draw will do.

    Shares as near to the probabilities as chance allows are given as the probabilities themselves.
    """
    if not n:
        return sample(logits, np.random.default_rng(seed))
    rows = np.tile(logits, (n, 1))
    ids, again, others = (np.asarray(sample(rows, np.random.default_rng(s))) for s in (seed, seed, seed + 1))
    shares, p = np.bincount(ids, minlength=len(logits)) / n, softmax(logits)
    by_seed = np.array_equal(ids, again) and not np.array_equal(ids, others)
    near = shares.shape == p.shape and np.abs(shares - p).max() < CHANCE
    return {"shares of the tokens": p if near else shares, "chance comes from rng alone": by_seed}


def _count_on(ids: Any) -> Any:
    """Return the logits of a model that counts to 9."""
    return np.eye(10, dtype=np.float32)[[(i + 1) % 10 for i in ids]]


def _hesitate(ids: Any) -> Any:
    """Return the logits of a model that counts to 9, and would almost as soon leave a number out."""
    return _count_on(ids) + 0.9 * _count_on([i + 1 for i in ids])


def _repeat(ids: Any) -> Any:
    """Return the logits of a model that repeats itself, and would almost as soon count on."""
    return _hesitate([i - 1 for i in ids])


def _sum_up(ids: Any) -> Any:
    """Return the logits of a model that adds all numbers so far, and says the last digit."""
    return _count_on(np.cumsum(ids) - 1)


def _generate(rng: Any) -> list[Case]:
    loops: list[dict[str, Any]] = [
        {"max_new_tokens": 4, "n_ctx": 100},
        {"max_new_tokens": 8, "n_ctx": 100, "eos_token_id": 9},
        {"max_new_tokens": 50, "n_ctx": 8},
        {"max_new_tokens": 50, "n_ctx": 3},
        {"max_new_tokens": 6, "n_ctx": 100, "n_vocab": 8},
        {"max_new_tokens": 0, "n_ctx": 100},
        {"max_new_tokens": 20, "n_ctx": 100, "eos_token_id": 0},
        {"max_new_tokens": 3, "n_ctx": 100, "eos_token_id": 4},
    ]
    chances: list[dict[str, Any]] = [
        {"temperature": 0.7},
        {"temperature": 9.0, "top_k": 2},
        {"do_sample": True, "top_p": 0.3},
    ]
    penalty: dict[str, Any] = {"max_new_tokens": 12, "n_ctx": 100, "sampling": Sampling(repetition_penalty=2.0)}
    return [
        *(case([3, 4, 5], _count_on, **loop) for loop in loops),
        case([3, 4, 5], _sum_up, max_new_tokens=5, n_ctx=100),
        case([6, 8, 5], _hesitate, **penalty),
        case([3], _repeat, **penalty),
        *(case([3], _hesitate, max_new_tokens=12, n_ctx=99, sampling=Sampling(**each), seed=3) for each in chances),
    ]


def continue_by(generate: Any, prompt: Any, model: Any, *, seed: int | None = None, **options: Any) -> Any:
    """Continue a prompt; where chance plays a part, twice from one seed, and once from another."""
    if seed is None:
        return generate(prompt, model, **options)
    ids, again, other = (settled(iter(generate(prompt, model, seed=s, **options))) for s in (seed, seed, seed + 1))
    told = {"the same seed gives the same tokens": ids == again, "another seed gives others": ids != other}
    return told | {"tokens": ids if ids == again else []}


def _completions(rng: Any) -> list[Case]:
    ends = [
        case("They lived happily ever", 9, n_ctx=20),
        case("The cat", 9, n_ctx=5),
    ]  # by the model's choice, by its window
    return [case("Once upon a time", 6), case("The cat", 3, n_ctx=9), *ends]


def complete_with_stories(complete: Any, prompt: str, n: int, n_ctx: int | None = None) -> Any:
    """Complete a prompt by the model that comes along, its context window cut to n_ctx tokens."""
    from numpygpt.course.weights import read_weights

    merges, params, n_head = read_weights()
    params = params | {"wpe": {"weight": params["wpe"]["weight"][:n_ctx]}}
    return complete(prompt, merges, params, n_head, max_new_tokens=n)


def or_refused(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """Return a call that gives the name of the error, or "no error", for an input that is to be refused."""

    @wraps(call)
    def try_it(cls: Any, *args: Any, **kwargs: Any) -> Any:
        if (args, kwargs) not in REFUSED[name]:
            return call(cls, *args, **kwargs)
        try:
            settled(call(cls, *args, **kwargs))
        except ValueError:
            return "ValueError"
        except Exception as error:
            return type(error).__name__
        return "no error"

    return try_it


def _method(name: str) -> Callable[..., Any]:
    def call(cls: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(_made(cls), name)(*args, **kwargs)

    return call


CASES: dict[str, Callable[[Any], list[Case]]] = {
    "join": _join,
    "merge_steps": _words,
    "encode": _encode,
    "decode": _decode,
    "train": _train,
    "apply_temperature": _temperature,
    "apply_top_k": _top_k,
    "apply_top_p": _top_p,
    "apply_repetition_penalty": _penalty,
    "sample": _sample,
    "generate": _generate,
    "complete": _completions,
}
PROBES: dict[str, Callable[..., Any]] = {name: _method(name) for name in ("merge_steps", "decode")}
PROBES |= {
    "encode": or_refused("encode", _method("encode")),
    "train": or_refused("train", lambda cls, text, size: cls.train(text, size).merges),
    "sample": draw,
    "complete": complete_with_stories,
    "generate": continue_by,
}
