"""Verbs in real processes of their own, which wait, stop or die where a test says.

``python -m tests.integrity.processes SOCKET`` sets Django up once and forks for each connection to its socket: starting
Python anew for each process that is to be killed would take most of the suite's time.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Process:
    """A verb at work elsewhere. Steps that it was told to announce arrive one by one, and it waits at each."""

    def __init__(self, path: str, job: dict[str, Any]) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(path)
        self.stream = self.socket.makefile("rw")
        self.pid: int = json.loads(self.stream.readline())["pid"]
        self.tell(job)

    def tell(self, message: Any) -> None:
        self.stream.write(json.dumps(message) + "\n")
        self.stream.flush()

    def hear(self) -> dict[str, Any]:
        """The next message: a step reached, or the result; empty when the process is dead."""
        line = self.stream.readline()
        if not line:
            self._be_gone()
        return json.loads(line) if line else {}

    def until(self, step: str) -> Process:
        """Wait until it waits at a step."""
        while (message := self.hear()) != {"reached": step}:
            assert "reached" in message, message
            self.tell("go on")
        return self

    def go_on(self) -> dict[str, Any]:
        """Let it end; its result."""
        self.tell("go on")
        while "reached" in (message := self.hear()):
            self.tell("go on")
        return message

    def result(self) -> dict[str, Any]:
        """The result of a process that waits nowhere; empty when it died."""
        return self.hear()

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self._be_gone()

    def _be_gone(self) -> None:
        """The socket closes a moment before the process has left the table."""
        while _exists(self.pid):
            time.sleep(0.001)


class Processes:
    """Starts processes that work on the database of the test."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.started: list[Process] = []

    def start(self, world: str, verb: str = "repair", **job: Any) -> Process:
        """run: what an undo takes back. at, time, act: "die", "stop" (SIGSTOP) or "wait" when a step is reached for
        the time-th time; ``at="*"`` waits at each step. settings: INTEGRITY."""
        from django.db import connection

        database = connection.settings_dict["NAME"]
        self.started.append(Process(self.path, {"world": world, "verb": verb, "database": database, **job}))
        return self.started[-1]

    def end(self) -> None:
        for process in self.started:
            if _exists(process.pid):
                process.signal(signal.SIGCONT)
                process.kill()
            process.socket.close()
        self.started.clear()


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def serving() -> Iterator[Processes]:
    """The process that forks, for as long as it is wanted."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "socket")
        environment = os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"}
        with subprocess.Popen(
            [sys.executable, "-m", __name__, path], env=environment, stdout=subprocess.PIPE
        ) as server:
            assert server.stdout is not None
            server.stdout.readline()
            yield Processes(path)
            server.kill()


# The other side


def main(path: str) -> None:
    import django

    django.setup()
    from tests.integrity import worlds  # noqa: F401  (imported once, before the forks)

    # Nobody waits for the children: the kernel lets them go at once.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(16)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            channel, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                with channel, channel.makefile("rw") as stream:
                    _work(stream)
                os._exit(0)
            channel.close()


def _work(stream: Any) -> None:
    from django.conf import settings
    from django.db import connections

    from integrity.exceptions import EngineError
    from integrity.observer import Observer
    from tests.integrity import worlds

    def say(message: Any) -> None:
        stream.write(json.dumps(message) + "\n")
        stream.flush()

    class Acting(Observer):
        seen = 0

        def reaches(self, step: str) -> None:
            if job.get("at") not in ("*", step):
                return
            self.seen += 1
            if job["at"] == step and self.seen != job.get("time", 1):
                return
            if job.get("act") == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            say({"reached": step})
            if job.get("act") == "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
            else:
                stream.readline()

    say({"pid": os.getpid()})
    job = json.loads(stream.readline())
    connections.settings["default"]["NAME"] = job["database"]
    settings.INTEGRITY = job.get("settings", {})
    settings.INTEGRITY_ALERTS = job.get("alerts", [])
    try:
        report = worlds.perform(job["world"], job["verb"], job.get("run"), Acting(), job.get("keys"))
    except EngineError as error:
        say({"error": type(error).__name__, "message": str(error), "exit_code": error.exit_code})
    else:
        outcome = {part: getattr(report, part) for part in ("run", "status", "changes", "exit_code", "resumed")}
        say({**outcome, "errors": [rule.error for rule in report.rules]})
    connections.close_all()


if __name__ == "__main__":
    main(sys.argv[1])
