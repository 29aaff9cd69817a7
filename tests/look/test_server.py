"""The local server: what it answers, and what it refuses."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from look_pages import data_of, serving, unpack

from numpygpt import GPT2
from numpygpt.look.server import MAX_BYTES, LookServer, serve
from numpygpt.look.view import view
from numpygpt.look.what_if import what_if

TEXT = "Once upon a time"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def server(tiny: GPT2) -> Iterator[LookServer]:
    with serving(tiny, TEXT) as server:
        yield server


def ask(
    server: LookServer, path: str, question: Any = None, *, method: str = "POST", **headers: str
) -> tuple[int, Any, http.client.HTTPResponse]:
    """Send a request; a question that is no bytes goes as JSON. Returns the status, the answer and the response."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    body = question if question is None or isinstance(question, bytes) else json.dumps(question).encode()
    connection.request(method, path, body, JSON | {name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    is_json = response.headers["Content-Type"].startswith("application/json")
    return response.status, json.loads(text) if is_json else text, response


def test_the_page_and_its_headers(server: LookServer) -> None:
    status, html, response = ask(server, "/", method="GET")
    assert status == 200
    assert data_of(html)["view"]["text"] == TEXT
    assert data_of(html)["live"] is True
    assert "connect-src 'self'" in html
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert response.headers["X-Frame-Options"] == "DENY"
    assert response.headers["Cache-Control"] == "no-store"
    assert "Python" not in response.headers["Server"]


def test_another_prompt_and_what_if(server: LookServer, tiny: GPT2) -> None:
    assert ask(server, "/look", {"text": "a cat"})[:2] == (200, json.loads(json.dumps(view(tiny, "a cat"))))
    status, answer, _ = ask(server, "/what-if", {"heads": [[0, 1]], "mlps": [2], "replaced": {"0": "a"}, "n_new": 2})
    assert (status, answer) == (200, what_if(tiny, TEXT, [[0, 1]], [2], {"0": "a"}, n_new=2))
    expected = tiny.trace(
        tiny.tokenizer.encode(TEXT),
        lambda name, x: x * (np.arange(len(x)) != 1)[:, None, None] if name == "h.0.attn.heads" else None,
    )["logits"][-1]
    _, answer, _ = ask(server, "/what-if", {"heads": [[0, 1]]})
    np.testing.assert_allclose(unpack(answer["changed"]), expected[: tiny.tokenizer.n_vocab], atol=1e-6)


def test_a_token_is_added_by_its_id(server: LookServer, tiny: GPT2) -> None:
    token_id = tiny.tokenizer.encode("!")[0]
    assert ask(server, "/look", {"text": "a cat", "then": token_id})[1]["text"] == "a cat!"
    assert ask(server, "/look", {"text": "a cat", "then": 10**9})[0] == 400


@pytest.mark.parametrize("name", ["evil.example", "127.0.0.1", "localhost:1", "127.0.0.1.evil.example:%d", ""])
def test_another_host_is_refused(server: LookServer, name: str) -> None:
    name = name % server.server_port if "%" in name else name
    for method, path in (("GET", "/"), ("POST", "/look")):
        status, answer, _ = ask(server, path, {"text": "a"}, method=method, Host=name)
        assert status == 403
        assert "no other name" in answer["error"]


def test_localhost_is_a_name_of_it(server: LookServer) -> None:
    port = server.server_port
    assert ask(server, "/look", {"text": "a"}, Host=f"localhost:{port}", Origin=f"http://localhost:{port}")[0] == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:%d", "http://127.0.0.1"])
def test_another_origin_is_refused(server: LookServer, origin: str) -> None:
    origin = origin % server.server_port if "%" in origin else origin
    assert ask(server, "/what-if", {}, Origin=origin)[0] == 403
    assert ask(server, "/", method="GET", Origin=origin)[0] == 403


@pytest.mark.parametrize(
    ("path", "question", "status", "error"),
    [
        ("/look", b"{", 400, "not JSON"),
        ("/look", b"\xff", 400, "not JSON"),
        ("/look", b"[" * 50_000, 400, "not JSON"),
        ("/look", [], 400, "a JSON object"),
        ("/look", {"text": 5}, 400, "text must be of type str"),
        ("/look", {"text": "\ud800"}, 400, "surrogate"),
        ("/look", {"text": "ab" * 100}, 400, "a page of this model shows at most 64"),
        ("/look", {"text": ""}, 400, "the text is empty"),
        ("/what-if", {"heads": 3}, 400, "heads must be of type list"),
        ("/what-if", {"heads": [[9, 9]]}, 400, "below 3 layers"),
        ("/what-if", {"replaced": {"0": 1}}, 400, "what replaces a token is text"),
        ("/what-if", {"n_new": "many"}, 400, "n_new must be of type int"),
        ("/look", b" " * (MAX_BYTES + 1), 413, "at most"),
        ("/elsewhere", {}, 404, "no such question"),
        ("/../../etc/passwd", {}, 404, "no such question"),
    ],
)
def test_a_bad_question_is_answered_with_what_is_wrong(
    server: LookServer, path: str, question: Any, status: int, error: str
) -> None:
    got, answer, _ = ask(server, path, question)
    assert got == status
    assert error in answer["error"]


def test_other_requests_are_refused(server: LookServer) -> None:
    assert ask(server, "/what-if", b"heads=1", Content_Type="application/x-www-form-urlencoded")[0] == 415
    assert ask(server, "/what-if", b"{}", Content_Type="text/plain")[0] == 415
    assert ask(server, "/elsewhere", method="GET")[0] == 404
    assert ask(server, "/", method="PUT")[0] == 501
    for length in ("-1", "x", "9" * 5000, ""):
        with socket.create_connection(("127.0.0.1", server.server_port), timeout=30) as connection:
            head = f"POST /look HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\nContent-Type: application/json\r\n"
            connection.sendall(f"{head}Content-Length: {length}\r\n\r\n".encode())
            assert connection.recv(100).split()[1] in (b"411", b"413")


def test_it_listens_on_this_machine_alone(server: LookServer) -> None:
    assert server.server_address[0] == "127.0.0.1"


def test_one_question_at_a_time_and_none_for_long(tiny: GPT2) -> None:
    with serving(tiny, TEXT, seconds=0.05) as server:
        with server.turn:
            status, answer, _ = ask(server, "/look", {"text": "a"})
        assert (status, answer["error"]) == (503, "another question is being answered; ask again")
        assert ask(server, "/look", {"text": "a"})[0] == 200
    with serving(tiny, TEXT, seconds=-1) as server:  # whose time is over when it begins
        assert ask(server, "/what-if", {})[0] == 504
        assert ask(server, "/look", {})[0] == 504


def test_a_browser_that_says_nothing_holds_nobody_up(server: LookServer) -> None:
    with socket.create_connection(("127.0.0.1", server.server_port)):
        assert ask(server, "/look", {"text": "a"})[0] == 200


def test_a_taken_port_and_a_text_that_is_too_long_are_said_before_it_starts(server: LookServer, tiny: GPT2) -> None:
    with pytest.raises(OSError, match=f"port {server.server_port} of 127.0.0.1 cannot be used"):
        serve(tiny, TEXT, server.server_port)
    with pytest.raises(ValueError, match="at most 64"):
        serve(tiny, "ab" * 100, 0)


def test_serve_says_where(tiny: GPT2, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    monkeypatch.setattr(LookServer, "serve_forever", lambda self: None)
    serve(tiny, TEXT, 0, ready=called.append)
    assert capsys.readouterr().out == f"{called[0]} shows it; Ctrl-C ends the server\n"


def test_answers_do_not_mix(server: LookServer, tiny: GPT2) -> None:
    """Four browsers at once each get the answer to their own question."""
    texts, answers = ["a", "a cat", "the cat", "Once"], {}

    def one(text: str) -> None:
        answers[text] = ask(server, "/look", {"text": text})[1]["ids"]

    threads = [threading.Thread(target=one, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {text: tiny.tokenizer.encode(text) for text in texts}
