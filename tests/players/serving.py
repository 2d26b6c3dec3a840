"""The site in server processes of its own, which a test may kill, and a client that reports to it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import quote, urlencode

from django.db import connection


class Server:
    """Granian with so many workers on the database of the test."""

    def __init__(self, *target: str, workers: int = 1, threads: int = 4, **environment: str) -> None:
        self.target = target or ("config.wsgi:application",)
        self.options = ("--workers", str(workers), "--blocking-threads", str(threads))
        self.environment = os.environ | {"DATABASE_URL": database_url(), "SECRET_KEY": "x" * 50} | environment
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.start()

    def start(self) -> None:
        options = ("--interface", "wsgi", "--host", "127.0.0.1", "--port", str(self.port), "--no-ws")
        command = [sys.executable, "-m", "granian", *options, *self.options, "--log-level", "error", *self.target]
        # A group of its own, so that a kill takes the workers with their parent.
        self.process = subprocess.Popen(command, env=self.environment, start_new_session=True)
        self._wait()

    def _wait(self) -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                with closing(Client(self.port)) as client:
                    if client.get("/api/leaderboard?limit=1")[0] == 200:
                        return
            except OSError:
                time.sleep(0.05)
        raise AssertionError("The server does not answer.")

    def kill(self) -> None:
        """SIGKILL for all of it, at whatever it is."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def serving(*target: str, **options: Any) -> Iterator[Server]:
    server = Server(*target, **options)
    try:
        yield server
    finally:
        server.kill()


class Client:
    """One connection that is kept. A server that dies is an OSError."""

    def __init__(self, port: int, key: str = "") -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.headers = {"X-Api-Key": key, "Content-Type": "application/json"}

    def get(self, path: str) -> tuple[int, Any]:
        return self._ask("GET", path, None, {})

    def report(self, body: dict[str, Any], again: str | None = None, path: str = "/api/update_data") -> tuple[int, Any]:
        headers = self.headers | ({"Idempotency-Key": again} if again else {})
        return self._ask("POST", path, json.dumps(body), headers)

    def close(self) -> None:
        self.connection.close()

    def _ask(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> tuple[int, Any]:
        try:
            self.connection.request(method, path, body, headers)
            response = self.connection.getresponse()
            return response.status, json.loads(response.read())
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error


def database_url() -> str:
    """The address of the database that the test uses."""
    settings = connection.settings_dict
    user = quote(settings["USER"]) + (f":{quote(settings['PASSWORD'])}" if settings["PASSWORD"] else "")
    place = urlencode({name.lower(): settings[name] for name in ("HOST", "PORT") if settings[name]})
    return f"postgres://{user}@/{settings['NAME']}?{place}" if user else f"postgres:///{settings['NAME']}?{place}"
