"""The hand-written gradients against central differences in float64 and PyTorch's autograd in float32."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpygpt.checkpoint import flatten, unflatten
from numpygpt.model import ACTIVATIONS, GPT2Config, Params, gpt2, parameter_shapes, transformer_block

from numpygpt import backward, layers
from numpygpt.arrays import Array
from numpygpt.backward import Dropout
from numpygpt.loss import cross_entropy

Arrays = dict[str, Array]  # what a function is differentiated by, under names
IDS = np.array([[2, 0, 2, 4], [1, 1, 3, 2]])
CONFIG = GPT2Config(vocab_size=7, n_ctx=6, n_embd=4, n_layer=2, n_head=2, n_inner=6)
SHAPES = [(3,), (5,), (2, 3), (2, 3, 5)]  # of the leading axes


def assert_close(actual: Array, expected: Array, tolerance: float, name: str = "") -> None:
    """Compare, relative to the largest gradient of the tensor."""
    assert actual.shape == expected.shape, name
    error = np.abs(actual - expected).max() / np.abs(expected).max()
    assert error < tolerance, f"{name}: relative error {error:.2e}"


def central_differences(loss: Callable[[], float], x: Array, h: float = 1e-5) -> Array:
    """Return (loss(x + h) - loss(x - h)) / 2h for every number of x, which loss() reads."""
    gradient = np.empty_like(x)
    for i in np.ndindex(x.shape):
        kept = x[i]
        x[i] = kept + h
        above = loss()
        x[i] = kept - h
        gradient[i] = (above - loss()) / (2 * h)
        x[i] = kept
    return gradient


def draw(shapes: dict[str, tuple[int, ...]], dtype: str, seed: int = 0) -> Arrays:
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


def torch_functions() -> Any:
    pytest.importorskip("torch")
    import torch.nn.functional

    return torch.nn.functional


# One entry per function: shapes of its arrays for given leading axes, the function, its gradient, and PyTorch's own.


class Embedding:
    def shapes(self, lead: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        return {"weight": (5, 3)}

    def forward(self, a: Arrays) -> Array:
        return layers.token_embedding(IDS, **a)

    def gradient(self, dy: Array, a: Arrays) -> Arrays:
        return backward.token_embedding(dy, IDS, **a)

    def torch(self, a: dict[str, Any]) -> Any:
        return a["weight"][IDS]


class Positions(Embedding):
    def forward(self, a: Arrays) -> Array:
        return np.broadcast_to(layers.positional_embedding(np.arange(4), **a), (2, 4, 3))

    def gradient(self, dy: Array, a: Arrays) -> Arrays:
        return backward.positional_embedding(dy, **a)

    def torch(self, a: dict[str, Any]) -> Any:
        return a["weight"][:4].expand(2, 4, 3)


class LayerNorm:
    def shapes(self, lead: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        return {"x": (*lead, 6), "weight": (6,), "bias": (6,)}

    def forward(self, a: Arrays) -> Array:
        return layers.layer_norm(**a, eps=1e-3)

    def gradient(self, dy: Array, a: Arrays) -> Arrays:
        dx, parameters = backward.layer_norm(dy, **a, eps=1e-3)
        return {"x": dx, **parameters}

    def torch(self, a: dict[str, Any]) -> Any:
        return torch_functions().layer_norm(a["x"], (6,), a["weight"], a["bias"], eps=1e-3)


class Gelu:
    def shapes(self, lead: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        return {"x": (*lead, 4)}

    def forward(self, a: Arrays) -> Array:
        return layers.gelu(**a)

    def gradient(self, dy: Array, a: Arrays) -> Arrays:
        return {"x": backward.gelu(dy, **a)}

    def torch(self, a: dict[str, Any]) -> Any:
        return torch_functions().gelu(a["x"], approximate="tanh")


class GeluExact(Gelu):
    def forward(self, a: Arrays) -> Array:
        return layers.gelu_exact(**a)

    def gradient(self, dy: Array, a: Arrays) -> Arrays:
        return {"x": backward.gelu_exact(dy, **a)}

    def torch(self, a: dict[str, Any]) -> Any:
        return torch_functions().gelu(a["x"])


class Softmax(Gelu):
    def forward(self, a: Arrays) -> Array:
        return layers.softmax(**a)

    def gradient(self, dy: Array, a: Arrays) -> Arrays:
        return {"x": backward.softmax(dy, layers.softmax(**a))}

    def torch(self, a: dict[str, Any]) -> Any:
        return a["x"].softmax(-1)


class Linear:
    def shapes(self, lead: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        return {"x": (*lead, 4), "weight": (4, 3), "bias": (3,)}

    def forward(self, a: Arrays) -> Array:
        return layers.linear(**a)

    def gradient(self, dy: Array, a: Arrays) -> Arrays:
        dx, parameters = backward.linear(dy, **a)
        return {"x": dx, **parameters}

    def torch(self, a: dict[str, Any]) -> Any:
        return a["x"] @ a["weight"] + a["bias"]


class SplitHeads:
    def shapes(self, lead: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        return {"x": (*lead, 2, 6)}

    def forward(self, a: Arrays) -> Array:
        return layers.split_heads(a["x"], n_head=3)

    def gradient(self, dy: Array, a: Arrays) -> Arrays:
        return {"x": backward.split_heads(dy)}

    def torch(self, a: dict[str, Any]) -> Any:
        return a["x"].unflatten(-1, (3, 2)).swapaxes(-2, -3)


class Attention:
    p = 0.0  # of dropout

    def drop(self) -> Dropout:
        return Dropout(self.p, np.random.default_rng(3))

    def shapes(self, lead: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        return {"q": (*lead, 4, 3), "k": (*lead, 6, 3), "v": (*lead, 6, 3)}

    def forward(self, a: Arrays) -> Array:
        if self.p == 0:
            return layers.attention(**a, scale=0.7)
        return backward.forward_attention(**a, scale=0.7, drop=self.drop())[0]

    def gradient(self, dy: Array, a: Arrays) -> Arrays:
        _, saved = backward.forward_attention(**a, scale=0.7, drop=self.drop())
        return dict(zip("qkv", backward.attention(dy, saved, **a, scale=0.7), strict=True))

    def torch(self, a: dict[str, Any]) -> Any:
        import torch

        scores = 0.7 * a["q"] @ a["k"].swapaxes(-1, -2)
        hidden = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(3)  # the 4 queries are the last of 6 positions
        probabilities = scores.masked_fill(hidden, -math.inf).softmax(-1)
        mask = self.drop().mask(probabilities.detach().numpy())
        return (probabilities if mask is None else probabilities * torch.tensor(mask)) @ a["v"]


class AttentionWithDropout(Attention):
    p = 0.4


class MultiHeadAttention:
    def shapes(self, lead: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        linears = {"c_attn.weight": (6, 18), "c_attn.bias": (18,), "c_proj.weight": (6, 6), "c_proj.bias": (6,)}
        return {"x": (*lead, 5, 6), **linears}

    def forward(self, a: Arrays) -> Array:
        return layers.multi_head_attention(**unflatten(a), n_head=2, scale=0.6)

    def gradient(self, dy: Array, a: Arrays) -> Arrays:
        tree = unflatten(a)
        _, saved = backward.forward_multi_head_attention(**tree, n_head=2, scale=0.6, drop=Dropout())
        dx, parameters = backward.multi_head_attention(dy, saved, tree["c_attn"], tree["c_proj"], n_head=2, scale=0.6)
        return {"x": dx, **flatten(parameters)}

    def torch(self, a: dict[str, Any]) -> Any:
        qkv = a["x"] @ a["c_attn.weight"] + a["c_attn.bias"]
        q, k, v = (part.unflatten(-1, (2, 3)).swapaxes(-2, -3) for part in qkv.chunk(3, dim=-1))
        y = torch_functions().scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.6)
        return y.swapaxes(-2, -3).flatten(-2) @ a["c_proj.weight"] + a["c_proj.bias"]


class MLP:
    def shapes(self, lead: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        linears = {"c_fc.weight": (4, 7), "c_fc.bias": (7,), "c_proj.weight": (7, 4), "c_proj.bias": (4,)}
        return {"x": (*lead, 4), **linears}

    def forward(self, a: Arrays) -> Array:
        return layers.mlp(**unflatten(a))

    def gradient(self, dy: Array, a: Arrays) -> Arrays:
        tree = unflatten(a)
        _, saved = backward.forward_mlp(**tree, activation=layers.gelu)
        dx, parameters = backward.mlp(dy, saved, tree["c_fc"], tree["c_proj"], layers.gelu)
        return {"x": dx, **flatten(parameters)}

    def torch(self, a: dict[str, Any]) -> Any:
        wide = a["x"] @ a["c_fc.weight"] + a["c_fc.bias"]
        return torch_functions().gelu(wide, approximate="tanh") @ a["c_proj.weight"] + a["c_proj.bias"]


class Block:
    def shapes(self, lead: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        names = {name: shape for name, shape in parameter_shapes(CONFIG).items() if name.startswith("h.1.")}
        return {"x": (*lead, 5, 4), **{name.removeprefix("h.1."): shape for name, shape in names.items()}}

    def forward(self, a: Arrays) -> Array:
        return transformer_block(**unflatten(a), n_head=2, scale=CONFIG.attention_scale(1))

    def gradient(self, dy: Array, a: Arrays) -> Arrays:
        block = unflatten(a)
        _, saved = backward.forward_transformer_block(block.pop("x"), block, CONFIG, 1, Dropout())
        dx, parameters = backward.transformer_block(dy, saved, block, CONFIG, 1)
        return {"x": dx, **flatten(parameters)}

    def torch(self, a: dict[str, Any]) -> Any:
        return torch_block(a["x"], a, CONFIG, 1, lambda x: x)


class CrossEntropy:
    targets = np.array([1, 0, 4])

    def shapes(self, lead: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        return {"logits": (3, 5)}

    def forward(self, a: Arrays) -> Array:
        return np.array([cross_entropy(a["logits"], self.targets).sum()])

    def gradient(self, dy: Array, a: Arrays) -> Arrays:
        loss, dlogits = backward.cross_entropy(a["logits"].copy(), self.targets)
        assert loss == pytest.approx(float(self.forward(a)[0]), rel=1e-6)
        return {"logits": dy * dlogits}

    def torch(self, a: dict[str, Any]) -> Any:
        import torch

        return torch_functions().cross_entropy(a["logits"], torch.tensor(self.targets), reduction="sum")[None]


CASES = [
    Embedding,
    Positions,
    LayerNorm,
    Gelu,
    GeluExact,
    Softmax,
    Linear,
    SplitHeads,
    Attention,
    AttentionWithDropout,
    MultiHeadAttention,
    MLP,
    Block,
    CrossEntropy,
]


@pytest.fixture(autouse=True)
def _several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let sequences of five tokens be cut as long ones are."""
    monkeypatch.setattr(backward, "QUERY_BLOCK", 2)
    monkeypatch.setattr(backward, "LOGIT_ROWS", 3)


