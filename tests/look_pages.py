"""Pages of `numpygpt.look` read back: their data, their arrays, and a server of one in a thread."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import numpy as np

from numpygpt.arrays import Array
from numpygpt.look.server import LookServer
from numpygpt.look.view import Model

SENTENCE = "Once upon a time there was a little girl named Lily. She had a red ball. Lily liked to play with her"
HALF = 2**-10  # of a float16: its relative step, and a little


def unpack(packed: dict[str, Any]) -> Array:
    """An array as the page reads it."""
    values = np.frombuffer(b64decode(packed["data"]), np.dtype(packed["dtype"]).newbyteorder("<"))
    return values.reshape(packed["shape"]) / packed["scale"] if "scale" in packed else values.reshape(packed["shape"])


def data_of(html: str) -> Any:
    """The data that a page holds."""
    [data] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    return json.loads(data)


@contextmanager
def serving(model: Model, text: str, **options: Any) -> Iterator[LookServer]:
    """A server on a free port, for as long as the test runs."""
    with LookServer(model, text, 0, **options) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
