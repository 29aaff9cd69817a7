"""Make the reference for the embedded model: what `transformers` computes with the weights in `weights/stories/`.

    pip install -e ".[reference]" && python tests/reference/make_stories.py

writes `reference.safetensors` beside them: two sequences as long as the context window, the one `story.txt` over and
over and the other random ids; their logits at a few positions; the mean loss of `story.txt`; and the greedy
continuation of "Once upon a time".
"""

import hashlib
from pathlib import Path

import numpy as np
import torch
import transformers

from numpygpt.models.tokenizer_files import load_tokenizer
from numpygpt.safetensors import save_file
from numpygpt.tokenizer import Tokenizer

HERE = Path(__file__).parent
STORIES = HERE.parents[1] / "weights" / "stories"
POSITIONS = [0, 1, 7, 30, 64, 127, 200, 255]
N_NEW = 40


def main() -> None:
    tokenizer: Tokenizer = load_tokenizer(STORIES)
    model = transformers.GPT2LMHeadModel.from_pretrained(STORIES, dtype=torch.float32).eval()
    story = [tokenizer.eot_id, *tokenizer.encode((HERE / "story.txt").read_text(encoding="utf-8"))]
    prompt = torch.tensor([tokenizer.encode("Once upon a time")])
    n_ctx = model.config.n_positions
    rng = np.random.default_rng(0)
    ids = torch.tensor(np.stack([np.resize(story, n_ctx), rng.integers(0, tokenizer.n_vocab, n_ctx)]))
    with torch.no_grad():
        logits = model(ids).logits[:, POSITIONS]
        loss = model(torch.tensor([story]), labels=torch.tensor([story])).loss
        greedy = model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            do_sample=False,
            max_new_tokens=N_NEW,
            pad_token_id=0,
            eos_token_id=None,
        )[:, prompt.shape[1] :]
    expected = {
        "ids": ids,
        "positions": torch.tensor(POSITIONS),
        "logits": logits,  # [2, positions, n_vocab]
        "loss": loss,
        "greedy": greedy,
    }
    metadata = {
        "weights": hashlib.sha256((STORIES / "model.safetensors").read_bytes()).hexdigest(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    save_file({name: tensor.numpy() for name, tensor in expected.items()}, STORIES / "reference.safetensors", metadata)


if __name__ == "__main__":
    main()