@pytest.mark.parametrize("lead", SHAPES, ids=str)
@pytest.mark.parametrize("make_case", CASES)
def test_gradient_equals_central_differences(make_case: Any, lead: tuple[int, ...]) -> None:
    case = make_case()
    arrays = draw(case.shapes(lead), "float64")
    y = case.forward(arrays)
    dy = np.random.default_rng(1).standard_normal(y.shape)
    gradients = case.gradient(dy, arrays)
    assert gradients.keys() == arrays.keys()
    for name, x in arrays.items():
        if x.size <= 100:
            expected = central_differences(lambda: float(np.sum(dy * case.forward(arrays))), x)
            assert_close(gradients[name], expected, 1e-6, name)


@pytest.mark.parametrize("lead", SHAPES, ids=str)
@pytest.mark.parametrize("make_case", CASES)
def test_gradient_equals_autograd(make_case: Any, lead: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    case = make_case()
    arrays = draw(case.shapes(lead), "float32")
    tensors = {name: torch.tensor(x, requires_grad=True) for name, x in arrays.items()}
    y = case.torch(tensors)
    dy = np.random.default_rng(1).standard_normal(tuple(y.shape)).astype("float32")
    y.backward(torch.tensor(dy))
    for name, gradient in case.gradient(dy, arrays).items():
        assert gradient.dtype == np.float32
        assert_close(gradient, tensors[name].grad.numpy(), 1e-4, name)


# The whole model


OPTIONS: list[dict[str, Any]] = [
    {},
    {"activation_function": "gelu", "scale_attn_by_inverse_layer_idx": True, "tie_word_embeddings": False},
    {"scale_attn_weights": False, "n_layer": 1, "n_head": 1},
]


def model_and_batch(options: dict[str, Any], dtype: str) -> tuple[GPT2Config, Arrays, Array, Array]:
    config = GPT2Config(**{**vars(CONFIG), **options})
    tensors = draw(parameter_shapes(config), dtype)
    ids = np.random.default_rng(2).integers(0, config.vocab_size, (2, 6))
    return config, tensors, ids[:, :-1], ids[:, 1:]


@pytest.mark.parametrize("p", [0.0, 0.3])
@pytest.mark.parametrize("options", OPTIONS)
def test_model_gradient_equals_central_differences(options: dict[str, Any], p: float) -> None:
    config, tensors, ids, targets = model_and_batch(options, "float64")

    def loss_and_gradients() -> tuple[float, Params]:
        drop = Dropout(p, np.random.default_rng(5))  # the same masks every time
        return backward.gpt2(ids, targets, unflatten(tensors), config, drop=drop)

    if p == 0:
        logits = gpt2(ids, **unflatten(tensors), config=config)
        assert loss_and_gradients()[0] == pytest.approx(cross_entropy(logits, targets).mean(), rel=1e-12)
    gradients = flatten(loss_and_gradients()[1])
    assert gradients.keys() == tensors.keys()
    for name, x in tensors.items():
        assert_close(gradients[name], central_differences(lambda: loss_and_gradients()[0], x), 1e-6, name)


def torch_block(x: Any, a: dict[str, Any], config: GPT2Config, layer: int, drop: Callable[[Any], Any]) -> Any:
    """One transformer block in PyTorch's own functions; drop(x) draws and applies the next mask."""
    import torch

    functional = torch.nn.functional

    def linear(x: Any, name: str) -> Any:
        return x @ a[f"{name}.weight"] + a[f"{name}.bias"]

    def norm(x: Any, name: str) -> Any:
        return functional.layer_norm(
            x, x.shape[-1:], a[f"{name}.weight"], a[f"{name}.bias"], eps=config.layer_norm_epsilon
        )

    n_seq = x.shape[-2]
    q, k, v = (
        part.unflatten(-1, (config.n_head, -1)).swapaxes(-2, -3)
        for part in linear(norm(x, "ln_1"), "attn.c_attn").chunk(3, dim=-1)
    )
    scores = config.attention_scale(layer) * q @ k.swapaxes(-1, -2)
    hidden = torch.ones(n_seq, n_seq, dtype=torch.bool).triu(1)
    probabilities = scores.masked_fill(hidden, -math.inf).softmax(-1)
    heads = []
    for start in range(0, n_seq, backward.QUERY_BLOCK):  # masks are drawn block by block
        end = min(start + backward.QUERY_BLOCK, n_seq)
        heads.append(drop(probabilities[..., start:end, :end]) @ v[..., :end, :])
    attended = torch.cat(heads, dim=-2).swapaxes(-2, -3).flatten(-2)
    x = x + drop(linear(attended, "attn.c_proj"))
    exact = ACTIVATIONS[config.activation_function] is layers.gelu_exact
    bent = functional.gelu(linear(norm(x, "ln_2"), "mlp.c_fc"), approximate="none" if exact else "tanh")
    return x + drop(linear(bent, "mlp.c_proj"))


@pytest.mark.parametrize("p", [0.0, 0.3])
@pytest.mark.parametrize("options", OPTIONS)
def test_model_gradient_equals_autograd_with_the_same_masks(options: dict[str, Any], p: float) -> None:
    torch = pytest.importorskip("torch")
    config, tensors, ids, targets = model_and_batch(options, "float32")
    leaves = {name: torch.tensor(x, requires_grad=True) for name, x in tensors.items()}
    masks = Dropout(p, np.random.default_rng(5))

    def drop(x: Any) -> Any:
        mask = masks.mask(x.detach().numpy())
        return x if mask is None else x * torch.tensor(mask)

    x = drop(leaves["wte.weight"][ids] + leaves["wpe.weight"][: ids.shape[-1]])
    for layer in range(config.n_layer):
        prefix = f"h.{layer}."
        block = {name.removeprefix(prefix): x for name, x in leaves.items() if name.startswith(prefix)}
        x = torch_block(x, block, config, layer, drop)
    x = torch.nn.functional.layer_norm(x, x.shape[-1:], leaves["ln_f.weight"], leaves["ln_f.bias"])
    logits = x @ leaves.get("lm_head.weight", leaves["wte.weight"]).T
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.tensor(targets).flatten())
    expected.backward()

    drop_ours = Dropout(p, np.random.default_rng(5))
    loss, gradients = backward.gpt2(ids, targets, unflatten(tensors), config, drop=drop_ours)
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    for name, gradient in flatten(gradients).items():
        assert gradient.dtype == np.float32
        assert_close(gradient, leaves[name].grad.numpy(), 1e-4, name)


