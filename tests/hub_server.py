"""A small Hugging Face hub on 127.0.0.1, with faults on demand, for tests that download.

    with HubServer() as hub:
        hub.add("someone/tiny-gpt2", tiny_gpt2())
        monkeypatch.setenv("HF_ENDPOINT", hub.url)

What it says and does was taken from the hub's own client, and that client downloads from it (`test_hub.py`):
small files come from the hub itself after a relative redirect, with git's SHA-1 as their `ETag`; large ones
from a content server at another address, which knows nothing of commits, has ETags of its own and answers Range
requests, while the hub's redirect to it tells `X-Repo-Commit`, `X-Linked-Etag` (SHA-256) and `X-Linked-Size`.

`python tests/hub_server.py` runs it by itself, to try the commands against.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit

from hub_files import CUT_BYTES, LARGE, Fault, Repo, Request, tiny_gpt2


class HubServer:
    """The hub and its content server, each at a port of its own, from entering the context to leaving it."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.bytes_per_second: float | None = None
        self.stop_stalling = threading.Event()
        self._lock = threading.Lock()
        self._hub = _Server(self, "hub", _answer_hub)
        self._content = _Server(self, "content", _answer_content)
        self.url = f"http://127.0.0.1:{self._hub.server_address[1]}"
        self.content_url = f"http://127.0.0.1:{self._content.server_address[1]}"

    def __enter__(self) -> HubServer:
        for server in (self._hub, self._content):
            threading.Thread(target=server.serve_forever, args=(0.005,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_stalling.set()
        for server in (self._hub, self._content):
            server.shutdown()
            server.server_close()

    def add(
        self,
        name: str,
        files: dict[str, bytes],
        *,
        commit: str | None = None,
        branches: tuple[str, ...] = ("main",),
        token: str | None = None,
        gated: bool = False,
    ) -> Repo:
        """Put a repository on the hub."""
        digest = hashlib.sha1(b"".join(files.values()), usedforsecurity=False).hexdigest()
        self.repos[name] = Repo(dict(files), commit or digest, branches, token, gated)
        return self.repos[name]

    def seen(self, method: str = "GET", file: str = "model.safetensors", on: str = "content") -> list[Request]:
        """Return the requests for a file."""
        with self._lock:
            return [
                r for r in self.requests if (r.method, r.on) == (method, on) and urlsplit(r.path).path.endswith(file)
            ]

    def note(self, request: Request) -> Fault:
        """Remember a request and return what is to go wrong with it: perhaps nothing."""
        with self._lock:
            self.requests.append(request)
            for fault in self.faults:
                is_meant = fault.on == request.on and request.method in fault.methods
                if is_meant and fault.times > 0 and urlsplit(request.path).path.endswith(fault.file):
                    fault.times -= 1
                    return fault
        return Fault()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, hub: HubServer, kind: str, answer: Callable[[_Handler, Fault], None]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hub, self.kind, self.answer = hub, kind, answer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that were killed."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each small answer takes 40 milliseconds
    server: _Server

    def do_GET(self) -> None:
        hub = self.server.hub
        fault = hub.note(Request(self.server.kind, self.command, self.path, dict(self.headers)))
        if fault.status is not None:
            self.reply(fault.status, fault.headers)
        elif fault.redirect is not None:
            self.reply(302, {"Location": fault.redirect})
        elif fault.html:
            self.reply(200, {"Content-Type": "text/html; charset=utf-8"}, b"<!doctype html><title>Log in</title>")
        else:
            self.server.answer(self, fault)

    def do_HEAD(self) -> None:
        self.do_GET()

    def reply(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        """Send a whole response."""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def reply_file(self, content: bytes, headers: dict[str, str], fault: Fault) -> None:
        """Send a file, or the part that is asked for, with all that may go wrong there."""
        if fault.shorter:
            content = content[: -fault.shorter] if fault.shorter > 0 else content + bytes(-fault.shorter)
        if fault.corrupt_at is not None:
            at = fault.corrupt_at
            content = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        asked = self.headers.get("Range")
        start, status = 0, 200
        headers = {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream", **headers}
        if asked and not fault.ignore_range:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, status = int(first) + fault.wrong_range, 206
            if start >= len(content) or last:
                self.reply(416, {"Content-Range": f"bytes */{len(content)}"})
                return
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content) - start), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self._send_slowly(content, start, fault)

    def _send_slowly(self, content: bytes, start: int, fault: Fault) -> None:
        hub = self.server.hub
        stops = [at for at in (fault.cut_at, fault.stall_at) if at is not None and at >= start]
        end = min([len(content), *stops])
        for at in range(start, end, CUT_BYTES):
            piece = content[at : min(at + CUT_BYTES, end)]
            self.wfile.write(piece)
            if hub.bytes_per_second:
                time.sleep(len(piece) / hub.bytes_per_second)
        if end < len(content):
            self.wfile.flush()
            if fault.stall_at is not None:
                hub.stop_stalling.wait(30)
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""


def _answer_hub(handler: _Handler, fault: Fault) -> None:
    parts = [unquote(part) for part in urlsplit(handler.path).path.strip("/").split("/")]
    if parts[:2] == ["api", "models"]:
        _answer_api(handler, "/".join(parts[2:4]), parts[4:])
    elif parts[:3] == ["api", "resolve-cache", "models"]:
        repo, name = handler.server.hub.repos["/".join(parts[3:5])], "/".join(parts[6:])
        headers = {"X-Repo-Commit": repo.commit, "ETag": f'"{repo.etag(name)}"', "Content-Type": "text/plain"}
        handler.reply_file(repo.files[name], headers, fault)
    elif len(parts) >= 5 and parts[2] == "resolve":
        _resolve(handler, "/".join(parts[:2]), parts[3], "/".join(parts[4:]))
    else:
        handler.reply(404, {})


def _open_repo(handler: _Handler, name: str, revision: str) -> Repo | None:
    """Return the repository, or answer as the hub does where it is not there or not open to the client."""
    repo = handler.server.hub.repos.get(name)
    token = (handler.headers.get("Authorization") or "").removeprefix("Bearer ")
    status, code, message = 0, "", ""
    if repo is None or (repo.token and not repo.gated and token != repo.token):
        status, code, message = (404 if token else 401), "RepoNotFound", "Repository not found"
    elif repo.gated and token != repo.token:
        status, code, message = (403 if token else 401), "GatedRepo", f"Access to model {name} is restricted."
    elif revision not in (repo.commit, *repo.branches):
        status, code, message = 404, "RevisionNotFound", f"Invalid rev id: {revision}"
    if status:
        handler.reply(status, {"X-Error-Code": code, "X-Error-Message": message})
        return None
    return repo


def _resolve(handler: _Handler, name: str, revision: str, file: str) -> None:
    repo = _open_repo(handler, name, revision)
    if repo is None:
        return
    headers = {"X-Repo-Commit": repo.commit, "Accept-Ranges": "bytes"}
    if file not in repo.files:
        handler.reply(404, {**headers, "X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"})
        return
    etag = repo.etag(file)
    headers |= {"X-Linked-Size": str(len(repo.files[file])), "X-Linked-Etag": f'"{etag}"'}
    if file.endswith(LARGE):
        address = f"{handler.server.hub.content_url}/{name}/{etag}/{file}?Signature=abc~def&Expires=1"
        handler.reply(302, {**headers, "Location": address}, b"Found. Redirecting")
    else:
        address = f"/api/resolve-cache/models/{name}/{repo.commit}/{file}?etag=%22{etag}%22"
        handler.reply(307, {**headers, "Location": address}, b"Temporary Redirect")


def _answer_content(handler: _Handler, fault: Fault) -> None:
    parts = urlsplit(handler.path).path.strip("/").split("/")
    content = handler.server.hub.repos["/".join(parts[:2])].files[parts[3]]
    etag = hashlib.md5(content, usedforsecurity=False).hexdigest()  # not the hub's
    handler.reply_file(content, {"ETag": f'"{etag}"'}, fault)


def _answer_api(handler: _Handler, name: str, rest: list[str]) -> None:
    """Answer the two questions that the hub's client asks for a whole repository: which commit, which files."""
    repo = _open_repo(handler, name, rest[1] if len(rest) > 1 else "main")
    if repo is None:
        return
    if rest[:1] == ["tree"]:
        answer: Any = [_tree_entry(repo, file) for file in repo.files]
    else:
        siblings = [{"rfilename": file} for file in repo.files]
        answer = {"_id": "0", "id": name, "modelId": name, "sha": repo.commit, "tags": [], "siblings": siblings}
    handler.reply(200, {"Content-Type": "application/json"}, json.dumps(answer).encode())


def _tree_entry(repo: Repo, file: str) -> dict[str, Any]:
    size, etag = len(repo.files[file]), repo.etag(file)
    large = {"lfs": {"oid": etag, "size": size, "pointerSize": 130}} if file.endswith(LARGE) else {}
    return {"type": "file", "path": file, "size": size, "oid": etag[:40], **large}


if __name__ == "__main__":
    with HubServer() as server:
        server.add("someone/tiny-gpt2", tiny_gpt2())
        print(f"HF_ENDPOINT={server.url} python -m numpygpt.models download someone/tiny-gpt2", flush=True)
        threading.Event().wait()
