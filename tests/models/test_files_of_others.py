"""Model folders as people have them: tokens beyond the embedding, other heads, nanoGPT's tensors, other formats."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_folders import (
    CONFIG,
    OFFICIAL_CONFIG,
    TOKENIZER,
    assert_same,
    random_params,
    read_safetensors,
    write_safetensors,
)

from numpygpt import GPT2, GPT2Config, Tokenizer
from numpygpt.arrays import Array, flatten
from numpygpt.engine.added_tokens import AddedToken
from numpygpt.models import checkpoint
from numpygpt.models.__main__ import main
from numpygpt.models.stored import CheckpointError
from numpygpt.models.tokenizer_files import save_tokenizer
from numpygpt.tokenizer import BYTES, END_OF_TEXT

MATRICES = ("c_attn.weight", "c_proj.weight", "c_fc.weight")


def folder_with(path: Path, tokenizer: Tokenizer, config: GPT2Config = CONFIG) -> Path:
    checkpoint.save(path, config, random_params(config), None)
    save_tokenizer(tokenizer, path)
    return path


# Tokens


@pytest.mark.parametrize("special", [True, False])
def test_a_token_beyond_the_embedding_is_refused_by_name_where_it_is_used(special: bool, tmp_path: Path) -> None:
    pad = AddedToken("[PAD]", 300, special=special)
    more = Tokenizer(TOKENIZER.merges, added_tokens=[pad])
    model = GPT2.from_pretrained(folder_with(tmp_path / "model", more))
    plain = GPT2.from_pretrained(folder_with(tmp_path / "plain", TOKENIZER))
    assert model.generate("The cat", 9) == plain.generate("The cat", 9)
    assert model.generate("The cat", 9, temperature=1, seed=1) == plain.generate("The cat", 9, temperature=1, seed=1)
    message = r"the token '\[PAD\]' with the id 300, but the model knows ids below 300"
    with pytest.raises(ValueError, match=message):
        model.generate("a[PAD]", allowed_special="all")
    assert special or not model.tokenizer.special_tokens.keys() - {END_OF_TEXT}
    if not special:
        for use in (model.generate, model.top, model.tokens):
            with pytest.raises(ValueError, match=message):
                use("a[PAD]")
    checkpoint.convert(tmp_path / "model", tmp_path / "converted")
    assert GPT2.from_pretrained(tmp_path / "converted").tokenizer == model.tokenizer
    with pytest.raises(CheckpointError, match="the tokenizer has 303 tokens, but the config says vocab_size 300"):
        checkpoint.load(folder_with(tmp_path / "large", Tokenizer(Tokenizer().merges[:46])))


def test_ids_without_a_token_are_never_chosen(tmp_path: Path) -> None:
    """Between the tokens, and behind them in an embedding that was rounded up."""
    vocab = {token: 2 * i for i, token in enumerate([*BYTES, b"th"])}
    tokenizer = Tokenizer([(b"t", b"h")], vocab=vocab, special_tokens={END_OF_TEXT: 1})
    config = GPT2Config(vocab_size=576, n_ctx=64, n_embd=8, n_layer=1, n_head=2)
    model = GPT2.from_pretrained(folder_with(tmp_path / "model", tokenizer, config))
    for seed in range(20):
        text = model.generate("the", 40, temperature=5.0, seed=seed)
        assert isinstance(text, str)
    assert len(model.top("the", 258)) == 258
    assert sum(probability for _, probability in model.top("the", 258)) == pytest.approx(1)


@pytest.mark.parametrize("end", [None, "</s>"])
def test_texts_without_endoftext(end: str | None, tmp_path: Path) -> None:
    """What ends a text is what the tokenizer's files say, or else the config; an empty prompt begins with `<s>`."""
    names = ["<s>", "<pad>", "</s>", "<unk>"]
    vocab = {token: i + 4 for i, token in enumerate([*BYTES, b"th"])}
    special = [AddedToken(name, i, special=True) for i, name in enumerate(names)]
    bos_id, eot_id = (0, 2) if end else (None, None)
    tokenizer = Tokenizer(
        [(b"t", b"h")], vocab=vocab, special_tokens={}, added_tokens=special, bos_id=bos_id, eot_id=eot_id
    )
    folder = folder_with(tmp_path / "model", tokenizer)
    model = GPT2.from_pretrained(folder)
    if end:
        assert (model.tokenizer.bos_id, model.tokenizer.eot_id) == (0, 2)
        assert model.generate("", 5) == model.generate("<s>", 5, allowed_special={"<s>"})
    else:
        with pytest.raises(ValueError, match=r"this tokenizer has no <\|endoftext\|>, and its files name no other"):
            model.generate("", 5)
        assert model.generate("the", 5)
        checkpoint.convert(folder, tmp_path / "converted")
        assert GPT2.from_pretrained(tmp_path / "converted").generate("the", 5) == model.generate("the", 5)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"eos_token_id": 2}))
        model = GPT2.from_pretrained(folder)
    assert model.tokenizer.eot_id == 2
    params = model.params
    params["wte"]["weight"] = params["wte"]["weight"].copy()
    params["wte"]["weight"][2] = 100 * params["ln_f"]["bias"]  # the end is the likeliest token
    assert model.generate("the", 5) == ""
    assert model.tokenizer.decode([2]) == "</s>"


