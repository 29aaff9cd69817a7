"""The command line as its users meet it: in processes of its own, with pipes, terminals and Ctrl-C."""

from __future__ import annotations

import doctest
import io
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from models import REFERENCE, random_params

from numpygpt import GPT2, GPT2Config, Tokenizer, __version__, checkpoint, hub, pretrained
from numpygpt import __main__ as command

COMMAND = [sys.executable, "-m", "numpygpt"]
TINY = ["--model", str(REFERENCE / "tiny")]
PROMPT = "Once upon a time"  # which the reference model continues with 25 tokens
# The surroundings without what would change how Python reads and writes, for which these tests look
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
if "PYTHONPATH" in os.environ:
    ENVIRONMENT["PYTHONPATH"] = os.environ["PYTHONPATH"]
STATISTICS = re.compile(r"\[\d+ tokens? in [\d.]+ s, [\d.]+ tokens/s; ended by: [a-z_, ]+\]")
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals, pipes and terminals")


def run(*arguments: str | bytes, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*COMMAND, *arguments], input=stdin, capture_output=True, timeout=60, env=ENVIRONMENT | environment, check=False
    )


def said(*arguments: str | bytes, stdin: bytes = b"", **environment: str) -> str:
    """What a run that goes well prints on standard output, and nothing on standard error."""
    result = run(*arguments, stdin=stdin, **environment)
    assert (result.returncode, result.stderr) == (0, b"")
    return result.stdout.decode()


Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """The command within this process, for what needs none of its own: exit status, and what it printed."""

    def call(*arguments: str) -> tuple[int, str, str]:
        try:
            command.main(list(arguments))
            status = 0
        except SystemExit as ended:
            status = int(ended.code or 0)
        return status, *capsys.readouterr()

    return call


@pytest.fixture(scope="session")
def endless(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options for a text that takes minutes, of a model that is quick at the beginning."""
    folder = tmp_path_factory.mktemp("models") / "endless"
    config = GPT2Config(vocab_size=300, n_ctx=100_000, n_embd=8, n_layer=1, n_head=1)
    checkpoint.save(folder, config, random_params(config), Tokenizer(Tokenizer().merges[:43]))
    return ["--model", str(folder), "-n", "100000"]


@contextmanager
def running(arguments: list[str], **streams: Any) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([*COMMAND, *arguments], env=ENVIRONMENT, **streams) as process:
        try:
            yield process
        finally:
            process.kill()


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


# Encodings


def test_an_encoding_that_lacks_a_character_prints_a_question_mark() -> None:
    assert said(*TINY, "-n", "0", "é🙂.", PYTHONIOENCODING="ascii") == "??.\n"


def test_standard_input_is_utf8_whatever_the_locale() -> None:
    assert said(*TINY, "-n", "0", stdin="é🙂.".encode(), PYTHONIOENCODING="utf-8", LC_ALL="C") == "é🙂.\n"


# Statistics


def test_statistics_come_when_asked_for_and_on_standard_error(tiny: GPT2) -> None:
    result = run(*TINY, "-n", "5", "--stats", PROMPT)
    assert result.returncode == 0
    assert result.stdout.decode() == f"{PROMPT}{tiny.generate(PROMPT, 5)}\n"
    assert STATISTICS.fullmatch(result.stderr.decode().removesuffix("\n"))
    assert result.stderr.startswith(b"[5 tokens in ")
    assert result.stderr.endswith(b"ended by: max_new_tokens]\n")


def read_terminal(terminal: int) -> str:
    """Everything a process wrote to a pseudo-terminal, once it has ended."""
    data = b""
    while select.select([terminal], [], [], 60)[0]:
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # Linux's end of a pseudo-terminal
            piece = b""
        if not piece:
            return data.decode().replace("\r\n", "\n")
        data += piece
    pytest.fail(f"the command neither goes on nor ends after {data!r}")


def on_terminal(*arguments: str) -> tuple[int, str]:
    """Exit status and what stands on the screen, of a run with all streams on a terminal."""
    pty = pytest.importorskip("pty")
    terminal, side = pty.openpty()
    with running(list(arguments), stdin=side, stdout=side, stderr=side) as process:
        os.close(side)
        screen = read_terminal(terminal)
        status = process.wait(60)
    os.close(terminal)
    return status, screen


@posix
def test_a_terminal_shows_the_text_and_then_the_statistics(tiny: GPT2) -> None:
    status, screen = on_terminal(*TINY, "-n", "4", PROMPT)
    text, statistics = screen.removesuffix("\n").rsplit("\n", 1)
    assert status == 0
    assert text == f"{PROMPT}{tiny.generate(PROMPT, 4)}"
    assert STATISTICS.fullmatch(statistics)


@posix
def test_no_prompt_on_a_terminal_is_a_mistake_and_does_not_wait() -> None:
    status, screen = on_terminal(*TINY)
    assert (status, screen.count("\n")) == (2, 1)
    assert "give a prompt" in screen


# Ending early


@posix
def test_pieces_are_printed_as_they_come_and_ctrl_c_ends_quietly(endless: list[str]) -> None:
    with running([*endless, PROMPT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as process:
        assert process.stdout
        assert process.stderr
        seen = b""
        while len(seen) < 50:
            seen += process.stdout.read(1000)
        assert seen.startswith(PROMPT.encode())
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr.read() == b""


@posix
def test_a_reader_that_goes_away_ends_it_quietly(endless: list[str]) -> None:
    with running([*endless, PROMPT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.read(2) == PROMPT.encode()[:2]
        process.stdout.close()
        assert process.wait(60) == 0
        assert process.stderr.read() == b""


class Writes(io.RawIOBase):
    """A stream that remembers what each write brought."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.pieces.append(bytes(data))
        return len(data)


def test_every_piece_is_written_out_when_it_comes(monkeypatch: pytest.MonkeyPatch, tiny: GPT2) -> None:
    writes = Writes()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(writes), "utf-8"))
    command.main([*TINY, PROMPT])
    assert writes.pieces == [PROMPT.encode(), *(piece.encode() for piece in tiny.stream(PROMPT)), b"\n"]


