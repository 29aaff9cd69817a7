"""Model folders: what others save loads here, what we save loads there, and nothing that is wrong loads anywhere."""

from __future__ import annotations

import dataclasses
import errno
import json
import math
import os
import re
import shutil
import struct
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpygpt.checkpoint import CheckpointError, convert, flatten, load, load_config, load_tokenizer, save, unflatten
from numpygpt.model import GPT2Config, Params, gpt2, parameter_shapes

from numpygpt import checkpoint
from numpygpt.arrays import Array
from numpygpt.safetensors import SafetensorsFile
from numpygpt.tokenizer import Tokenizer

Tensors = dict[str, Array]

CONFIG = GPT2Config(vocab_size=300, n_ctx=16, n_embd=8, n_layer=2, n_head=2)
OFFICIAL_CONFIG = {  # of the kind that lies beside the official weights, with what other programs want to know
    "activation_function": "gelu_new",
    "architectures": ["GPT2LMHeadModel"],
    "attn_pdrop": 0.1,
    "bos_token_id": 50256,
    "layer_norm_epsilon": 1e-05,
    "model_type": "gpt2",
    "n_ctx": 16,
    "n_embd": 8,
    "n_head": 2,
    "n_layer": 2,
    "n_positions": 16,
    "summary_type": "cls_index",
    "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
    "vocab_size": 300,
}
TOKENIZER = Tokenizer(Tokenizer().merges[:43])  # with the bytes and <|endoftext|>, 300 tokens
IDS = np.array([[5, 299, 0, 17, 17, 256, 3], [1, 2, 3, 4, 5, 6, 7]])
NUMPY_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "U8": "u1", "BOOL": "?"}


def random_params(config: GPT2Config = CONFIG, seed: int = 0) -> Params:
    rng = np.random.default_rng(seed)
    shapes = parameter_shapes(config)
    return unflatten({name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()})


def logits(config: GPT2Config, params: Params) -> Array:
    return gpt2(IDS, **params, config=config)


def write_safetensors(path: Path, tensors: Tensors, types: dict[str, str] | None = None, odd: bool = False) -> None:
    """Write a file by the format's specification, in the order given, with data from an even or an odd byte on."""
    header: dict[str, Any] = {}
    data = b""
    for name, tensor in tensors.items():
        kind = (types or {}).get(name, "F32")
        raw = tensor.astype(NUMPY_TYPES[kind]).tobytes()
        header[name] = {"dtype": kind, "shape": tensor.shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8 + odd)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def read_safetensors(path: Path) -> Tensors:
    file = SafetensorsFile(path)
    return {name: file[name].copy() for name in file}


def causal_mask() -> Array:
    return np.tril(np.ones((1, 1, 16, 16)))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A model folder with the layout of OpenAI's official one, its tensors in no order and its data at odd bytes."""
    folder = tmp_path / "source"
    folder.mkdir()
    tensors = flatten(random_params()) | {f"h.{layer}.attn.bias": causal_mask() for layer in range(2)}
    shuffled = {name: tensors[name] for name in sorted(tensors, key=lambda name: name[::-1])}
    write_safetensors(folder / "model.safetensors", shuffled, odd=True)
    (folder / "config.json").write_text(json.dumps(OFFICIAL_CONFIG))
    TOKENIZER.save(folder)
    return folder


def tree(folder: Path) -> dict[str, bytes | str | None]:
    """Everything in a folder: the content of files, where links lead, None for folders."""

    def content(path: Path) -> bytes | str | None:
        if path.is_symlink():
            return os.readlink(path)
        return None if path.is_dir() else path.read_bytes()

    return {str(path.relative_to(folder)): content(path) for path in folder.rglob("*")}


def assert_same(params: Params, expected: Params) -> None:
    tensors, others = flatten(params), flatten(expected)
    assert tensors.keys() == others.keys()
    for name, tensor in tensors.items():
        assert tensor.dtype == others[name].dtype, name
        np.testing.assert_array_equal(tensor, others[name], name)


def is_mapped(array: Array) -> bool:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return isinstance(array, np.memmap)


