"""How many bytes of which blob a server has sent."""

from __future__ import annotations

import collections
import threading

from support.hostile import Exchange, Hostile


class Tally:
    """Counts what *server* answers from now on, by digest; *asked* is set by the first request."""

    def __init__(self, server: Hostile) -> None:
        self.bytes = collections.Counter[str]()
        self.asked = threading.Event()
        server.forget()
        server.default = self._forward

    def _forward(self, exchange: Exchange) -> None:
        self.asked.set()
        answer = exchange.ask()
        path = exchange.asked.path
        if exchange.asked.method == "GET" and "/blobs/" in path:
            self.bytes[path.rpartition("/")[2]] += len(answer.body)
        exchange.say(answer.status, answer.headers, answer.body)
