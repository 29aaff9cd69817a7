"""The types that users see: mypy accepts what is right and finds the mistakes."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

USER_CODE = Path(__file__).parent / "reference" / "user_code.py"


def test_mypy_finds_the_mistakes_of_a_user_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    api = pytest.importorskip("mypy.api")
    file = tmp_path / "user_code.py"  # where no setting of this project reaches it
    file.write_text(USER_CODE.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setenv("MYPYPATH", str(USER_CODE.parents[2]))
    options = ["--strict", f"--config-file={os.devnull}", f"--cache-dir={tmp_path}", "--follow-imports=silent"]
    output, errors, _ = api.run([*options, str(file)])
    found = {int(line) for line in re.findall(r"user_code\.py:(\d+): error", output)}
    lines = file.read_text(encoding="utf-8").splitlines()
    assert found == {number for number, line in enumerate(lines, 1) if line.endswith("# mistake")}, output + errors