# The tree


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_flatten_and_unflatten_are_inverse(data: st.DataObject) -> None:
    n_head = data.draw(st.integers(1, 3))
    config = GPT2Config(
        vocab_size=data.draw(st.integers(1, 5)),
        n_ctx=data.draw(st.integers(1, 3)),
        n_embd=n_head * data.draw(st.integers(1, 2)),
        n_layer=data.draw(st.integers(1, 12)),
        n_head=n_head,
        n_inner=data.draw(st.none() | st.integers(1, 5)),
        tie_word_embeddings=data.draw(st.booleans()),
    )
    shapes = parameter_shapes(config)
    tensors = {name: np.full(shapes[name], i) for i, name in enumerate(data.draw(st.permutations(list(shapes))))}
    params = unflatten(tensors)
    assert len(params["h"]) == config.n_layer
    assert ("lm_head" in params) is not config.tie_word_embeddings
    flat = flatten(params)
    assert flat.keys() == tensors.keys()
    assert all(flat[name] is tensors[name] for name in tensors)
    assert list(flatten(unflatten(flat))) == list(flat)


TREES = st.dictionaries(
    st.sampled_from(["wte", "attn", "c_fc"]),
    st.recursive(
        st.integers(), lambda branch: st.dictionaries(st.sampled_from("ab0"), branch, min_size=1), max_leaves=5
    ),
    min_size=1,
)


@given(TREES, st.lists(TREES, min_size=1, max_size=12))
@settings(max_examples=30, deadline=None)
def test_unflatten_undoes_flatten_of_any_tree(rest: dict[str, Any], layers: list[dict[str, Any]]) -> None:
    params = rest | {"h": layers}
    assert unflatten(flatten(params)) == params


def test_more_than_nine_layers_stay_in_order() -> None:
    names = [f"h.{layer}.ln_1.bias" for layer in range(12)]
    params = unflatten({name: np.array(layer) for layer, name in sorted(enumerate(names), key=lambda item: item[1])})
    assert [int(layer["ln_1"]["bias"]) for layer in params["h"]] == list(range(12))


@pytest.mark.parametrize("names", [["h.1.ln_1.bias"], ["h.0.ln_1.bias", "h.2.ln_1.bias"], ["h.00.ln_1.bias"]])
def test_layers_with_a_hole(names: list[str]) -> None:
    with pytest.raises(ValueError, match=r"no tensor is called h\.[01]\.\.\.; layers must be numbered from 0"):
        unflatten({name: np.zeros(1) for name in names})


# Loading what others save


def test_the_official_layout(source: Path) -> None:
    """No prefix, masks, data at odd bytes, any order."""
    config, params, tokenizer = load(source)
    assert config == CONFIG
    assert_same(params, random_params())
    assert tokenizer == TOKENIZER
    start = 8 + int.from_bytes((source / "model.safetensors").read_bytes()[:8], "little")
    assert start % 2 == 1
    assert all(tensor.flags.aligned for tensor in flatten(params).values())


@pytest.mark.parametrize("kind", ["F16", "F64"])
def test_other_floats_are_cast(source: Path, kind: str) -> None:
    tensors = flatten(random_params())
    write_safetensors(source / "model.safetensors", tensors, dict.fromkeys(tensors, kind))
    stored = {name: tensor.astype(NUMPY_TYPES[kind]) for name, tensor in tensors.items()}
    assert_same(load(source)[1], unflatten({name: tensor.astype(np.float32) for name, tensor in stored.items()}))
    assert_same(load(source, np.float64)[1], unflatten({name: x.astype(np.float64) for name, x in stored.items()}))
    convert(source, source / "converted")
    assert set(SafetensorsFile(source / "converted" / "model.safetensors").dtypes.values()) == {"F32"}


def test_the_token_embedding_under_the_other_name_alone(source: Path) -> None:
    """As `safetensors.torch.save_model` leaves it, which keeps the first name of tensors that share memory."""
    tensors = flatten(random_params())
    tensors["lm_head.weight"] = tensors.pop("wte.weight")
    write_safetensors(source / "model.safetensors", tensors)
    assert_same(load(source)[1], random_params())


