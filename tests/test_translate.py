"""A translator and its command, with random weights: what is asked for, what is printed, and mistakes."""

from __future__ import annotations

import io
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_runs import ENVIRONMENT, PATIENCE, posix, started
from translators import tiny_translator

from numpygpt import Translator, transformer
from numpygpt.engine.translate import cross_attention, translate
from numpygpt.layers import merge_heads, softmax, split_heads
from numpygpt.translate import main

COMMAND = [sys.executable, "-m", "numpygpt.translate"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("translator")
    tiny_translator(path, max_position_embeddings=20)
    return path


def run(folder: Path, *arguments: str | bytes, stdin: bytes = b"") -> tuple[int, str, str]:
    command = [*COMMAND, "--model", str(folder), *arguments]
    result = subprocess.run(command, input=stdin, capture_output=True, timeout=PATIENCE, env=ENVIRONMENT)
    return result.returncode, result.stdout.decode(), result.stderr.decode()


def test_a_text_gives_a_text_and_a_list_a_list(folder: Path) -> None:
    translator = Translator.from_pretrained(folder)
    texts = ["Where is the cat?", "", "Go.", "I see the big red house."]
    found = translator.translate(texts, num_beams=2)
    assert isinstance(found, list)
    assert found[1] == ""
    assert found == [translator.translate(text, num_beams=2) for text in texts]
    ids = translator.tokenizer.encode("Go.")
    [expected] = translate([ids], translator.params, translator.config, num_beams=2)
    assert found[2] == translator.tokenizer.decode(expected).strip()
    assert translator.translate([]) == []
    assert translator.translate("  go. ") == translator.translate("Go.")
    with pytest.raises(ValueError, match="num_beams must be at least 1, not 0"):
        translator.translate("Go.", num_beams=0)
    with pytest.raises(ValueError, match="surrogates not allowed"):
        translator.translate("half \ud83d")


def test_logits_add_nothing(folder: Path) -> None:
    translator = Translator.from_pretrained(folder)
    config = translator.config
    source, target = [3, 4, config.eos_token_id], [config.decoder_start_token_id, 9, 7]
    logits = translator.logits(source, target)
    expected = transformer(source, target, **translator.params, n_head=4, pad_token_id=config.pad_token_id)
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    assert translator.logits([source] * 2, [target] * 2).shape == (2, 3, config.vocab_size)
    with pytest.raises(ValueError, match="the target has 21 tokens, more than the 20 positions"):
        translator.logits(source, [1] * 21)
    with pytest.raises(TypeError, match="must be integers"):
        translator.logits([0.5], target)


def test_a_long_text_is_cut_at_sentence_ends_and_said(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    translator = Translator.from_pretrained(folder)
    parts = ["I see the cat.", "The cat sees me.", "Where is the station?"]
    with caplog.at_level(logging.WARNING):
        assert translator.translate("Go. Go.") == f"{translator.translate('Go.')} {translator.translate('Go.')}"
        assert caplog.text == ""
        assert translator.translate(" ".join(parts)) == " ".join(translator.translate(parts))
    assert "are more than the 20 that fit: translated in parts" in caplog.text
    caplog.clear()
    assert translator.translate("x" * 100)  # without a blank, it is cut in its middle
    assert "translated in parts" in caplog.text


def test_the_attention_is_that_of_the_formula(folder: Path) -> None:
    """By the book's functions, for a decoder of one layer."""
    translator = Translator.from_pretrained(folder)
    config, params = translator.config, translator.params
    source, target = [3, 4, 5, config.eos_token_id], [9, 7]
    [weights] = cross_attention(source, target, params, config)
    assert weights.shape == (4, 2, 4)
    np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-6)
    from numpygpt.layers import causal_mask, layer_norm, linear
    from numpygpt.transformer import embed, encoder_layer, multi_head_attention

    model = params["model"]
    shared = model["shared"]["weight"]
    memory = encoder_layer(embed(source, shared), **model["encoder"]["layers"][0], n_head=4, mask=0.0)
    layer = model["decoder"]["layers"][0]
    x = embed([config.decoder_start_token_id, 9], shared)
    y = multi_head_attention(x, x, **layer["self_attn"], n_head=4, mask=causal_mask(2))
    x = layer_norm(x + y, **layer["self_attn_layer_norm"])
    q = split_heads(linear(x, **layer["encoder_attn"]["q_proj"]), 4)
    k = split_heads(linear(memory, **layer["encoder_attn"]["k_proj"]), 4)
    np.testing.assert_allclose(weights, softmax(q @ k.swapaxes(-1, -2) / np.sqrt(4)), atol=1e-5)
    assert merge_heads(q).shape == (2, 16)


def test_an_alignment_is_of_one_sentence(folder: Path) -> None:
    translator = Translator.from_pretrained(folder)
    alignment = translator.align("Where is the cat?")
    assert alignment.source == ["Where", "is", "the", "cat", "?"]
    with pytest.raises(ValueError, match="the text is empty"):
        translator.align(" ")
    with pytest.raises(ValueError, match="of one sentence"):
        translator.align("The cat. " * 20)


def test_the_command_answers(folder: Path) -> None:
    translator = Translator.from_pretrained(folder)
    status, out, err = run(folder, "Where is", "the cat?")
    assert (status, out, err) == (0, translator.translate("Where is the cat?") + "\n", "")
    status, out, _ = run(folder, "--beams", "1", stdin="\ufeffGo.\r\n\n  \nThe caf\u00e9.".encode())
    expected = [translator.translate(text, num_beams=1) for text in ("Go.", "", "", "The caf\u00e9.")]
    assert (status, out.split("\n")) == (0, [*expected, ""])
    status, out, _ = run(folder, "--attention", "Go.")
    assert (status, out) == (0, f"{translator.align('Go.')}\n\n")


def test_each_line_is_answered_when_it_comes(folder: Path) -> None:
    command = [*COMMAND, "--model", str(folder)]
    with started(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for text in (b"Go.\n", b"The cat.\n"):
            process.stdin.write(text)
            process.stdin.flush()
            assert process.stdout.readline().endswith(b"\n")
        process.stdin.close()
        assert process.wait(PATIENCE) == 0


def test_the_picture_goes_to_a_file(folder: Path, tmp_path: Path) -> None:
    status, out, _ = run(folder, "--svg", str(tmp_path / "a.svg"), "The cat.")
    assert status == 0
    assert out.endswith("a.svg: written\n")
    assert (tmp_path / "a.svg").read_text(encoding="utf-8").startswith("<svg ")
    status, _, err = run(folder, "--svg", str(tmp_path / "b.svg"), stdin=b"Go.\nGo.\n")
    assert (status, err.count("\n")) == (2, 1)
    assert "holds the picture of one sentence" in err


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        ([b"half \xff"], b"", "the text is not UTF-8"),
        ([], b"Go.\n\xff\xfe\n", "standard input, line 2: not UTF-8 text (byte 0 is 0xff)"),
        (["--beams", "0", "Go."], b"", "argument --beams: '0' is not a whole number of at least 1"),
        (["--model", "french-english", "Go."], b"", "translates from English to French alone"),
        (["--model", "stories", "Go."], b"", "model_type is 'gpt2'"),
        (["--model", "/none", "Go."], b"", "/none is not a folder"),
        (["--svg", "/none/a.svg", "Go."], b"", "/none"),
    ],
    ids=str,
)
def test_mistakes_are_one_line(folder: Path, arguments: list[Any], stdin: bytes, message: str) -> None:
    status, _, err = run(folder, *arguments, stdin=stdin)
    assert status == 2
    assert err.startswith("python -m numpygpt.translate: ")
    assert message in err
    assert err.count("\n") == 1


def test_strange_texts_are_translated_all_the_same(folder: Path) -> None:
    status, out, err = run(folder, stdin="\u4f60\u597d\n\x00\x01\n\U0001f600\n".encode())
    assert (status, out.count("\n"), err) == (0, 3, "")


def test_without_text_on_a_terminal_it_says_what_it_wants(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    with pytest.raises(SystemExit):
        main([])
    assert 'give a text, such as "Where is the station?"' in capsys.readouterr().err


@posix
def test_ctrl_c_ends_it_quietly(folder: Path) -> None:
    command = [*COMMAND, "--model", str(folder)]
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with started(command, **streams) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write(b"Go.\n")
        process.stdin.flush()
        process.stdout.readline()
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(PATIENCE) == 130
        assert process.stderr.read() == b""
