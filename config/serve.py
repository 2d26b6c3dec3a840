"""`make serve`: a trial of the whole site on this machine, from an empty folder to an address and a login."""

import contextlib
import ctypes
import io
import os
import secrets
import signal
import socket
import sys
from pathlib import Path
from typing import NoReturn

from config import command_line, embedded_postgres

HOST = "127.0.0.1"
LOGIN = "staff"
DATA = Path(__file__).resolve().parent.parent / ".data"


def main() -> None:
    """Prepare everything, say where it is, and become the server."""
    port = _port(os.environ.get("PORT") or "8000")
    _require_free(port)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    if not os.environ.get("SECRET_KEY"):
        os.environ["SECRET_KEY"] = _secret_key(DATA / "secret-key")
    with command_line.plain_errors():
        embedded_postgres.provide()
        password = prepare()
    # Again, as this took a while: two servers would share a port without a word.
    _require_free(port)
    print(f"\n  Pages           http://localhost:{port}/ and /teams/, which asks for the login")
    print(f"  API             http://localhost:{port}/api/docs")
    print(f"  Administration  http://localhost:{port}/admin/   login {LOGIN}, password {password}")
    print("\n  Ctrl-C stops the server; `make stop` stops the embedded PostgreSQL.\n", flush=True)
    _become_server(port)


def prepare() -> str:
    """Tables, test data where there is nobody yet, static files, a login. Its new password."""
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    from players.models import Player

    if not Player.objects.exists():
        call_command("load_test_data", verbosity=0)
        call_command("load_team_test_data", stdout=io.StringIO())
    call_command("collectstatic", verbosity=0, interactive=False)
    password = reset_login()
    join_teams()
    return password


def reset_login() -> str:
    """A new random password for the trial's own account, which is made when it is missing; stored hashed."""
    from django.contrib.auth import get_user_model

    password = secrets.token_urlsafe(9)
    users = get_user_model().objects
    account, _ = users.get_or_create(username=LOGIN)
    account.is_active = account.is_staff = account.is_superuser = True
    account.set_password(password)
    account.save()
    return password


def join_teams() -> None:
    """Let the trial's account be captain of the teams that have something to show, where the test data are there."""
    from django.contrib.auth import get_user_model

    from teams.models import Team, TeamMembership

    account = get_user_model().objects.get(username=LOGIN)
    for team in Team.objects.filter(messages__isnull=False).distinct()[:2]:
        TeamMembership.objects.get_or_create(user=account, team=team, defaults={"is_captain": True})


def _port(text: str) -> int:
    if not (text.isdecimal() and 0 < int(text) < 65536):
        _refuse(f"PORT={text} is no port: choose a number from 1 to 65535, `make serve PORT=8001` say.")
    return int(text)


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            _refuse(
                f"Port {port} of this machine cannot be used ({error.strerror}): end what listens there, "
                f"or choose another with `make serve PORT={port + 1 if port < 65535 else 8000}`."
            )


def _secret_key(path: Path) -> str:
    """The key of this checkout, made once, so that logins outlive the server."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(50))
    return path.read_text()


def _become_server(port: int) -> NoReturn:
    # A worker may sleep through its end; three seconds are enough for any request here.
    options = f"--host {HOST} --port {port} --workers 2 --blocking-threads 4 --workers-kill-timeout 3"
    options += " --interface wsgi --no-ws --log-level warning"
    _start_worker()
    arguments = [sys.executable, "-m", "granian", *options.split(), "config.wsgi:application"]
    os.execv(sys.executable, arguments)  # noqa: S606  (every word is ours)


def _start_worker() -> None:
    """A process beside the server that performs what is put off; it ends with the server, however that ends."""
    from django.db import connections

    from integrity.workers.worker import work

    connections.close_all()
    # A fork has everything imported, and is there at once.
    if os.fork() == 0:
        with contextlib.suppress(OSError, AttributeError):
            # Linux alone; elsewhere Ctrl-C reaches both.
            ctypes.CDLL(None).prctl(1, signal.SIGTERM)
        # What is asked for by the minute need not wait behind an import.
        work(threads=2)
        os._exit(0)


def _refuse(sentence: str) -> NoReturn:
    print(sentence, file=sys.stderr)
    sys.exit(command_line.WRONG_SETTING)


if __name__ == "__main__":
    main()