def test_links_as_in_the_cache_of_the_hub(source: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshots" / "main"
    snapshot.mkdir(parents=True)
    for number, path in enumerate(sorted(source.iterdir())):
        shutil.copy(path, tmp_path / f"blob{number}")
        (snapshot / path.name).symlink_to(f"../../blob{number}")
    (tmp_path / "link").symlink_to(snapshot)
    assert_same(load(tmp_path / "link")[1], random_params())
    before = tree(tmp_path)
    convert(tmp_path / "link", tmp_path / "converted")
    assert {name: data for name, data in tree(tmp_path).items() if not name.startswith("converted")} == before


def test_the_home_folder(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(source)
    before = tree(source)
    convert("~/source", "~/converted")
    save("~/saved", *load("~/converted"))
    assert load_config("~/saved") == CONFIG
    assert load_tokenizer("~/saved", CONFIG) == TOKENIZER
    assert tree(source) == before


SIZES = {"n_layer": 3, "n_embd": 6, "n_ctx": 9}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {}),
        ({"n_inner": None, "pruned_heads": {}, "quantization_config": None, "add_cross_attention": None}, {}),
        ({"n_inner": 20}, {"n_inner": 20}),
        ({"activation_function": "gelu"}, {"activation_function": "gelu"}),
        ({"scale_attn_weights": False}, {"scale_attn_weights": False}),
        ({"scale_attn_by_inverse_layer_idx": True}, {"scale_attn_by_inverse_layer_idx": True}),
        ({"reorder_and_upcast_attn": True}, {}),  # another order of the same arithmetic
        ({"layer_norm_epsilon": 1}, {"layer_norm_epsilon": 1}),
        ({"n_ctx": 1024}, {}),  # n_positions is what sizes wpe
        ({"num_attention_heads": 4}, {"n_head": 4}),
        ({"num_hidden_layers": 3, "hidden_size": 6, "max_position_embeddings": 9}, SIZES),
        ({"an_option_of_tomorrow": [1]}, {}),
    ],
)
def test_config(source: Path, options: dict[str, Any], expected: dict[str, Any]) -> None:
    (source / "config.json").write_text(json.dumps(OFFICIAL_CONFIG | options))
    assert load_config(source) == dataclasses.replace(CONFIG, **expected)


def test_a_config_of_either_name_of_the_context_window(source: Path) -> None:
    for name in ("n_ctx", "n_positions"):
        options = {key: value for key, value in OFFICIAL_CONFIG.items() if key != name}
        (source / "config.json").write_text(json.dumps(options))
        assert load_config(source) == CONFIG


def test_defaults_of_a_config(transformers: Any) -> None:
    theirs = transformers.GPT2Config().to_dict()
    for name, value in dataclasses.asdict(GPT2Config()).items():
        assert theirs[{"n_ctx": "n_positions"}.get(name, name)] == value


# Tokenizers of folders


def test_a_folder_without_a_tokenizer(source: Path) -> None:
    for name in ("vocab.json", "merges.txt"):
        (source / name).unlink()
    assert load(source)[2] is None
    gpt2s = load_tokenizer(source, dataclasses.replace(CONFIG, vocab_size=50257))
    assert gpt2s == Tokenizer()


def test_a_vocabulary_larger_than_the_tokenizer(source: Path) -> None:
    assert load_tokenizer(source, dataclasses.replace(CONFIG, vocab_size=320)) == TOKENIZER


# What `transformers` reads and writes

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


# Saving


def test_save_then_load_is_the_identity(tmp_path: Path) -> None:
    for number, config in enumerate([CONFIG, dataclasses.replace(CONFIG, tie_word_embeddings=False, n_inner=5)]):
        params = random_params(config, seed=number)
        for tokenizer in (TOKENIZER, None):
            save(tmp_path / "saved", config, params, tokenizer, overwrite=True)
            loaded = load(tmp_path / "saved")
            assert (loaded[0], loaded[2]) == (config, tokenizer)
            assert_same(loaded[1], params)


def test_save_in_half_the_size(tmp_path: Path) -> None:
    params = random_params()
    save(tmp_path / "saved", CONFIG, params, None, dtype=np.float16)
    halves = {name: tensor.astype(np.float16) for name, tensor in flatten(params).items()}
    assert_same(load(tmp_path / "saved", np.float16)[1], unflatten(halves))
    assert set(SafetensorsFile(tmp_path / "saved" / "model.safetensors").dtypes.values()) == {"F16"}


def test_save_over_the_folder_that_is_loaded(source: Path) -> None:
    config, params, tokenizer = load(source)
    save(source, config, params, tokenizer, overwrite=True)
    config, params, tokenizer = load(source)
    assert is_mapped(params["wte"]["weight"])
    save(source, config, params, tokenizer, overwrite=True)
    assert_same(load(source)[1], random_params())


def test_saving_over_a_model_leaves_nothing_that_speaks_against_the_new_one(source: Path) -> None:
    for name in ("tokenizer.json", "added_tokens.json", "special_tokens_map.json", "model.safetensors.index.json"):
        (source / name).write_text("{}")
    (source / "loss.csv").write_text("step,loss")
    save(source, CONFIG, random_params(seed=1), None, overwrite=True)
    assert sorted(path.name for path in source.iterdir()) == ["config.json", "loss.csv", "model.safetensors"]
    assert load(source)[2] is None


