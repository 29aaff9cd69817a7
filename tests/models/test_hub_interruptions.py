"""Downloads that are killed, on disks that fill up, and at the same time."""

from __future__ import annotations

import errno
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hub_checks import (
    NAME,
    SIZE,
    assert_is_right,
    assert_matches,
    assert_nothing_half_written,
    error_of,
    run,
    wait_for,
)
from hub_files import Fault
from hub_server import HubServer

from numpygpt.models import cache as models_cache
from numpygpt.models import checkpoint, hub

pytestmark = pytest.mark.usefixtures("cache")


def test_space_is_checked_before_the_download(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=SIZE))
    assert_matches("needs 49[0-9] kB on the disk of .*, where 241 kB are free.*NUMPYGPT_HOME", error_of())
    assert not server.seen()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_fails_during_the_download(
    server: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    class Full(io.FileIO):
        def write(self, data: Any) -> int:
            if self.tell() + len(data) > SIZE // 2:
                raise OSError(number, os.strerror(number))
            return super().write(data)

    with monkeypatch.context() as patch:
        patch.setattr(hub, "FileIO", Full)
        message = error_of()
    assert_matches(f"{os.strerror(number)}.*NUMPYGPT_HOME", message)
    assert_nothing_half_written(cache)
    server.requests.clear()
    assert_is_right(hub.download(NAME, progress=False))
    assert "Range" in server.seen()[0].headers


def test_a_disk_that_is_full_when_converting(server: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def convert(source: Path, destination: Path) -> None:
        destination.mkdir()
        (destination / "model.safetensors").write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device", str(destination))

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "convert", convert)
        assert "No space left on device; make room and run it again" in error_of()
    assert_nothing_half_written(cache)
    server.requests.clear()
    assert_is_right(hub.download(NAME, progress=False))
    assert not server.seen(), "the downloaded file was still there"


@pytest.mark.parametrize("kilobytes", [64, 320])
def test_a_disk_that_is_really_full(
    server: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kilobytes: int
) -> None:
    """A small disk made for the test: too small for the download, and for the conversion."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(disk)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk takes Linux and its superuser")
    try:
        monkeypatch.setenv("NUMPYGPT_HOME", str(disk / "cache"))
        assert "make room" in error_of()
        usage = shutil.disk_usage("/")
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)  # another program will take the space meanwhile
        assert_matches("(No space left on device|Disk quota exceeded); make room", error_of())
        assert_nothing_half_written(disk / "cache")
        subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
        assert_is_right(hub.download(NAME, progress=False))
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_no_permission_to_write(server: HubServer, cache: Path) -> None:
    cache.write_text("a file where the cache folder should be")
    assert_matches(f"{cache}: (File exists|Not a directory).*NUMPYGPT_HOME", error_of())
    assert cache.read_text().startswith("a file")
    cache.unlink()
    cache.mkdir(mode=0o500)
    if os.access(cache, os.W_OK):
        cache.chmod(0o700)
        pytest.skip("the superuser may write everywhere")
    assert "Permission denied; the models' folder must be writable" in error_of()
    cache.chmod(0o700)


KILL = "os.kill(os.getpid(), signal.SIGKILL)"
MOMENTS = {
    "before the first byte": f"hub._receive = lambda *arguments: {KILL}",
    "before a file is verified": f"connection.Remote.matches = lambda *arguments: {KILL}",
    "between files": "real = connection.Remote.matches\n"
    f"connection.Remote.matches = lambda f, p: 'model' in p.name and {KILL} or real(f, p)",
    "before the conversion": f"checkpoint.convert = lambda *arguments: {KILL}",
    "within the conversion": f"checkpoint.save_file = lambda *arguments, **more: {KILL}",
    "after the conversion": f"cache.facts = lambda *arguments: {KILL}",
    "before it is published": f"hub._publish = lambda *arguments: {KILL}",
    "before it takes its place": f"os.rename = lambda *arguments: {KILL}",
    "after it took its place": f"real = hub._publish\nhub._publish = lambda *arguments: (real(*arguments), {KILL})",
}


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
@pytest.mark.parametrize("code", MOMENTS.values(), ids=MOMENTS)
def test_killed_at_a_moment_and_run_again(server: HubServer, cache: Path, code: str) -> None:
    if "os.rename" in code:  # the conversion renames as well: only the last one is meant
        code = f"real = os.rename\nos.rename = lambda a, b: {KILL} if 'models' in str(b) else real(a, b)"
    killed = run("download", NAME, code=code)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    if "real(*arguments)" in code:
        assert models_cache.find(NAME) is not None
    else:
        assert_nothing_half_written(cache)
    assert_is_right(hub.download(NAME, progress=False))
    assert not any((cache / ".partial").glob("*/*")), "what the killed run left is cleaned up"


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_killed_at_random_moments_and_run_again(server: HubServer) -> None:
    server.bytes_per_second = SIZE / 1.5
    random_moments = random.Random(os.environ.get("PYTEST_RANDOM_SEED"))
    for _ in range(4):
        killed = run("download", NAME)
        time.sleep(random_moments.uniform(0.2, 1.2))
        killed.kill()
        killed.communicate()
        assert models_cache.find(NAME) is None or models_cache.verify(NAME)
    server.bytes_per_second = None
    assert_is_right(hub.download(NAME, progress=False))


@pytest.mark.skipif(os.name != "posix", reason="needs SIGINT")
def test_ctrl_c_is_quiet_and_keeps_what_came(server: HubServer, cache: Path) -> None:
    server.faults = [Fault(stall_at=SIZE // 2)]
    process = run("download", NAME)
    wait_for(lambda: sum(path.stat().st_size for path in cache.rglob("model.safetensors")) > SIZE // 3)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate()
    assert process.returncode == 130
    assert output == ""
    assert "Traceback" not in errors
    server.faults = []
    server.requests.clear()
    assert_is_right(hub.download(NAME, progress=False))
    assert "Range" in server.seen()[0].headers


@pytest.mark.parametrize("killed", [False, True])
def test_two_downloads_at_once_both_end_in_a_right_folder(server: HubServer, killed: bool) -> None:
    """And so does the one that is left where the other is killed in the middle."""
    server.bytes_per_second = SIZE / 0.7
    processes = [run("download", NAME) for _ in range(3)]
    if killed:
        wait_for(lambda: any(models_cache.cache_dir().rglob("model.safetensors")))
        processes.pop(0).kill()
    results = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), results
    assert {output for output, _ in results} == {f"{NAME}: {models_cache.find(NAME)}\n"}
    assert_is_right(hub.download(NAME, progress=False))


@pytest.mark.parametrize("setting", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
@pytest.mark.parametrize(
    "proxy", ["http://", "http://[::1", "http://x:99999", "no://proxy at all", "http://user:secret@x y"]
)
def test_a_malformed_proxy_is_one_line_that_names_the_setting(
    monkeypatch: pytest.MonkeyPatch, proxy: str, setting: str
) -> None:
    monkeypatch.setenv(setting, proxy)
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    message = error_of()
    assert f"the proxy of {setting}: " in message
    assert "secret" not in message
