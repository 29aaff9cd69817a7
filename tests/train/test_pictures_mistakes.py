"""The task of pictures: files that are none, and options that make no sense."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from numpygpt.train import TrainingError
from numpygpt.train.__main__ import main
from numpygpt.train.config import PicturesConfig


def write(path: Path, **arrays: Any) -> str:
    np.savez(path, **arrays)
    return str(path)


IMAGES = np.zeros((20, 4, 4), np.uint8)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("missing", "none.npz: there is no such file"),
        ("text", "is no .npz file with arrays of numbers"),
        ("no images", "no array 'images' of bytes"),
        ("floats", "no array 'images' of bytes"),
        ("no labels", "no array 'labels' with the digits 0 to 9"),
        ("few labels", "no array 'labels' with the digits 0 to 9"),
        ("two tables", "give one .npz with digits and their labels, or some .npz"),
        ("no table", "give one .npz with digits and their labels, or some .npz"),
        ("columns", "no column 'name', or no rows"),
        ("line", "line 3: expected the number of a picture and its name"),
        ("far", "has no picture 99"),
        ("nothing held out", "2 drawings to learn from, 0 held out"),
        ("same style", "two files have the style 'noto'"),
        ("codes", "there are only 4 different patches: ask for so many codes, not 9"),
        ("patch", "cannot be cut into squares side by side"),
    ],
)
def test_mistakes_are_one_line(case: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, flags = tmp_path / "captions.tsv", []
    table.write_text("index\tname\n0\ta cat\n1\ta dog\n")
    noto = write(tmp_path / "x_noto.npz", images=IMAGES)
    texts = [noto, str(table)]
    if case == "missing":
        texts = [str(tmp_path / "none.npz")]
    elif case == "text":
        (tmp_path / "text.npz").write_text("text")
        texts = [str(tmp_path / "text.npz")]
    elif case == "no images":
        texts = [write(tmp_path / "a.npz", labels=np.arange(3))]
    elif case == "floats":
        texts = [write(tmp_path / "a.npz", images=np.zeros((3, 4, 4)))]
    elif case == "no labels":
        texts = [noto]
    elif case == "few labels":
        texts = [write(tmp_path / "a.npz", images=IMAGES, labels=np.arange(20) % 9)]
    elif case == "two tables":
        texts = [noto, str(table), str(table)]
    elif case == "no table":
        texts = [noto, write(tmp_path / "x_fluent.npz", images=IMAGES)]
    elif case == "columns":
        table.write_text("index\tcaption\n0\ta cat\n")
    elif case == "line":
        table.write_text("index\tname\n0\ta cat\n-1\ta dog\n")
    elif case == "far":
        table.write_text("index\tname\n99\ta cat\n")
    elif case == "same style":
        texts = [noto, write(tmp_path / "y_noto.npz", images=IMAGES), str(table)]
    elif case in ("codes", "patch"):
        images = IMAGES.copy()
        images[:10, 0, 0] = 4
        texts = [write(tmp_path / "a.npz", images=images, labels=np.arange(20) % 10)]
        flags = ["--codes", "9"] if case == "codes" else ["--patch", "3"]
    with pytest.raises(SystemExit) as exit_info:
        main(["--task", "pictures", *texts, "--out", str(tmp_path / "out"), "--steps", "1", *flags])
    assert exit_info.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
    assert not (tmp_path / "out").exists()


def test_options_that_make_no_sense() -> None:
    for options, message in (
        (PicturesConfig(batch_size=1), "--batch-size must be at least 2"),
        (PicturesConfig(codes=1), "--codes must be at least 2"),
        (PicturesConfig(n_ctx=9), "begins anew, with a context window that fits: no --n-ctx"),
        (PicturesConfig(init="stories"), "no --init"),
    ):
        with pytest.raises(TrainingError, match=message):
            options.check()