def test_save_refuses_what_load_would(tmp_path: Path) -> None:
    def changed(name: str, tensor: Any) -> Params:
        return unflatten(flatten(random_params()) | {name: tensor})

    too_few = unflatten({name: x for name, x in flatten(random_params()).items() if name != "ln_f.bias"})
    for params, tokenizer, message in [
        (changed("ln_f.bias", np.zeros(7)), None, r"tensor ln_f\.bias has shape \[7\], but the config asks for \[8\]"),
        (changed("ln_g.bias", np.zeros(8)), None, r"tensor ln_g\.bias is not part of a GPT-2"),
        (changed("ln_f.bias", np.zeros(8, int)), None, r"tensor ln_f\.bias would be saved as int64; only floating"),
        (too_few, None, r"tensor ln_f\.bias is missing"),
        (random_params(), Tokenizer(), r"the tokenizer has 50257 tokens, but the config says vocab_size 300"),
    ]:
        with pytest.raises(CheckpointError, match=message):
            save(tmp_path / "saved", CONFIG, params, tokenizer)
    with pytest.raises(CheckpointError, match="would be saved as int8"):
        save(tmp_path / "saved", CONFIG, random_params(), None, dtype=np.int8)
    assert tree(tmp_path) == {}


def test_save_overwrites_only_where_asked(source: Path) -> None:
    before = tree(source)
    with pytest.raises(FileExistsError, match="source exists already; give the name of a new folder"):
        save(source, CONFIG, random_params(), None)
    with pytest.raises(NotADirectoryError, match=r"config\.json is there and is not a folder"):
        save(source / "config.json", CONFIG, random_params(), None, overwrite=True)
    assert tree(source) == before


# Converting


def test_convert(source: Path, tmp_path: Path) -> None:
    """Plain names, no masks, float32, aligned, loaded without a copy."""
    for path in (source / "converted", tmp_path / "new" / "converted"):
        before = tree(source)
        convert(source, path)
        assert before.items() <= tree(source).items()
        config, params, tokenizer = load(path)
        assert (config, tokenizer) == (CONFIG, TOKENIZER)
        assert_same(params, random_params())
        file = SafetensorsFile(path / "model.safetensors")
        assert file.shapes == parameter_shapes(CONFIG)
        assert set(file.dtypes.values()) == {"F32"}
        assert file.metadata == {"format": "pt"}  # without it, transformers 4 refuses the file
        for name, tensor in flatten(params).items():
            assert is_mapped(tensor), name
            assert not tensor.flags.writeable
            assert tensor.ctypes.data % (64 if tensor.nbytes % 64 == 0 else 4) == 0, name


def test_two_loads_share_the_pages_of_a_converted_folder(source: Path, tmp_path: Path) -> None:
    convert(source, tmp_path / "converted")
    params = load(tmp_path / "converted")[1]
    base: Any = params["wte"]["weight"]
    while isinstance(base.base, np.ndarray):
        base = base.base
    assert Path(base.filename) == (tmp_path / "converted" / "model.safetensors").resolve()
    assert all(np.shares_memory(tensor, base) for tensor in flatten(params).values())  # one map for all


def test_converting_a_converted_folder_changes_nothing(source: Path, tmp_path: Path) -> None:
    convert(source, tmp_path / "once")
    convert(tmp_path / "once", tmp_path / "twice")
    assert tree(tmp_path / "once") == tree(tmp_path / "twice")
    assert sorted(tree(tmp_path / "once")) == [
        "config.json",
        "merges.txt",
        "model.safetensors",
        "tokenizer_config.json",
        "vocab.json",
    ]


def test_convert_to_npz(source: Path, tmp_path: Path) -> None:
    for name in ("merges.txt", "vocab.json"):
        (source / name).unlink()
    convert(source, tmp_path / "model.npz")
    with np.load(tmp_path / "model.npz", allow_pickle=False) as archive:
        tensors = dict(archive)
    assert_same(unflatten(tensors), random_params())
    np.testing.assert_array_equal(logits(CONFIG, unflatten(tensors)), logits(CONFIG, random_params()))
    with zipfile.ZipFile(tmp_path / "model.npz") as archive_of_files:
        dates = {info.date_time for info in archive_of_files.infolist()}
    assert dates == {(1980, 1, 1, 0, 0, 0)}  # not today's: converting again gives the same bytes


def test_convert_without_a_tokenizer(source: Path, tmp_path: Path) -> None:
    for name in ("merges.txt", "vocab.json"):
        (source / name).unlink()
    convert(source, tmp_path / "converted")
    assert sorted(tree(tmp_path / "converted")) == ["config.json", "model.safetensors"]
    assert load(tmp_path / "converted")[2] is None


