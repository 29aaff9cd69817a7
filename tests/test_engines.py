"""The protocol of the engines that are compared, with one that needs no library, and ours beside the installed ones."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from random_models import random_params

from benchmarks.engines.engine import draw
from benchmarks.engines.process import EngineError, EngineProcess, command
from numpygpt import GPT2, GPT2Config, Tokenizer

FAKE = """
import os
from benchmarks.engines.engine import Engine, serve
class Fake(Engine):
    packages = ("numpy",)
    def __init__(self, folder, mode, threads):
        print("a library's greeting")
        if mode == "missing":
            import no_such_library
    def generate(self, prompts, n_new, top_k):
        return [[sum(ids)] * n_new for ids in prompts]
    def logits(self, ids):
        raise ValueError("too hard")
    def end(self):
        os._exit(3)
    def environment(self, name):
        return os.environ.get(name)
serve(Fake)
"""


def fake(mode: str = "", threads: int = 1) -> EngineProcess:
    return EngineProcess([sys.executable, "-c", FAKE, "folder", mode, str(threads)], threads, 60)


def test_an_engine_answers_and_its_errors_do_not_end_it() -> None:
    engine = fake()
    assert engine.versions == {"numpy": np.__version__}
    with pytest.raises(EngineError, match="ValueError: too hard"):
        engine("logits", [1])
    assert engine("generate", [[1, 2], [4]], 2, 1) == [[3, 3], [4, 4]]
    assert engine("seconds", [[1]], 1) >= 0
    with pytest.raises(EngineError, match="ended with status 3"):
        engine("end")
    engine.close()


def test_an_engine_that_is_not_installed_is_said_to_be() -> None:
    with pytest.raises(EngineError, match=r"not installed .*no_such_library"):
        fake("missing")


def test_threads_are_set_and_what_changes_our_blas_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    engine = fake(threads=2)
    assert engine("environment", "OPENBLAS_CORETYPE") is None
    assert engine("environment", "OPENBLAS_NUM_THREADS") == "2"
    engine.close()


def test_only_the_likeliest_are_drawn_and_as_often_as_they_should() -> None:
    rows = np.tile(np.log([0.05, 0.6, 0.05, 0.3]), (3000, 1))
    ids = draw(rows, 2, np.random.default_rng(0))
    assert set(ids.tolist()) == {1, 3}
    assert abs((ids == 1).mean() - 2 / 3) < 0.03
    assert (draw(rows, 1, np.random.default_rng(0)) == 1).all()


def test_ours_draws_and_the_limit_reads_weights_of_its_shape(tmp_path: Path) -> None:
    config = GPT2Config(n_layer=1, n_head=2, n_embd=8)
    GPT2(config, random_params(config), Tokenizer()).save(tmp_path / "model")
    ours, limit = (EngineProcess(command(name, tmp_path / "model", "float32", 1), 1, 60) for name in ("ours", "limit"))
    try:
        assert ours("seconds", [Tokenizer().encode("Once upon a time")], 3) > 0
        assert limit("gemv", 2) > 0
        assert limit("sum", 2) > 0
    finally:
        ours.close()
        limit.close()


@pytest.mark.slow
@pytest.mark.parametrize("module", ["eager", "compiled", "jax_jit", "onnx_runtime", "open_vino", "ctranslate"])
def test_an_installed_engine_writes_what_ours_writes(module: str, tmp_path: Path) -> None:
    config = GPT2Config(n_layer=2, n_head=2, n_embd=32)
    GPT2(config, random_params(config), Tokenizer()).save(tmp_path / "model")
    prompts = [Tokenizer().encode(text) for text in ("Once upon a time", "There was a bird")]
    engines = []
    for name in ("ours", module):
        try:
            engines.append(EngineProcess(command(name, tmp_path / "model", "float32", 1), 1, 300))
        except EngineError as error:
            for engine in engines:
                engine.close()
            pytest.skip(str(error))
    ours, theirs = engines
    try:
        assert theirs("generate", prompts, 8, 1) == ours("generate", prompts, 8, 1)
        np.testing.assert_allclose(theirs("logits", prompts[0]), ours("logits", prompts[0]), atol=1e-3)
        assert theirs("seconds", prompts, 3) > 0
    finally:
        ours.close()
        theirs.close()
