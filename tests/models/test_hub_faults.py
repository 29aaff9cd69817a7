"""Downloads through every fault of the network: a folder that is right, or one line and none."""

from __future__ import annotations

import socket
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hub_checks import (
    FILES,
    NAME,
    ON_HUB,
    SIZE,
    assert_is_right,
    assert_matches,
    assert_nothing_half_written,
    command,
    error_of,
)
from hub_files import Fault
from hub_server import HubServer

from numpygpt.models import cache as models_cache
from numpygpt.models import connection, hub
from numpygpt.models.repos import HubError, ModelNameError

pytestmark = pytest.mark.usefixtures("cache")


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
    "429 for a moment, as the hub says it": [Fault(status=429, headers={"RateLimit": '"resolvers";r=0;t=0'}, times=2)],
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
    "429 for minutes, as the hub says it": (
        [Fault("", status=429, headers={"RateLimit": '"api";r=0;t=287'}, **ON_HUB)],
        "429 Too Many Requests and asks to wait 287 seconds",
    ),
    "429 for minutes, with quota left of another kind": (
        [Fault("", status=429, headers={"RateLimit": '"api"; r=3; t=287'}, **ON_HUB)],
        "asks to wait 287 seconds",
    ),
    "429 for minutes, by an older draft": (
        [Fault("", status=429, headers={"RateLimit": "limit=500, remaining=0, reset=287"}, **ON_HUB)],
        "asks to wait 287 seconds",
    ),
    "429 for minutes, by the oldest": (
        [Fault("", status=429, headers={"RateLimit-Reset": "287"}, **ON_HUB)],
        "asks to wait 287 seconds",
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
    assert len(server.requests) < (2 if "asks to wait" in message else 60)
    server.faults = []
    assert_is_right(hub.download(NAME, progress=False))  # and once the fault is gone, another run succeeds


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
    monkeypatch.setattr(connection, "BACKOFF_SECONDS", 1.0)
    monkeypatch.setattr(time, "sleep", waits.append)
    server.faults = [Fault("config.json", status=503, **ON_HUB)]
    with pytest.raises(HubError):
        hub.download(NAME)
    assert len(waits) == connection.TRIES - 1
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
        for revision, file in [(r, f) for r in ("main", commit) for f in (*FILES, "tokenizer.json", *hub.OPTIONAL)]:
            path = f"/{NAME}/resolve/{revision}/{file}"
            mirror.faults.append(Fault(path, redirect=server.url + path, **ON_HUB))
        assert_is_right(hub.download(NAME, progress=False))


def test_an_answer_without_the_hubs_headers_is_refused(server: HubServer) -> None:
    server.faults = [Fault("config.json", redirect=server.content_url + "/nothing", **ON_HUB)]
    server.faults += [Fault("nothing", status=200, methods=("GET", "HEAD"))]
    assert "does not answer like a hub (no X-Repo-Commit header)" in error_of()


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    started = time.monotonic()
    message = error_of("gpt2")
    assert time.monotonic() - started < 5
    assert_matches(
        r"cannot reach http://127.0.0.1:1 \(Connection refused\).*HF_ENDPOINT.* ready to use: "
        "stories, english-french, questions, emoji$",
        message,
    )
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
    assert error_of("gpt2").endswith(
        f"On this disk and ready to use: stories, english-french, questions, emoji, {NAME}"
    )
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
        assert connection.CONNECT_SECONDS == 4
        monkeypatch.setattr(connection, "CONNECT_SECONDS", 1)
        started = time.monotonic()
        assert "(no answer within 1 seconds)" in error_of("gpt2")
        assert time.monotonic() - started < 2
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
    assert error_of().endswith(
        "and HF_HUB_OFFLINE forbids a download. "
        "On this disk and ready to use: stories, english-french, questions, emoji"
    )
    assert not server.requests
    monkeypatch.delenv("HF_HUB_OFFLINE")
    folder = hub.download(NAME, progress=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert hub.download(NAME) == folder


def test_proxies(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's address is never asked for: the proxy, here the server itself, gets its full address."""
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert "cannot reach http://hub.invalid through the proxy of HTTP_PROXY (" in error_of()
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