def test_convert_into_an_empty_folder(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    convert(source, ".")
    assert_same(load(tmp_path / "empty")[1], random_params())


def test_convert_needs_not_write_to_the_source(source: Path, tmp_path: Path) -> None:
    if os.name != "posix":
        pytest.skip("file modes are POSIX's")
    for path in (*source.iterdir(), source):
        path.chmod(0o555 if path.is_dir() else 0o444)
    times = {path: path.stat().st_mtime_ns for path in (*source.iterdir(), source)}
    convert(source, tmp_path / "converted")
    assert {path: path.stat().st_mtime_ns for path in times} == times
    with (tmp_path / "converted" / "config.json").open("a"):  # the copy does not inherit the modes
        pass
    source.chmod(0o755)


# Memory and file descriptors


def sparse_folder(folder: Path, config: GPT2Config, kind: str, extra: dict[str, tuple[int, ...]]) -> int:
    """A model folder of zeros that take no room on disk; returns the size of the weights in bytes."""
    folder.mkdir()
    (folder / "config.json").write_text(
        json.dumps({"model_type": "gpt2", **dataclasses.asdict(config), "n_positions": config.n_ctx})
    )
    header, end = {}, 0
    for name, shape in (parameter_shapes(config) | extra).items():
        begin, end = end, end + math.prod(shape) * np.dtype(NUMPY_TYPES[kind]).itemsize
        header[f"transformer.{name}"] = {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    return end


@pytest.mark.parametrize(("kind", "name"), [("F16", "converted"), ("F32", "converted"), ("F16", "converted.npz")])
def test_memory_of_converting(tmp_path: Path, kind: str, name: str) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("needs /proc to measure resident memory")
    config = GPT2Config(vocab_size=4000, n_ctx=64, n_embd=1024, n_layer={"F16": 4, "F32": 2}[kind], n_head=16)
    size = sparse_folder(tmp_path / "source", config, kind, {"h.0.attn.bias": (1, 1, 64, 64)})
    largest = 1024 * 4096 * 4
    program = """
        import sys
        from numpygpt.checkpoint import convert

        def peak():
            status = open("/proc/self/status").read()
            return int(status.split("VmHWM:")[1].split()[0]) * 1024

        before = peak()
        convert(sys.argv[1], sys.argv[2])
        print(peak() - before)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "source"), str(tmp_path / name)]
    peak = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert peak < 2.5 * largest + 10e6 < size / 2


@pytest.mark.parametrize("name", ["converted", "converted.npz"])
def test_file_descriptors_of_many_tensors(tmp_path: Path, name: str) -> None:
    pytest.importorskip("resource", reason="limits the number of open files")
    config = GPT2Config(vocab_size=10, n_ctx=2, n_embd=2, n_layer=30, n_head=1)
    sparse_folder(tmp_path / "source", config, "F16", {})
    program = """
        import resource, sys
        from numpygpt.checkpoint import convert, flatten, load

        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
        convert(sys.argv[1], sys.argv[2])
        for folder in sys.argv[1], sys.argv[2]:
            if not folder.endswith(".npz"):
                print(len(flatten(load(folder)[1])))
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "source"), str(tmp_path / name)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    assert result.stdout.split() == ["364"] * (1 if name.endswith(".npz") else 2)


# Refusals: each is one line, says what is wrong where, and leaves nothing behind


def tensors_of(folder: Path) -> Tensors:
    return read_safetensors(folder / "model.safetensors")


def no_folder(folder: Path) -> None:
    shutil.rmtree(folder)


def a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_bytes(b"weights")


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def file(name: str, content: str | bytes) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return change


def config(**options: Any) -> Callable[[Path], None]:
    return file("config.json", json.dumps(OFFICIAL_CONFIG | options))


def tensors(**changes: Array | None) -> Callable[[Path], None]:
    """Set tensors, with __ for the dots, or remove them with None. Integers keep their type."""

    def change(folder: Path) -> None:
        result = tensors_of(folder)
        types = {}
        for key, tensor in changes.items():
            name = key.replace("__", ".")
            if tensor is None:
                del result[name]
            else:
                result[name] = tensor
                types[name] = "I64" if tensor.dtype.kind == "i" else "F32"
        write_safetensors(folder / "model.safetensors", result, types)

    return change


def truncated(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4])


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def sharded(change: Callable[[Path, dict[str, Any]], None], weight_map: Any = None) -> Callable[[Path], None]:
    """Split the weights into two shards and let `change` spoil the folder or its index."""

    def split(folder: Path) -> None:
        everything = tensors_of(folder)
        (folder / "model.safetensors").unlink()
        index: dict[str, Any] = {"metadata": {"total_size": 1}, "weight_map": {}}
        for number in (1, 2):
            shard = f"model-0000{number}-of-00002.safetensors"
            part = {name: tensor for name, tensor in everything.items() if name.startswith("h.0.") is (number == 1)}
            write_safetensors(folder / shard, part)
            index["weight_map"] |= dict.fromkeys(part, shard)
        change(folder, index)
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    return split


