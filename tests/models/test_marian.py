"""Folders of encoder-decoders: ours in `transformers`, `transformers`' here, and what cannot be opened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hub_server import HubServer
from random_transformers import SHAPES, marian_logits, marian_model, random_pairs, random_transformer
from translators import tiny_translator

from numpygpt import Translator
from numpygpt.arrays import flatten
from numpygpt.engine.transformer import transformer
from numpygpt.models import hub, marian
from numpygpt.models.__main__ import main
from numpygpt.models.stored import CheckpointError
from numpygpt.safetensors import load_file, save_file
from numpygpt.transformer import sines_first

TEXT = "I see the big station. "


def rewrite_config(folder: Path, **options: Any) -> Path:
    config = json.loads((folder / "config.json").read_text()) | options
    config = {name: value for name, value in config.items() if value != "left out"}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    config, params, tokenizer = tiny_translator(tmp_path / "out")
    loaded, again = marian.load(tmp_path / "out")
    assert loaded == config
    for name, tensor in flatten(params).items():
        np.testing.assert_array_equal(flatten(again)[name], tensor)
    assert marian.load_tokenizer(tmp_path / "out", config) == tokenizer
    stored = load_file(tmp_path / "out/model.safetensors")
    fc1 = params["model"]["encoder"]["layers"][0]["fc1"]["weight"]
    np.testing.assert_array_equal(stored["model.encoder.layers.0.fc1.weight"], fc1.T)
    with pytest.raises(FileExistsError):
        marian.save(tmp_path / "out", config, params, tokenizer)
    marian.save(tmp_path / "half", config, params, tokenizer, dtype=np.float16)
    assert load_file(tmp_path / "half/model.safetensors")["final_logits_bias"].dtype == np.float16


def test_transformers_opens_our_folder(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config, _, tokenizer = tiny_translator(tmp_path)
    auto = transformers.AutoTokenizer.from_pretrained(tmp_path)
    ids = auto(TEXT)["input_ids"]
    assert ids == tokenizer.encode(TEXT)
    assert ids[-1] == config.eos_token_id == auto.eos_token_id
    assert (auto.pad_token_id, auto.decode(ids, skip_special_tokens=True)) == (config.pad_token_id, TEXT)
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path).eval()
    assert type(model).__name__ == "MarianMTModel"
    read = [config.decoder_start_token_id, 5, 9]
    with torch.no_grad():
        theirs = model(input_ids=torch.tensor([ids]), decoder_input_ids=torch.tensor([read])).logits[0].numpy()
        found = model.generate(torch.tensor([ids]), num_beams=3)[0].tolist()[1:]
    translator = Translator.from_pretrained(tmp_path)
    np.testing.assert_allclose(translator.logits(ids, read), theirs, atol=1e-4)
    end = found.index(config.eos_token_id)
    assert translator.translate(TEXT, num_beams=3) == tokenizer.decode(found[:end]).strip()


@pytest.mark.parametrize("option", SHAPES, ids=str)
def test_what_transformers_saves_opens_here(option: dict[str, Any], tmp_path: Path) -> None:
    config, params = random_transformer(dtype=np.float32, **option)
    model = marian_model(config, params)
    model.save_pretrained(tmp_path)
    loaded, again = marian.load(tmp_path)
    assert loaded == config
    source, read, _ = random_pairs(config, [(7, 5), (2, 9)])
    theirs = marian_logits(model, config, source, read).logits.detach().numpy()
    np.testing.assert_allclose(transformer(source, read, again, loaded), theirs, atol=1e-4)
    translator = Translator.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"it has no tokenizer\.json, so it takes no text; its logits, of ids, work"):
        translator.translate("Go.")


def test_old_files_hold_copies_and_positions(tmp_path: Path) -> None:
    config, params, _ = tiny_translator(tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    positions = sines_first(12, 16).astype(np.float32)
    more = dict.fromkeys(marian.COPIES, stored[marian.SHARED]) | dict.fromkeys(marian.POSITIONS, positions)
    without_bias = {name: tensor for name, tensor in stored.items() if name not in (marian.SHARED, marian.BIAS)}
    save_file(without_bias | more, tmp_path / "model.safetensors")
    _, loaded = marian.load(tmp_path)
    np.testing.assert_array_equal(loaded["model"]["shared"]["weight"], params["model"]["shared"]["weight"])
    np.testing.assert_array_equal(loaded["final_logits_bias"], np.zeros((1, config.vocab_size)))
    for name, message in [(marian.COPIES[2], "must share a table"), (marian.POSITIONS[0], "is not the sinusoidal")]:
        save_file(stored | {name: 2 * more[name] + 1}, tmp_path / "model.safetensors")
        with pytest.raises(CheckpointError, match=message):
            marian.load(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model_type": "bart"}, "model_type is 'bart'; a translator is of type 'marian'"),
        ({"normalize_before": True}, "normalize_before is True, which this package does not implement"),
        ({"add_final_layer_norm": True}, "add_final_layer_norm is True"),
        ({"static_position_embeddings": False}, "static_position_embeddings is False"),
        ({"share_encoder_decoder_embeddings": False}, "share_encoder_decoder_embeddings is False"),
        ({"decoder_vocab_size": 7}, "decoder_vocab_size differs from vocab_size"),
        ({"activation_function": 3}, "activation_function a name"),
        ({"d_model": "wide"}, "d_model must be a whole number above 0, not 'wide'"),
        ({"encoder_layers": 10**9}, "tensor model.encoder.layers.1.self_attn.q_proj.weight is missing"),
        ({"encoder_ffn_dim": 5}, r"has shape \[16, 64\], but the config asks for \[16, 5\]"),
        ({"decoder_layers": "left out"}, "tensor model.decoder.layers.1.self_attn.q_proj.weight is missing"),
    ],
    ids=str,
)
def test_a_config_of_another_kind_is_refused_by_name(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    tiny_translator(tmp_path)
    rewrite_config(tmp_path, **options)
    with pytest.raises(CheckpointError, match=message):
        marian.load(tmp_path)


def test_remnants_of_old_configs_that_change_nothing_are_read_over(tmp_path: Path) -> None:
    config, _, _ = tiny_translator(tmp_path)
    remnants = {"normalize_before": False, "static_position_embeddings": True, "decoder_vocab_size": config.vocab_size}
    assert marian.load(rewrite_config(tmp_path, **remnants, add_bias_logits=False))[0] == config
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["bad_words_ids"] == [[config.pad_token_id]]
    assert written["forced_eos_token_id"] == config.eos_token_id


def test_folders_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is not a folder; give one that holds config"):
        marian.load(tmp_path / "none")
    tiny_translator(tmp_path / "pickle")
    (tmp_path / "pickle/model.safetensors").rename(tmp_path / "pickle/pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match=r"is a pickle, .*save_pretrained"):
        marian.load(tmp_path / "pickle")


def test_sentencepiece_takes_ids_alone(tmp_path: Path) -> None:
    config, _, _ = tiny_translator(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "source.spm").write_bytes(b"x")
    translator = Translator.from_pretrained(tmp_path)
    assert translator.logits([3, 4], [config.decoder_start_token_id]).shape == (1, config.vocab_size)
    with pytest.raises(ValueError, match=r"its tokenizer is SentencePiece \(source\.spm\), not byte-level BPE"):
        translator.translate("Go.")


def test_gpt2_and_translators_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from numpygpt import GPT2

    tiny_translator(tmp_path)
    with pytest.raises(ValueError, match=r"this is a translator; use python -m numpygpt\.translate --model"):
        GPT2.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="model_type is 'gpt2'; a translator is of type 'marian'"):
        Translator.from_pretrained("stories")
    with pytest.raises(ValueError, match="translates from English to French alone"):
        Translator.from_pretrained("french-english")
    main(["show", str(tmp_path)])
    assert "  d_model: 16\n" in capsys.readouterr().out


@pytest.mark.usefixtures("cache")
def test_downloads_a_translator(server: HubServer, tmp_path: Path) -> None:
    config, params, _ = tiny_translator(tmp_path)
    (tmp_path / "source.spm").write_bytes(b"x")
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    server.add("someone/opus", {name: data for name, data in files.items() if name != "tokenizer.json"})
    translator = Translator.from_pretrained("someone/opus")
    assert translator.config == config
    np.testing.assert_array_equal(flatten(translator.params)[marian.SHARED], params["model"]["shared"]["weight"])
    assert (hub.download("someone/opus") / "source.spm").read_bytes() == b"x"
