"""The command line within this process: texts, options, mistakes, and what it does besides continuing a text."""

from __future__ import annotations

import doctest
import json
import re
from pathlib import Path
from typing import Any

import pytest
from command_runs import PROMPT, TINY, Call, one_line
from model_folders import chat_folder, is_mapped
from random_models import REFERENCE

from numpygpt import GPT2, __version__
from numpygpt import __main__ as command

DRAWN = ["--temperature", "1", "--seed", "1"]


def test_examples() -> None:
    """pytest looks for none in a module of this name."""
    assert doctest.testmod(command) == (0, 3)


# ---- Texts


@pytest.mark.parametrize(
    ("arguments", "prompt", "options"),
    [
        ([PROMPT], PROMPT, {}),
        (PROMPT.split(), PROMPT, {}),
        (["-n", "0", PROMPT], PROMPT, {"max_new_tokens": 0}),
        (["-n", "3", "--", "-x"], "-x", {"max_new_tokens": 3}),
        ([*DRAWN, ""], "", {"temperature": 1.0, "seed": 1}),
        (
            ["--max-new-tokens", "7", "--repetition-penalty", "1.5", "a"],
            "a",
            {"max_new_tokens": 7, "repetition_penalty": 1.5},
        ),
        (["--temperature", "0.9", "--seed", "4", "a"], "a", {"temperature": 0.9, "seed": 4}),
        (["--top-k", "5", "--seed", "4", "a"], "a", {"top_k": 5, "seed": 4}),
        (["--top-p", "0.5", "--seed", "5", "a"], "a", {"top_p": 0.5, "seed": 5}),
        (["--top-k", "99999999999", "--temperature", "0", "a"], "a", {}),
        (["--prompt-lookup-num-tokens", "15", "a"], "a", {"prompt_lookup_num_tokens": 15}),
        (["--stop", "never", "--stop", "one", PROMPT], PROMPT, {"stop_strings": ["never", "one"]}),
        (["--allowed-special", "all", "<|endoftext|>a"], "<|endoftext|>a", {"allowed_special": "all"}),
        (["--allowed-special", "<|endoftext|>", "<|endoftext|>a"], "<|endoftext|>a", {"allowed_special": "all"}),
    ],
)
def test_a_prompt_and_its_continuation_are_one_text(
    arguments: list[str], prompt: str, options: dict[str, Any], call: Call, tiny: GPT2
) -> None:
    text = tiny.generate(prompt, **{"max_new_tokens": 40, **options})
    assert call(*TINY, *arguments, stdin=b"\xff") == (0, f"{prompt}{text}\n", "")  # which nothing is read from
    assert call(*TINY, "--no-prompt", *arguments) == (0, f"{text}\n", "")


@pytest.mark.parametrize(
    ("data", "prompt"),
    [
        *[(b"a", "a"), (b"a\n", "a"), (b"a\r\n", "a"), (b"a\n\n", "a\n"), (b" a ", " a "), (b"\n", ""), (b"", "")],
        ("Él dijo:\n\nno".encode(), "Él dijo:\n\nno"),
        (b"\xef\xbb\xbfa", "a"),  # the mark that Windows puts before a text
    ],
)
def test_standard_input_is_a_prompt_without_the_line_end_that_echo_adds(
    data: bytes, prompt: str, call: Call, tiny: GPT2
) -> None:
    assert call(*TINY, "-n", "5", stdin=data) == (0, f"{prompt}{tiny.generate(prompt, 5)}\n", "")


def test_without_a_seed_each_text_is_another(call: Call) -> None:
    assert call(*TINY, "--temperature", "1.5", PROMPT) != call(*TINY, "--temperature", "1.5", PROMPT)


def test_backslash_n_in_a_stop_string_is_a_line_end(call: Call) -> None:
    status, text, _ = call("--model", "stories", "-n", "80", "--stop", r"\nL", PROMPT)
    assert (status, text.endswith("the yummy food.\n\n")) == (0, True)


def test_several_texts_are_printed_whole_with_a_line_between(call: Call, tiny: GPT2) -> None:
    texts = tiny.generate("The", 9, num_return_sequences=3, temperature=1.0, seed=1)
    shown = "\n----------\n".join(f"The{text}" for text in texts) + "\n"
    assert call(*TINY, *DRAWN, "-n", "9", "--num-return-sequences", "3", "The") == (0, shown, "")


def test_without_a_length_a_text_ends_with_a_sentence(call: Call) -> None:
    """After 40 tokens, and with 80 at most; a length that is asked for is kept."""
    stories = GPT2.from_pretrained("stories")
    for prompt in ("The little boat went", PROMPT, "Lily said"):
        text = call("--model", "stories", "--no-prompt", prompt)[1].removesuffix("\n")
        n_tokens = len(stories.tokenizer.encode(text))
        assert stories.generate(prompt, 80).startswith(text)
        assert 40 <= n_tokens <= 80
        assert re.search(r"[.!?]\W*$", text) or n_tokens == 80
        assert call("--model", "stories", "-n", "45", prompt)[1] == f"{prompt}{stories.generate(prompt, 45)}\n"


# ---- Instead of a text


def test_the_likeliest_next_tokens_are_shown_with_bars(call: Call, tiny: GPT2) -> None:
    status, out, err = call(*TINY, "--top", "3", PROMPT)
    assert (status, err, "\x1b" in out) == (0, "", False)
    for line, (token, probability) in zip(out.splitlines(), tiny.top(PROMPT, 3), strict=True):
        assert line.startswith(f"{probability:7.1%}  {json.dumps(token, ensure_ascii=False)}")
        assert line.count("█") == round(30 * probability)
    assert call("--model", "stories", "--top", "1", "Once upon a")[1].startswith(' 100.0%  " time"')


