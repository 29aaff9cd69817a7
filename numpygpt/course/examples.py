"""The hand-sized example of every exercise: the one in the book's docstring, or one of the course's own."""

from __future__ import annotations

import doctest
import math
from typing import Any

import numpy as np

from numpygpt.course.compare import settled
from numpygpt.course.exercises import Exercise
from numpygpt.course.say import say

PROJECTIONS = 'attn = dict.fromkeys(["q_proj", "k_proj", "v_proj", "out_proj"], one)'
OWN = {  # where the book's docstring has no example: lines of code, those with a result to be compared
    "decode": "Tokenizer().decode([15496, 11, 995])",
    "positional_embedding": "positional_embedding([0, 1], np.array([[0.0, 0.1], [1.0, 1.1], [2.0, 2.1]]))",
    "causal_mask": "causal_mask(3) == 0",
    "split_heads": "split_heads(np.array([[0.0, 1.0, 2.0, 3.0], [10.0, 11.0, 12.0, 13.0]]), n_head=2)",
    "merge_heads": "merge_heads(np.array([[[0.0, 1.0], [10.0, 11.0]], [[2.0, 3.0], [12.0, 13.0]]]))",
    "multi_head_attention": """\
c_attn = {"weight": np.tile(np.eye(2), 3), "bias": np.zeros(6)}
c_proj = {"weight": np.eye(2), "bias": np.ones(2)}
multi_head_attention(np.eye(2), c_attn=c_attn, c_proj=c_proj, n_head=1, mask=causal_mask(2)).round(3)""",
    "mlp": """\
c_fc = {"weight": np.array([[1.0, -1.0]]), "bias": np.zeros(2)}
c_proj = {"weight": np.ones((2, 1)), "bias": np.ones(1)}
mlp(np.array([1.0]), c_fc=c_fc, c_proj=c_proj).round(3)""",
    "transformer_block": """\
norm, one = {"weight": np.ones(2), "bias": np.zeros(2)}, {"weight": np.eye(2), "bias": np.zeros(2)}
attn = {"c_attn": {"weight": np.ones((2, 6)), "bias": np.ones(6)}, "c_proj": one}
params = {"ln_1": norm, "attn": attn, "ln_2": norm, "mlp": {"c_fc": one, "c_proj": one}}
transformer_block(np.array([[1.0, 3.0]]), **params, n_head=1).round(3)""",
    "sample": "sample(np.array([[-99.0, 2.0, -99.0], [-99.0, -99.0, 0.0]]), np.random.default_rng(0))",
    "apply_temperature": "apply_temperature(np.array([1.0, 2.0]), 0.5)",
    "loss": "TextLoss(nats=6.0, n_tokens=4, n_bytes=9).loss",
    "perplexity": "round(TextLoss(nats=6.0, n_tokens=4, n_bytes=9).perplexity, 3)",
    "bits_per_byte": "round(TextLoss(nats=6.0, n_tokens=4, n_bytes=9).bits_per_byte, 3)",
    "backward.linear": "linear(np.array([[1.0, 2.0]]), np.array([[3.0]]), np.array([[4.0, 5.0]]), np.zeros(2))",
    "backward.relu": "relu(np.array([5.0, 5.0]), np.array([-1.0, 2.0]))",
    "backward.gelu": "gelu(np.array([1.0, 1.0]), np.array([0.0, 1.0])).round(4)",
    "backward.softmax": "softmax(np.array([1.0, 0.0]), np.array([0.25, 0.75]))",
    "backward.layer_norm": """\
layer_norm(np.array([1.0, 0.0, 0.0]), np.array([1.0, 2.0, 4.0]), np.ones(3), np.zeros(3))[0].round(3)""",
    "backward.positional_embedding": """\
positional_embedding(np.array([[[1.0], [2.0]], [[3.0], [4.0]]]), np.zeros((3, 1)))""",
    "backward.attention": """\
saved = SavedAttention(np.full((2, 2), 0.5), None, np.full((2, 2), 0.5))
attention(np.eye(2), saved, np.eye(2), np.eye(2), np.eye(2), 1.0)""",
    "backward.cross_entropy": "cross_entropy(np.array([[0.0, math.log(3.0)]]), np.array([1]))",
    "sines_first": "sines_first(2, 4).round(3)",
    "embed": "embed([1], np.array([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]))",
    "transformer.multi_head_attention": f"""\
one = {{"weight": np.eye(2), "bias": np.zeros(2)}}
{PROJECTIONS}
multi_head_attention(np.array([[1.0, 0.0]]), np.array([[1.0, 2.0], [3.0, 4.0]]), **attn, n_head=1).round(3)""",
    "feed_forward": """\
fc1 = {"weight": np.array([[1.0, -1.0]]), "bias": np.zeros(2)}
fc2 = {"weight": np.ones((2, 1)), "bias": np.ones(1)}
feed_forward(np.array([1.0]), fc1, fc2)""",
    "encoder_layer": f"""\
one, norm = {{"weight": np.eye(2), "bias": np.zeros(2)}}, {{"weight": np.array([1.0, 2.0]), "bias": np.zeros(2)}}
{PROJECTIONS}
norms = {{"self_attn_layer_norm": norm, "final_layer_norm": norm}}
x = np.array([[1.0, 3.0], [2.0, 0.0]])
encoder_layer(x, self_attn=attn, fc1=one, fc2=one, **norms, n_head=1, mask=0.0).round(3)""",
    "decoder_layer": f"""\
one, norm = {{"weight": np.eye(2), "bias": np.zeros(2)}}, {{"weight": np.array([1.0, 2.0]), "bias": np.zeros(2)}}
{PROJECTIONS}
norms = {{"self_attn_layer_norm": norm, "encoder_attn_layer_norm": norm, "final_layer_norm": norm}}
layer = {{"self_attn": attn, "encoder_attn": attn, "fc1": one, "fc2": one, **norms}}
decoder_layer(np.array([[1.0, 3.0]]), np.array([[2.0, 0.0]]), **layer, n_head=1, memory_mask=0.0).round(3)""",
    "complete": "complete('Once upon a', *read_weights(), max_new_tokens=1)",
}


