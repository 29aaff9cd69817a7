"""What a file or a folder is that holds no safetensors, and how to make a model folder of it."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

PICKLE = "a pickle, which can run code and is never opened here; if you trust it, write safetensors where PyTorch is: "
NEW, TOKENIZER = "new-folder", ", and copy the tokenizer's files there"
ADAPTER = "adapter_config.json"
OF_A_TRAINER = ("training_args.bin", "optimizer.pt", "optimizer.bin", "scheduler.pt", "scaler.pt", "rng_state.pth")
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
OTHERS = {
    ".gguf": "a model of llama.cpp; get the one it was made from, in safetensors",
    ".ggml": "a model of llama.cpp; get the one it was made from, in safetensors",
    ".h5": "a model of Keras; load it in transformers 4 with from_tf=True, and use save_pretrained",
    ".msgpack": "a model of Flax; load it in transformers 4 with from_flax=True, and use save_pretrained",
    ".index": "a checkpoint of TensorFlow; OpenAI's models are on the hub in safetensors too",
    ".onnx": "a program for ONNX Runtime; get the model it was made from, in safetensors",
    ".npz": "an archive of NumPy's; write its arrays with numpygpt.safetensors.save_file, under the names of GPT-2's",
}


def explain(path: Path) -> str | None:
    """Name the format of a file, or of what is in a folder, and say what to do; None where it is not known."""
    if path.is_dir():
        if (path / ADAPTER).is_file():
            return explain_adapter(str(path), path / ADAPTER)
        if any(path.glob("pytorch_model*.bin")):
            return f"{path / 'pytorch_model.bin'} is {PICKLE}{to_safetensors(str(path))}"
        files = [file for file in sorted(path.iterdir()) if file.name not in OF_A_TRAINER]
        found = [file for file in files if file.suffix.lower() in (*PICKLES, *OTHERS)]
        return explain(found[0]) if found else None
    if path.suffix.lower() in PICKLES:
        return f"{path} is {PICKLE}" + _code(
            "import torch, safetensors.torch as s",
            f"c = torch.load({str(path)!r}, weights_only=True)",
            "s.save_file({k: v.clone() for k, v in c.get('model', c).items()}, 'model.safetensors')",
        )
    other = OTHERS.get(path.suffix.lower())
    return other and f"{path} is {other}"


def explain_adapter(name: str, path: Path) -> str:
    """Say what an adapter is an adapter of, and how to make a model of it; `path` is that of its config."""
    base = None
    with suppress(OSError, ValueError, AttributeError):
        base = json.loads(path.read_bytes()).get("base_model_name_or_path")
    what = f"{name} is an adapter (LoRA) of {base or 'another model'}, not a model; merge the two where PyTorch is"
    load = "from peft import AutoPeftModelForCausalLM as M"
    return (
        f"{what}: {_code(load, f'M.from_pretrained({name!r}).merge_and_unload().save_pretrained({NEW!r})')}{TOKENIZER}"
    )


def to_safetensors(name: str) -> str:
    """Return the command that writes a model which `transformers` opens as a folder with safetensors."""
    load = "from transformers import AutoModelForCausalLM as M"
    return f"{_code(load, f'M.from_pretrained({name!r}).save_pretrained({NEW!r})')}{TOKENIZER}"


def _code(*statements: str) -> str:
    return f'python -c "{"; ".join(statements)}"'
