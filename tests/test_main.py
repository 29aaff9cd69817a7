"""The command line as its users meet it: in processes of its own, with pipes, terminals and Ctrl-C."""

from __future__ import annotations

import doctest
import io
import sys
from pathlib import Path
from typing import Any

import pytest
from command_runs import PROMPT, TINY, Call, one_line, run, said
from random_models import REFERENCE

from numpygpt import GPT2, __version__
from numpygpt import __main__ as command
from numpygpt.models import cache, names


def test_examples() -> None:
    """pytest looks for none in a module of this name."""
    assert doctest.testmod(command) == (0, 3)


# Texts


def test_the_prompt_and_its_continuation_are_one_text(tiny: GPT2) -> None:
    assert said(*TINY, PROMPT) == f"{PROMPT}{tiny.generate(PROMPT)}\n"


def test_words_without_quotes_are_one_prompt(tiny: GPT2) -> None:
    assert said(*TINY, "-n", "3", *PROMPT.split()) == f"{PROMPT}{tiny.generate(PROMPT, 3)}\n"


def test_a_byte_order_mark_is_no_part_of_the_prompt(tiny: GPT2) -> None:
    assert said(*TINY, stdin=b"\xef\xbb\xbf" + PROMPT.encode()) == f"{PROMPT}{tiny.generate(PROMPT)}\n"


def test_the_new_text_can_be_had_alone(tiny: GPT2) -> None:
    assert said(*TINY, "-n", "9", "--no-prompt", PROMPT) == f"{tiny.generate(PROMPT, 9)}\n"


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (["--max-new-tokens", "7", "--repetition-penalty", "1.5"], {"max_new_tokens": 7, "repetition_penalty": 1.5}),
        (["--temperature", "0.9", "--seed", "4"], {"temperature": 0.9, "seed": 4}),
        (["--top-k", "5", "--seed", "4"], {"top_k": 5, "seed": 4}),
        (["--top-p", "0.5", "--seed", "5"], {"top_p": 0.5, "seed": 5}),
        (["--top-k", "99999999999", "--temperature", "0"], {}),
        (["--prompt-lookup-num-tokens", "15"], {"prompt_lookup_num_tokens": 15}),
    ],
)
def test_options_reach_generate(arguments: list[str], options: dict[str, Any], call: Call, tiny: GPT2) -> None:
    assert call(*TINY, *arguments, PROMPT) == (0, f"{PROMPT}{tiny.generate(PROMPT, **options)}\n", "")


def test_a_seed_makes_a_run_repeatable_and_none_does_not() -> None:
    runs = [said(*TINY, "--temperature", "1.5", *seed, PROMPT) for seed in (["--seed", "7"], ["--seed", "7"], [])]
    assert runs[0] == runs[1] != runs[2]


def test_stop_strings_end_the_text_before_the_first(call: Call, tiny: GPT2) -> None:
    whole = str(tiny.generate(PROMPT))
    cut = whole[5:7]
    shown = PROMPT + whole[: whole.index(cut)] + "\n"
    assert call(*TINY, "--stop", "never", "--stop", cut, PROMPT) == (0, shown, "")


