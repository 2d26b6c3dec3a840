"""A real HTTP server in a thread, which answers as a test says and keeps what it was sent."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver(ThreadingHTTPServer):
    """status, body, headers: of its answers, in turn where ``statuses`` has several. wait: seconds before them."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.statuses: list[int] = [200]
        self.body, self.headers, self.drip = b"ok", dict[str, str](), 0.0
        self.endless = False
        self.got: list[dict[str, Any]] = []
        self.holds = threading.Event()
        self.holds.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append({"path": self.path, "headers": dict(self.headers), "body": body})
        self.server.holds.wait(20)
        statuses = self.server.statuses
        self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
        for header, value in self.server.headers.items():
            self.send_header(header, value)
        if self.server.drip:
            self.flush_headers()
            while not self.wfile.closed:
                self.wfile.write(b"X-Slow: a\r\n")
                time.sleep(self.server.drip)
        self.end_headers()
        self.wfile.write(self.server.body)
        while self.server.endless and not self.wfile.closed:
            self.wfile.write(b"x" * 65_536)

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""


@contextmanager
def receiving() -> Iterator[Receiver]:
    with Receiver() as receiver:
        thread = threading.Thread(target=receiver.serve_forever, args=[0.01], daemon=True)
        thread.start()
        yield receiver
        receiver.holds.set()
        receiver.shutdown()
        thread.join()
