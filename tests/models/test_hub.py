"""Downloads: from a server that behaves like the hub, through every fault, to a folder that is right or none."""

from __future__ import annotations

import errno
import io
import json
import os
import random
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hub_server import Fault, HubServer, official_file, tiny_gpt2
from hypothesis import given
from hypothesis import strategies as st

from numpygpt.arrays import flatten
from numpygpt.engine import gpt2
from numpygpt.models import cache as models_cache
from numpygpt.models import checkpoint, hub
from numpygpt.models.__main__ import main
from numpygpt.models.cache import HubError, Model, ModelNameError, Pin
from numpygpt.safetensors import load_file

NAME = "someone/tiny-gpt2"
FILES = tiny_gpt2()
SIZE = len(FILES["model.safetensors"])
SETTINGS = ["HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE"]
SETTINGS += ["TRANSFORMERS_OFFLINE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"]
SETTINGS += ["http_proxy", "https_proxy", "all_proxy", "no_proxy"]


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Empty caches in a folder of the test's own, no settings of the user's, and little patience."""
    for setting in SETTINGS:
        monkeypatch.delenv(setting, raising=False)
    monkeypatch.setenv("NUMPYGPT_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # no test cuts the power, and disks take their time
    monkeypatch.setattr(hub, "BACKOFF_SECONDS", 0.001)
    monkeypatch.setattr(hub, "READ_SECONDS", 0.25)
    monkeypatch.setattr(hub, "CHUNK_BYTES", 2**12)
    return tmp_path / "cache"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub with one model, which `HF_ENDPOINT` points to."""
    with HubServer() as server:
        server.add(NAME, FILES)
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def run(*arguments: str, code: str = "", **options: Any) -> subprocess.Popen[str]:
    """Start a Python process with short delays; `code` may change the module `hub` before its `main` runs."""
    script = (
        "import os, signal, sys; from numpygpt.models import cache, checkpoint, hub; hub.BACKOFF_SECONDS = 0.01; "
        "from numpygpt.models.__main__ import main; "
        f"hub.CHUNK_BYTES = 4096\n{code}\nmain(sys.argv[1:])"
    )
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def error_of(name: str = NAME) -> str:
    """Return the one line that a download fails with."""
    with pytest.raises(HubError) as caught:
        hub.download(name, progress=False)
    message = str(caught.value)
    assert "\n" not in message
    assert 10 < len(message) < 500
    return message


def assert_is_right(folder: Path, files: dict[str, bytes] = FILES) -> None:
    """Check a converted folder against the files that the server has."""
    assert models_cache.verify(NAME) == folder
    config, params, tokenizer = checkpoint.load(folder)
    source = load_file_bytes(files["model.safetensors"], folder.parent.parent)
    tensors = flatten(params)
    assert set(tensors) == {name for name in source if not name.endswith(".attn.bias")}
    assert all(np.array_equal(tensors[name], source[name]) for name in tensors)
    assert tokenizer is not None
    assert (tokenizer.n_vocab, config.n_layer) == (config.vocab_size, 12)


def load_file_bytes(content: bytes, folder: Path) -> dict[str, Any]:
    path = folder / "source.safetensors"
    path.write_bytes(content)
    try:
        return load_file(path)
    finally:
        path.unlink()


def assert_nothing_half_written(cache: Path) -> None:
    """Check that no model has appeared; what is under way may wait in .partial."""
    assert not list((cache / "models").glob("*"))
    assert models_cache.find(NAME) is None
    assert {path.name for path in cache.glob("*")} <= {"models", ".partial"}


# The whole way


def test_downloads_converts_and_loads(server: HubServer, cache: Path, tmp_path: Path) -> None:
    assert models_cache.find(NAME) is None
    folder = hub.download(NAME)
    assert folder == models_cache.find(NAME) == cache / "models" / "someone--tiny-gpt2"
    assert_is_right(folder)
    assert not any((cache / ".partial").glob("*/*")), "the downloaded files are not kept beside the converted ones"

    loaded, direct = checkpoint.load(folder), checkpoint.load(write(tmp_path / "direct", FILES))
    ids = np.arange(12)
    assert np.array_equal(gpt2(ids, **loaded[1], config=loaded[0]), gpt2(ids, **direct[1], config=direct[0]))

    requests = len(server.requests)
    assert hub.download(NAME) == folder
    assert len(server.requests) == requests, "what is on disk needs no network"