# Tensors


@pytest.mark.parametrize(
    "head", ["score.weight", "multiple_choice_head.summary.bias", "v_head.weight", "qa_outputs.bias"]
)
@pytest.mark.parametrize("prefix", ["", "transformer."])
def test_what_is_no_part_of_the_language_model_is_left_out_and_said(
    prefix: str, head: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint.save(tmp_path / "model", CONFIG, random_params(), TOKENIZER)
    path = tmp_path / "model" / "model.safetensors"
    tensors = {prefix + name: tensor for name, tensor in read_safetensors(path).items()}
    write_safetensors(path, tensors | {head: np.ones((2, 8))})
    with caplog.at_level(logging.WARNING, "numpygpt"):
        _, params, _ = checkpoint.load(tmp_path / "model")
    assert caplog.messages == [f"{tmp_path / 'model'}: left out what is no part of the language model: {head}"]
    assert flatten(params).keys() == flatten(random_params()).keys()


def nanogpt(path: Path, config: GPT2Config, change: Callable[[dict[str, Array]], dict[str, Array]] = dict) -> Path:
    """Write a model's tensors as nanoGPT's code has them."""
    tensors = {f"transformer.{name}": tensor for name, tensor in flatten(random_params(config)).items()}
    tensors |= {name: tensor.T for name, tensor in tensors.items() if name.endswith(MATRICES)}
    for layer in range(config.n_layer):
        tensors[f"transformer.h.{layer}.attn.bias"] = np.tril(np.ones((1, 1, config.n_ctx, config.n_ctx)))
    tensors["lm_head.weight"] = tensors["transformer.wte.weight"]
    path.mkdir()
    write_safetensors(path / "model.safetensors", change(tensors))
    return path


NANO = [(prefix, biases, 300) for prefix in ("", "_orig_mod.", "module.", "module._orig_mod.") for biases in (1, 0)]


@pytest.mark.parametrize(("prefix", "biases", "vocab_size"), [*NANO, ("module.", True, 50304)])
def test_nanogpt(
    prefix: str, biases: bool, vocab_size: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same tensors in GPT-2's layout, with the exact GELU, give the same logits."""
    config = GPT2Config(vocab_size=vocab_size, n_ctx=16, n_embd=4, n_layer=2, n_head=2, activation_function="gelu")

    def change(tensors: dict[str, Array]) -> dict[str, Array]:
        kept = {name: t for name, t in tensors.items() if biases or name.endswith(("weight", ".attn.bias"))}
        return {prefix + name: tensor for name, tensor in kept.items()}

    source = nanogpt(tmp_path / "source", config, change)
    main(["convert", str(source), str(tmp_path / "new"), "--n-head", "2"])
    assert "n_layer 2, n_head 2, activation gelu)" in capsys.readouterr().out
    params = random_params(config)
    if not biases:
        for name, tensor in flatten(params).items():
            if name.endswith("bias"):
                tensor[:] = 0
    model = GPT2.from_pretrained(tmp_path / "new")
    assert model.config == config
    expected = GPT2(config, params, None).logits([1, 2, vocab_size - 1])
    np.testing.assert_allclose(model.logits([1, 2, vocab_size - 1]), expected, rtol=0, atol=1e-5)
    if vocab_size == 50304:
        assert model.tokenizer == Tokenizer(), "GPT-2's vocabulary, rounded up"


def test_nanogpt_without_a_head_that_is_tied_and_from_one_file(tmp_path: Path) -> None:
    config = GPT2Config(vocab_size=65, n_ctx=16, n_embd=4, n_layer=1, n_head=1, activation_function="gelu", n_inner=20)
    source = nanogpt(tmp_path / "source", config, lambda tensors: tensors | {"lm_head.weight": np.ones((65, 4))})
    only = nanogpt(tmp_path / "only", config, lambda tensors: without("wte.weight")(tensors))
    checkpoint.convert(only, tmp_path / "tied", n_head=1)
    assert GPT2.from_pretrained(tmp_path / "tied").config.tie_word_embeddings
    for number, each in enumerate((source, source / "model.safetensors")):
        checkpoint.convert(each, tmp_path / str(number), n_head=1)
        model = GPT2.from_pretrained(tmp_path / str(number))
        assert (model.config.tie_word_embeddings, model.config.n_inner) == (False, 20)
        assert np.ptp(model.logits([1])) == 0, "all rows of the head are equal"
        with pytest.raises(ValueError, match="has no tokenizer"):
            model.generate("a")


def test_a_config_says_how_many_heads_there_are(tmp_path: Path) -> None:
    for name, config in (
        ("nano", {"block_size": 16, "vocab_size": 300, "n_layer": 2, "n_head": 2, "n_embd": 8, "bias": True}),
        ("gpt2", OFFICIAL_CONFIG),
    ):
        source = nanogpt(tmp_path / name, CONFIG)
        (source / "config.json").write_text(json.dumps(config | {"scale_attn_weights": False}))
        result = checkpoint.convert(source, tmp_path / f"{name}-new")
        assert not result.scale_attn_weights
        assert (result.n_head, result.activation_function) == (2, "gelu" if name == "nano" else "gelu_new")
        with pytest.raises(CheckpointError, match=r"its config\.json says n_head 2, not 4"):
            checkpoint.convert(source, tmp_path / "other", n_head=4)


def test_gpt2s_own_tensors_without_a_config(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "model", CONFIG, random_params(), TOKENIZER)
    (tmp_path / "model" / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"it has no config\.json; if its tensors are .*models convert"):
        GPT2.from_pretrained(tmp_path / "model")
    assert checkpoint.convert(tmp_path / "model", tmp_path / "new", n_head=2) == CONFIG
    assert GPT2.from_pretrained(tmp_path / "new").generate("The", 5)


# What is refused


def without(name: str) -> Callable[[dict[str, Array]], dict[str, Array]]:
    return lambda tensors: {key: tensor for key, tensor in tensors.items() if key != f"transformer.{name}"}


@pytest.mark.parametrize(
    ("change", "n_head", "message"),
    [
        (dict, None, "no config.json, and its tensors do not say how many .*--n-head .n_embd is 8."),
        (dict, 3, "source: n_embd 8 is not a multiple of n_head 3"),
        (
            lambda t: without("wte.weight")({n: a for n, a in t.items() if n[0] != "l"}),
            2,
            "no matrix wte.weight, so it is",
        ),
        (without("wpe.weight"), 2, "it has no matrix wpe.weight"),
        (without("h.0.attn.c_attn.weight"), 2, "it has no matrix h.0.attn.c_attn.weight"),
        (without("h.1.mlp.c_proj.weight"), 2, "source: tensor h.1.mlp.c_proj.weight is missing"),
        (without("ln_f.weight"), 2, "source: tensor ln_f.weight is missing"),
        (lambda t: t | {"transformer.h.0.lora": np.ones(1)}, 2, "tensor h.0.lora is not part of a GPT-2"),
        (lambda t: {"embed_tokens.weight": np.ones((2, 2))}, 2, "it has no matrix wte.weight"),
    ],
)
def test_other_tensors(change: Any, n_head: int | None, message: str, tmp_path: Path) -> None:
    source = nanogpt(tmp_path / "source", CONFIG, change)
    with pytest.raises(CheckpointError, match=message) as caught:
        checkpoint.convert(source, tmp_path / "new", n_head=n_head)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "new").exists()


def test_transposed_tensors_beside_a_config_of_gpt2s_are_named(tmp_path: Path) -> None:
    source = nanogpt(tmp_path / "source", CONFIG)
    (source / "config.json").write_text(json.dumps(OFFICIAL_CONFIG))
    with pytest.raises(CheckpointError, match=r"its matrices are transposed, as nanoGPT has them; .*models convert"):
        GPT2.from_pretrained(source)


FORMATS = [
    ("pytorch_model.bin", "a pickle, which can run code and is never opened here; .*python -c"),
    ("ckpt.pt", "a pickle, which can run code.*torch.load.*save_file"),
    ("model.ckpt", "a pickle"),
    ("weights.pth", "a pickle"),
    ("model.gguf", "a model of llama.cpp"),
    ("tf_model.h5", "a model of Keras"),
    ("flax_model.msgpack", "a model of Flax"),
    ("model.ckpt.index", "a checkpoint of TensorFlow"),
    ("model.onnx", "a program for ONNX Runtime"),
    ("params.npz", "an archive of NumPy's"),
    ("adapter_config.json", "an adapter .LoRA. of openai-community/gpt2, not a model; .*merge_and_unload"),
]


@pytest.mark.parametrize(("name", "message"), FORMATS, ids=[name for name, _ in FORMATS])
@pytest.mark.parametrize("with_config", [True, False])
def test_other_formats_are_named(name: str, message: str, with_config: bool, tmp_path: Path) -> None:
    """In a folder, with and without a config, and by themselves; loaded and converted."""
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "optimizer.pt").write_text("")  # as trainers leave it
    (tmp_path / "x" / name).write_text('{"peft_type": "LORA", "base_model_name_or_path": "openai-community/gpt2"}')
    if with_config:
        (tmp_path / "x" / "config.json").write_text(json.dumps(OFFICIAL_CONFIG))
    places = [tmp_path / "x"] + [tmp_path / "x" / name] * (not name.endswith("json"))
    for source in places:
        for use in (GPT2.from_pretrained, lambda path: checkpoint.convert(path, tmp_path / "new")):
            with pytest.raises((CheckpointError, OSError), match=message) as caught:
                use(source)
            assert "\n" not in str(caught.value)


def test_the_recipe_for_a_pickle_works(tmp_path: Path) -> None:
    """Word for word, on a checkpoint like nanoGPT's, whose head is tied."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    source = nanogpt(tmp_path / "source", CONFIG)
    tensors = {name: torch.tensor(tensor) for name, tensor in read_safetensors(source / "model.safetensors").items()}
    tensors["transformer.wte.weight"] = tensors["lm_head.weight"]
    torch.save({"model": tensors, "iter_num": 3, "model_args": {"bias": True}}, tmp_path / "ckpt.pt")
    with pytest.raises(CheckpointError) as caught:
        checkpoint.convert(tmp_path / "ckpt.pt", tmp_path / "new", n_head=2)
    recipe = str(caught.value).split("PyTorch is: ")[1].replace("python ", f"{sys.executable} ", 1)
    subprocess.run(recipe, shell=True, check=True, cwd=tmp_path, capture_output=True)
    checkpoint.convert(tmp_path / "model.safetensors", tmp_path / "new", n_head=2)
    checkpoint.convert(source, tmp_path / "same", n_head=2)
    assert_same(checkpoint.load(tmp_path / "new")[1], checkpoint.load(tmp_path / "same")[1])
