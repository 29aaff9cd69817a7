"""The official gpt2 against figures that others have published; skipped where its weights are not on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import numpygpt
from numpygpt import GPT2, Tokenizer, layers, transformer_block

PUBLISHED = json.loads((Path(numpygpt.__file__).parent / "data" / "published-gpt2.json").read_text(encoding="utf-8"))
EXPLAINER = PUBLISHED["transformer_explainer"]["examples"]
GREEDY = PUBLISHED["transformers_tests"]["greedy"]


def prompt(example: dict[str, Any]) -> str:
    return str(example["prompt"])


@pytest.mark.parametrize("example", EXPLAINER, ids=prompt)
def test_token_ids(example: dict[str, Any]) -> None:
    """Needs no weights: the tokenizer comes along."""
    assert Tokenizer().encode(example["prompt"]) == example["ids"]


@pytest.mark.parametrize("example", EXPLAINER, ids=prompt)
def test_logits(official: GPT2, example: dict[str, Any]) -> None:
    """Published to four decimals, computed by another implementation in float32."""
    logits, figures = official.logits(example["ids"])[-1], example["last_position_logits"]
    ids, values = zip(*figures["top10"], strict=True)
    assert tuple(np.argsort(-logits)[:10]) == ids
    np.testing.assert_allclose(logits[list(ids)], values, rtol=0, atol=5e-3)
    np.testing.assert_allclose(logits[:4], figures["first4"], rtol=0, atol=5e-3)
    np.testing.assert_allclose(logits[50256], figures["endoftext"], rtol=0, atol=5e-3)
    np.testing.assert_allclose([logits.mean(), logits.min()], [figures["mean"], figures["min"]], rtol=0, atol=5e-3)


@pytest.mark.parametrize("example", EXPLAINER, ids=prompt)
def test_attention_weights(official: GPT2, example: dict[str, Any]) -> None:
    params, n_head = official.params, official.config.n_head
    x = layers.token_embedding(example["ids"], **params["wte"]) + params["wpe"]["weight"][: len(example["ids"])]
    for layer, block in enumerate(params["h"]):
        normed = layers.layer_norm(x, **block["ln_1"])
        q, k, _ = (
            layers.split_heads(part, n_head)
            for part in np.split(layers.linear(normed, **block["attn"]["c_attn"]), 3, -1)
        )
        weights = layers.softmax(q[:, -1:] @ k.swapaxes(-1, -2) / np.float32(8))  # [n_head, 1, n_seq]
        for head in range(n_head):
            figures = example["attention_weights_of_last_position"].get(f"layer {layer} head {head}")
            if figures:
                np.testing.assert_allclose(weights[head, 0], figures, rtol=0, atol=1e-4)
        x = transformer_block(x, **block, n_head=n_head)


@pytest.mark.parametrize("example", [GREEDY[0]], ids=["The dog"])
def test_greedy_ids(official: GPT2, example: dict[str, Any]) -> None:
    prompt_ids, output_ids = example["prompt_ids"], example["output_ids"]
    text = official.generate(official.tokenizer.decode(prompt_ids), example["max_length"] - len(prompt_ids))
    assert official.tokenizer.encode(str(text)) == output_ids[len(prompt_ids) :]


def test_greedy_texts_in_one_batch(official: GPT2) -> None:
    """Prompts of different lengths; the shorter one was padded within the same maximum length."""
    prompts, texts = [example["prompt"] for example in GREEDY[1:]], [example["text"] for example in GREEDY[1:]]
    n_new = GREEDY[1]["max_length"] - len(official.tokenizer.encode(prompts[0]))
    continuations = official.generate(prompts, n_new)
    assert [prompt + new for prompt, new in zip(prompts, continuations, strict=True)] == texts


def test_greedy_text_of_picogpt(official: GPT2) -> None:
    example = PUBLISHED["picoGPT_readme"]
    assert official.generate(example["prompt"], example["greedy_new_tokens"]) == example["continuation"]


def test_mean_loss_of_llm_c(official: GPT2) -> None:
    example = PUBLISHED["llm.c_test"]
    n = example["batch"] * example["length"]
    inputs = np.reshape(example["tokens"][:n], (example["batch"], example["length"]))
    targets = np.reshape(example["tokens"][1 : n + 1], inputs.shape)
    logits = official.logits(inputs).astype(np.float64)
    logits -= logits.max(axis=-1, keepdims=True)
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    mean_loss = -np.take_along_axis(log_probabilities, targets[..., None], axis=-1).mean()
    assert mean_loss == pytest.approx(example["mean_loss"], abs=1e-4)
