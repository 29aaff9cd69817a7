"""The commands of yesterday say what they are called today."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (["numpygpt.hub"], "python -m numpygpt.models list"),
        (["numpygpt.hub", "download", "gpt2"], "python -m numpygpt.models download gpt2"),
        (["numpygpt.checkpoint", "a", "b"], "python -m numpygpt.models convert a b"),
    ],
)
def test_an_old_command_prints_the_new_one_and_ends_with_status_2(old: list[str], new: str) -> None:
    process = subprocess.run([sys.executable, "-m", *old], capture_output=True, text=True, check=False)
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr.endswith(f"say: {new}\n")
    assert process.stderr.count("\n") == 1
