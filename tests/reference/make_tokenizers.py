"""Make `tokenizers.json`: the ids that `transformers` gives to texts, with tokenizers declared in all sorts of ways.

pip install -e ".[reference]" && python tests/reference/make_tokenizers.py
"""

import json
import random
import tempfile
from pathlib import Path
from typing import Any

import transformers

HERE = Path(__file__).parent
LETTERS = [*"!'/<>ENDabcdefghnoprstx|_", "Ġ", "Ċ", "Ã", "©", "ð", "Ł", "Ļ", "Ĥ"]  # for "é" and a smiley, too
MISSING = ["ð", "Ł", "©", "_", "x", "/"]
MERGES = ["a b", "ab c", "Ġ a", "t h", "th e", "Ġ the", "c a", "ca t", "Ġ cat", "Ġ Ġ", "Ã ©"]
TWICE = ["b c", "a bc"]  # makes "abc" once more
CONTENTS = ["cat", "<x>", "  ", "the", "<|endoftext|>", "<s>", "</s>", "<pad>", "🙂", "_a", "END", " cat", "\n"]
TEXTS = ["abc the cat", "  cat cats <x>  the\n", "<s> abc</s>🙂 é", "END_a  <pad>é<|endoftext|> cat"]
ROLES = ("bos_token", "eos_token", "unk_token", "pad_token")
LISTS = ("additional_special_tokens", "extra_special_tokens")
CLASSES = ["GPT2Tokenizer", "GPT2TokenizerFast", "PreTrainedTokenizerFast", "TokenizersBackend"]
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
N_CASES = 100


def declare(rng: random.Random, contents: list[str]) -> dict[str, dict[str, Any]]:
    """Give each token flags."""
    flags = ("special", "normalized", "lstrip", "rstrip", "single_word")
    return {content: {"content": content, **{flag: rng.random() < 0.4 for flag in flags}} for content in contents}


def roles(rng: random.Random, tokens: dict[str, dict[str, Any]], typed: bool) -> dict[str, Any]:
    """Give some tokens roles: those with an "a" or an "s" in them with their flags, the others by their content."""
    named: dict[str, Any] = {}
    for content, token in tokens.items():
        flags = {name: value for name, value in token.items() if name != "special"}
        named[content] = ({"__type": "AddedToken"} if typed else {}) | flags if set(content) & {"a", "s"} else content
    settings = {role: rng.choice(list(named.values())) for role in ROLES if named and rng.random() < 0.5}
    if named and rng.random() < 0.3:
        settings[rng.choice(LISTS) if typed else LISTS[-1]] = [rng.choice(list(named.values()))]
    return settings


def post_processor(rng: random.Random, ids: dict[str, int]) -> dict[str, Any] | None:
    """Let some tokens stand before or behind every text."""
    if len(ids) < 2 or rng.random() < 0.4:
        return rng.choice([None, BYTE_LEVEL])
    first, last = rng.sample(sorted(ids), 2)
    if rng.random() < 0.3:
        return {"type": "RobertaProcessing", "cls": [first, ids[first]], "sep": [last, ids[last]]} | {
            "trim_offsets": True,
            "add_prefix_space": False,
        }
    text = [{"Sequence": {"id": "A", "type_id": 0}}]
    before, behind = ([{"SpecialToken": {"id": name, "type_id": 0}}] for name in (first, last))
    single = rng.choice([before + text, text + behind, before + text + behind, before + before + text])
    special = {name: {"id": name, "ids": [ids[name]], "tokens": [name]} for name in (first, last)}
    pair = [*text, {"Sequence": {"id": "B", "type_id": 1}}]
    template: dict[str, Any] = {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": special}
    sequence: dict[str, Any] = {"type": "Sequence", "processors": [BYTE_LEVEL, template]}
    return rng.choice([template, sequence])


def make_files(rng: random.Random) -> dict[str, Any]:
    """Declare a tokenizer in one of the many ways."""
    missing = rng.sample(MISSING, rng.choice([0, 0, 3, 6]))
    merges = [merge for merge in MERGES if not set(merge.split()) & set(missing)] + rng.choice([[], TWICE])
    names = list(dict.fromkeys([*(n for n in LETTERS if n not in missing), *(m.replace(" ", "") for m in merges)]))
    contents = rng.sample(CONTENTS, rng.randint(0, 4))
    inside = [content for content in contents if content.startswith("<") and rng.random() < 0.5]
    vocab = {name: i for i, name in enumerate(rng.choice([inside + names, names + inside]))}
    more = [content for content in contents if content not in vocab]
    ids = vocab | {content: len(vocab) + i for i, content in enumerate(more)}
    ids = {content: ids[content] for content in contents}
    tokens = declare(rng, contents)
    added = [{"id": ids[content], **tokens[content]} for content in sorted(contents, key=ids.__getitem__)]
    decoder = {str(token["id"]): {name: token[name] for name in token if name != "id"} for token in added}
    config: dict[str, Any] = roles(rng, tokens, typed=True)
    files: dict[str, Any] = {"tokenizer_config.json": config}
    if rng.random() < 0.5:
        config["tokenizer_class"] = rng.choice(CLASSES)
        model: dict[str, Any] = {"type": "BPE", "vocab": vocab, "merges": merges, "fuse_unk": rng.random() < 0.5}
        if inside and not config["tokenizer_class"].startswith("GPT2"):  # that class leaves it out
            model["unk_token"] = rng.choice(inside)
        if config["tokenizer_class"].startswith("GPT2") or rng.random() < 0.5:
            config["added_tokens_decoder"] = decoder
        files["tokenizer.json"] = {"version": "1.0", "normalizer": None, "added_tokens": added, "model": model} | {
            "pre_tokenizer": BYTE_LEVEL,
            "post_processor": post_processor(rng, ids),
            "decoder": BYTE_LEVEL,
        }
    else:
        config |= {"tokenizer_class": "GPT2Tokenizer", "add_bos_token": rng.random() < 0.4}
        files |= {"vocab.json": vocab, "merges.txt": "\n".join(["#version: 0.2", *merges, ""])}
        if rng.random() < 0.5:
            config["added_tokens_decoder"] = decoder
        else:
            files["added_tokens.json"] = {content: ids[content] for content in more}
            files["special_tokens_map.json"] = roles(rng, tokens, typed=False)
    if "<|endoftext|>" not in contents:  # transformers would add it
        config |= {role: config.get(role) for role in ROLES}
    return files


def make_case(rng: random.Random) -> dict[str, Any] | None:
    """Return files, texts and their ids, or None where `transformers` refuses them."""
    files = make_files(rng)
    texts = [*TEXTS, "".join(rng.choices([*CONTENTS, "a", "b", " ", "ab", "x"], k=12))]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.json").write_text('{"model_type": "gpt2"}')
        for name, content in files.items():
            Path(folder, name).write_text(content if isinstance(content, str) else json.dumps(content))
        try:
            peer = transformers.AutoTokenizer.from_pretrained(folder)
            plain, special = (peer(texts, split_special_tokens=split)["input_ids"] for split in (True, False))
        except BaseException:  # a panic in Rust is no Exception
            return None
    return {"files": files, "texts": texts, "ids": plain, "ids_with_special": special}


def main() -> None:
    """Write the file."""
    rng = random.Random(0)
    cases = [case for _ in range(2 * N_CASES) if (case := make_case(rng))][:N_CASES]
    versions = {"transformers": transformers.__version__}
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    text = f'{{"versions": {json.dumps(versions)}, "cases": [\n{lines}\n]}}\n'
    (HERE / "tokenizers.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
