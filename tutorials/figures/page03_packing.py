"""What c_attn makes of four words: query, key and value side by side, and the heads within each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpygpt import GPT2, layer_norm, linear, positional_embedding, token_embedding
from tutorials.figures import FOLDER, GREY, label_cells

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from numpygpt.arrays import Array


def data() -> dict[str, Any]:
    """Compute the result of the first block's c_attn for "The red ball fell", [n_seq, 3 · n_embd]."""
    model = GPT2.from_pretrained(FOLDER.parents[1] / "weights" / "stories")
    ids, block = model.tokenizer.encode("The red ball fell"), model.params["h"][0]
    x = token_embedding(ids, **model.params["wte"]) + positional_embedding(range(len(ids)), **model.params["wpe"])
    return {
        "words": [model.tokenizer.decode([i]) for i in ids],
        "n_head": model.config.n_head,
        "qkv": linear(layer_norm(x, **block["ln_1"]), **block["attn"]["c_attn"]),
    }


def draw(data: dict[str, Array], figure: Figure) -> None:
    """Draw the numbers as one wide heat map, with a bracket for each of the three parts and a label for each head."""
    figure.set_size_inches(8, 2.3)
    n_seq, width = data["qkv"].shape
    n_head, n_embd = int(data["n_head"]), width // 3
    n_dim = n_embd // n_head
    axes = figure.subplots()
    heat = axes.imshow(data["qkv"], cmap="PuOr", aspect="auto", vmin=-4, vmax=4, interpolation="nearest")
    for start in range(n_dim, width, n_dim):
        part = start % n_embd == 0
        axes.axvline(start - 0.5, color="black", linewidth=2.5 if part else 0.7)
    for part, name in enumerate(["query", "key", "value"]):
        axes.text((part + 0.5) * n_embd, -1.15, name, ha="center", va="bottom", color=GREY)
        for head in range(n_head):
            place = part * n_embd + (head + 0.5) * n_dim
            axes.text(place, -0.6, f"head {head}", ha="center", va="bottom", color=GREY, fontsize=8)
    axes.set_yticks(range(n_seq), [str(word) for word in data["words"]])
    axes.set_xticks([*range(0, width, n_embd), width])
    axes.set_xlabel("column of c_attn's result")
    label_cells(axes)
    figure.colorbar(heat, ax=axes, extend="both", ticks=[-4, 0, 4], pad=0.01).outline.set_visible(False)
