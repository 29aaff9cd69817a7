"""What converting a downloaded model costs: `python -m benchmarks.convert`.

Makes a file of random numbers with the size and layout of the official one, masks and odd offset included, and
converts it in a process of its own. Beside it stands a plain copy of the same file, the least that any conversion
must read and write, and the `safetensors` library doing the same by loading all tensors and saving them.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from numpygpt.command_line import Parser, friendly_exit, number
from numpygpt.config import GPT2Config, parameter_shapes

SHAPES = {
    "gpt2": GPT2Config(),
    "gpt2-medium": GPT2Config(n_embd=1024, n_layer=24, n_head=16),
    "gpt2-large": GPT2Config(n_embd=1280, n_layer=36, n_head=20),
    "gpt2-xl": GPT2Config(n_embd=1600, n_layer=48, n_head=25),
}
WAYS = {
    "numpygpt": "from numpygpt.models import checkpoint; checkpoint.convert(source, destination)",
    "a plain copy": """
import shutil
os.mkdir(destination)
shutil.copyfile(source + "/model.safetensors", destination + "/model.safetensors")
with open(destination + "/model.safetensors", "rb+") as file: os.fsync(file.fileno())""",
    "safetensors": """
from safetensors.numpy import load_file, save_file
tensors = {k: v for k, v in load_file(source + "/model.safetensors").items() if not k.endswith(".attn.bias")}
os.mkdir(destination)
save_file(tensors, destination + "/model.safetensors")
with open(destination + "/model.safetensors", "rb+") as file: os.fsync(file.fileno())""",
}
MEASURED = """
import os, sys, time
source, destination = sys.argv[1:]
import numpy
started = time.perf_counter()
{code}
seconds = time.perf_counter() - started
try:
    with open("/proc/self/status") as status:
        peak = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
except OSError:
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(seconds, peak)
"""


def write_model(folder: Path, config: GPT2Config) -> int:
    """Write a model folder as the hub has it, of random numbers, a tensor at a time; return its weights' bytes."""
    shapes = dict(parameter_shapes(config))
    shapes |= {f"h.{layer}.attn.bias": (1, 1, config.n_ctx, config.n_ctx) for layer in range(config.n_layer)}
    entries, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 4 * int(np.prod(shape))
        entries[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}
    header = json.dumps(entries).encode()
    header += b" " * (1 - len(header) % 2)  # the data of the official file starts at an odd byte
    rng = np.random.default_rng(0)
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        for shape in shapes.values():
            file.write(rng.standard_normal(shape, np.float32).data)
        os.fsync(file.fileno())
    options = {"model_type": "gpt2", "n_embd": config.n_embd, "n_layer": config.n_layer, "n_head": config.n_head}
    (folder / "config.json").write_text(json.dumps(options))
    return 8 + len(header) + end


def measure(way: str, source: Path, destination: Path) -> tuple[float, float]:
    """Convert in a new process; return its seconds, and its peak of memory in bytes, mapped files included."""
    command = [sys.executable, "-c", MEASURED.format(code=WAYS[way]), str(source), str(destination)]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    shutil.rmtree(destination)
    seconds, peak = map(float, output.split())
    return seconds, peak


def main(argv: list[str] | None = None) -> None:
    """Measure and print a table."""
    parser = Parser("python -m benchmarks.convert", "Measure the time and memory of converting a downloaded model.")
    parser.add_argument("--model", choices=list(SHAPES), default="gpt2", help="whose size the file has")
    parser.add_argument("--repetitions", type=number(int, 1), default=3, metavar="N", help="default: 3")
    parser.add_argument(
        "--folder", metavar="PATH", help="where to write, twice the model's size (default: the system's)"
    )
    options = parser.parse_args(argv)
    with friendly_exit(parser.prog), tempfile.TemporaryDirectory(dir=options.folder) as folder:
        source = Path(folder, "source")
        source.mkdir()
        started = time.perf_counter()
        n_bytes = write_model(source, SHAPES[options.model])
        print(f"{options.model}: {n_bytes:,} bytes, written in {time.perf_counter() - started:.1f} s", file=sys.stderr)
        ways = [way for way in WAYS if way != "safetensors" or _has_safetensors()]
        runs: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        for _ in range(options.repetitions):
            for way in ways:  # in turn, so that a slow minute of the machine is everybody's
                runs[way].append(measure(way, source, Path(folder, "converted")))
        print("|  | seconds | MB/s | peak memory, MB |\n| --- | --- | --- | --- |")
        for way in ways:
            seconds = statistics.median(run[0] for run in runs[way])
            peak = statistics.median(run[1] for run in runs[way])
            print(f"| {way} | {seconds:.2f} | {n_bytes / seconds / 1e6:.0f} | {peak / 1e6:.0f} |")


def _has_safetensors() -> bool:
    import importlib.util

    return importlib.util.find_spec("safetensors") is not None


if __name__ == "__main__":
    main()
