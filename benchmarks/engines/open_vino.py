"""OpenVINO: transformers' weights in a module of PyTorch that it converts, its cache a state that OpenVINO keeps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.engines.engine import StepEngine, converted, serve


class OpenVino(StepEngine):
    """A compiled model. Mode "float32" asks for it, of weights and cache; "default" takes what OpenVINO does."""

    packages = ("openvino",)

    def __init__(self, folder: Path, mode: str, threads: int) -> None:
        import openvino

        path = converted(folder, "openvino", write) / "model.xml"
        options: dict[str, Any] = {"INFERENCE_NUM_THREADS": threads}
        if mode == "float32":
            options |= {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}
        model = openvino.Core().compile_model(path, "CPU", options)
        self.request = model.create_infer_request()
        hints = ("INFERENCE_PRECISION_HINT", "KV_CACHE_PRECISION")
        self.precisions = [str(model.get_property(hint).get_type_name()) for hint in hints]

    def start(self, batch: int, n_ctx: int) -> Callable[..., Any]:
        self.request.reset_state()
        n_seq = 0

        def step(ids: Any, logits_to_keep: int = 1) -> Any:
            nonlocal n_seq
            n_new = ids.shape[1]
            inputs = {
                "ids": ids,
                "positions": np.arange(n_seq, n_seq + n_new),
                "kept": np.arange(n_new - logits_to_keep, n_new),
                "beams": np.arange(batch, dtype=np.int32),
            }
            n_seq += n_new
            return self.request.infer(inputs, share_inputs=True, share_outputs=True)["logits"]

        return step


def write(folder: Path, target: Path) -> None:
    """Write the model of a folder in OpenVINO's format, keys and values as states that begin empty."""
    import openvino
    from openvino._offline_transformations import apply_make_stateful_transformation

    module, example, names = trace(folder)
    model = openvino.convert_model(module, example_input=example)
    for port, name in zip(model.inputs, names, strict=True):
        port.get_tensor().set_names({name})
    results = ["logits", *(name.replace("past", "present") for name in names if name.startswith("past"))]
    for port, name in zip(model.outputs, results, strict=True):
        port.get_tensor().set_names({name})
    heads, width = example[4].shape[1], example[4].shape[3]
    shapes = {name: [-1, -1] if name == "ids" else [-1] for name in names[:4]}
    shapes |= {name: [-1, heads, -1, width] for name in names[4:]}
    model.reshape(shapes)
    apply_make_stateful_transformation(model, dict(zip(names[4:], results[1:], strict=True)))
    begin_empty(model, heads, width)
    openvino.save_model(model, target / "model.xml", compress_to_fp16=False)


def begin_empty(model: Any, heads: int, width: int) -> None:
    """Let every state begin as [batch, heads, 0, width], the batch that of the ids."""
    from openvino import opset13 as ops

    shape = ops.shape_of(model.input("ids"), output_type="i64")
    batch = ops.gather(shape, ops.constant([0]), ops.constant(0))
    sizes = ops.concat([batch, ops.constant([heads]), ops.constant([0]), ops.constant([width])], axis=0)
    empty = ops.broadcast(ops.constant(0.0, np.float32), sizes)
    for node in model.get_ops():
        if node.get_type_name() == "ReadValue":
            node.set_arguments([empty.output(0)])
    model.validate_nodes_and_infer_types()


def trace(folder: Path) -> tuple[Any, tuple[Any, ...], list[str]]:
    """Return the module, examples of its inputs, and their names."""
    import torch
    import transformers

    functional = torch.nn.functional
    model = transformers.GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).eval()
    config = model.config
    width = config.n_embd // config.n_head

    class Module(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids: Any, positions: Any, kept: Any, beams: Any, *past: Any) -> Any:
            gpt2, present = self.model.transformer, []
            x = gpt2.wte(ids) + gpt2.wpe(positions)
            batch, n_seq = ids.shape
            mask = torch.arange(past[0].shape[2] + n_seq) <= positions[:, None]
            for i, block in enumerate(gpt2.h):
                q, k, v = (
                    part.view(batch, n_seq, config.n_head, width).transpose(1, 2)
                    for part in block.attn.c_attn(block.ln_1(x)).split(config.n_embd, 2)
                )
                k = torch.cat([past[2 * i].index_select(0, beams), k], 2)
                v = torch.cat([past[2 * i + 1].index_select(0, beams), v], 2)
                present += [k, v]
                mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask[None, None])
                x = x + block.attn.c_proj(mixed.transpose(1, 2).reshape(batch, n_seq, -1))
                x = x + block.mlp(block.ln_2(x))
            return self.model.lm_head(gpt2.ln_f(x.index_select(1, kept))), *present

    cache = [torch.zeros(2, config.n_head, 3, width) for _ in range(2 * config.n_layer)]
    beams = torch.arange(2, dtype=torch.int32)
    example = (torch.zeros(2, 4, dtype=torch.int64), torch.arange(3, 7), torch.tensor([3]), beams, *cache)
    names = ["ids", "positions", "kept", "beams", *(f"past.{i}" for i in range(len(cache)))]
    return Module(), example, names


if __name__ == "__main__":
    serve(OpenVino)