@pytest.mark.parametrize(("n_seq", "n_embd", "n_head"), [(100, 24, 3), (64, 16, 16), (130, 8, 1)])
def test_model_gradient_equals_that_of_transformers(
    n_seq: int, n_embd: int, n_head: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole blocks of the size that is used, and sequences that they do not divide."""
    monkeypatch.undo()
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = GPT2Config(vocab_size=50, n_ctx=130, n_embd=n_embd, n_layer=2, n_head=n_head)
    tensors = {name: 0.3 * x for name, x in draw(parameter_shapes(config), "float32").items()}
    options = {**vars(config), "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "n_positions": 130}
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**options, bos_token_id=0, eos_token_id=0))
    model.transformer.load_state_dict({name: torch.tensor(x) for name, x in tensors.items()})
    ids = np.random.default_rng(2).integers(0, 50, (3, n_seq + 1))
    logits = model(torch.tensor(ids[:, :-1])).logits
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.tensor(ids[:, 1:]).flatten())
    expected.backward()
    named = dict(model.transformer.named_parameters())

    loss, gradients = backward.gpt2(ids[:, :-1], ids[:, 1:], unflatten(tensors), config)
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    for name, gradient in flatten(gradients).items():
        assert_close(gradient, named[name].grad.numpy(), 1e-4, name)


def test_parts_of_a_batch_add_up() -> None:
    config, tensors, ids, targets = model_and_batch({}, "float64")
    params = unflatten(tensors)
    loss, whole = backward.gpt2(ids, targets, params, config)
    parts = [backward.gpt2(ids[i : i + 1], targets[i : i + 1], params, config, n_targets=ids.size) for i in range(2)]
    assert loss == pytest.approx(sum(part_loss for part_loss, _ in parts))
    first, second = (flatten(gradients) for _, gradients in parts)
    for name, gradient in flatten(whole).items():
        np.testing.assert_allclose(first[name] + second[name], gradient, rtol=1e-9, atol=1e-12)


def test_dropout_keeps_the_mean_and_its_share() -> None:
    ones = np.ones((200, 500), np.float32)
    mask = Dropout(0.25, np.random.default_rng(0)).mask(ones)
    assert mask is not None
    assert set(np.unique(mask)) == {np.float32(0), np.float32(1 / 0.75)}
    assert mask.mean() == pytest.approx(1, abs=0.01)
    np.testing.assert_array_equal(backward.dropout(ones, mask), mask)
    assert backward.dropout(ones, Dropout().mask(ones)) is ones
    with pytest.raises(ValueError, match="needs a random generator"):
        Dropout(0.1).mask(ones)


def test_same_names_in_the_same_order() -> None:
    """Every public function of the forward pass that has parameters or inputs to differentiate has its gradient."""
    without = {"sinusoidal_encoding", "causal_mask"}  # constants
    names = [name for name, item in vars(layers).items() if getattr(item, "__module__", "") == layers.__name__]
    forward = [name for name in names if callable(getattr(layers, name)) and name not in without]
    mirrored = [name for name in vars(backward) if name in forward]
    assert mirrored == forward
