"""Commands as they are typed: in this process, in one of its own, or on a terminal."""

import json
import os
import pty
import select
import subprocess
import sys
import termios
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

from django.core.management import execute_from_command_line
from django.db import connection, connections

ROOT = Path(__file__).parent.parent
NOWHERE = "postgres://ann:s3cret@127.0.0.1:1/shop"
CTRL_C = b"\x03"
# The terminal must be the process's own, or Ctrl-C would reach nobody; what starts in the background ignores it.
AT_TERMINAL = (
    "import fcntl, runpy, signal, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); del sys.argv[0];"
    " signal.signal(signal.SIGINT, signal.default_int_handler);"
    " sys.path.insert(0, '.'); runpy.run_path(sys.argv[0], run_name='__main__')"
)


@dataclass(frozen=True)
class Done:
    """How a command ended; on a terminal both streams are one."""

    code: int
    out: str
    err: str = ""

    @property
    def json(self) -> Any:
        """The one object on stdout; anything beside it fails here."""
        return json.loads(self.out)

    @property
    def words(self) -> str:
        """What was said, whatever the line ends."""
        return " ".join((self.out + self.err).split())


class Screen(StringIO):
    """What looks like a terminal to the command."""

    def isatty(self) -> bool:
        return True


def manage(*words: object, out: StringIO | None = None, err: StringIO | None = None) -> Done:
    """A command in this process, within the transaction of the test."""
    out, err = out or StringIO(), err or StringIO()
    code = 0
    # A parallel run of the tests hands its own width down.
    plain = {} if isinstance(out, Screen) else {"COLUMNS": ""}
    # A command that ends closes its connections, which would end the test's transaction.
    kept = mock.patch.object(connections, "close_all")
    with redirect_stdout(out), redirect_stderr(err), kept, mock.patch.dict(os.environ, plain):
        try:
            execute_from_command_line(["manage.py", *map(str, words)])
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
    return Done(code, out.getvalue(), err.getvalue())


def on_screen(*words: object, answer: str = "", columns: int = 100, **environment: str) -> Done:
    """The same as somebody sees it who types the answer; quicker than a real terminal, and nearly one."""
    environment = {"TERM": "xterm-256color", "NO_COLOR": "", "COLUMNS": str(columns)} | environment
    with mock.patch.dict(os.environ, environment), mock.patch.object(sys, "stdin", Screen(answer)):
        return manage(*words, out=Screen(), err=Screen())


def process(*words: object, **environment: str) -> Done:
    """A command in a process of its own, piped, on the test's database."""
    return python("manage.py", *map(str, words), **environment)


def python(*words: str, **environment: str) -> Done:
    """Python in a process of its own, where the project is."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env=_environment(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def on_terminal(*words: object, answer: str = "", columns: int = 100, **environment: str) -> Done:
    """A command on a terminal of so many columns; ``answer`` is typed when it asks."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (50, columns))
    environment = {"TERM": "xterm-256color"} | environment
    command = [sys.executable, "-c", AT_TERMINAL, "manage.py", *map(str, words)]
    running = subprocess.Popen(
        command,
        cwd=ROOT,
        env=_environment(environment),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    said, pressed = b"", b""
    with running:
        while part := _read(ours, pressed):
            said += part
            if answer and b"[y/N] " in said:
                os.write(ours, answer.encode())
                answer, pressed = "", CTRL_C if answer.encode() == CTRL_C else b""
        try:
            running.wait(10)
        except subprocess.TimeoutExpired:
            running.kill()
    os.close(ours)
    return Done(running.returncode, said.decode())


def _read(terminal: int, pressed: bytes) -> bytes:
    """What comes next; nothing when the other side has gone, or is silent for too long.

    pressed: Ctrl-C, which Python misses between a prompt and the wait for its answer; people press it again.
    """
    for _ in range(15):
        if select.select([terminal], [], [], 2)[0]:
            break
        os.write(terminal, pressed)
    else:
        return b""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


def url_of(database: str) -> str:
    """The DATABASE_URL of another database on the server of the tests."""
    return urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{database}").geturl()


def _environment(given: dict[str, str]) -> dict[str, str]:
    url = url_of(str(connection.settings_dict["NAME"]))
    return (
        os.environ
        | {"DJANGO_SETTINGS_MODULE": "config.settings", "DATABASE_URL": url, "NO_COLOR": "", "COLUMNS": ""}
        | given
    )
