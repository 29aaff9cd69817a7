"""The hand-sized example of every exercise: the one in the book's docstring, or one of the course's own."""

from __future__ import annotations

import doctest
import math
from typing import Any

import numpy as np

from numpygpt.course.compare import settled
from numpygpt.course.exercises import Exercise
from numpygpt.course.say import say

OWN = {  # where the book's docstring has no example
    "decode": "Tokenizer().decode([15496, 11, 995])",
    "positional_embedding": "positional_embedding([0, 1], np.array([[0.0, 0.1], [1.0, 1.1], [2.0, 2.1]]))",
    "causal_mask": "causal_mask(3) == 0",
    "split_heads": "split_heads(np.array([[0.0, 1.0, 2.0, 3.0], [10.0, 11.0, 12.0, 13.0]]), n_head=2)",
    "merge_heads": "merge_heads(np.array([[[0.0, 1.0], [10.0, 11.0]], [[2.0, 3.0], [12.0, 13.0]]]))",
    "multi_head_attention": "multi_head_attention(np.eye(2), c_attn={'weight': np.tile(np.eye(2), 3), 'bias': "
    "np.zeros(6)}, c_proj={'weight': np.eye(2), 'bias': np.ones(2)}, n_head=1, mask=causal_mask(2)).round(3)",
    "mlp": "mlp(np.array([1.0]), c_fc={'weight': np.array([[1.0, -1.0]]), 'bias': np.zeros(2)}, "
    "c_proj={'weight': np.ones((2, 1)), 'bias': np.ones(1)}).round(3)",
    "transformer_block": "transformer_block(np.array([[1.0, 3.0]]), **{name: {'weight': np.ones(2), 'bias': "
    "np.zeros(2)} for name in ('ln_1', 'ln_2')}, attn={'c_attn': {'weight': np.ones((2, 6)), 'bias': np.ones(6)}, "
    "'c_proj': {'weight': np.eye(2), 'bias': np.zeros(2)}}, mlp={'c_fc': {'weight': np.eye(2), 'bias': np.zeros(2)}, "
    "'c_proj': {'weight': np.eye(2), 'bias': np.zeros(2)}}, n_head=1).round(3)",
    "sample": "sample(np.array([[-99.0, 2.0, -99.0], [-99.0, -99.0, 0.0]]), np.random.default_rng(0))",
    "apply_temperature": "apply_temperature(np.array([1.0, 2.0]), 0.5)",
    "loss": "TextLoss(nats=6.0, n_tokens=4, n_bytes=9).loss",
    "perplexity": "round(TextLoss(nats=6.0, n_tokens=4, n_bytes=9).perplexity, 3)",
    "bits_per_byte": "round(TextLoss(nats=6.0, n_tokens=4, n_bytes=9).bits_per_byte, 3)",
    "backward.linear": "linear(np.array([[1.0, 2.0]]), np.array([[3.0]]), np.array([[4.0, 5.0]]), np.zeros(2))",
    "backward.relu": "relu(np.array([5.0, 5.0]), np.array([-1.0, 2.0]))",
    "backward.gelu": "gelu(np.array([1.0, 1.0]), np.array([0.0, 1.0])).round(4)",
    "backward.softmax": "softmax(np.array([1.0, 0.0]), np.array([0.25, 0.75]))",
    "backward.layer_norm": "layer_norm(np.array([1.0, 0.0, 0.0]), np.array([1.0, 2.0, 4.0]), np.ones(3), "
    "np.zeros(3))[0].round(3)",
    "backward.positional_embedding": "positional_embedding(np.array([[[1.0], [2.0]], [[3.0], [4.0]]]), "
    "np.zeros((3, 1)))",
    "backward.attention": "attention(np.eye(2), SavedAttention(np.full((2, 2), 0.5), None, np.full((2, 2), 0.5)), "
    "np.eye(2), np.eye(2), np.eye(2), 1.0)",
    "backward.cross_entropy": "cross_entropy(np.array([[0.0, math.log(3.0)]]), np.array([1]))",
    "sines_first": "sines_first(2, 4).round(3)",
    "embed": "embed([1], np.array([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]))",
    "transformer.multi_head_attention": "multi_head_attention(np.array([[1.0, 0.0]]), np.array([[1.0, 2.0], [3.0, "
    "4.0]]), **{name: {'weight': np.eye(2), 'bias': np.zeros(2)} for name in ('q_proj', 'k_proj', 'v_proj', "
    "'out_proj')}, n_head=1).round(3)",
    "feed_forward": "feed_forward(np.array([1.0]), {'weight': np.array([[1.0, -1.0]]), 'bias': np.zeros(2)}, "
    "{'weight': np.ones((2, 1)), 'bias': np.ones(1)})",
    "encoder_layer": "encoder_layer(np.array([[1.0, 3.0], [2.0, 0.0]]), self_attn={name: {'weight': np.eye(2), 'bias': "
    "np.zeros(2)} for name in ('q_proj', 'k_proj', 'v_proj', 'out_proj')}, **{name: {'weight': np.eye(2), 'bias': "
    "np.zeros(2)} for name in ('fc1', 'fc2')}, **{name: {'weight': np.array([1.0, 2.0]), 'bias': np.zeros(2)} for name "
    "in ('self_attn_layer_norm', 'final_layer_norm')}, n_head=1, mask=0.0).round(3)",
    "decoder_layer": "decoder_layer(np.array([[1.0, 3.0]]), np.array([[2.0, 0.0]]), **{at: {name: {'weight': np.eye(2),"
    " 'bias': np.zeros(2)} for name in ('q_proj', 'k_proj', 'v_proj', 'out_proj')} for at in ('self_attn', "
    "'encoder_attn')}, **{name: {'weight': np.eye(2), 'bias': np.zeros(2)} for name in ('fc1', 'fc2')}, **{name: "
    "{'weight': np.array([1.0, 2.0]), 'bias': np.zeros(2)} for name in ('self_attn_layer_norm', "
    "'encoder_attn_layer_norm', 'final_layer_norm')}, n_head=1, memory_mask=0.0).round(3)",
    "complete": "complete('Once upon a', *read_weights(), max_new_tokens=1)",
}


def _examples(exercise: Exercise) -> list[doctest.Example]:
    book = exercise.book()
    function = vars(book)[exercise.method] if exercise.method else book
    function = getattr(function, "fget", None) or getattr(function, "__func__", function)
    found = doctest.DocTestParser().get_examples(function.__doc__ or "")
    if exercise.name in OWN:
        found = [doctest.Example(OWN[exercise.name] + "\n", "")]
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


def examples_text(exercise: Exercise, indent: str) -> str:
    """Return the lines to add to a docstring that has no example of its own."""
    if exercise.name not in OWN:
        return ""
    lines = [f">>> {OWN[exercise.name]}"]
    for _, value in outcomes(exercise, exercise.book()):
        lines += repr(value).splitlines()
    return "\n\n" + "\n".join(indent + line for line in lines)
