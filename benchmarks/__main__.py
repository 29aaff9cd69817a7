"""Run the benchmarks: `python -m benchmarks`."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path

from benchmarks.encoders import ENCODERS, Encode, texts
from benchmarks.measure import PAUSE, US, Process, Row, causal_flops, machine, model_folder
from numpygpt import GPT2Config
from numpygpt.command_line import Parser, friendly_exit, number
from numpygpt.models.names import find_embedded


class Benchmark:
    """The rows that have been measured, and how to measure more."""

    def __init__(self, repetitions: int, threads: int) -> None:
        self.rows: list[Row] = []
        self.repetitions = repetitions
        self.threads = threads
        self._folder: Path | None = None

    @property
    def folder(self) -> Path:
        """The model that is measured, written when it is first needed."""
        self._folder = self._folder or model_folder()
        return self._folder

    def compare(self, name: str, unit: str, calls: Mapping[str, Callable[[], float]]) -> Row:
        """Measure one row: the programs take turns, after a turn that does not count."""
        row = Row(name, unit, {peer: [] for peer in calls})
        for repetition in range(self.repetitions + 1):
            for peer, call in calls.items():
                time.sleep(PAUSE)
                value = call()
                if repetition:
                    row.values[peer].append(value)
        self.rows.append(row)
        print(row.show(), flush=True)
        return row

    def processes(self, *peers: str) -> dict[str, Process]:
        """Start peers."""
        return {peer: Process(peer, self.folder, self.threads) for peer in peers}

    def limits(self) -> None:
        """What the machine allows: how fast weights cross memory, and how fast large products run."""
        ours = self.processes(US)[US]
        gigabytes = ours("weight_bytes") / 1e9
        self.compare("machine: matrix-vector products", "GB/s", {US: lambda: gigabytes / ours("products", 32)})
        self.compare("machine: products with 1000 rows", "GFLOP/s", {US: lambda: ours("gemm_rate", 1000) / 1e9})
        ours.close()

    def decode(self) -> None:
        """Tokens per second, one sequence; and the share of the time that the weights need to cross memory."""
        peers = self.processes(US, "transformers", "without a cache")
        for n_context in (16, 256, 900):
            name = f"decode, one sequence, context {n_context}"
            taking_part = [p for p in peers if p != "without a cache" or n_context == 16]
            self.compare(name, "tokens/s", {p: partial(_rate, peers[p], n_context, 32, 1) for p in taking_part})
        peers.pop("without a cache").close()
        ours = peers[US]

        def share(process: Process, n_context: int) -> float:
            return float(100 * ours("products", 32) / process("decode", n_context, 32, 1))

        for n_context in (16, 256):
            name = f"decode, context {n_context}, share of the memory's limit"
            self.compare(name, "%", {US: partial(share, ours, n_context)})
        for batch in (8, 16):
            name = f"decode, {batch} sequences, context 64"
            self.compare(name, "tokens/s", {p: partial(_rate, peers[p], 64, 16, batch) for p in peers})
        calls = {US: partial(_rate, ours, 64, 16, 16), "one sequence": partial(_rate, ours, 64, 16, 1)}
        self.compare("decode, 16 sequences against one, context 64", "tokens/s", calls)
        for process in peers.values():
            process.close()

    def lookup(self) -> None:
        """Greedy tokens per second with guesses by prompt lookup against without, where text repeats and where not."""
        ours = self.processes(US)[US]
        for text in ("repetitive", "not repetitive"):
            n_guessed = {"numpygpt": 15, "without guesses": 0}
            calls = {name: partial(ours, "greedy_rate", 200, text == "repetitive", n) for name, n in n_guessed.items()}
            self.compare(f"greedy decode of 200 tokens, text {text}", "tokens/s", calls)
        ours.close()

    def tokenizer(self) -> None:
        """Megabytes of text per second, on one thread, of words not seen before and again of the same words."""
        for language, text in texts(1_000_000).items():
            megabytes = len(text.encode()) / 1e6
            first = {name: partial(_encoding_rate, make, text, megabytes) for name, make in ENCODERS.items()}
            again = {name: partial(_encoding_rate, cache(make), text, megabytes) for name, make in ENCODERS.items()}
            self.compare(f"tokenizer, {language}, first sight", "MB/s", first)
            self.compare(f"tokenizer, {language}, seen before", "MB/s", again)

    def prefill(self) -> None:
        """Seconds to read a prompt; and the share of the product rate, counting what a causal model has to compute."""
        peers = self.processes(US, "transformers", "without a cache")
        for n in (16, 128, 1000):
            self.compare(f"prefill, {n} tokens", "s", {p: partial(peers[p], "prefill", n) for p in peers})
        ours = peers[US]
        flops = causal_flops(GPT2Config(), 1000)
        self.compare(
            "prefill of 1000, share of the product rate",
            "%",
            {US: lambda: 100 * flops / ours("prefill", 1000) / ours("gemm_rate", 1000)},
        )
        for process in peers.values():
            process.close()

    def memory(self) -> None:
        """Load time and peak memory of a fresh process that loads the model and decodes 100 tokens."""
        loads: dict[str, list[float]] = {}

        def peak(peer: str) -> float:
            process = self.processes(peer)[peer]
            loads.setdefault(peer, []).append(process("load_seconds"))
            megabytes = float(process("peak_memory", 100))
            process.close()
            return megabytes

        peers = (US, "transformers")
        self.compare("peak memory, 100 tokens", "MB", {p: partial(peak, p) for p in peers})
        row = Row("load", "s", {p: loads[p][1:] for p in peers})
        self.rows.append(row)
        print(row.show(), flush=True)

    def start(self) -> None:
        """Seconds from the start of a process to its end after one token, and of the imports alone."""
        theirs = (
            "import sys, torch\nfrom transformers import AutoTokenizer, GPT2LMHeadModel\n"
            "tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])\n"
            "model = GPT2LMHeadModel.from_pretrained(sys.argv[1])\n"
            "ids = tokenizer('Once upon a time', return_tensors='pt')\n"
            "print(tokenizer.decode(model.generate(**ids, max_new_tokens=1, pad_token_id=0)[0]))"
        )
        folder = str(self.folder)
        self.compare(
            "process start to first token",
            "s",
            {
                US: partial(_run, "-m", "numpygpt", "--model", folder, "-n", "1", "Once upon a time"),
                "transformers": partial(_run, "-c", theirs, folder),
            },
        )
        if find_embedded("stories"):
            command = ("-m", "numpygpt", "--model", "stories", "-n", "1", "Once upon a time")
            self.compare("the same, embedded model", "s", {US: partial(_run, *command)})
        imports = {
            US: "import numpygpt",
            "transformers": "from transformers import GPT2LMHeadModel, AutoTokenizer",
            "numpy alone": "import numpy",
        }
        self.compare("process that imports", "s", {peer: partial(_run, "-c", code) for peer, code in imports.items()})


def _rate(process: Process, n_context: int, n_new: int, batch: int) -> float:
    return float(batch / process("decode", n_context, n_new, batch))


def _encoding_rate(make: Callable[[], Encode], text: str, megabytes: float) -> float:
    encode = make()
    start = time.perf_counter()
    encode(text)
    return megabytes / (time.perf_counter() - start)


def _run(*command: str) -> float:
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, *command], check=True, capture_output=True, env=os.environ | {"HF_HUB_OFFLINE": "1"}
    )
    return time.perf_counter() - start


def main(argv: list[str] | None = None) -> None:
    """Run the benchmarks that were asked for."""
    parser = Parser(
        "python -m benchmarks",
        "Measure this package against its peers on this machine: all in one run, taking turns,\n"
        "with the same number of threads. Prints a Markdown table: medians, and how many times better\n"
        "this package is than the first of the others (median and extremes of the turns' ratios).",
        "needs: pip install -e '.[reference]' (torch in its CPU build). Let nothing else run meanwhile.",
    )
    parts = ["limits", "decode", "lookup", "prefill", "memory", "start", "tokenizer"]
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(parts)} (default: all)")
    parser.add_argument("--repetitions", type=number(int, 1), default=5, metavar="N", help="turns (default: 5)")
    parser.add_argument(
        "--threads", type=number(int, 1), default=os.cpu_count(), metavar="N", help="default: the cores"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all measurements there too")
    options = parser.parse_args(argv)
    for part in options.parts:
        if part not in parts:
            parser.error(f"{part!r} is not one of {', '.join(parts)}")
    with friendly_exit(parser.prog):
        run(options, options.parts or parts)


def run(options: argparse.Namespace, parts: list[str]) -> None:
    """Measure, print and save."""
    facts = machine() | {"threads": options.threads}
    print(", ".join(f"{name}: {value}" for name, value in facts.items()) + "\n")
    print("| what | unit | numpygpt | others | times better than the first |", flush=True)
    print("| --- | --- | ---: | --- | --- |", flush=True)
    benchmark = Benchmark(options.repetitions, options.threads)
    for part in parts:
        getattr(benchmark, part)()
    if options.json:
        result = {"machine": facts, "rows": [asdict(row) for row in benchmark.rows]}
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