def entry(name: str, shard: Any) -> Callable[[Path], None]:
    return sharded(lambda folder, index: index["weight_map"].update({name: shard}))


REFUSALS: list[tuple[str, Callable[[Path], None], type[Exception], str]] = [
    ("missing folder", no_folder, FileNotFoundError, r"source: there is no such folder; give one that"),
    ("a file", a_file, NotADirectoryError, r"source is not a folder; give the one that holds config\.json"),
    ("no config", without("config.json"), FileNotFoundError, r"source is not a model folder: it has no config\.json"),
    ("not JSON", file("config.json", '{"n_ctx"'), CheckpointError, r"config\.json is not valid JSON: .*; download"),
    ("not UTF-8", file("config.json", b'{"\xff": 1}'), CheckpointError, r"config\.json is not valid JSON: .*codec"),
    ("deep", file("config.json", "[" * 100_000), CheckpointError, r"config\.json is not valid JSON: .*recursion"),
    ("a list", file("config.json", "[1]"), CheckpointError, r"config\.json must hold a JSON object, not a list"),
    ("BERT", config(model_type="bert"), CheckpointError, r"model_type is 'bert'; only 'gpt2' models can be loaded"),
    ("no type", config(model_type=None), CheckpointError, r"model_type is None; only 'gpt2'"),
    ("text for a number", config(n_embd="8"), CheckpointError, r"config\.json: n_embd must be a whole number.* '8'"),
    ("float", config(n_layer=2.0), CheckpointError, r"config\.json: n_layer must be a whole number above 0, not 2\.0"),
    ("boolean", config(n_head=True), CheckpointError, r"n_head must be a whole number above 0, not True"),
    ("null", config(n_head=None), CheckpointError, r"n_head must be a whole number above 0, not None"),
    ("zero", config(n_inner=0), CheckpointError, r"n_inner must be a whole number above 0, not 0"),
    ("negative", config(vocab_size=-1), CheckpointError, r"vocab_size must be a whole number above 0, not -1"),
    ("heads", config(n_head=3), CheckpointError, r"config\.json: n_embd 8 is not a multiple of n_head 3"),
    ("epsilon", config(layer_norm_epsilon="1e-5"), CheckpointError, r"layer_norm_epsilon must be a number above 0"),
    ("negative epsilon", config(layer_norm_epsilon=-1e-5), CheckpointError, r"must be a number above 0, not -1e-05"),
    ("no number", config(layer_norm_epsilon=math.nan), CheckpointError, r"must be a number above 0, not nan"),
    ("infinity", config(layer_norm_epsilon=math.inf), CheckpointError, r"must be a number above 0, not inf"),
    ("true epsilon", config(layer_norm_epsilon=True), CheckpointError, r"must be a number above 0, not True"),
    ("truth", config(scale_attn_weights=0), CheckpointError, r"scale_attn_weights must be true or false, not 0"),
    ("tie", config(tie_word_embeddings="no"), CheckpointError, r"tie_word_embeddings must be true or false, not 'no'"),
    ("activation", config(activation_function="relu"), CheckpointError, r"'relu' is not supported; known: gelu_new"),
    ("activations", config(activation_function=["relu"]), CheckpointError, r"activation_function must be text, not \["),
    ("cross", config(add_cross_attention=True), CheckpointError, r"add_cross_attention is True, which this package"),
    ("pruned", config(pruned_heads={"0": [1]}), CheckpointError, r"pruned_heads is \{'0': \[1\]\}, which this package"),
    ("quantized", config(quantization_config={"bits": 4}), CheckpointError, r"quantization_config is \{'bits': 4\}"),
    ("more layers", config(n_layer=3), CheckpointError, r"tensor h\.2\.ln_1\.weight is missing.*n_layer 3"),
    ("so many layers", config(n_layer=10**9), CheckpointError, r"tensor h\.2\.ln_1\.weight is missing"),
    ("fewer layers", config(n_layer=1), CheckpointError, r"tensor h\.1\.\S+ is not part of a GPT-2.*of 1 layers"),
    ("context", config(n_positions=8), CheckpointError, r"source: tensor wpe\.weight has shape \[16, 8\].*\[8, 8\]"),
    ("vocabulary", config(vocab_size=301), CheckpointError, r"tensor wte\.weight has shape \[300, 8\].*\[301, 8\]"),
    ("untied", config(tie_word_embeddings=False), CheckpointError, r"tensor lm_head\.weight is missing"),
    ("truncated", truncated, ValueError, r"model\.safetensors: tensor .* bytes of data; is the file truncated\?"),
    ("empty", file("model.safetensors", b""), ValueError, r"model\.safetensors: the file is 0 bytes long"),
    ("a page", file("model.safetensors", "<html>" * 9), ValueError, r"model\.safetensors: a header of \d+ bytes"),
    ("missing", tensors(ln_f__bias=None), CheckpointError, r"source: tensor ln_f\.bias is missing.*same model"),
    ("shape", tensors(ln_f__bias=np.zeros(9)), CheckpointError, r"ln_f\.bias has shape \[9\].*asks for \[8\]; config"),
    ("transposed", tensors(h__1__mlp__c_fc__weight=np.zeros((32, 8))), CheckpointError, r"\[32, 8\].*for \[8, 32\]"),
    ("unexpected", tensors(score__weight=np.zeros((2, 8))), CheckpointError, r"tensor score\.weight is not part of"),
    ("beyond", tensors(h__2__ln_1__bias=np.zeros(8)), CheckpointError, r"h\.2\.ln_1\.bias is not part of .* 2 layers"),
    ("twice", tensors(transformer__ln_f__bias=np.zeros(8)), CheckpointError, r"ln_f\.bias is there twice, with"),
    ("integers", tensors(ln_f__bias=np.zeros(8, int)), CheckpointError, r"tensor ln_f\.bias holds I64 numbers; only"),
    ("other head", tensors(lm_head__weight=np.zeros((300, 8))), CheckpointError, r"differs from wte\.weight.*set"),
    ("other head's shape", tensors(lm_head__weight=np.zeros((2, 8))), CheckpointError, r"lm_head\.weight differs from"),
    ("neither", tensors(wte__weight=None), CheckpointError, r"tensor wte\.weight is missing"),
    ("no weights", without("model.safetensors"), FileNotFoundError, r"source has no model\.safetensors; download"),
    ("a pickle", pickled, FileNotFoundError, r"pytorch_model\.bin is a pickle.*never opened here; if you trust it"),
    ("lost shard", sharded(lambda folder, _: next(folder.glob("*-00001-*")).unlink()), FileNotFoundError,
     r"model-00001-of-00002\.safetensors is missing, which should hold h\.0\S+; download it again"),
    ("shard elsewhere", entry("ln_f.bias", "../x.safetensors"), CheckpointError, r"'\.\./x\.safetensors', which is"),
    ("shard anywhere", entry("ln_f.bias", "/x.safetensors"), CheckpointError, r"'/x\.safetensors', which is not a saf"),
    ("pickled shard", entry("ln_f.bias", "model.bin"), CheckpointError, r"tensor ln_f\.bias is in 'model\.bin', which"),
    ("number for a shard", entry("ln_f.bias", 1), CheckpointError, r"weight_map must give each tensor's file name"),
    ("wrong shard", entry("ln_f.bias", "model-00001-of-00002.safetensors"), CheckpointError,
     r"index\.json: tensor ln_f\.bias is not in model-00001-of-00002\.safetensors as it says"),
    ("no map", sharded(lambda _, index: index.pop("weight_map")), CheckpointError, r"weight_map must give each"),
    ("list for a map", sharded(lambda _, index: index.update(weight_map=[])), CheckpointError, r"weight_map must give"),
    ("empty map", sharded(lambda _, index: index.update(weight_map={})), CheckpointError, r"tensor \S+ is missing"),
    ("half a map", sharded(lambda _, index: index["weight_map"].pop("ln_f.bias")), CheckpointError, r"ln_f\.bias is m"),
    ("large tokenizer", lambda folder: Tokenizer().save(folder), CheckpointError,
     r"source: the tokenizer has 50257 tokens, but the config says vocab_size 300; use the model's own"),
    ("half a tokenizer", without("merges.txt"), CheckpointError, r"has a vocab\.json without merges\.txt; put"),
    ("broken tokenizer", file("vocab.json", "{"), ValueError, r"vocab\.json: not valid JSON"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "error", "message"), [r[1:] for r in REFUSALS], ids=[r[0] for r in REFUSALS])
