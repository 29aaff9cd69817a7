"""Names of models: the embedded ones from anywhere, folders, and what was trained here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from command_runs import ENVIRONMENT
from hub_checks import command
from random_models import REFERENCE, random_params

from numpygpt import GPT2, GPT2Config
from numpygpt.models import cache as models_cache
from numpygpt.models import checkpoint, names

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("cache")


def test_the_embedded_model_has_a_name_that_works_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder that holds another one of that name too, and where OpenAI's model is on disk."""
    checkpoint.save(tmp_path / "stories", GPT2Config(300, 8, 4, 1, 1), random_params(GPT2Config(300, 8, 4, 1, 1)), None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(models_cache, "find", lambda name: REFERENCE / "tiny")
    assert names.default_model() == "gpt2"
    assert GPT2.from_pretrained("stories").folder == ROOT / "weights" / "stories"
    assert GPT2.from_pretrained("./stories").config.n_embd == 4


def test_commands_take_the_name(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("The cat sat.\n<|endoftext|>\nThe dog ran.\n" * 60)
    train = ["numpygpt.train", "text.txt", "--out", "out", "--init", "stories", "--steps", "1", "--batch-size", "2"]
    for arguments in (["numpygpt.loss", "text.txt", "-m", "stories"], ["numpygpt.models", "show", "stories"], train):
        environment = {**ENVIRONMENT, "PYTHONPATH": str(ROOT), "NUMPYGPT_HOME": str(tmp_path / "cache")}
        result = subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr
    assert GPT2.from_pretrained(tmp_path / "out").config.n_embd == 256


def test_what_was_trained_here_is_listed_as_long_as_it_is_there(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert names.trained() == []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        names.remember_trained(tmp_path / name)
    names.remember_trained(tmp_path / "a")
    assert names.trained() == [tmp_path / "a", tmp_path / "b"]
    (tmp_path / "b" / "config.json").unlink()
    assert names.trained() == [tmp_path / "a"]
    lines = command(capsys, "list")[1].splitlines()
    assert lines[0].startswith("stories ")
    assert lines[0].endswith("comes along")
    assert lines[1].startswith("english-french ")
    assert lines[2].startswith("questions ")
    assert lines[3].startswith("emoji ")
    assert lines[4].split() == [str(tmp_path / "a"), "2", "bytes", "trained", "here"]
    (cache / "trained.json").write_text("{")
    assert names.trained() == []


@pytest.mark.parametrize("action", ["verify", "remove"])
def test_the_embedded_model_is_pips_to_keep(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, output, errors = command(capsys, action, "stories")
    assert (status, output) == (2, "")
    assert errors == "python -m numpygpt.models: stories comes along with the package: pip verifies and removes it\n"


def test_downloading_the_embedded_model_says_where_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(capsys, "download", "stories") == (0, f"stories: {ROOT / 'weights' / 'stories'}\n", "")
