"""Names, links and modes; what is found on disk, here and in the cache of Hugging Face."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hub_checks import (
    FILES,
    NAME,
    SIZE,
    assert_is_right,
    error_of,
    write,
)
from hub_files import Fault
from hub_server import HubServer
from hypothesis import given
from hypothesis import strategies as st

from numpygpt.models import cache as models_cache
from numpygpt.models import hub
from numpygpt.models.repos import OFFICIAL, HubError, Model, ModelNameError, Pin, parse_name

pytestmark = pytest.mark.usefixtures("cache")


BAD_NAMES = [
    *["", ".", "..", "../x", "/etc/passwd", "~/x", "a/../b", "a/b/c", "owner/", "/name", "owner//name", "C:\\x"],
    *["owner/na me", "owner/näme", "owner/name\n", "owner/..", "owner/.git", "owner/x.git", "a--b/c", "-a/b", "a/b-"],
    *["owner/name@", "owner/name@../x", "owner/name@a//b", "owner/name@/x", "owner/name@-x", "owner/name@x\0"],
    *["owner/name@a b", "gpt2@../../x", "models--a--b", "unknown", "GPT2", "a" * 97 + "/b", "owner/name@a@b"],
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_cannot_leave_the_cache(name: str, cache: Path) -> None:
    for action in (models_cache.find, hub.download, models_cache.verify, models_cache.remove):
        with pytest.raises(ModelNameError, match=r"is not a model's name; say stories, .*, gpt2, .* or OWNER/NAME"):
            action(name)
    assert not cache.exists()


@given(st.text(max_size=12) | st.text(alphabet="a.-_/@~\\:A0", max_size=12))
def test_every_name_is_refused_or_one_file_name(name: str) -> None:
    try:
        model = parse_name(name)
    except ModelNameError:
        return
    assert Path("x", model.key).parent == Path("x")
    assert model.key.isascii()
    assert not set(model.key) & set('/\\:*?"<>|\0 ')
    assert not model.key.startswith(".")


@pytest.mark.parametrize("link", ["models", ".partial", ".partial/someone--tiny-gpt2"])
def test_links_in_the_cache_are_not_followed(server: HubServer, cache: Path, tmp_path: Path, link: str) -> None:
    elsewhere = write(tmp_path / "elsewhere", {"precious": b"kept"})
    (cache / link).parent.mkdir(parents=True, exist_ok=True)
    (cache / link).symlink_to(elsewhere)
    assert "is not a folder; remove it" in error_of()
    assert [path.name for path in elsewhere.iterdir()] == ["precious"]
    with suppress(HubError):
        models_cache.remove(NAME)
    assert (elsewhere / "precious").read_bytes() == b"kept"


def test_a_link_in_the_place_of_a_file_is_not_written_through(server: HubServer, cache: Path, tmp_path: Path) -> None:
    """The link goes, what it leads to stays."""
    precious = tmp_path / "precious"
    precious.write_bytes(b"kept")
    repo = server.repos[NAME]
    folder = cache / ".partial" / "someone--tiny-gpt2" / f"{repo.commit}.{socket.gethostname()}-{os.getpid()}"
    folder.mkdir(parents=True)
    for name in ("model.safetensors", "vocab.json"):
        (folder / name).symlink_to(precious)
    assert_is_right(hub.download(NAME, progress=False))
    assert precious.read_bytes() == b"kept"

    models_cache.remove(NAME)
    folder.parent.mkdir()
    folder.symlink_to(tmp_path)
    assert_is_right(hub.download(NAME, progress=False))
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["precious"]


def test_a_folder_of_a_process_that_is_gone_is_taken_over(server: HubServer, cache: Path) -> None:
    """And one of another computer when nobody has written there for long; the fullest is the best."""
    work, commit = cache / ".partial" / "someone--tiny-gpt2", server.repos[NAME].commit
    half = FILES["model.safetensors"]
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    for writer, age, n_bytes, is_taken in (
        (f"{socket.gethostname()}-{int(gone.stdout)}", 0, 1000, True),
        (f"{socket.gethostname()}-1", 0, 2000, False),
        ("elsewhere-7", 0, 3000, False),
        ("elsewhere-7", 3600, 4000, True),
    ):
        folder = work / f"{commit}.{writer}"
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(half[:n_bytes])
        then = time.time() - age
        for path in (folder / "model.safetensors", folder):
            os.utime(path, (then, then))
        server.requests.clear()
        assert_is_right(hub.download(NAME, progress=False))
        assert server.seen()[0].headers.get("Range") == (f"bytes={n_bytes}-" if is_taken else None), writer
        models_cache.remove(NAME)
    for computer, n_bytes in (("one", 100), ("two", 300), ("three", 200)):
        folder = work / f"{commit}.{computer}-1"
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(half[:n_bytes])
        for path in (folder / "model.safetensors", folder):
            os.utime(path, (0, 0))
    server.requests.clear()
    assert_is_right(hub.download(NAME, progress=False))
    assert server.seen()[0].headers["Range"] == "bytes=300-"


def test_removing_a_link_removes_only_the_link(server: HubServer, cache: Path, tmp_path: Path) -> None:
    folder = hub.download(NAME, progress=False)
    moved = tmp_path / "another disk"
    shutil.move(folder, moved)
    folder.symlink_to(moved)
    assert models_cache.find(NAME) == folder
    models_cache.remove(NAME)
    assert not os.path.lexists(folder)
    assert (moved / "model.safetensors").exists()


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_files_have_the_modes_that_the_user_asks_for(server: HubServer, cache: Path) -> None:
    before = os.umask(0o027)
    try:
        hub.download(NAME, progress=False)
    finally:
        os.umask(before)
    for path in [cache, *cache.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o750 if path.is_dir() else 0o640), path


def snapshot(tmp_path: Path, repo: str, commit: str, files: dict[str, bytes], ref: str | None = "main") -> Path:
    folder = tmp_path / "hf" / "hub" / f"models--{repo.replace('/', '--')}"
    if ref:
        (folder / "refs").mkdir(parents=True, exist_ok=True)
        (folder / "refs" / ref).write_text(commit)
    return write(folder / "snapshots" / commit, files)


def test_a_model_in_hugging_faces_cache_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = snapshot(tmp_path, NAME, "a" * 40, FILES)
    assert models_cache.find(NAME) == hub.download(NAME) == folder
    assert models_cache.find(f"{NAME}@main") == models_cache.find(f"{NAME}@{'a' * 40}") == folder
    assert models_cache.find(f"{NAME}@{'b' * 40}") is None
    for setting, place in [("HF_HUB_CACHE", ""), ("HUGGINGFACE_HUB_CACHE", ""), ("XDG_CACHE_HOME", "huggingface/hub")]:
        with monkeypatch.context() as patch:
            patch.setenv("HF_HOME", "")
            patch.setenv(setting, str(tmp_path / setting))
            shutil.copytree(tmp_path / "hf" / "hub", tmp_path / setting / place, dirs_exist_ok=True)
            found = models_cache.find(NAME)
            assert found
            assert found.is_relative_to(tmp_path / setting)


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "merges.txt"])
def test_an_incomplete_snapshot_is_not_used(tmp_path: Path, missing: str) -> None:
    snapshot(tmp_path, NAME, "a" * 40, {name: content for name, content in FILES.items() if name != missing})
    assert models_cache.find(NAME) is None
    assert models_cache.installed() == []


def test_a_bad_reference_is_not_followed(tmp_path: Path) -> None:
    snapshot(tmp_path, NAME, "a" * 40, FILES)
    (tmp_path / "hf" / "hub" / "models--someone--tiny-gpt2" / "refs" / "main").write_text("../" + "a" * 40)
    assert models_cache.find(NAME) is None


def test_snapshots_of_official_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pinned revision before `main`, the name of early days after both, and a file of another size never."""
    pinned = "c" * 40
    pins = {"model.safetensors": Pin(SIZE)}
    monkeypatch.setitem(OFFICIAL, "gpt2", Model("openai-community/gpt2", pinned, pins))
    files = {name: FILES[name] for name in ("config.json", "model.safetensors")}  # its tokenizer is known
    early = snapshot(tmp_path, "gpt2", "a" * 40, files)
    assert models_cache.find("gpt2") == early
    newest = snapshot(tmp_path, "openai-community/gpt2", "b" * 40, files)
    assert models_cache.find("gpt2") == newest
    exact = snapshot(tmp_path, "openai-community/gpt2", pinned, files, ref=None)
    assert models_cache.find("gpt2") == exact
    assert [model.name for model in models_cache.installed()] == ["gpt2"]
    (exact / "model.safetensors").write_bytes(b"short")
    assert models_cache.find("gpt2") == newest