@posix
@pytest.mark.parametrize("arguments", [["--help"], ["--version"], [*TINY, PROMPT]])
def test_a_reader_that_never_was_is_no_trouble(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with running(arguments, stdout=writer, stderr=subprocess.PIPE) as process:
        os.close(writer)
        assert process.communicate(timeout=60)[1] == b""
        assert process.returncode == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's /dev/full")
def test_a_full_disk_is_one_line() -> None:
    with open("/dev/full", "wb") as full, running([*TINY, PROMPT], stdout=full, stderr=subprocess.PIPE) as process:
        message = b"python -m numpygpt: [Errno 28] No space left on device\n"
        assert process.communicate(timeout=60)[1] == message
        assert process.returncode == 2


@posix
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_closed_streams_give_no_traceback(closed: str) -> None:
    shell = ["sh", "-c", f'"$@" {closed}', "sh", *COMMAND, *TINY, "-n", "2", *([] if closed == "<&-" else [PROMPT])]
    result = subprocess.run(shell, capture_output=True, timeout=60, env=ENVIRONMENT, check=False)
    assert b"Traceback" not in result.stderr
    assert result.returncode == (2 if closed == "<&-" else 0)


# Mistakes


def one_line(status: int, out: str, err: str) -> str:
    """The line that a mistake is answered with."""
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert re.fullmatch("python -m numpygpt: .+\n", err)
    return err


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
    monkeypatch.setattr(hub, "find", lambda name: None)
    monkeypatch.setattr(pretrained, "EMBEDDED_MODEL", [])
    assert "python -m numpygpt.hub download gpt2" in one_line(*call(PROMPT))


def test_the_default_model_is_used_where_none_is_named(call: Call, monkeypatch: pytest.MonkeyPatch, tiny: GPT2) -> None:
    monkeypatch.setattr(command, "default_model", lambda: REFERENCE / "tiny")
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
        "--stats",
        "--version",
        "--help",
    ):
        assert option in page
    assert "default: 40" in page
    assert max(map(len, page.splitlines())) <= 100


def test_version() -> None:
    assert said("--version") == f"numpygpt {__version__}\n"
