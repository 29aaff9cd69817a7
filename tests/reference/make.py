"""Make the reference: a tiny GPT-2 with random weights, and what `transformers` computes with it.

    pip install -e ".[reference]" && python tests/reference/make.py

writes, beside this file, `tiny/` (the model folder as `transformers` saves it, and a tokenizer of the first 255 merges
of GPT-2) and `expected.safetensors`: token ids, logits, the hidden states of every layer, and greedy continuations.
"""

from pathlib import Path

import torch
import transformers

from numpygpt import Tokenizer
from numpygpt.models.tokenizer_files import save_tokenizer
from numpygpt.safetensors import save_file

HERE = Path(__file__).parent
N_NEW = 24


def main() -> None:
    torch.manual_seed(0)
    tokenizer = Tokenizer(Tokenizer().merges[:255])
    config = transformers.GPT2Config(
        vocab_size=tokenizer.n_vocab,
        n_positions=64,
        n_embd=32,
        n_layer=3,
        n_head=4,
        initializer_range=0.2,  # large enough for logits and attention that differ from place to place
        bos_token_id=tokenizer.eot_id,
        eos_token_id=tokenizer.eot_id,
    )
    model = transformers.GPT2LMHeadModel(config).eval()
    for name, parameter in model.named_parameters():
        if ".ln_" in name or name.endswith("bias"):  # which start as ones and zeros, and would hide mistakes
            torch.nn.init.normal_(parameter, mean=float(name.endswith("weight")), std=0.2)
    model.save_pretrained(HERE / "tiny")
    save_tokenizer(tokenizer, HERE / "tiny")

    ids = torch.randint(0, config.vocab_size, (2, config.n_positions))
    with torch.no_grad():
        output = model(ids, output_hidden_states=True)
        greedy = model.generate(
            ids[:, :8],
            attention_mask=torch.ones_like(ids[:, :8]),
            do_sample=False,
            max_new_tokens=N_NEW,
            pad_token_id=0,
            eos_token_id=None,
        )
    expected = {
        "ids": ids,
        "logits": output.logits,
        "hidden_states": torch.stack(output.hidden_states),  # [n_layer + 1, batch, n_seq, n_embd]
        "greedy": greedy[:, 8:],
    }
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    save_file({name: tensor.numpy() for name, tensor in expected.items()}, HERE / "expected.safetensors", versions)


if __name__ == "__main__":
    main()