def test_refusals(
    source: Path, tmp_path: Path, change: Callable[[Path], None], error: type[Exception], message: str
) -> None:
    change(source)
    before = tree(tmp_path)
    with pytest.raises(error, match=message) as caught:
        load(source)
    assert "\n" not in str(caught.value)
    assert str(source) in str(caught.value)
    with pytest.raises(error, match=message):
        convert(source, tmp_path / "converted")
    assert tree(tmp_path) == before


def test_shards_without_faults(source: Path) -> None:
    """What the refusals above start from."""
    sharded(lambda folder, index: None)(source)
    assert_same(load(source)[1], random_params())


def test_a_destination_that_exists(source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "model.npz").write_bytes(b"old")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").write_bytes(b"old")
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "other name").symlink_to(source)
    before = tree(tmp_path)
    for name in ("file", "model.npz", "folder", "link"):
        with pytest.raises(FileExistsError, match=rf"{name} exists already; give the name of a new folder or \.npz"):
            convert(source, tmp_path / name)
    for name in ("source", "other name", "source/../source"):
        with pytest.raises(FileExistsError, match="is the source; give the name of a new folder"):
            convert(source, tmp_path / name)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", ["converted", "converted.npz"])
def test_a_destination_inside_a_file(source: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"old")
    before = tree(tmp_path)
    with pytest.raises(OSError, match="file"):
        convert(source, tmp_path / "file" / name)
    assert tree(tmp_path) == before


