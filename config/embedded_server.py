"""The embedded server as the environment describes it: its files, its lock, its address, and whether it answers."""

import contextlib
import fcntl
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import quote

import psycopg
from django.core.exceptions import ImproperlyConfigured

from config import embedded_binaries

DATABASE = "holdtrue"
PORT = 5432
DEFAULT_DATA = Path(__file__).resolve().parent.parent / ".data" / "postgres"


@dataclass(frozen=True)
class Server:
    """One server: its binaries, and a data directory of its own per major version of PostgreSQL."""

    binaries: Path
    data: Path
    patience: float

    @property
    def major(self) -> int:
        """The major version of PostgreSQL, which names the data directory."""
        return int(self.data.name)

    @property
    def sockets(self) -> Path:
        """The socket directory: short, as 107 bytes limit a socket's path, and a new one after each initdb."""
        real = self.data.resolve()
        if real != self.data:
            return real.parent / "run"
        identifier = (self.data / "global" / "pg_control").read_bytes()[:8]
        digest = hashlib.sha256(bytes(self.data) + identifier).hexdigest()[:16]
        return Path(f"/tmp/holdtrue-{os.getuid()}-{digest}")  # noqa: S108  (owner and mode are checked before use)

    @property
    def url(self) -> str:
        """What DATABASE_URL is set to."""
        return f"postgres://{DATABASE}@{quote(str(self.sockets), safe='')}:{PORT}/{DATABASE}"

    @property
    def log(self) -> Path:
        """Where the server writes what went wrong."""
        return self.beside("log")

    def connect(self, database: str = DATABASE) -> psycopg.Connection:
        """Open a connection through the private socket, or raise psycopg.OperationalError."""
        return psycopg.connect(
            host=str(self.sockets), port=PORT, user=DATABASE, dbname=database, connect_timeout=2, autocommit=True
        )

    def answers(self, database: str = DATABASE) -> bool:
        """Whether a connection succeeds right now."""
        try:
            check_private(self.sockets, self.data)
            self.connect(database).close()
        except (FileNotFoundError, psycopg.OperationalError):
            return False
        return True

    @contextlib.contextmanager
    def locked(self, kind: str) -> Iterator[IO[str]]:
        """Hold a lock beside the data directory: `lock` to prepare a start, `alive` while a server process lives."""
        deadline = time.monotonic() + self.patience
        with self.beside(kind).open("a") as file:
            while not _lock(file):
                if time.monotonic() > deadline:
                    raise ImproperlyConfigured(self.no_answer())
                time.sleep(0.02)
            yield file

    def is_dead(self) -> bool:
        """Whether no process of the server is left: they all inherit the `alive` lock."""
        with self.beside("alive").open("a") as file:
            return _lock(file)

    def beside(self, kind: str) -> Path:
        """A file beside the data directory: a lock, or the log."""
        return self.data.with_name(f"{self.data.name}.{kind}")

    def no_answer(self) -> str:
        """The sentence about a server that hangs, with its process id where it is known."""
        try:
            process = f" as process {int((self.data / 'postmaster.pid').read_text().split()[0])}"
        except (OSError, ValueError, IndexError):
            process = ""
        return (
            f"The embedded PostgreSQL in {self.data} runs{process} but did not answer in {self.patience:g} seconds: "
            f"see {self.log}, end the process, or set DATABASE_URL to a server of your own."
        )


def find() -> Server:
    """The server that the environment describes, running or not."""
    binaries = embedded_binaries.find()
    data = Path(os.environ.get("EMBEDDED_PG_DATA") or DEFAULT_DATA).expanduser().resolve()
    return Server(binaries, data / str(embedded_binaries.major(binaries)), _patience())


def check_private(directory: Path, data: Path) -> None:
    """Refuse a socket directory that somebody else made or may enter: whoever owns it could pose as the server."""
    found = directory.lstat()
    owner = data.stat().st_uid
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or stat.S_IMODE(found.st_mode) != 0o700:
        raise ImproperlyConfigured(
            f"The socket directory {directory} is not a private directory of this user (mode 0700); "
            "remove it, or set EMBEDDED_PG_DATA to another directory, or DATABASE_URL to a server of your own."
        )


def check_owner(data: Path) -> None:
    """Refuse a data directory of somebody else; the one that root links to belongs to nobody on purpose."""
    if not data.exists() or data.stat().st_uid == os.getuid():
        return
    if os.getuid() == 0 and data.is_symlink():
        return
    raise ImproperlyConfigured(
        f"The data directory {data} belongs to another user (uid {data.stat().st_uid}); run the command as that user, "
        "or set EMBEDDED_PG_DATA to another directory, or DATABASE_URL to a server of your own."
    )


def _patience() -> float:
    value = os.environ.get("EMBEDDED_PG_TIMEOUT", "30")
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0
    if not 0 < seconds < 3600:
        raise ImproperlyConfigured(f"EMBEDDED_PG_TIMEOUT={value} is not a number of seconds between 0 and 3600.")
    return seconds


def _lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
