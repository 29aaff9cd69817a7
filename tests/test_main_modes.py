"""What the command does besides continuing one prompt: the likeliest tokens, prompts in turn, chats, remarks."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_runs import ENVIRONMENT, PROMPT, TINY, Call, one_line, posix, run, said
from model_folders import chat_folder
from test_main_process import on_terminal, running

from numpygpt import GPT2

FRACTION = re.compile(r"\d+\.\d+")


def test_without_a_length_a_text_ends_with_a_sentence(call: Call) -> None:
    """After 40 tokens, and with 80 at most; a length that is asked for is kept."""
    stories = GPT2.from_pretrained("stories")
    for prompt in ("The little boat went", "Once upon a time", "Lily said"):
        _, out, _ = call("--model", "stories", prompt)
        text = out.removesuffix("\n").removeprefix(prompt)
        n_tokens = len(stories.tokenizer.encode(text))
        assert stories.generate(prompt, 80).startswith(text)
        assert 40 <= n_tokens <= 80
        assert re.search(r"[.!?]\W*$", text) or n_tokens == 80
        assert call("--model", "stories", "-n", "45", prompt)[1] == f"{prompt}{stories.generate(prompt, 45)}\n"


def test_the_likeliest_next_tokens_are_shown_with_bars(call: Call, tiny: GPT2) -> None:
    status, out, err = call(*TINY, "--top", "3", PROMPT)
    assert (status, err, "\x1b" in out) == (0, "", False)
    for line, (token, probability) in zip(out.splitlines(), tiny.top(PROMPT, 3), strict=True):
        assert line.startswith(f"{probability:7.1%}  {json.dumps(token, ensure_ascii=False)}")
        assert line.count("█") == round(30 * probability)
    assert call("--model", "stories", "--top", "1", "Once upon a")[1].startswith(' 100.0%  " time"')


def test_a_seed_without_sampling_is_said_to_have_no_effect(call: Call) -> None:
    status, _, err = call(*TINY, "--seed", "3", PROMPT)
    assert status == 0
    assert err.startswith("--seed has no effect: the likeliest token is taken each time; give --temperature")
    assert call(*TINY, "--seed", "3", "--top-k", "5", PROMPT)[2] == ""


def test_special_tokens_of_a_prompt_can_be_allowed(call: Call, tiny: GPT2) -> None:
    for value, allowed in [("all", "all"), ("<|endoftext|>", {"<|endoftext|>"})]:
        text = tiny.generate("<|endoftext|>The", 9, allowed_special=allowed)
        shown = call(*TINY, "-n", "9", "--no-prompt", "--allowed-special", value, "<|endoftext|>The")
        assert shown == (0, f"{text}\n", "")
    assert "'<x>' is not among the special tokens" in one_line(*call(*TINY, "--allowed-special", "<x>", "a"))


def test_interactive_answers_one_prompt_after_the_other(tiny: GPT2) -> None:
    result = run(*TINY, "-n", "5", "--interactive", stdin=b"The\n" + b"word " * 99 + "\nÉl\n".encode())
    texts = "".join(f"{prompt}{tiny.generate(prompt, 5)}\n" for prompt in ("The", "Él"))
    assert (result.returncode, result.stdout.decode()) == (0, texts)
    model, advice, mistake = result.stderr.decode().splitlines()
    assert model.startswith("<GPT2 ")
    assert "Ctrl-D ends" in advice
    assert "the context window holds 64" in mistake
    result = run(*TINY, "--top", "2", "-i", stdin=b"The\n")
    assert len(result.stdout.splitlines()) == 2


def test_a_chat_goes_on_with_what_was_said(tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    folder = chat_folder(tmp_path / "model", "{% for m in messages %}{{ m.role[0] }}:{{ m.content }}|{% endfor %}")
    model = GPT2.from_pretrained(folder)
    messages: list[dict[str, str]] = []
    for message in ("Hello", "Why?"):
        messages.append({"role": "user", "content": message})
        messages.append({"role": "assistant", "content": model.chat(messages, 6)})
    answers = [message["content"] for message in messages if message["role"] == "assistant"]
    arguments = ["--model", str(folder), "--chat", "-n", "6"]
    assert said(*arguments, "Hello") == f"{answers[0]}\n"
    result = run(*arguments, "-i", stdin=b"Hello\nWhy?\n")
    assert result.stdout.decode() == "".join(f"{answer}\n" for answer in answers)


@posix
def test_the_transcripts_in_the_readme_are_what_the_commands_print(tmp_path: Path) -> None:
    """Every line that begins with a dollar sign, and the lines below it."""
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    transcripts = re.findall(r"^    \$ (.*)\n((?:    (?!\$).*\n|\n(?=    ))+)", readme, re.MULTILINE)
    assert len(transcripts) == 4
    for line, shown in transcripts:
        line = line.replace("python -m", f"{sys.executable} -m")
        result = subprocess.run(line, shell=True, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, check=True)
        printed, shown = (
            result.stdout.decode().rstrip("\n"),
            re.sub("^    ", "", shown, flags=re.MULTILINE).rstrip("\n"),
        )
        assert FRACTION.sub("#", printed) == FRACTION.sub("#", shown)
        figures, expected = (np.array(FRACTION.findall(text), float) for text in (printed, shown))
        np.testing.assert_allclose(figures, expected, rtol=0.01)  # another processor rounds otherwise


@posix
@pytest.mark.parametrize(("settings", "colored"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_a_terminal_shows_colors_unless_they_are_unwanted(settings: dict[str, str], colored: bool) -> None:
    status, screen = on_terminal(*TINY, "--top", "2", PROMPT, **{"TERM": "xterm", **settings})
    assert (status, "\x1b[36m" in screen) == (0, colored)


def test_a_locale_without_letters_prints_question_marks_and_goes_on() -> None:
    result = run(*TINY, "--top", "2", PROMPT, LC_ALL="C", LANG="C", PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    assert (result.returncode, result.stderr) == (0, b"")
    assert b"?" in result.stdout


class Screen:
    """What a process writes to a pseudo-terminal, read up to what is expected next."""

    def __init__(self, terminal: int) -> None:
        self.terminal, self.data = terminal, b""

    def wait_for(self, expected: bytes) -> None:
        while expected not in self.data:
            assert select.select([self.terminal], [], [], 30)[0], f"{expected!r} does not come after {self.data!r}"
            self.data += os.read(self.terminal, 4096)
        self.data = self.data.partition(expected)[2]


@posix
def test_ctrl_c_stops_a_text_and_the_terminal_asks_for_the_next_prompt(endless: list[str]) -> None:
    pty = pytest.importorskip("pty")
    terminal, side = pty.openpty()
    screen = Screen(terminal)
    with running([*endless, "--interactive"], stdin=side, stdout=side, stderr=side) as process:
        screen.wait_for(b"> ")
        for prompt in (b"Once", b"The"):
            os.write(terminal, prompt + b"\n")
            screen.wait_for(prompt + b"\r\n" + prompt)  # what was typed, and the text
            process.send_signal(signal.SIGINT)
            screen.wait_for(b"\r\n> ")
        os.write(terminal, b"\x04")
        assert process.wait(30) == 0
    os.close(side)
    os.close(terminal)