def test_backslash_n_in_a_stop_string_is_a_line_end(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    grow = GPT2.grow

    def watched(self: GPT2, *arguments: Any, **options: Any) -> Any:
        given.update(options)
        return grow(self, *arguments, **options)

    monkeypatch.setattr(GPT2, "grow", watched)
    assert call(*TINY, "-n", "0", "--stop", r"\n", "--stop", r"a\nb", PROMPT)[0] == 0
    assert given["stop_strings"] == ["\n", "a\nb"]


def test_several_texts_are_printed_whole_with_a_line_between(call: Call, tiny: GPT2) -> None:
    texts = tiny.generate("The", 9, num_return_sequences=3, temperature=1.0, seed=2)
    shown = "\n----------\n".join(f"The{text}" for text in texts) + "\n"
    arguments = ["-n", "9", "--num-return-sequences", "3", "--temperature", "1", "--seed", "2"]
    assert call(*TINY, *arguments, "The") == (0, shown, "")


def test_no_new_tokens_print_the_prompt(call: Call) -> None:
    assert call(*TINY, "-n", "0", PROMPT) == (0, f"{PROMPT}\n", "")


def test_an_empty_prompt_starts_from_nothing(call: Call, tiny: GPT2) -> None:
    text = tiny.generate("", temperature=1.0, seed=1)
    assert call(*TINY, "--temperature", "1", "--seed", "1", "") == (0, f"{text}\n", "")


def test_a_prompt_may_begin_with_a_dash_after_two(call: Call, tiny: GPT2) -> None:
    assert call(*TINY, "-n", "3", "--", "-x") == (0, f"-x{tiny.generate('-x', 3)}\n", "")


# Standard input


def test_the_prompt_is_read_from_standard_input(tiny: GPT2) -> None:
    prompt = "Él dijo:\n\nno"
    assert said(*TINY, "-n", "5", stdin=f"{prompt}\n".encode()) == f"{prompt}{tiny.generate(prompt, 5)}\n"


@pytest.mark.parametrize(
    ("data", "prompt"),
    [(b"a", "a"), (b"a\n", "a"), (b"a\r\n", "a"), (b"a\n\n", "a\n"), (b" a ", " a "), (b"\n", ""), (b"", "")],
)
def test_only_the_line_end_that_echo_adds_is_taken_off(
    data: bytes, prompt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert command.read_prompt([]) == prompt


def test_empty_standard_input_is_an_empty_prompt(tiny: GPT2) -> None:
    assert said(*TINY, "-n", "5") == f"{tiny.generate('', 5)}\n"


def test_standard_input_is_left_alone_where_a_prompt_is_given(tiny: GPT2) -> None:
    assert said(*TINY, "-n", "5", PROMPT, stdin=b"\xff") == f"{PROMPT}{tiny.generate(PROMPT, 5)}\n"


def test_standard_input_that_is_not_utf8_is_a_mistake() -> None:
    message = mistake(*TINY, stdin=b"caf\xe9")
    assert "standard input is not UTF-8 text (byte 3 is 0xe9)" in message


# Mistakes


def mistake(*arguments: str | bytes, stdin: bytes = b"") -> str:
    """The line that a process of its own answers a mistake with."""
    result = run(*arguments, stdin=stdin)
    return one_line(result.returncode, result.stdout.decode(), result.stderr.decode())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-n", "-1"], "argument -n/--max-new-tokens: '-1' is not a whole number of at least 0"),
        (["-n", "many"], "'many' is not a whole number"),
        (["--temperature", "-0.5"], "argument --temperature: '-0.5' is not a number of at least 0"),
        (["--temperature", "nan"], "'nan' is not a number of at least 0"),
        (["--top-k", "-5"], "argument --top-k: '-5' is not a whole number of at least 0"),
        (["--top-p", "2"], "top_p must be a probability from 0 to 1, not 2.0"),
        (["--repetition-penalty", "0"], "'0' is not a number above 0"),
        (["--num-return-sequences", "0"], "'0' is not a whole number of at least 1"),
        (["--num-return-sequences", "2"], "choose a temperature, top_k or top_p"),
        (["--seed", "-1"], "'-1' is not a whole number of at least 0"),
        (["--stop", ""], "a stop string is empty"),
        (["--tempreature", "1"], "unrecognized arguments: --tempreature"),
        (["--temp", "1"], "unrecognized arguments: --temp"),
        (["--two\nlines"], "unrecognized arguments: --two lines"),
        (["--interactive"], "with --interactive, type the prompts when it asks for them"),
        (["--top", "0"], "'0' is not a whole number of at least 1"),
        (["--top", "3", "--chat"], "--top shows what may follow a text"),
        (["--chat"], "has no chat template: this model continues texts"),
        (["-n"], "argument -n/--max-new-tokens: expected one argument"),
        (["word " * 100], "the context window holds 64"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(arguments: list[str], message: str, call: Call) -> None:
    assert message in one_line(*call(*TINY, PROMPT, *arguments))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "/nowhere", PROMPT], "/nowhere: there is no such folder"),
        ([*TINY, "--tempreature", "1", PROMPT], "unrecognized arguments: --tempreature"),
        ([*TINY, "word " * 100], "the context window holds 64"),
        ([*TINY, b"caf\xe9"], "the prompt is not UTF-8 text; give text"),
    ],
)
def test_a_mistake_ends_the_process_with_one_line(arguments: list[str | bytes], message: str) -> None:
    assert message in mistake(*arguments)


def test_a_missing_model_and_a_folder_that_is_none_are_mistakes(call: Call, tmp_path: Path) -> None:
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "config.json").write_text("{")
    for folder, message in (
        ("nowhere", "nowhere: there is no such folder"),
        (".", "is not a model folder"),
        ("damaged", "config.json is not valid JSON"),
    ):
        assert message in one_line(*call("--model", str(tmp_path / folder), PROMPT))


def test_an_empty_name_of_a_model_is_a_mistake(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "is not a model folder" in one_line(*call("--model", "", PROMPT))


def test_a_mistake_in_an_option_does_not_wait_for_the_model(call: Call) -> None:
    assert "top_p" in one_line(*call("--model", "/nowhere", "--top-p", "2", PROMPT))


# Which model


def test_without_a_model_on_disk_the_command_says_how_to_get_one(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "find", lambda name: None)
    monkeypatch.setattr(names, "EMBEDDED_FOLDERS", [])
    assert "python -m numpygpt.models download gpt2" in one_line(*call(PROMPT))


def test_the_default_model_is_used_where_none_is_named(call: Call, monkeypatch: pytest.MonkeyPatch, tiny: GPT2) -> None:
    monkeypatch.setattr(command, "default_model", lambda: str(REFERENCE / "tiny"))
    assert call("-n", "5", PROMPT) == (0, f"{PROMPT}{tiny.generate(PROMPT, 5)}\n", "")


# Help


def test_help_shows_every_option_and_fits_a_screen() -> None:
    page = said("--help", COLUMNS="200")
    for option in (
        "--model NAME",
        "--max-new-tokens N",
        "--temperature T",
        "--top-k K",
        "--top-p P",
        "--repetition-penalty X",
        "--num-return-sequences N",
        "--stop TEXT",
        "--seed N",
        "--no-prompt",
        "--allowed-special TOKEN",
        "--top N",
        "--interactive",
        "--chat",
        "--stats",
        "--version",
        "--help",
    ):
        assert option in page
    assert "where a sentence ends after 40, 80 at" in " ".join(page.split())
    assert max(map(len, page.splitlines())) <= 100


def test_version() -> None:
    assert said("--version") == f"numpygpt {__version__}\n"