@pytest.mark.parametrize(
    ("platform", "setting", "expected"),
    [
        ("linux", None, "~/.cache/numpygpt"),
        ("linux", "XDG_CACHE_HOME", "/somewhere/numpygpt"),
        ("darwin", "XDG_CACHE_HOME", "~/Library/Caches/numpygpt"),
        ("win32", "LOCALAPPDATA", "/somewhere/numpygpt"),
        ("linux", "NUMPYGPT_HOME", "/somewhere"),
    ],
)
def test_models_go_where_the_platform_keeps_caches(
    monkeypatch: pytest.MonkeyPatch, platform: str, setting: str | None, expected: str
) -> None:
    monkeypatch.delenv("NUMPYGPT_HOME")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    if setting:
        monkeypatch.setenv(setting, "/somewhere")
    assert models_cache.cache_dir() == Path(expected).expanduser()


def test_a_damaged_model_is_noticed_and_fetched_again(server: HubServer, capsys: pytest.CaptureFixture[str]) -> None:
    folder = hub.download(NAME, progress=False)
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(HubError, match=r"is damaged: model.safetensors in .*models remove someone/tiny-gpt2 and then"):
        models_cache.verify(NAME)
    (folder / "model.safetensors").write_bytes(content[:-1])  # of another length: that is seen without reading
    assert models_cache.find(NAME) is None
    with pytest.raises(HubError, match="is damaged"):
        models_cache.verify(NAME)
    assert_is_right(hub.download(NAME, progress=False))
    (folder / "source.json").write_text("[]")
    with pytest.raises(HubError, match=r"is damaged: source\.json"):
        models_cache.verify(NAME)
    models_cache.remove(NAME)
    with pytest.raises(ModelNameError, match="is not on this disk"):
        models_cache.verify(NAME)


def test_removing(server: HubServer, cache: Path) -> None:
    size = sum(path.stat().st_size for path in hub.download(NAME, progress=False).iterdir())
    assert models_cache.remove(NAME) == size
    with pytest.raises(ModelNameError, match="is not on this disk"):
        models_cache.remove(NAME)
    server.faults = [Fault(cut_at=SIZE // 2)]
    error_of()
    assert models_cache.remove(NAME) > SIZE // 3, "what an interrupted download left"
    assert not any((cache / ".partial").glob("*/*"))
