"""What a file or a folder is that holds no safetensors, and how to make a model folder of it."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

PICKLE = "a pickle, which can run code and is never opened here; if you trust it, write safetensors where PyTorch is: "
AND_TOKENIZER = "; and copy the tokenizer's files to the new folder"
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
        if (path / "adapter_config.json").is_file():
            return _adapter(path)
        if any(path.glob("pytorch_model*.bin")):
            return (
                f"{path / 'pytorch_model.bin'} is {PICKLE}"
                + _code(
                    "from transformers import GPT2LMHeadModel as M",
                    f"M.from_pretrained({str(path)!r}).save_pretrained('new')",
                )
                + AND_TOKENIZER
            )
        found = [file for file in sorted(path.iterdir()) if file.suffix.lower() in (*PICKLES, *OTHERS)]
        return explain(found[0]) if found else None
    if path.suffix.lower() in PICKLES:
        return f"{path} is {PICKLE}" + _code(
            "import torch, safetensors.torch as s",
            f"c = torch.load({str(path)!r}, weights_only=True)",
            "s.save_file({k: v.clone() for k, v in c.get('model', c).items()}, 'model.safetensors')",
        )
    other = OTHERS.get(path.suffix.lower())
    return other and f"{path} is {other}"


def _adapter(folder: Path) -> str:
    base = None
    with suppress(OSError, ValueError, AttributeError):
        base = json.loads((folder / "adapter_config.json").read_bytes()).get("base_model_name_or_path")
    what = f"{folder} is an adapter (LoRA) of {base or 'another model'}, not a model"
    return (
        f"{what}; merge the two where PyTorch is: "
        + _code(
            "from peft import AutoPeftModelForCausalLM as M",
            f"M.from_pretrained({str(folder)!r}).merge_and_unload().save_pretrained('merged')",
        )
        + AND_TOKENIZER
    )


def _code(*statements: str) -> str:
    return f'python -c "{"; ".join(statements)}"'
