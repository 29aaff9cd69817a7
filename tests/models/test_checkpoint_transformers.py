"""What `transformers` saves loads here, and what we save or convert loads there."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_folders import (
    CONFIG,
    IDS,
    TOKENIZER,
    assert_same,
    causal_mask,
    logits,
    random_params,
    read_safetensors,
    write_safetensors,
)

from numpygpt.arrays import Array
from numpygpt.engine import Tokenizer
from numpygpt.models.checkpoint import convert, load, save
from numpygpt.safetensors import SafetensorsFile

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "wide": {"n_embd": 24, "n_head": 3, "n_layer": 3, "n_inner": 20},
    "exact gelu": {"activation_function": "gelu"},
    "no scale": {"scale_attn_weights": False},
    "scale by layer": {"scale_attn_by_inverse_layer_idx": True, "reorder_and_upcast_attn": True},
    "untied": {"tie_word_embeddings": False},
    "epsilon": {"layer_norm_epsilon": 0.1},
}


@pytest.fixture(scope="session")
def transformers() -> Any:
    pytest.importorskip("torch", reason="compares with transformers, which needs torch")
    return pytest.importorskip("transformers", reason="compares with transformers")


def random_model(transformers: Any, **options: Any) -> Any:
    import torch

    torch.manual_seed(0)
    shape = {"vocab_size": 300, "n_positions": 16, "n_embd": 8, "n_layer": 2, "n_head": 2}
    config = transformers.GPT2Config(**(shape | {"bos_token_id": 299, "eos_token_id": 299} | options))
    model = transformers.GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    return model


def reference(model: Any) -> Array:
    import torch

    with torch.no_grad():
        result: Array = model.float()(torch.from_numpy(IDS)).logits.numpy()
    return result


def assert_loads(folder: Path, expected: Array) -> None:
    """Loaded as it is and after conversion, the folder's model gives the expected logits."""
    config, params, _ = load(folder)
    np.testing.assert_allclose(logits(config, params), expected, rtol=0, atol=1e-4)
    convert(folder, folder / "converted")
    assert load(folder / "converted")[0] == config
    assert_same(load(folder / "converted")[1], params)


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_transformers_saves(transformers: Any, tmp_path: Path, variant: str) -> None:
    model = random_model(transformers, **VARIANTS[variant])
    model.save_pretrained(tmp_path)
    assert_loads(tmp_path, reference(model))


def test_what_transformers_saves_without_the_head(transformers: Any, tmp_path: Path) -> None:
    model = random_model(transformers)
    model.transformer.save_pretrained(tmp_path)
    assert "wte.weight" in SafetensorsFile(tmp_path / "model.safetensors")
    assert_loads(tmp_path, reference(model))


@pytest.mark.parametrize("untied", [False, True])
def test_what_transformers_saves_in_shards(transformers: Any, tmp_path: Path, untied: bool) -> None:
    model = random_model(transformers, tie_word_embeddings=not untied)
    model.save_pretrained(tmp_path, max_shard_size="4KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    assert_loads(tmp_path, reference(model))


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float64"])
def test_what_transformers_saves_in_other_types(transformers: Any, tmp_path: Path, kind: str) -> None:
    import torch

    model = random_model(transformers).to(getattr(torch, kind))
    model.save_pretrained(tmp_path)
    assert_loads(tmp_path, reference(model))


@pytest.mark.parametrize("kind", ["BOOL", "U8", "F32"])
def test_masks_and_a_second_copy_of_the_embedding(transformers: Any, tmp_path: Path, kind: str) -> None:
    """As older versions saved them."""
    model = random_model(transformers)
    model.save_pretrained(tmp_path)
    tensors = read_safetensors(tmp_path / "model.safetensors")
    types = {}
    for layer in range(2):
        tensors[f"transformer.h.{layer}.attn.bias"] = causal_mask()
        tensors[f"transformer.h.{layer}.attn.masked_bias"] = np.array(-1e4)
        types[f"transformer.h.{layer}.attn.bias"] = kind
    tensors["lm_head.weight"] = tensors["transformer.wte.weight"]
    write_safetensors(tmp_path / "model.safetensors", tensors, types)
    assert_loads(tmp_path, reference(model))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dtype", [None, np.float16])
def test_transformers_opens_what_we_save(transformers: Any, tmp_path: Path, variant: str, dtype: Any) -> None:
    import torch

    options = {name: value for name, value in VARIANTS[variant].items() if name != "reorder_and_upcast_attn"}
    config = dataclasses.replace(CONFIG, **options)
    save(tmp_path / "saved", config, random_params(config), TOKENIZER, dtype=dtype)
    model, report = transformers.GPT2LMHeadModel.from_pretrained(
        tmp_path / "saved", dtype=torch.float32, output_loading_info=True
    )
    assert not any(report.values()), report
    assert (model.config.bos_token_id, model.config.eos_token_id) == (299, 299)
    ours = logits(*load(tmp_path / "saved")[:2])
    np.testing.assert_allclose(ours, reference(model.eval()), rtol=0, atol=1e-4)


def test_transformers_opens_what_we_convert(transformers: Any, source: Path, tmp_path: Path) -> None:
    convert(source, tmp_path / "converted")
    model, report = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "converted", output_loading_info=True)
    assert not any(report.values()), report
    np.testing.assert_allclose(logits(CONFIG, random_params()), reference(model.eval()), rtol=0, atol=1e-4)


@pytest.mark.parametrize("special", [False, True])
def test_transformers_opens_the_tokenizer_we_save(transformers: Any, tmp_path: Path, special: bool) -> None:
    merges = Tokenizer().merges[:42]
    ours = Tokenizer(merges, special_tokens={"<|endoftext|>": 298, "[PAD]": 299} if special else None)
    save(tmp_path / "saved", CONFIG, random_params(), ours)
    text = "The theory<|endoftext|> of   the thing: it's 12 cats, 猫 and 🐈\n\n"
    expected = ours.encode(text, allowed_special="all")
    for kind in (transformers.AutoTokenizer, transformers.GPT2Tokenizer):
        theirs = kind.from_pretrained(tmp_path / "saved")
        assert theirs.encode(text) == expected
        assert theirs.eos_token_id == ours.eot_id
        assert theirs.model_max_length == 16