FAILURES = [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), ValueError("a broken tensor"), KeyboardInterrupt()]


@pytest.mark.parametrize("failure", FAILURES, ids=repr)
@pytest.mark.parametrize("name", ["converted", "converted.npz"])
@pytest.mark.parametrize("moment", [0, 5, 27])
def test_a_failure_in_the_middle_leaves_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException, name: str, moment: int
) -> None:
    """Stop at one of the 28 tensors while they are written."""
    count = -len(parameter_shapes(CONFIG)) if name == "converted" else 0  # save_file looks at each once before
    lookup = SafetensorsFile.__getitem__

    def failing(self: SafetensorsFile, name: str) -> Any:
        nonlocal count
        if count == moment:
            raise failure
        count += 1
        return lookup(self, name)

    before = tree(tmp_path)
    monkeypatch.setattr(SafetensorsFile, "__getitem__", failing)
    with pytest.raises(type(failure)):
        convert(source, tmp_path / name)
    assert tree(tmp_path) == before
    monkeypatch.undo()
    convert(source, tmp_path / name)


@pytest.mark.parametrize("name", ["converted", "converted.npz"])
def test_a_disk_that_fills_up(tmp_path: Path, name: str) -> None:
    resource = pytest.importorskip("resource", reason="limits the size of files")
    sparse_folder(tmp_path / "source", dataclasses.replace(CONFIG, vocab_size=100_000), "F32", {})
    before = sorted(tmp_path.rglob("*"))
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limit[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            convert(tmp_path / "source", tmp_path / name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert str(caught.value.filename).startswith(str(tmp_path / name))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_failure_while_saving_leaves_the_old_model(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = tree(tmp_path)
    monkeypatch.setattr(checkpoint, "save_file", full)
    for folder in (source, tmp_path / "new"):
        with pytest.raises(OSError, match="No space left"):
            save(folder, CONFIG, random_params(seed=1), None, overwrite=True)
    assert tree(tmp_path) == before


# The command


def command(*arguments: object, cwd: Path) -> Any:
    return subprocess.run(
        [sys.executable, "-m", "numpygpt.checkpoint", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
    )


def test_the_command_warns_of_nothing(tmp_path: Path) -> None:
    assert command("--help", cwd=tmp_path).stderr == ""


def test_the_command_converts(source: Path, tmp_path: Path) -> None:
    for name in ("converted", "converted.npz"):
        result = command("source", name, cwd=tmp_path)
        assert (result.returncode, result.stdout, result.stderr) == (0, f"{name}: converted from source\n", "")
    assert_same(load(tmp_path / "converted")[1], random_params())
    with np.load(tmp_path / "converted.npz") as archive:
        assert_same(unflatten(dict(archive)), random_params())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "new"], "nowhere: there is no such folder"),
        (["source", "source"], "source is the source"),
        (["source", "taken"], "taken exists already"),
        (["source", "taken/new"], "taken"),
        (["source"], "the following arguments are required: DESTINATION"),
        (["source", "new", "more"], "unrecognized arguments: more"),
    ],
)
def test_mistakes_are_one_line(source: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "taken").write_bytes(b"old")
    before = tree(tmp_path)
    result = command(*arguments, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert re.fullmatch(rf"python -m numpygpt\.checkpoint: .*{re.escape(message)}.*\n", result.stderr)
    assert tree(tmp_path) == before