def test_the_tests_file_has_the_official_layout(tmp_path: Path) -> None:
    """160 tensors, twelve of them masks, data from an odd byte on, no order; the safetensors library reads it."""
    numpy = pytest.importorskip("safetensors.numpy")
    tensors = numpy.load(FILES["model.safetensors"])
    assert len(tensors) == 160
    assert sum(name.endswith(".attn.bias") for name in tensors) == 12
    header_bytes = int.from_bytes(FILES["model.safetensors"][:8], "little")
    assert (8 + header_bytes) % 2 == 1
    names = list(json.loads(FILES["model.safetensors"][8 : 8 + header_bytes]))[1:]
    assert names != sorted(names)
    ours = load_file_bytes(FILES["model.safetensors"], tmp_path)
    assert all(np.array_equal(tensors[name], ours[name]) for name in names)


def test_the_hubs_own_client_downloads_the_same(server: HubServer, tmp_path: Path) -> None:
    """What proves that the server is like the hub; and its cache is then used without another download."""
    pytest.importorskip("huggingface_hub")
    code = f"""import huggingface_hub as hf; print(hf.snapshot_download({NAME!r}))
hf.hf_hub_download({NAME!r}, "model.safetensors", force_download=True)
for name, revision in [("someone/none", None), ({NAME!r}, "v9")]:
    try: hf.hf_hub_download(name, "config.json", revision=revision)
    except Exception as error: print(type(error).__name__)"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    snapshot, *errors = process.stdout.split()
    assert errors == ["RepositoryNotFoundError", "RevisionNotFoundError"], process.stderr
    assert {path.name: path.read_bytes() for path in Path(snapshot).iterdir()} == FILES

    server.requests.clear()
    assert hub.download(NAME) == Path(snapshot)
    assert models_cache.verify(NAME) == Path(snapshot)
    assert len(checkpoint.load(snapshot)[1]["h"]) == 12
    assert [(model.name, model.ours) for model in models_cache.installed()] == [(NAME, False)]
    with pytest.raises(ModelNameError, match="hf cache rm"):
        models_cache.remove(NAME)
    assert not server.requests

    weights = (Path(snapshot) / "model.safetensors").resolve()
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    with pytest.raises(HubError, match=r"model\.safetensors in .* changed on disk; run `hf cache rm`"):
        models_cache.verify(NAME)


@pytest.mark.slow
def test_transformers_computes_the_same_from_the_same_server(server: HubServer) -> None:
    pytest.importorskip("transformers")
    code = f"""import torch, transformers
model = transformers.GPT2LMHeadModel.from_pretrained({NAME!r})
print(*model(torch.arange(12)[None]).logits.flatten().tolist())"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    config, params, _ = checkpoint.load(hub.download(NAME + "@main", progress=False))
    expected = np.array(process.stdout.split(), np.float32).reshape(12, -1)
    np.testing.assert_allclose(gpt2(np.arange(12), **params, config=config), expected, atol=1e-4)


def test_the_command_fetches_a_model_and_writes_text(server: HubServer) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "numpygpt", "--model", NAME, "-n", "5", "Alan Turing"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.startswith("Alan Turing")
    assert len(process.stdout) > len("Alan Turing\n")
    assert models_cache.find(NAME)


def test_shards_and_another_tokenizer_file(server: HubServer) -> None:
    """Weights in several files, named by an index; tokenizer.json alone; the revision of a branch."""
    merges = [line.split(" ") for line in FILES["merges.txt"].decode().splitlines()[1:]]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    tokenizer = {
        "added_tokens": [{"id": 306, "content": "<|endoftext|>", "special": True}],
        "pre_tokenizer": byte_level,
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": json.loads(FILES["vocab.json"]), "merges": merges},
    }
    header_bytes = int.from_bytes(FILES["model.safetensors"][:8], "little")
    names = list(json.loads(FILES["model.safetensors"][8 : 8 + header_bytes]))[1:]
    tensors = load_file_bytes(FILES["model.safetensors"], Path(os.environ["NUMPYGPT_HOME"]).parent)
    shards = {"model-00001-of-00002.safetensors": names[:70], "model-00002-of-00002.safetensors": names[70:]}
    server.add(
        "someone/sharded",
        {
            "config.json": FILES["config.json"],
            "tokenizer.json": json.dumps(tokenizer).encode(),
            "model.safetensors.index.json": json.dumps(
                {"weight_map": {name: shard for shard, part in shards.items() for name in part}}
            ).encode(),
            **{shard: official_file({name: tensors[name] for name in part}) for shard, part in shards.items()},
        },
        branches=("main", "refs/pr/1"),
    )
    folder = hub.download("someone/sharded@refs/pr/1", progress=False)
    assert folder.name == "someone--sharded@refs%2Fpr%2F1"
    params = flatten(checkpoint.load(folder)[1])
    assert all(np.array_equal(params[name], tensors[name]) for name in params)
    assert [model.name for model in models_cache.installed()] == ["someone/sharded@refs/pr/1"]
    assert models_cache.find("someone/sharded") is None


