"""The command `python -m numpygpt.models`."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
from hub_checks import (
    NAME,
    SIZE,
    command,
)
from hub_files import Fault
from hub_server import HubServer

from numpygpt.models import cache as models_cache
from numpygpt.models import hub
from numpygpt.models.repos import EMBEDDED

pytestmark = pytest.mark.usefixtures("cache")


def test_the_command_from_nothing_to_nothing(server: HubServer, capsys: pytest.CaptureFixture[str]) -> None:
    status, output, _ = command(capsys)
    assert status == 0
    assert output.startswith("stories ")
    assert "\nnot on this disk: gpt2, gpt2-medium" in output
    assert "python -m numpygpt.models download gpt2" in output
    server.faults = [Fault(cut_at=SIZE // 2)]
    status, output, errors = command(capsys, "download", NAME)
    assert (status, output, "could not be fetched" in errors) == (1, "", True)
    assert f"{NAME}: begun, " in command(capsys)[1]
    server.faults = []
    folder = models_cache.cache_dir() / "models" / "someone--tiny-gpt2"
    status, output, errors = command(capsys, "download", NAME)
    assert (status, output) == (0, f"{NAME}: {folder}\n")
    assert errors.startswith(f"{NAME}: downloading 246 kB from {server.url} to {models_cache.cache_dir()}\n")
    assert command(capsys, "list")[1].splitlines()[len(EMBEDDED)] == f"{NAME}    197 kB  {folder}"
    assert command(capsys, "verify") == (0, f"{NAME}: every checksum is right ({folder})\n", "")
    assert command(capsys, "remove", NAME) == (0, f"{NAME}: removed, 197 kB freed\n", "")
    assert command(capsys, "verify") == (0, "no model is on this disk\n", "")


def test_the_commands_mistakes_are_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in [
        ["download"],
        ["remove"],
        ["destroy", NAME],
        ["list", NAME],
        ["download", "../x"],
        ["remove", NAME],
        ["verify", NAME],
        ["--quiet"],
    ]:
        status, output, errors = command(capsys, *arguments)
        assert (status, output) == (2, ""), arguments
        assert errors.startswith("python -m numpygpt.models: "), errors
        assert errors.count("\n") == 1


def test_failures_of_network_and_disk_are_one_line_and_status_1() -> None:
    command = [sys.executable, "-m", "numpygpt.models", "download", "gpt2"]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (process.returncode, process.stdout) == (1, "")
    assert process.stderr.startswith("python -m numpygpt.models: cannot reach http://127.0.0.1:1")
    assert process.stderr.count("\n") == 1


def test_help_fits_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    status, output, _ = command(capsys, "--help")
    assert status == 0
    for word in ("list", "download NAME", "verify", "remove", "HF_ENDPOINT", "HF_TOKEN", "NUMPYGPT_HOME", "gpt2-xl"):
        assert word in output


def test_a_progress_bar_on_a_terminal(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    server.bytes_per_second = SIZE / 0.3
    server.faults = [Fault(cut_at=SIZE // 2, times=1)]
    for progress, expected in [(True, True), (False, False)]:
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        hub.download(NAME, progress=progress)
        assert all((word in terminal.getvalue()) is expected for word in (f"{NAME}: ", "%|", "/246k [", "B/s"))
        models_cache.remove(NAME)


def test_importing_it_is_cheap() -> None:
    code = (
        "import sys, numpygpt.__main__; from numpygpt.models import cache; cache.find('gpt2'); "
        "print({'requests', 'tqdm', 'urllib3'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
