"""A local server for the page: it answers other prompts, and what the model would say if parts of it were silent.

It listens on 127.0.0.1 alone. A page of another site could still send requests here from the same browser, so those
that come by another name (`Host`) or from another page (`Origin`) are refused, and questions must be JSON.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import Any

from numpygpt.languages import speaking
from numpygpt.look.page import look, to_json
from numpygpt.look.say import say
from numpygpt.look.view import Model, view
from numpygpt.look.what_if import MOST_NEW, until, what_if

ADDRESS = "127.0.0.1"
MAX_BYTES = 64 * 1024  # of a question
SECONDS = 20.0  # for an answer, and for a turn when another question is being answered
READ_SECONDS = 10.0  # for each read from the browser


class RefusedError(Exception):
    """A request that is not answered, with the status that says why."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class LookServer(ThreadingHTTPServer):
    """The server of one model's page; `url` is where. One question at a time is computed.

    Raises OSError where the port is taken.
    """

    daemon_threads = True

    def __init__(self, model: Model, text: str, port: int, *, seconds: float = SECONDS, lang: str = "en") -> None:
        self.model, self.text, self.seconds, self.lang = model, text, seconds, lang
        self.turn = Lock()
        look(model, text, live=True, lang=lang)  # raises, now, what is wrong with the text
        try:
            super().__init__((ADDRESS, port), Handler)
        except OSError as error:
            why = "port {port} of {address} cannot be used ({reason}); try --serve 0"
            with speaking(lang):
                raise OSError(say(why, port=port, address=ADDRESS, reason=error.strerror)) from None
        self.url = f"http://{ADDRESS}:{self.server_port}/"

    def answer(self, path: str, question: dict[str, Any]) -> dict[str, Any]:
        """Compute the answer to a question of the page. Raises `RefusedError`, ValueError and TimeoutError."""
        text = field(question, "text", str, self.text)
        replaced = field(question, "replaced", dict, {})
        if not all(isinstance(value, str) for value in replaced.values()):
            raise ValueError(say("what replaces a token is text"))
        heads, mlps = (field(question, name, list, []) for name in ("heads", "mlps"))
        n_new = min(max(field(question, "n_new", int, 0), 0), MOST_NEW)
        with self.turn_until() as deadline:
            if path == "/look":
                return view(self.model, self._with_token(text, question), until(deadline))
            return what_if(self.model, text, heads, mlps, replaced, n_new=n_new, deadline=deadline)

    @contextmanager
    def turn_until(self) -> Iterator[float]:
        """Wait for this question's turn, and give the time at which its answer must be there."""
        if not self.turn.acquire(timeout=max(0, self.seconds)):
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, say("another question is being answered; ask again"))
        try:
            yield time.monotonic() + self.seconds
        finally:
            self.turn.release()

    def _with_token(self, text: str, question: dict[str, Any]) -> str:
        """Add to a text the token that a question wants to see "then", by its id."""
        if "then" not in question:
            return text
        token = self.model.tokenizer.token_bytes(field(question, "then", int, 0))
        return (text.encode() + token).decode(errors="replace")


def field(question: dict[str, Any], name: str, kind: type, default: Any) -> Any:
    """Return what a question says under a name. Raises ValueError where it is of another kind."""
    if not isinstance(value := question.get(name, default), kind):
        raise ValueError(say("{name} must be of type {type}", name=name, type=kind.__name__))
    return value


class Handler(BaseHTTPRequestHandler):
    """One request: GET / is the page, POST /look and POST /what-if are its questions."""

    server: LookServer
    timeout = READ_SECONDS
    server_version, sys_version = "numpygpt", ""

    def do_GET(self) -> None:
        self._respond(self._page)

    def do_POST(self) -> None:
        self._respond(self._answer)

    def _respond(self, content: Callable[[], tuple[str, str]]) -> None:
        """Send what there is to say, errors as JSON with a status."""
        status, self.close_connection = HTTPStatus.OK, True
        try:
            with speaking(self.server.lang):
                self._check_source()
                kind, text = content()
        except RefusedError as refused:
            status, kind, text = refused.status, "application/json", to_json({"error": str(refused)})
        except ValueError as error:
            status, kind, text = HTTPStatus.BAD_REQUEST, "application/json", to_json({"error": str(error)})
        except TimeoutError as error:
            status, kind, text = HTTPStatus.GATEWAY_TIMEOUT, "application/json", to_json({"error": str(error)})
        body = text.encode()
        with suppress(ConnectionError, TimeoutError):  # the browser may have gone
            self.send_response(status)
            for name, value in {
                "Content-Type": f"{kind}; charset=utf-8",
                "Content-Length": str(len(body)),
                "Cache-Control": "no-store",
                "X-Content-Type-Options": "nosniff",
                "X-Frame-Options": "DENY",
                "Referrer-Policy": "no-referrer",
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    def _check_source(self) -> None:
        """Raise `RefusedError` for a request by another name than this server's, or from another page than its own."""
        names = [f"{name}:{self.server.server_port}" for name in (ADDRESS, "localhost")]
        if self.headers.get_all("Host") not in [[name] for name in names]:
            reason = say("this server is {url}; it answers by no other name", url=self.server.url)
            raise RefusedError(HTTPStatus.FORBIDDEN, reason)
        origin = self.headers.get("Origin")
        if origin is not None and origin not in [f"http://{name}" for name in names]:
            raise RefusedError(HTTPStatus.FORBIDDEN, say("this server answers its own page alone"))

    def _page(self) -> tuple[str, str]:
        if self.path != "/":
            raise RefusedError(HTTPStatus.NOT_FOUND, say("there is no such page"))
        with self.server.turn_until():
            return "text/html", look(self.server.model, self.server.text, live=True, lang=self.server.lang).html

    def _answer(self) -> tuple[str, str]:
        if self.path not in ("/look", "/what-if"):
            raise RefusedError(HTTPStatus.NOT_FOUND, say("there is no such question"))
        if self.headers.get_content_type() != "application/json":
            raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, say("a question is JSON"))
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise RefusedError(HTTPStatus.LENGTH_REQUIRED, say("a question says how long it is"))
        if len(length) > 9 or int(length) > MAX_BYTES:
            reason = say("a question has at most {n} bytes", n=MAX_BYTES)
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, reason)
        try:
            question = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            raise ValueError(say("the question is not JSON")) from None
        if not isinstance(question, dict):
            raise ValueError(say("a question is a JSON object"))
        return "application/json", to_json(self.server.answer(self.path, question))

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of each request."""


def serve(
    model: Model, text: str, port: int, ready: Callable[[str], object] | None = None, *, lang: str = "en"
) -> None:
    """Serve the page until Ctrl-C; `ready` is called with its address when it can be asked for."""
    with LookServer(model, text, port, lang=lang) as server, speaking(lang):
        print(say("{url} shows it; Ctrl-C ends the server", url=server.url), flush=True)
        if ready is not None:
            ready(server.url)
        server.serve_forever()
