"""What is no model is refused in one line that says what is wrong where, and leaves nothing behind."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_folders import (
    OFFICIAL_CONFIG,
    Tensors,
    assert_same,
    random_params,
    read_safetensors,
    tree,
    write_safetensors,
)

from numpygpt.arrays import Array
from numpygpt.engine import Tokenizer
from numpygpt.models.checkpoint import convert, load
from numpygpt.models.stored import CheckpointError
from numpygpt.models.tokenizer_files import save_tokenizer


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


MERGES = Tokenizer().merges[:300]
REFUSALS: list[tuple[str, Callable[[Path], None], type[Exception], str]] = [
    ("missing folder", no_folder, FileNotFoundError, r"source: there is no such folder; give one that"),
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
    ("activation", config(activation_function="mish"), CheckpointError, r"'mish' is not supported; known: gelu_new"),
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
    ("empty", file("model.safetensors", b""), ValueError, r"model\.safetensors: a header of 0 bytes.*truncated"),
    ("a page", file("model.safetensors", "<html>" * 9), ValueError, r"model\.safetensors: a header of \d+ bytes"),
    ("missing", tensors(ln_f__bias=None), CheckpointError, r"source: tensor ln_f\.bias is missing.*same model"),
    ("shape", tensors(ln_f__bias=np.zeros(9)), CheckpointError, r"ln_f\.bias has shape \[9\].*asks for \[8\]; config"),
    ("transposed", tensors(h__1__mlp__c_fc__weight=np.zeros((32, 8))), CheckpointError, r"\[32, 8\].*for \[8, 32\]"),
    ("beyond", tensors(h__2__ln_1__bias=np.zeros(8)), CheckpointError, r"h\.2\.ln_1\.bias is not part of .* 2 layers"),
    ("twice", tensors(transformer__ln_f__bias=np.zeros(8)), CheckpointError, r"ln_f\.bias is there twice, as"),
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
    ("large tokenizer", lambda folder: save_tokenizer(Tokenizer(MERGES), folder), CheckpointError,
     r"source: the tokenizer has 557 tokens, but the config says vocab_size 300; use the model's own"),
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
