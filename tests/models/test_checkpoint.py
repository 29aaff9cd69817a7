"""Model folders: what others save loads, what we save is the identity, and what we convert loads without a copy."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_folders import (
    CONFIG,
    NUMPY_TYPES,
    OFFICIAL_CONFIG,
    TOKENIZER,
    assert_same,
    is_mapped,
    random_params,
    tree,
    write_safetensors,
)

from numpygpt.arrays import Params, flatten, unflatten
from numpygpt.config import GPT2Config, parameter_shapes
from numpygpt.engine import Tokenizer
from numpygpt.models.checkpoint import convert, load, load_config, load_tokenizer, save
from numpygpt.models.stored import CheckpointError
from numpygpt.safetensors import SafetensorsFile


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


def test_defaults_of_a_config() -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.GPT2Config().to_dict()
    for name, value in dataclasses.asdict(GPT2Config()).items():
        assert theirs[{"n_ctx": "n_positions"}.get(name, name)] == value


def test_a_folder_without_a_tokenizer(source: Path) -> None:
    for name in ("vocab.json", "merges.txt"):
        (source / name).unlink()
    assert load(source)[2] is None
    gpt2s = load_tokenizer(source, dataclasses.replace(CONFIG, vocab_size=50257))
    assert gpt2s == Tokenizer()


def test_a_vocabulary_larger_than_the_tokenizer(source: Path) -> None:
    assert load_tokenizer(source, dataclasses.replace(CONFIG, vocab_size=320)) == TOKENIZER


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


def test_convert(source: Path, tmp_path: Path) -> None:
    """Plain names, no masks, float32, aligned, loaded without a copy."""
    for path in (source / "converted", tmp_path / "new" / "converted"):
        before = tree(source)
        convert(source, path)
        assert before.items() <= tree(source).items()
        config, params, tokenizer = load(path)
        assert config == CONFIG
        assert tokenizer == TOKENIZER
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
    assert sorted(tree(tmp_path / "once")) == ["config.json", "merges.txt", "model.safetensors", "vocab.json"]


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


def test_convert_keeps_the_files_that_say_how_to_generate_and_to_chat(source: Path, tmp_path: Path) -> None:
    kept = {
        "generation_config.json": '{"eos_token_id": [299, 1]}',
        "chat_template.jinja": "{{ messages[0].content }}",
        "special_tokens_map.json": '{"eos_token": "<|endoftext|>"}',
        "tokenizer_config.json": '{"model_max_length": 7}',
    }
    for name, content in kept.items():
        (source / name).write_text(content)
    convert(source, tmp_path / "converted")
    for name in (*kept, "vocab.json", "merges.txt"):
        assert (tmp_path / "converted" / name).read_bytes() == (source / name).read_bytes()