def test_all_files_come_from_the_commit_that_main_pointed_to(server: HubServer, cache: Path) -> None:
    """A part of an older state of the same file is never joined with the newer one."""
    server.faults = [Fault(cut_at=SIZE // 2)]
    error_of()
    old = server.repos[NAME].commit
    assert [path.name for path in (cache / ".partial" / "someone--tiny-gpt2").iterdir()] == [old]

    server.faults = []
    newer = tiny_gpt2(seed=1)
    server.add(NAME, newer)
    server.requests.clear()
    assert_is_right(hub.download(NAME, progress=False), newer)
    assert "Range" not in server.seen()[0].headers
    revisions = {r.path.split("/")[4] for r in server.requests if "/resolve/" in r.path}
    assert revisions == {"main", server.repos[NAME].commit}


# Official models are pinned


def official(server: HubServer, monkeypatch: pytest.MonkeyPatch, pins: dict[str, Pin]) -> None:
    repo = server.add("openai-community/gpt2", FILES)
    monkeypatch.setitem(models_cache.OFFICIAL, "gpt2", Model("openai-community/gpt2", repo.commit, pins))


def test_official_models_have_revisions_and_checksums() -> None:
    for name, model in models_cache.OFFICIAL.items():
        assert models_cache.parse_name(name) == models_cache.parse_name(model.repo) == model
        assert models_cache.parse_name(f"{name}@{model.revision}") == model
        assert models_cache.parse_name(f"{name}@main") != model
        assert re.fullmatch("[0-9a-f]{40}", model.revision or "")
        assert all(re.fullmatch("[0-9a-f]{64}", pin.sha256) for pin in model.pins.values() if pin.sha256)


def test_an_official_model_is_fetched_at_its_pinned_revision(
    server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = server.repos[NAME].etag("model.safetensors")
    official(server, monkeypatch, {"model.safetensors": Pin(SIZE, sha256)})
    folder = hub.download("gpt2", progress=False)
    assert models_cache.find("openai-community/gpt2") == folder
    assert not [r for r in server.requests if "/resolve/main/" in r.path]


def test_another_file_under_the_name_gpt2_is_refused(
    server: HubServer, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    repo = server.add("openai-community/gpt2", FILES, commit=models_cache.OFFICIAL["gpt2"].revision)
    assert "offers a different config.json under the name gpt2" in error_of("gpt2")

    official(server, monkeypatch, {"model.safetensors": Pin(SIZE, "0" * 64)})
    assert "offers a different model.safetensors under the name gpt2" in error_of("gpt2")
    assert not server.seen(), "its checksum is known before the download"

    real = type(repo).etag
    lie = lambda repo, name: "0" * 64 if name == "model.safetensors" else real(repo, name)  # noqa: E731
    monkeypatch.setattr(type(repo), "etag", lie)
    assert "offers a different model.safetensors under the name gpt2" in error_of("gpt2")
    assert server.seen()
    assert not any((cache / "models").glob("*"))
    assert not list(cache.rglob("model.safetensors*")), "nothing is kept of it"


def test_an_answer_for_another_commit_is_refused(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    official(server, monkeypatch, {})
    server.repos["openai-community/gpt2"].branches = (models_cache.OFFICIAL["gpt2"].revision or "",)
    server.repos["openai-community/gpt2"].commit = "a" * 40
    assert f"answers for commit {'a' * 40!r}" in error_of("gpt2")


# Faults

ON_HUB: dict[str, Any] = {"on": "hub", "methods": ("GET", "HEAD")}
USED = [name for name in FILES if name != "README.md"]
GIVES_UP = "could not be fetched: .*it goes on where it stopped"
SURVIVED: dict[str, list[Fault]] = {
    **{f"cut at {tenth}0 %": [Fault(cut_at=SIZE * tenth // 10, times=1)] for tenth in range(10)},
    "cut at every tenth in turn": [Fault(cut_at=SIZE * tenth // 10, times=1) for tenth in range(10)],
    "cut at 99 %, Range ignored": [Fault(cut_at=SIZE - 9, times=1), Fault(ignore_range=True)],
    "cut thrice at the same place": [Fault(cut_at=SIZE // 3, times=3)],
    "cut of a small file": [Fault("vocab.json", "hub", cut_at=999, times=3)],
    "stalled": [Fault(stall_at=SIZE // 2, times=1)],
    "stalled before the first byte": [Fault(stall_at=0, times=1)],
    "shorter": [Fault(shorter=100, times=1)],
    "longer": [Fault(shorter=-100, times=1)],
    "corrupted byte": [Fault(corrupt_at=SIZE // 2, times=1)],
    "corrupted byte, then cut": [Fault(corrupt_at=9, times=1), Fault(cut_at=SIZE // 2, times=1)],
    "corrupted small file": [Fault("merges.txt", "hub", corrupt_at=99, times=1)],
    "another range": [Fault(cut_at=SIZE // 2, times=1), Fault(wrong_range=True, times=1)],
    "416 after a cut": [Fault(cut_at=SIZE // 2, times=1), Fault(status=416, times=1)],
    "429": [Fault(status=429, headers={"Retry-After": "0"}, times=2)],
    "429 until a date": [
        Fault(status=429, headers={"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"}, times=1, **ON_HUB)
    ],
    "500": [Fault(status=500, times=3)],
    "503 for every second request": [Fault(status=503, times=1, file=file, **ON_HUB) for file in USED],
    "503 with an unreadable wait": [Fault(status=503, headers={"Retry-After": "soon"}, times=1)],
    "408 of the first request": [Fault("config.json", status=408, times=1, **ON_HUB)],
}
ENDED: dict[str, tuple[list[Fault], str]] = {
    "always cut at the same place": ([Fault(cut_at=SIZE // 2)], GIVES_UP),
    "always stalled": ([Fault(stall_at=SIZE // 2)], r"Read timed out.*it goes on"),
    "always shorter": ([Fault(shorter=100)], GIVES_UP),
    "always longer": ([Fault(shorter=-100)], f"sent more than the file's {SIZE} bytes"),
    "always corrupted": ([Fault(corrupt_at=SIZE // 2)], "a different model.safetensors .* a checksum other than"),
    "always 416": ([Fault(status=416)], GIVES_UP),
    "always another range": ([Fault(cut_at=SIZE // 2, times=1), Fault(wrong_range=True, cut_at=9)], GIVES_UP),
    "401": ([Fault("", status=401, **ON_HUB)], "no such model, or a private one.*HF_TOKEN"),
    "401 of the weights": ([Fault(status=401, **ON_HUB)], "no such model, or a private one.*HF_TOKEN"),
    "403 of the content": ([Fault(status=403)], "127.0.0.1 answered 403 Forbidden for model.safetensors; .*mirror"),
    "404 of the content": ([Fault(status=404)], "127.0.0.1 answered 404 Not Found for model.safetensors"),
    "403": ([Fault("", status=403, **ON_HUB)], "is not open to you .403.: accept its terms"),
    "404": ([Fault("", status=404, **ON_HUB)], r"has no config.json \(404\)"),
    "404 of the weights": ([Fault(status=404, **ON_HUB)], r"has no model.safetensors"),
    "410": ([Fault(status=410)], "answered 410 Gone for model.safetensors"),
    "429 for an hour": (
        [Fault("", status=429, headers={"Retry-After": "3600"}, **ON_HUB)],
        "429 Too Many Requests and asks to wait 3600 seconds",
    ),
    "always 429": ([Fault(status=429, headers={"Retry-After": "0"})], "answered 429 Too Many Requests"),
    "always 500": ([Fault("", status=500, **ON_HUB)], "answered 500 Internal Server Error"),
    "always 503": ([Fault(status=503)], "answered 503 Service Unavailable"),
    "a web page instead of all": ([Fault("", html=True, **ON_HUB)], "web page.*HF_ENDPOINT.*log in"),
    "a web page instead of the weights": ([Fault(html=True)], "sent a web page instead of model.safetensors"),
    "a log-in page elsewhere": ([Fault("", redirect="/login", **ON_HUB)], "circles|404"),
    "redirect loop": ([Fault("", redirect="?again", **ON_HUB)], "redirects .* in circles"),
    "redirect loop of the content": ([Fault(redirect="?again")], "redirects .* in circles"),
    "redirect to a file": ([Fault(redirect="file:///etc/passwd")], "'file:///etc/passwd', which is not safe"),
    "redirect to nowhere": ([Fault(redirect="http://[::1")], "which is not safe"),
    "a length of 5000 digits": (
        [Fault(status=200, headers={"X-Linked-Size": "9" * 5000}, **ON_HUB)],
        "gives no checksum for model.safetensors, so it is not fetched",
    ),
    "a range of 500 digits": (
        [
            Fault(cut_at=SIZE // 2, times=1),
            Fault(status=206, headers={"Content-Range": f"bytes {'9' * 5000}-0/1"}),
        ],
        "sent another part of the file",
    ),
    "a code that is none": ([Fault(status=999)], GIVES_UP),
    "redirect to a dead port": ([Fault(redirect="http://127.0.0.1:1/")], "Connection refused"),
}


@pytest.mark.parametrize("faults", SURVIVED.values(), ids=SURVIVED)
def test_a_passing_fault_ends_in_a_correct_folder(server: HubServer, cache: Path, faults: list[Fault]) -> None:
    server.faults = [replace(fault) for fault in faults]
    assert_is_right(hub.download(NAME, progress=False))
    assert all(fault.times == 0 for fault in server.faults if fault.times < 9), "every fault took place"
    assert not any((cache / ".partial").glob("*/*"))


@pytest.mark.parametrize(("faults", "message"), ENDED.values(), ids=ENDED)
def test_a_lasting_fault_ends_in_one_line(server: HubServer, cache: Path, faults: list[Fault], message: str) -> None:
    server.faults = [replace(fault) for fault in faults]
    assert_matches(message, error_of())
    assert_nothing_half_written(cache)
    assert len(server.requests) < 60
    server.faults = []
    assert_is_right(hub.download(NAME, progress=False))  # and once the fault is gone, another run succeeds


def assert_matches(pattern: str, text: str) -> None:
    assert re.search(pattern, text), text


def test_goes_on_where_it_stopped(server: HubServer) -> None:
    """Every byte of a file that is cut at every tenth is sent about once."""
    server.faults = [Fault(cut_at=SIZE * tenth // 10, times=1) for tenth in range(1, 10)]
    hub.download(NAME, progress=False)
    starts = [int(r.headers.get("Range", "bytes=0-")[6:-1]) for r in server.seen()]
    assert len(starts) == 10
    for tenth, start in enumerate(starts):
        assert 0 <= SIZE * tenth // 10 - start <= hub.CHUNK_BYTES


def test_a_second_run_goes_on_where_the_first_gave_up(server: HubServer) -> None:
    server.faults = [Fault(cut_at=SIZE * 3 // 4)]
    error_of()
    server.faults = []
    server.requests.clear()
    assert_is_right(hub.download(NAME, progress=False))
    assert [int(r.headers["Range"][6:-1]) > SIZE // 2 for r in server.seen()] == [True]


def test_waits_longer_before_each_further_try(
    server: HubServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(hub, "BACKOFF_SECONDS", 1.0)
    monkeypatch.setattr(time, "sleep", waits.append)
    server.faults = [Fault("config.json", status=503, **ON_HUB)]
    with pytest.raises(HubError):
        hub.download(NAME)
    assert len(waits) == hub.TRIES - 1
    assert all(2**n / 2 <= wait <= 2**n for n, wait in enumerate(waits))
    assert len(capsys.readouterr().err.splitlines()) == len([wait for wait in waits if wait >= 1])
    waits.clear()
    server.faults = [Fault("config.json", status=429, headers={"Retry-After": "7"}, times=2, **ON_HUB)]
    hub.download(NAME, progress=False)
    assert waits == [7, 7]


def test_a_mirror_that_redirects_to_the_hub(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some mirrors answer with an absolute redirect, and the headers come from the address after it."""
    with HubServer() as mirror:
        monkeypatch.setenv("HF_ENDPOINT", mirror.url)
        commit = server.repos[NAME].commit
        for revision, file in [
            (r, f) for r in ("main", commit) for f in (*FILES, *hub.OPTIONAL)
        ]:
            path = f"/{NAME}/resolve/{revision}/{file}"
            mirror.faults.append(Fault(path, redirect=server.url + path, **ON_HUB))
        assert_is_right(hub.download(NAME, progress=False))


def test_an_answer_without_the_hubs_headers_is_refused(server: HubServer) -> None:
    server.faults = [Fault("config.json", redirect=server.content_url + "/nothing", **ON_HUB)]
    server.faults += [Fault("nothing", status=200, methods=("GET", "HEAD"))]
    assert "does not answer like a hub (no X-Repo-Commit header)" in error_of()


# Tokens


def sent_tokens(server: HubServer, on: str) -> set[str | None]:
    return {r.headers.get("Authorization") for r in server.requests if r.on == on}


def test_the_token_opens_a_private_model_and_goes_to_the_hub_alone(
    server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.add(NAME, FILES, token="hf_secret")
    assert "no such model, or a private one" in error_of()
    monkeypatch.setenv("HF_TOKEN", "hf_secret\n")
    assert_is_right(hub.download(NAME, progress=False))
    assert sent_tokens(server, "hub") == {None, "Bearer hf_secret"}
    assert sent_tokens(server, "content") == {None}


def test_the_token_does_not_follow_a_redirect_to_another_host(
    server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with HubServer() as other:
        other.add(NAME, FILES)
        server.faults = [Fault("config.json", redirect=other.url + f"/{NAME}/resolve/main/config.json", **ON_HUB)]
        hub.download(NAME, progress=False)
        assert sent_tokens(server, "hub") == {"Bearer hf_secret"}
        assert sent_tokens(other, "hub") == {None}


def test_the_token_is_read_from_hugging_faces_file_and_netrc_is_not(
    server: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password netrc-secret\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "token").write_text("hf_from_file\n")
    hub.download(NAME, progress=False)
    assert sent_tokens(server, "hub") == {"Bearer hf_from_file"}
    assert sent_tokens(server, "content") == {None}


def test_gated_models_and_bad_tokens_are_explained(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.add("someone/gated", FILES, token="hf_allowed", gated=True)
    assert "accept its terms" in error_of("someone/gated")
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    assert "accept its terms" in error_of("someone/gated")
    server.faults = [Fault("", status=401, **ON_HUB)]
    assert "your token does not open it" in error_of()
    monkeypatch.setenv("HF_TOKEN", "hf_bröken")
    assert "characters no token has" in error_of()


# What the repository holds


def test_another_architecture_is_refused_before_its_weights(server: HubServer, cache: Path) -> None:
    config = {**json.loads(FILES["config.json"]), "model_type": "llama"}
    server.add(NAME, {**FILES, "config.json": json.dumps(config).encode()})
    assert error_of().startswith(f"{NAME}/config.json: model_type is 'llama'")
    assert not server.seen("HEAD", on="hub")
    assert not any((cache / ".partial").glob("*/*"))


def test_a_pickle_is_never_fetched(server: HubServer) -> None:
    files = {name: content for name, content in FILES.items() if name != "model.safetensors"}
    server.add(NAME, {**files, "pytorch_model.bin": b"cos\nsystem\n(S'false'\ntR."})
    assert "no model.safetensors. Pickles such as pytorch_model.bin can run code" in error_of()
    assert not [r for r in server.requests if "pytorch_model.bin" in r.path]


def test_weights_that_contradict_the_config_are_refused_and_not_kept(server: HubServer, cache: Path) -> None:
    config = {**json.loads(FILES["config.json"]), "n_layer": 11}
    server.add(NAME, {**FILES, "config.json": json.dumps(config).encode()})
    assert "is not part of a GPT-2 language model of 11 layers" in error_of()
    assert str(cache) not in error_of()
    assert not any((cache / ".partial").glob("*/*"))


@pytest.mark.parametrize("shard", ["../model.safetensors", "/etc/passwd", "a/b.safetensors", "x.bin", "", 3])
def test_an_index_cannot_name_files_elsewhere(server: HubServer, shard: Any) -> None:
    files = {name: content for name, content in FILES.items() if name != "model.safetensors"}
    index = json.dumps({"weight_map": {"wte.weight": shard}}).encode()
    server.add(NAME, {**files, "model.safetensors.index.json": index})
    assert "which is not a safetensors file beside it" in error_of()


def test_missing_repositories_revisions_and_huge_texts(server: HubServer) -> None:
    assert "no such model, or a private one" in error_of("someone/none")
    assert "has no revision v9" in error_of(f"{NAME}@v9")
    server.faults = [Fault("config.json", status=200, headers={"X-Linked-Size": str(2**40)}, **ON_HUB)]
    server.faults[0].headers |= {"X-Repo-Commit": "a" * 40, "ETag": f'"{"b" * 40}"'}
    assert "1099.5 GB long, which no GPT-2's is" in error_of()


# Disk


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
        patch.setattr(hub, "_open_part", lambda path: Full(path, "rb+" if path.exists() else "wb+"))
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


# Interruptions

KILL = "os.kill(os.getpid(), signal.SIGKILL)"
MOMENTS = {
    "before the first byte": f"hub._Hub._receive = lambda *arguments: {KILL}",
    "before a file is verified": f"hub._Remote.matches = lambda *arguments: {KILL}",
    "between files": f"real = hub._Remote.matches\nhub._Remote.matches = lambda f, p: 'model' in p.name and {KILL} "
    "or real(f, p)",
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
    wait_for(lambda: sum(path.stat().st_size for path in cache.rglob("*.part")) > SIZE // 3)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate()
    assert process.returncode == 130
    assert output == ""
    assert "Traceback" not in errors
    server.faults = []
    server.requests.clear()
    assert_is_right(hub.download(NAME, progress=False))
    assert "Range" in server.seen()[0].headers


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


@pytest.mark.parametrize("killed", [False, True])
def test_two_downloads_at_once_both_end_in_a_right_folder(server: HubServer, killed: bool) -> None:
    """And so does the one that is left where the other is killed in the middle."""
    server.bytes_per_second = SIZE / 0.7
    processes = [run("download", NAME) for _ in range(3)]
    if killed:
        wait_for(lambda: any(models_cache.cache_dir().rglob("model.safetensors*.part")))
        processes.pop(0).kill()
    results = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), results
    assert {output for output, _ in results} == {f"{NAME}: {models_cache.find(NAME)}\n"}
    assert_is_right(hub.download(NAME, progress=False))


@pytest.mark.parametrize("proxy", ["http://", "http://[::1", "http://x:99999", "no://proxy at all", "http://user:secret@x y"])
def test_a_malformed_proxy_is_one_line_that_names_the_setting(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, proxy)
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    message = error_of()
    assert "the proxy of HTTP_PROXY or HTTPS_PROXY" in message
    assert "secret" not in message


# Names, links, modes

BAD_NAMES = [
    *["", ".", "..", "../x", "/etc/passwd", "~/x", "a/../b", "a/b/c", "owner/", "/name", "owner//name", "C:\\x"],
    *["owner/na me", "owner/näme", "owner/name\n", "owner/..", "owner/.git", "owner/x.git", "a--b/c", "-a/b", "a/b-"],
    *["owner/name@", "owner/name@../x", "owner/name@a//b", "owner/name@/x", "owner/name@-x", "owner/name@x\0"],
    *["owner/name@a b", "gpt2@../../x", "models--a--b", "unknown", "GPT2", "a" * 97 + "/b", "owner/name@a@b"],
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_cannot_leave_the_cache(name: str, cache: Path) -> None:
    for action in (models_cache.find, hub.download, models_cache.verify, models_cache.remove):
        with pytest.raises(ModelNameError, match=r"is not a model's name; say gpt2, .* or OWNER/NAME"):
            action(name)
    assert not cache.exists()


@given(st.text(max_size=12) | st.text(alphabet="a.-_/@~\\:A0", max_size=12))
def test_every_name_is_refused_or_one_file_name(name: str) -> None:
    try:
        model = models_cache.parse_name(name)
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
    folder = cache / ".partial" / "someone--tiny-gpt2" / repo.commit
    folder.mkdir(parents=True)
    (folder / f"model.safetensors.{repo.etag('model.safetensors')[:16]}.part").symlink_to(precious)
    (folder / "vocab.json").symlink_to(precious)
    assert_is_right(hub.download(NAME, progress=False))
    assert precious.read_bytes() == b"kept"


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


# No network


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    started = time.monotonic()
    message = error_of("gpt2")
    assert time.monotonic() - started < 5
    assert_matches(r"cannot reach http://127.0.0.1:1 \(Connection refused\).*HF_ENDPOINT.* on this disk yet\.", message)
    assert "hub download" not in message, "the advice to do what has just failed"


def test_without_a_connection_nothing_is_begun(capsys: pytest.CaptureFixture[str]) -> None:
    error_of("gpt2")
    assert "begun" not in command(capsys, "list")[1]
    with pytest.raises(ModelNameError, match="gpt2 is not on this disk"):
        models_cache.remove("gpt2")


def test_of_a_model_that_the_hub_does_not_have_nothing_is_begun(server: HubServer) -> None:
    error_of("someone/else")
    with pytest.raises(ModelNameError, match="someone/else is not on this disk"):
        models_cache.remove("someone/else")


def test_the_error_says_which_models_still_work(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.download(NAME, progress=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    assert error_of("gpt2").endswith(f"On this disk and ready to use: {NAME}")
    assert hub.download(NAME)


@pytest.mark.skipif(sys.platform != "linux", reason="a full queue makes Linux ignore a caller, as a firewall does")
def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        callers = [socket.socket() for _ in range(4)]
        for caller in callers:
            caller.setblocking(False)
            caller.connect_ex(deaf.getsockname())
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{deaf.getsockname()[1]}")
        started = time.monotonic()
        assert "(no answer within 4 seconds)" in error_of("gpt2")
        assert time.monotonic() - started < 5
        for caller in callers:
            caller.close()


def test_no_name_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")

    def unknown(*arguments: Any, **more: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert "cannot reach http://hub.invalid (Name or service not known)" in error_of("gpt2")


def test_offline_by_the_users_choice(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert error_of().endswith("and HF_HUB_OFFLINE forbids a download. No model is on this disk yet.")
    assert not server.requests
    monkeypatch.delenv("HF_HUB_OFFLINE")
    folder = hub.download(NAME, progress=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert hub.download(NAME) == folder


def test_proxies(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's address is never asked for: the proxy, here the server itself, gets its full address."""
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert "cannot reach http://hub.invalid through the proxy of HTTP_PROXY or HTTPS_PROXY" in error_of()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("HTTP_PROXY", server.url)
    assert_is_right(hub.download(NAME, progress=False))
    assert server.requests[0].path.startswith(f"http://hub.invalid/{NAME}/resolve/main/")


@pytest.mark.parametrize(
    "address", ["huggingface.co", "ftp://x", "http://", "http://u:p@x", "http://x:99999", "http://[x"]
)
def test_an_endpoint_must_be_an_address(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("HF_ENDPOINT", address)
    assert "it must be a plain address such as https://huggingface.co" in error_of()


# Hugging Face's own cache


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
    monkeypatch.setitem(models_cache.OFFICIAL, "gpt2", Model("openai-community/gpt2", pinned, pins))
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


# What is on disk


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


# The command line


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int | str | None, str, str]:
    try:
        main(list(arguments))
        status: int | str | None = 0
    except SystemExit as error:
        status = error.code
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_the_command_from_nothing_to_nothing(server: HubServer, capsys: pytest.CaptureFixture[str]) -> None:
    status, output, _ = command(capsys)
    assert status == 0
    assert output.startswith("not on this disk: gpt2, gpt2-medium")
    assert "python -m numpygpt.models download gpt2" in output
    server.faults = [Fault(cut_at=SIZE // 2)]
    status, output, errors = command(capsys, "download", NAME)
    assert (output, "could not be fetched" in str(status)) == ("", True)
    assert f"{NAME}: begun, " in command(capsys)[1]
    server.faults = []
    folder = models_cache.cache_dir() / "models" / "someone--tiny-gpt2"
    status, output, errors = command(capsys, "download", NAME)
    assert (status, output) == (0, f"{NAME}: {folder}\n")
    assert errors.startswith(f"{NAME}: downloading 246 kB from {server.url} to {models_cache.cache_dir()}\n")
    assert command(capsys, "list")[1].splitlines()[0] == f"{NAME}    197 kB  {folder}"
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