NOTES = {  # what a stub needs to say that the book's docstring, beside its code, need not
    "merge_steps": '`self._ranks` holds the rank of every merge: {(b" ", b"t"): 0, (b" ", b"a"): 1, ...}.',
    "encode": """\
`self.split` cuts a text into words, `self.merge_steps` merges one, `self.vocab` and `self.special_tokens` hold the
ids: {b"he": 258, ...} and {"<|endoftext|>": 50256}.""",
    "decode": "`self.decode_bytes` looks up the bytes of ids.",
    "train": "Return `cls(merges)`.",
    "generate": """\
`sampling.choose(logits, [ids], [rng])` chooses the next id: from the logits of the last position, [1, n_vocab], all
ids so far, prompt included, and `rng = np.random.default_rng(seed)`. It returns an array, [1].""",
    "sample": "`rng.random(shape)` gives numbers from 0 to 1.",
    "learning_rate": "The steps count from 0.",
}


def _examples(exercise: Exercise) -> list[doctest.Example]:
    book = exercise.book()
    function = vars(book)[exercise.method] if exercise.method else book
    function = getattr(function, "fget", None) or getattr(function, "__func__", function)
    found = doctest.DocTestParser().get_examples(function.__doc__ or "")
    if exercise.name in OWN:
        found = [doctest.Example(line + "\n", "") for line in OWN[exercise.name].splitlines()]
    return found or doctest.DocTestParser().get_examples(book.__doc__ or "")


def outcomes(exercise: Exercise, implementation: Any) -> list[tuple[str, Any]]:
    """Run the example with an implementation: its lines, each with what it returned or printed."""
    printed: list[Any] = []
    namespace = dict(vars(exercise.book_module())) | {"np": np, "math": math, exercise.owner: implementation}
    namespace["print"] = lambda *args: printed.extend(args)
    namespace["list"] = lambda items=(): settled(iter(items))  # of an endless generator, too
    namespace["round"] = lambda x, digits=None: (
        np.round(x, digits or 0) if isinstance(x, np.ndarray) else round(x, digits)
    )
    seen: list[tuple[str, Any]] = []
    for example in _examples(exercise):
        try:
            code: Any = compile(example.source.strip(), "<example>", "eval")
        except SyntaxError:
            exec(compile(example.source, "<example>", "exec"), namespace)
        else:
            seen.append((example.source.strip(), settled(eval(code, namespace))))
    return seen + [(say("what the example prints"), text) for text in printed]


def notes_text(exercise: Exercise, indent: str) -> str:
    """Return the lines to add to a docstring for somebody who does not see the code."""
    notes = [indent + line for line in NOTES.get(exercise.name, "").splitlines()]
    return "\n\n" + "\n".join(notes) if notes else ""


def examples_text(exercise: Exercise, indent: str) -> str:
    """Return the lines to add to a docstring that has no example of its own."""
    if exercise.name not in OWN:
        return ""
    results, lines = dict(outcomes(exercise, exercise.book())), []
    for line in OWN[exercise.name].splitlines():
        lines += [f">>> {line}", *(repr(results[line]).splitlines() if line in results else [])]
    return "\n\n" + "\n".join((indent + line).rstrip() for line in lines)