def test_interactive_answers_one_prompt_after_the_other(call: Call, tiny: GPT2) -> None:
    status, out, err = call(*TINY, "-n", "5", "--interactive", stdin=b"The\n" + b"word " * 99 + "\nÉl\n".encode())
    assert (status, out) == (0, "".join(f"{prompt}{tiny.generate(prompt, 5)}\n" for prompt in ("The", "Él")))
    model, advice, mistake = err.splitlines()
    assert model.startswith("<GPT2 ")
    assert "Ctrl-D ends" in advice
    assert "the context window holds 64" in mistake
    assert len(call(*TINY, "--top", "2", "-i", stdin=b"The\n")[1].splitlines()) == 2


def test_a_chat_goes_on_with_what_was_said(call: Call, tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    folder = chat_folder(tmp_path / "model", "{% for m in messages %}{{ m.role[0] }}:{{ m.content }}|{% endfor %}")
    model = GPT2.from_pretrained(folder)
    messages: list[dict[str, str]] = []
    for message in ("Hello", "Why?"):
        messages.append({"role": "user", "content": message})
        messages.append({"role": "assistant", "content": model.chat(messages, 6)})
    answers = [f"{message['content']}\n" for message in messages[1::2]]
    arguments = ["--model", str(folder), "--chat", "-n", "6"]
    assert call(*arguments, "Hello") == (0, answers[0], "")
    assert call(*arguments, "-i", stdin=b"Hello\nWhy?\n")[:2] == (0, "".join(answers))


def test_a_seed_without_sampling_is_said_to_have_no_effect(call: Call) -> None:
    status, _, err = call(*TINY, "--seed", "3", PROMPT)
    assert status == 0
    assert err.startswith("--seed has no effect: the likeliest token is taken each time; give --temperature")


def test_the_default_model_is_used_where_none_is_named(call: Call, monkeypatch: pytest.MonkeyPatch, tiny: GPT2) -> None:
    monkeypatch.setattr(command, "default_model", lambda: str(REFERENCE / "tiny"))
    assert call("-n", "5", PROMPT) == (0, f"{PROMPT}{tiny.generate(PROMPT, 5)}\n", "")


def test_weights_may_stay_on_disk(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[GPT2] = []
    monkeypatch.setattr(command, "default_model", lambda: str(REFERENCE / "tiny"))
    from_pretrained = GPT2.from_pretrained

    def load(name: str, *, memory_map: bool) -> GPT2:
        loaded.append(from_pretrained(name, memory_map=memory_map))
        return loaded[-1]

    monkeypatch.setattr(GPT2, "from_pretrained", load)
    outputs = [call("-n", "5", *flags, PROMPT) for flags in ([], ["--memory-map"])]
    assert outputs[0] == outputs[1]
    assert [is_mapped(model.params["wte"]["weight"]) for model in loaded] == [False, True]


def test_help_fits_a_screen_and_says_when_a_text_ends(call: Call) -> None:
    status, page, _ = call("--help")
    assert (status, max(map(len, page.splitlines())) <= 100) == (0, True)
    assert "where a sentence ends after 40, 80 at" in " ".join(page.split())


def test_version(call: Call) -> None:
    assert call("--version") == (0, f"numpygpt {__version__}\n", "")


# ---- Mistakes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-n", "-1"], "argument -n/--max-new-tokens: '-1' is not a whole number of at least 0"),
        (["-n", "many"], "'many' is not a whole number"),
        (["-n"], "argument -n/--max-new-tokens: expected one argument"),
        (["--temperature", "-0.5"], "argument --temperature: '-0.5' is not a number of at least 0"),
        (["--top-k", "-5"], "argument --top-k: '-5' is not a whole number of at least 0"),
        (["--top-p", "-1"], "argument --top-p: '-1' is not a number of at least 0"),
        (["--top-p", "2"], "top_p must be a probability from 0 to 1, not 2.0"),
        (["--top-p", "2", "--model", "/nowhere"], "top_p must be a probability"),  # it does not wait for the model
        (["--repetition-penalty", "0"], "'0' is not a number above 0"),
        (["--num-return-sequences", "0"], "'0' is not a whole number of at least 1"),
        (["--num-return-sequences", "2"], "choose a temperature, top_k or top_p"),
        (["--prompt-lookup-num-tokens", "-1"], "'-1' is not a whole number of at least 0"),
        (["--seed", "-1"], "'-1' is not a whole number of at least 0"),
        (["--stop", ""], "a stop string is empty"),
        (["--allowed-special", "<x>"], "'<x>' is not among the special tokens"),
        (["--tempreature", "1"], "unrecognized arguments: --tempreature"),
        (["--temp", "1"], "unrecognized arguments: --temp"),
        (["--interactive"], "with --interactive, type the prompts when it asks for them"),
        (["--top", "0"], "'0' is not a whole number of at least 1"),
        (["--top", "3", "--chat"], "--top shows what may follow a text"),
        (["--chat"], "has no chat template: this model continues texts"),
        (["word " * 100], "the context window holds 64"),
        (["--model", "/nowhere"], "/nowhere: there is no such folder"),
        (["--model", str(REFERENCE)], "is not a model folder"),
        (["--model", ""], "is not a model folder"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(
    arguments: list[str], message: str, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in one_line(*call(*TINY, PROMPT, *arguments))


def test_standard_input_that_is_not_utf8_is_a_mistake(call: Call) -> None:
    assert "standard input is not UTF-8 text (byte 3 is 0xe9)" in one_line(*call(*TINY, stdin=b"caf\xe9"))
