"""The comparison of engines: its rounds, tables and picture, with fakes in place of processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.engines import __main__ as engines
from benchmarks.engines import rounds
from benchmarks.engines.process import EngineError, EngineProcess
from benchmarks.engines.rounds import Comparison, check
from benchmarks.engines.table import cell, markdown, result, share
from benchmarks.engines.work import LIMIT, OURS, PEERS, SUM, Peer, prompts, workloads
from benchmarks.measure import Row

SECONDS = {"ours": 1.0, "eager": 2.0, "jax_jit": 4.0, "onnx_runtime": 0.5}


class Fake:
    """An engine of constant speed."""

    asked: list[tuple[str, str]] = []  # noqa: RUF012

    def __init__(self, peer: Peer) -> None:
        self.peer, self.ended = peer, False
        self.versions = {peer.module: "1"}

    def __call__(self, method: str, *arguments: Any) -> Any:
        self.asked.append((self.peer.title, method))
        if method == "generate":
            texts, n_new, _ = arguments
            return [[0] * (n_new - 1) + [1 if self.peer.module == "jax_jit" else 0]] * len(texts)
        if method == "logits":
            return [1.0, 0.5]
        if method == "seconds_of_all_logits" and self.peer.module == "eager":
            raise EngineError("it gives the last logits only")
        if method == "seconds" and self.peer.module == "compiled":
            self.ended = True
            raise EngineError("its process ended with status 1")
        if method == "blas":
            return "openblas"
        return 4.0 if method in ("gemv", "sum") else SECONDS[self.peer.module]

    def close(self) -> None:
        self.ended = True


class Fakes(Comparison):
    """A comparison of such engines, one of which is not installed."""

    def start(self, peer: Peer) -> EngineProcess:
        if peer.module == "open_vino":
            raise EngineError("not installed (No module named 'openvino')")
        fake: Any = Fake(peer)
        return fake  # type: ignore[no-any-return]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(Fake, "asked", [])
    names = ("eager", "compiled", "jax", "onnx", "openvino", "onnx-int8")
    comparison = Fakes(Path("gpt2"), 2, workloads(quick=True), pause=0)
    comparison.open([PEERS[name] for name in names])
    for number in range(3):
        comparison.round(number)
    comparison.close()
    return json.loads(json.dumps(result(comparison, {"processor": "a fast one"})))  # type: ignore[no-any-return]


def test_rounds_are_counted_but_the_first_and_what_fails_is_said_in_a_line(measured: dict[str, Any]) -> None:
    rows = {row["name"]: row["values"] for row in measured["rows"]}
    decode = rows["decode of one sequence, tokens/s"]
    assert decode[OURS.title] == [3.0, 3.0]
    assert decode[PEERS["eager"].title] == [1.5, 1.5]
    assert decode[LIMIT.title] == decode[SUM] == [4.0, 4.0]
    assert rows["2 sequences, tokens/s"][PEERS["onnx"].title] == [8.0, 8.0]
    assert len(rows["load, s"][OURS.title]) == 2
    assert measured["notes"] == [
        "JAX, jit is left out: its greedy ids are not ours: text 0 parts after 2 of 3",
        "OpenVINO, set to float32 is left out: not installed (No module named 'openvino')",
        "the same, torch.compile is left out: its process ended with status 1",
        "transformers on PyTorch, all logits of 40, s: it gives the last logits only",
    ]
    assert measured["machine"] == {"processor": "a fast one", "threads": 2}


def test_engines_take_turns_and_change_places_every_other_round(measured: dict[str, Any]) -> None:
    turns = [title for title, method in Fake.asked if method == "seconds_of_all_logits"]
    ours, onnx, int8 = OURS.title, PEERS["onnx"].title, PEERS["onnx-int8"].title
    assert turns == [ours, PEERS["eager"].title, onnx, int8, int8, onnx, ours, ours, onnx, int8]


def test_the_tables_hold_medians_ratios_and_shares_and_keep_lower_precision_apart(measured: dict[str, Any]) -> None:
    facts, _, float32, _, lower, notes = markdown(measured).split("\n\n")
    assert "a fast one" in facts
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in float32.splitlines()]
    assert lines[0][:3] == ["engine", "decode of one sequence, tokens/s", "share of the limit"]
    found = {line[0]: line[1:] for line in lines[2:]}
    assert found[OURS.title][:2] == ["3", "75%"]
    assert found[PEERS["eager"].title][:2] == ["1.5; 2.00 (2.00 to 2.00)", "38%"]
    assert found[PEERS["eager"].title][5] == ""  # the logits that it does not give
    assert found[PEERS["onnx"].title][3] == "0.5; 0.50 (0.50 to 0.50)"
    assert list(found) == [OURS.title, PEERS["eager"].title, PEERS["onnx"].title, LIMIT.title, SUM]
    assert len({len(line) for line in lines}) == 1
    assert [line.split(" | ")[0] for line in lower.splitlines()[2:]] == ["| numpygpt", "| ONNX Runtime, int8"]
    assert notes.count("\n- ") == 3


def test_the_share_is_the_median_of_the_rounds_and_the_ratio_says_its_extremes() -> None:
    row = Row("decode", "tokens/s", {OURS.title: [8.0, 6.0, 9.0], "other": [4.0, 6.0, 3.0], LIMIT.title: [10.0] * 3})
    assert share(row, OURS.title) == 0.8
    assert cell(row, "other") == "4; 2.00 (1.00 to 3.00)"


def test_ids_that_part_are_placed_but_at_a_tie_either_is_right() -> None:
    def engine(method: str, ids: list[int]) -> list[float]:
        assert method == "logits"
        asked.append(ids)
        return [0.0, 0.3, 0.2, 0.2995]

    asked: list[list[int]] = []
    check([[7], [8]], [[1, 2], [1, 1]], [[1, 2], [1, 3]], engine)
    assert asked == [[8, 1]]
    with pytest.raises(EngineError, match="text 1 parts after 1 of 2"):
        check([[7], [8]], [[1, 2], [1, 1]], [[1, 2], [1, 2]], engine)


def test_prompts_are_what_their_text_is_encoded_as() -> None:
    first, second = prompts(30, 2)
    assert first != second
    assert len(first) == len(second) == 30


def test_the_picture_is_drawn_from_the_numbers(measured: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    engines.report(measured, tmp_path / "engines.json")
    picture = (tmp_path / "engines.svg").read_text(encoding="utf-8")
    assert "sha256 of the data" in picture
    assert "prefill of 20" in picture


def test_the_command_measures_and_says_what_was_unset(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(engines, "Comparison", Fakes)
    monkeypatch.setattr(rounds, "PAUSE", 0)
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    engines.main(["--quick", "--threads", "2", "--engines", "onnx"])
    printed = capsys.readouterr()
    assert "threads: 2" in printed.out
    assert "OPENBLAS_CORETYPE (unset): Haswell" in printed.out
    assert "| ONNX Runtime |" in printed.out
    with pytest.raises(SystemExit):
        engines.main(["--out", "picture.svg"])
    assert "has to end in .json" in capsys.readouterr().err
