"""What the tests' hub holds, and what may go wrong with it."""

from __future__ import annotations

import hashlib
import json
import struct
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numpygpt.models.tokenizer_files import save_tokenizer
from numpygpt.tokenizer import Tokenizer

LARGE = (".safetensors", ".bin")  # what the hub keeps outside git
CUT_BYTES = 2**14  # a body is sent in pieces of this size


@dataclass
class Fault:
    """What goes wrong with one file's requests, the first `times` of them.

    Offsets count from the file's beginning. `on` is "hub" or "content", the server that does it.
    """

    file: str = "model.safetensors"
    on: str = "content"
    methods: tuple[str, ...] = ("GET",)
    times: int = 1_000_000
    status: int | None = None  # answer this, with `headers`
    headers: dict[str, str] = field(default_factory=dict)
    html: bool = False  # answer 200 with a web page
    redirect: str | None = None
    cut_at: int | None = None  # close the connection there
    stall_at: int | None = None  # send nothing more from there on, and keep the connection
    corrupt_at: int | None = None  # flip the byte there
    shorter: int = 0  # claim and send so many bytes fewer, or more where below 0
    ignore_range: bool = False
    wrong_range: bool = False  # send another part than asked for


@dataclass
class Request:
    """A request as it arrived."""

    on: str
    method: str
    path: str
    headers: dict[str, str]


@dataclass
class Repo:
    """A repository with one commit."""

    files: dict[str, bytes]
    commit: str
    branches: tuple[str, ...]
    token: str | None  # the one token that opens it
    gated: bool

    def etag(self, name: str) -> str:
        """Return the file's checksum as the hub gives it."""
        content = self.files[name]
        if name.endswith(LARGE):
            return hashlib.sha256(content).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def tiny_gpt2(n_embd: int = 16, seed: int = 0, n_merges: int = 50) -> dict[str, bytes]:
    """Return the files of a GPT-2 with the official one's 160 tensors, in small shapes."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = Tokenizer(Tokenizer().merges[:n_merges])
        save_tokenizer(tokenizer, folder)
        files = {name: Path(folder, name).read_bytes() for name in ("vocab.json", "merges.txt")}
    config = {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "n_ctx": 32,
        "n_positions": 32,
        "n_embd": n_embd,
        "n_head": 2,
        "n_layer": 12,
        "vocab_size": tokenizer.n_vocab,
        "bos_token_id": tokenizer.eot_id,
        "eos_token_id": tokenizer.eot_id,
    }
    tensors = official_tensors(tokenizer.n_vocab, 32, n_embd, 12, seed)
    return {
        "config.json": json.dumps(config, indent=2).encode(),
        **files,
        "model.safetensors": official_file(tensors),
        "README.md": b"# A model for tests\n",
    }


def official_tensors(n_vocab: int, n_ctx: int, n_embd: int, n_layer: int, seed: int) -> dict[str, NDArray[np.float32]]:
    """Return random tensors with the official names, masks among them, in an order that is not sorted."""
    shapes: dict[str, tuple[int, ...]] = {"wte.weight": (n_vocab, n_embd), "wpe.weight": (n_ctx, n_embd)}
    for norm in ["ln_f", *(f"h.{layer}.ln_{i}" for layer in range(n_layer) for i in (1, 2))]:
        shapes |= {f"{norm}.weight": (n_embd,), f"{norm}.bias": (n_embd,)}
    for layer in range(n_layer):
        for name, n_in, n_out in [
            ("attn.c_attn", n_embd, 3 * n_embd),
            ("attn.c_proj", n_embd, n_embd),
            ("mlp.c_fc", n_embd, 4 * n_embd),
            ("mlp.c_proj", 4 * n_embd, n_embd),
        ]:
            shapes |= {f"h.{layer}.{name}.weight": (n_in, n_out), f"h.{layer}.{name}.bias": (n_out,)}
        shapes[f"h.{layer}.attn.bias"] = (1, 1, n_ctx, n_ctx)
    rng = np.random.default_rng(seed)
    names = [list(shapes)[i] for i in rng.permutation(len(shapes))]
    tensors = {name: rng.standard_normal(shapes[name], np.float32) * np.float32(0.3) for name in names}
    mask = np.tril(np.ones((1, 1, n_ctx, n_ctx), np.float32))
    return {name: mask if name.endswith(".attn.bias") else tensor for name, tensor in tensors.items()}


def official_file(tensors: dict[str, NDArray[np.float32]]) -> bytes:
    """Write a safetensors file by hand, its data from an odd offset on, as in the official file."""
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor.nbytes
        entries[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [begin, end]}
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (1 - len(header) % 2)
    return struct.pack("<Q", len(header)) + header + b"".join(tensor.tobytes() for tensor in tensors.values())
