"""ONNX Runtime: GPT-2 as a graph of its own operators, whose attention writes to a cache of a fixed length in place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.engines.engine import StepEngine, converted, serve

CUSTOM = "com.microsoft"  # where its fast attention and gelu are


class OnnxRuntime(StepEngine):
    """A session with its default settings; mode "int8" quantizes the weights and, as it computes, what meets them."""

    packages = ("onnxruntime", "onnx")

    def __init__(self, folder: Path, mode: str, threads: int) -> None:
        import onnxruntime

        from numpygpt.models.checkpoint import load_config

        self.library, self.config = onnxruntime, load_config(folder)
        path = converted(folder, "onnx", write) / "model.onnx"
        if mode == "int8":
            path = converted(folder, "onnx-int8", lambda _, target: quantize(path, target)) / "model.onnx"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def start(self, batch: int, n_ctx: int) -> Callable[..., Any]:
        config, value = self.config, self.library.OrtValue.ortvalue_from_numpy
        shape = (batch, config.n_head, n_ctx, config.n_embd // config.n_head)
        cache = [value(np.zeros(shape, np.float32)) for _ in range(2 * config.n_layer)]
        binding = self.session.io_binding()
        for i, tensor in enumerate(cache):
            binding.bind_ortvalue_input(f"past.{i}", tensor)
            binding.bind_ortvalue_output(f"present.{i}", tensor)
        n_seq = 0

        def step(ids: Any, logits_to_keep: int = 1) -> Any:
            nonlocal n_seq
            n_new = ids.shape[1]
            positions = np.arange(n_seq, n_seq + n_new)
            n_seq += n_new
            inputs = {
                "ids": ids,
                "positions": positions,
                "first": np.array([n_new - logits_to_keep]),
                "last": np.full(batch, n_seq - 1, np.int32),
                "length": np.array([n_seq], np.int32),
            }
            for name, array in inputs.items():
                binding.bind_ortvalue_input(name, value(array))
            binding.bind_output("logits")
            self.session.run_with_iobinding(binding)
            return binding.get_outputs()[-1].numpy()

        return step


def write(folder: Path, target: Path) -> None:
    """Write the model of a folder as a graph, its weights beside it."""
    import onnx

    from numpygpt.arrays import flatten
    from numpygpt.models.checkpoint import load

    config, params, _ = load(folder)
    tensors = {name: np.ascontiguousarray(tensor, np.float32) for name, tensor in flatten(params).items()}
    tensors["lm_head.weight"] = np.ascontiguousarray(tensors["wte.weight"].T)
    info, kinds = onnx.helper.make_tensor_value_info, onnx.TensorProto
    cache = ("batch", config.n_head, "length", config.n_embd // config.n_head)
    numbers = range(2 * config.n_layer)
    inputs = [
        info("ids", kinds.INT64, ("batch", "n_seq")),
        info("positions", kinds.INT64, ("n_seq",)),
        info("first", kinds.INT64, (1,)),
        info("last", kinds.INT32, ("batch",)),
        info("length", kinds.INT32, (1,)),
        *(info(f"past.{i}", kinds.FLOAT, cache) for i in numbers),
    ]
    outputs = [info(f"present.{i}", kinds.FLOAT, cache) for i in numbers]
    outputs.append(info("logits", kinds.FLOAT, ("batch", "kept", config.vocab_size)))
    weights = [onnx.numpy_helper.from_array(tensor, name) for name, tensor in tensors.items()]
    constants = {"end": 2**31, "axis": 1}
    weights += [onnx.numpy_helper.from_array(np.array([number]), name) for name, number in constants.items()]
    graph = onnx.helper.make_graph(nodes(config), "gpt2", inputs, outputs, weights)
    versions = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid(CUSTOM, 1)]
    model = onnx.helper.make_model(graph, opset_imports=versions, ir_version=10)
    onnx.save_model(model, target / "model.onnx", save_as_external_data=True, location="model.onnx.data")


def nodes(config: Any) -> list[Any]:
    """Return the operators from ids [batch, n_seq] to the logits of the positions from `first` on."""
    from onnx.helper import make_node

    found: list[Any] = []

    def add(kind: str, *inputs: str, outputs: tuple[str, ...] = (), **attributes: Any) -> str:
        outputs = outputs or (f"{kind}.{len(found)}",)
        found.append(make_node(kind, inputs, outputs, **attributes))
        return outputs[0]

    def norm(x: str, name: str) -> str:
        return add("LayerNormalization", x, f"{name}.weight", f"{name}.bias", epsilon=config.layer_norm_epsilon)

    def linear(x: str, name: str) -> str:
        return add("Add", add("MatMul", x, f"{name}.weight"), f"{name}.bias")

    x = add("Add", add("Gather", "wte.weight", "ids"), add("Gather", "wpe.weight", "positions"))
    for i in range(config.n_layer):
        name, past = f"h.{i}", (f"past.{2 * i}", f"past.{2 * i + 1}")
        heads = add(
            "GroupQueryAttention",
            *(linear(norm(x, f"{name}.ln_1"), f"{name}.attn.c_attn"), "", "", *past, "last", "length"),
            outputs=(f"{name}.heads", f"present.{2 * i}", f"present.{2 * i + 1}"),
            domain=CUSTOM,
            num_heads=config.n_head,
            kv_num_heads=config.n_head,
        )
        x = add("Add", x, linear(heads, f"{name}.attn.c_proj"))
        hidden = add("MatMul", norm(x, f"{name}.ln_2"), f"{name}.mlp.c_fc.weight")
        hidden = add("FastGelu", hidden, f"{name}.mlp.c_fc.bias", domain=CUSTOM)
        x = add("Add", x, linear(hidden, f"{name}.mlp.c_proj"))
    kept = add("Slice", x, "first", "end", "axis")
    add("MatMul", norm(kept, "ln_f"), "lm_head.weight", outputs=("logits",))
    return found


def quantize(path: Path, target: Path) -> None:
    """Write the graph with matrices of 8-bit integers."""
    import onnx
    from onnxruntime.quantization import quantize_dynamic

    options = {"DefaultTensorType": onnx.TensorProto.FLOAT}  # of what its own operators give
    quantize_dynamic(path, target / "model.onnx", op_types_to_quantize=["MatMul"], extra_options=options)


if __name__ == "__main__":
    serve(OnnxRuntime)
