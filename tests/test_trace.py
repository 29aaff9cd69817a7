"""Every array of a trace against `transformers`, and against what the parts of this package return."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from random_models import OPTIONS, random_ids, random_params, transformers_model

from numpygpt import GPT2, GPT2Config, trace
from numpygpt.activations import ACTIVATIONS
from numpygpt.arrays import Array, Params
from numpygpt.engine import attention, gpt2, layer_norm, linear, mlp, multi_head_attention

TINY = GPT2Config(vocab_size=97, n_ctx=200, n_embd=24, n_layer=2, n_head=3)
PARTS = ["ln_1", "attn.q", "attn.k", "attn.v", "attn.probabilities", "attn.heads", "attn", "ln_2"]
PARTS += ["mlp.c_fc", "mlp.activation", "mlp"]


def transformers_trace(ids: Any, params: Params, config: GPT2Config) -> dict[str, Array]:
    """The same names from `transformers`: what its modules returned, and were given, during one forward pass."""
    torch = pytest.importorskip("torch")
    model = transformers_model(config, params)
    seen: dict[str, Any] = {}

    def keep(name: str) -> Any:
        def hook(module: Any, inputs: Any, output: Any) -> None:
            seen[f"{name} input"] = inputs[0] if inputs else None
            seen[name] = output[0] if isinstance(output, tuple) else output

        return hook

    for name, module in model.transformer.named_modules():
        module.register_forward_hook(keep(name))
    with torch.no_grad():
        output = model(torch.from_numpy(ids), output_hidden_states=True, output_attentions=True)

    def heads(x: Any) -> Any:
        return x.reshape(*x.shape[:-1], config.n_head, -1).swapaxes(-2, -3)

    kept = {"wte": seen["wte"], "wpe": seen["wpe"][0]}
    for layer in range(config.n_layer):
        h = f"h.{layer}"
        kept |= {f"{h}.{name}": seen[f"{h}.{name}"] for name in ("ln_1", "attn", "ln_2", "mlp.c_fc", "mlp")}
        q, k, v = seen[f"{h}.attn.c_attn"].split(config.n_embd, dim=-1)
        kept |= {f"{h}.attn.q": heads(q), f"{h}.attn.k": heads(k), f"{h}.attn.v": heads(v)}
        kept[f"{h}.attn.probabilities"] = output.attentions[layer]
        kept[f"{h}.attn.heads"] = heads(seen[f"{h}.attn.c_proj input"])
        kept[f"{h}.mlp.activation"] = seen[f"{h}.mlp.act"]
        kept[h] = seen[h]
    for layer in range(config.n_layer - 1):  # its last hidden state is already normalised
        assert torch.equal(kept[f"h.{layer}"], output.hidden_states[layer + 1])
    kept |= {"ln_f": output.hidden_states[-1], "logits": output.logits}
    return {name: tensor.numpy() for name, tensor in kept.items()}


def assert_equals_transformers(config: GPT2Config, dtype: type, tolerance: float, *shape: int) -> None:
    params, ids = random_params(config, dtype=dtype), random_ids(config, *shape)
    theirs = transformers_trace(ids, params, config)
    ours = trace(ids, **params, config=config)
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        assert array.dtype == dtype, name
        assert array.shape == theirs[name].shape, name
        np.testing.assert_allclose(array, theirs[name], rtol=0, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("change", OPTIONS, ids=str)
def test_equals_transformers_in_float32(change: dict[str, Any]) -> None:
    for n_seq in (1, 50, 200):  # 200: several blocks of queries
        assert_equals_transformers(dataclasses.replace(TINY, **change), np.float32, 1e-4, 1, n_seq)


def test_a_batch_equals_transformers_in_float64() -> None:
    assert_equals_transformers(TINY, np.float64, 1e-10, 3, 70)


@pytest.mark.parametrize("change", OPTIONS, ids=str)
def test_is_what_the_parts_of_the_package_return(change: dict[str, Any]) -> None:
    config = dataclasses.replace(TINY, **change)
    params, ids = random_params(config, dtype=np.float64), random_ids(config, 2, 3, 140)
    kept = trace(ids, **params, config=config)
    eps, activation = config.layer_norm_epsilon, ACTIVATIONS[config.activation_function]

    def same(name: str, expected: Array) -> None:
        np.testing.assert_allclose(kept[name], expected, rtol=1e-9, atol=1e-9, err_msg=name)

    x = kept["wte"] + kept["wpe"]
    for layer, block in enumerate(params["h"]):
        attn, wide, scale = block["attn"], block["mlp"], config.attention_scale(layer)
        part = {name: kept[f"h.{layer}.{name}"] for name in PARTS}
        h = f"h.{layer}"
        same(f"{h}.ln_1", layer_norm(x, **block["ln_1"], eps=eps))
        same(f"{h}.attn", multi_head_attention(part["ln_1"], **attn, n_head=config.n_head, causal=True, scale=scale))
        same(f"{h}.attn.heads", attention(part["attn.q"], part["attn.k"], part["attn.v"], causal=True, scale=scale))
        same(f"{h}.attn.heads", part["attn.probabilities"] @ part["attn.v"])
        same(f"{h}.ln_2", layer_norm(x + part["attn"], **block["ln_2"], eps=eps))
        same(f"{h}.mlp", mlp(part["ln_2"], **wide, activation=activation))
        same(f"{h}.mlp.c_fc", linear(part["ln_2"], **wide["c_fc"]))
        same(f"{h}.mlp.activation", activation(part["mlp.c_fc"]))
        same(h, x + part["attn"] + part["mlp"])
        x = kept[h]
    same("ln_f", layer_norm(x, **params["ln_f"], eps=eps))
    same("logits", gpt2(ids, **params, config=config))


def test_probabilities_sum_to_one_and_see_nothing_later() -> None:
    kept = trace(random_ids(TINY, 200), **random_params(TINY), config=TINY)
    probabilities = kept["h.1.attn.probabilities"]
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, atol=1e-5)
    assert not np.triu(probabilities, 1).any()


def test_names_come_in_the_order_of_computation(tiny: GPT2) -> None:
    blocks = [name for h in ("h.0", "h.1", "h.2") for name in [*(f"{h}.{part}" for part in PARTS), h]]
    assert list(tiny.trace([1, 2])) == ["wte", "wpe", *blocks, "ln_f", "logits"]


def test_is_the_committed_run_of_transformers(tiny: GPT2, expected: dict[str, Array]) -> None:
    kept = tiny.trace(expected["ids"])
    np.testing.assert_allclose(kept["logits"], expected["logits"], rtol=0, atol=1e-4)
    states = [kept["wte"] + kept["wpe"], kept["h.0"], kept["h.1"], kept["ln_f"]]
    np.testing.assert_allclose(np.stack(states), expected["hidden_states"], rtol=0, atol=1e-4)


def test_a_changed_array_changes_nothing_else(tiny: GPT2) -> None:
    """A reader may experiment with what is kept: neither the parameters nor the other arrays share its memory."""
    logits = tiny.logits([1, 2, 3])
    untouched, kept = tiny.trace([1, 2, 3]), tiny.trace([1, 2, 3])
    for name in list(kept):
        kept.pop(name)[...] = 7
        for other, array in kept.items():
            np.testing.assert_array_equal(array, untouched[other], err_msg=f"{other}, after {name} was changed")
    np.testing.assert_array_equal(tiny.logits([1, 2, 3]), logits)


def test_errors_are_those_of_the_model(tiny: GPT2) -> None:
    with pytest.raises(ValueError, match="no token ids"):
        tiny.trace([])
    with pytest.raises(ValueError, match="token id 512 is outside the vocabulary of 512 tokens"):
        tiny.trace([0, 512])
    with pytest.raises(ValueError, match="65 tokens do not fit the context window of 64"):
        tiny.trace([0] * 65)
    with pytest.raises(TypeError, match="token ids must be integers"):
        tiny.trace("Once upon a time")


# The hook


def test_the_hook_sees_every_array_in_the_order_of_computation(tiny: GPT2) -> None:
    seen: dict[str, Array] = {}
    kept = tiny.trace([1, 2, 3], hook=lambda name, array: seen.update({name: array.copy()}))
    assert list(seen) == list(kept)
    for name, array in kept.items():
        np.testing.assert_array_equal(array, seen[name])


@pytest.mark.parametrize("name", ["h.1", "h.0.attn.q", "h.2.attn.probabilities", "h.1.mlp.activation", "ln_f"])
def test_activation_patching(tiny: GPT2, name: str) -> None:
    """What a run on another text computed at one place takes the place there, and all that follows is computed anew."""
    clean, corrupted = tiny.trace([1, 2, 3]), tiny.trace([1, 7, 3])
    patched = tiny.trace([1, 7, 3], hook=lambda at, array: clean[at] if at == name else None)
    names = list(clean)
    for earlier in names[: names.index(name)]:
        np.testing.assert_array_equal(patched[earlier], corrupted[earlier])
    np.testing.assert_array_equal(patched[name], clean[name])
    assert not np.array_equal(patched["logits"], corrupted["logits"])
    if name in ("h.1", "ln_f"):  # the whole stream
        np.testing.assert_array_equal(patched["logits"], clean["logits"])


def test_ablation_of_a_head_is_the_model_without_its_rows_of_c_proj(tiny: GPT2) -> None:
    def silent(name: str, array: Array) -> Array | None:
        return array * (np.arange(len(array)) != 1)[:, None, None] if name == "h.1.attn.heads" else None

    n_dim = tiny.config.n_embd // tiny.config.n_head
    weight = tiny.params["h"][1]["attn"]["c_proj"]["weight"]
    ablated = tiny.trace([1, 2, 3], hook=silent)["logits"]
    changed = weight.copy()
    changed[n_dim : 2 * n_dim] = 0
    block = tiny.params["h"][1]
    attn = block["attn"] | {"c_proj": block["attn"]["c_proj"] | {"weight": changed}}
    h = [tiny.params["h"][0], block | {"attn": attn}, *tiny.params["h"][2:]]
    params = tiny.params | {"h": h}
    np.testing.assert_allclose(ablated, trace([1, 2, 3], **params, config=tiny.config)["logits"], atol=1e-5)


def test_an_array_of_another_shape_is_an_error(tiny: GPT2) -> None:
    with pytest.raises(ValueError, match=r"the hook returned shape \(1,\) for h\.0\.ln_1, which has shape \(2, "):
        tiny.trace([1, 2], hook=lambda name, array: np.ones(1) if name == "h.0.ln_1" else None)
