"""Make `generation.json`: how `transformers` ends texts and writes conversations.

pip install -e ".[reference]" && python tests/reference/make_generation.py
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers

HERE = Path(__file__).parent
PROMPT = "Once upon a time"
ENDS: list[dict[str, Any]] = [
    {},
    {"min_new_tokens": 10},
    {"min_new_tokens": 30},
    {"min_new_tokens": 35, "max_new_tokens": 33},
    {"max_length": 20},
    {"max_length": 20, "max_new_tokens": 18},
    {"eos_token_id": 211},
    {"eos_token_id": [505, 511], "min_new_tokens": 18},
    {"eos_token_id": 0, "max_new_tokens": 45},
]
MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": " What is a bear? "},
    {"role": "assistant", "content": "An animal."},
    {"role": "user", "content": "Ünd {{ this }}?"},
]
TEMPLATES = [
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    "{{ bos_token }}{% for m in messages %}\n    {%- if m['role'] == 'system' %}{% continue %}{% endif %}\n"
    "    {{ m['content'] | trim }}{{ eos_token if loop.last else ' ' }}\n{% endfor %}",
    "{{ messages | tojson }}{{ messages[1:] | tojson(indent=2) }}",
]


def main() -> None:
    """Write the file."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(HERE / "tiny")
    model = transformers.GPT2LMHeadModel.from_pretrained(HERE / "tiny", dtype=torch.float32).eval()
    ids = tokenizer(PROMPT, return_tensors="pt")
    ends = []
    for options in ENDS:
        length: dict[str, Any] = {} if "max_length" in options else {"max_new_tokens": 40}
        result = model.generate(**ids, do_sample=False, pad_token_id=0, **{**length, **options})[0]
        new_ids = result[ids.input_ids.shape[1] :].tolist()
        text = tokenizer.decode(new_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        ends.append({"options": options, "ids": new_ids, "text": text})
    chats = []
    for template in TEMPLATES:
        with tempfile.TemporaryDirectory() as folder:
            tokenizer.save_pretrained(folder)
            Path(folder, "chat_template.jinja").write_text(template, encoding="utf-8")
            peer = transformers.AutoTokenizer.from_pretrained(folder)
            text = peer.apply_chat_template(MESSAGES, tokenize=False, add_generation_prompt=True)
        chats.append({"template": template, "text": text})
    reference = {
        "transformers": transformers.__version__,
        "prompt": PROMPT,
        "ends": ends,
        "special": {"bos_token": tokenizer.bos_token, "eos_token": tokenizer.eos_token},
        "messages": MESSAGES,
        "chats": chats,
    }
    lines = [f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in reference.items()]
    (HERE / "generation.json").write_text("{" + ",\n".join(lines) + "}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
