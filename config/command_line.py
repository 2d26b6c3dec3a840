"""What every entry point does with a wrong setting or a missing database: one sentence, and an exit code."""

import contextlib
import sys
from collections.abc import Iterator
from typing import NoReturn

from django.core.exceptions import ImproperlyConfigured

WRONG_SETTING = 2
NOT_FINISHED = 3
UNDEFINED_TABLE = "42P01"
# These answer without a database, also where none can be provided.
NEEDS_NO_DATABASE = {"help", "--help", "-h", "version", "--version"}


def needs_database(argv: list[str]) -> bool:
    """Whether the command of this command line can be expected to connect."""
    return len(argv) > 1 and not NEEDS_NO_DATABASE.intersection(argv[1:])


def read_settings(argv: list[str]) -> None:
    """Fail on a wrong setting now; some of Django's commands would carry on without settings and say something else."""
    if any(word.startswith(("--settings", "--pythonpath")) for word in argv):
        return  # Django has to read these first
    from django.conf import settings

    settings.DATABASES  # noqa: B018  (the first access reads the settings)


@contextlib.contextmanager
def plain_errors(show_traceback: bool = False) -> Iterator[None]:
    """Turn a wrong setting into exit code 2 and a failing database into 3, each with one line on stderr."""
    if show_traceback:
        yield
        return
    try:
        yield
    except ImproperlyConfigured as error:
        _exit(WRONG_SETTING, str(error))
    except _database_errors() as error:
        _exit(NOT_FINISHED, _explain(error))


def _database_errors() -> tuple[type[Exception], ...]:
    from django.db import InterfaceError, OperationalError, ProgrammingError

    return OperationalError, InterfaceError, ProgrammingError


def _explain(error: Exception) -> str:
    from django.conf import settings
    from django.db import ProgrammingError

    database = settings.DATABASES["default"]
    said = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    where = f"The database {database['NAME']!r} on {database['HOST'] or 'the local socket'} (DATABASE_URL)"
    state = getattr(error.__cause__, "sqlstate", None)
    if state == UNDEFINED_TABLE:
        return f"{where} has not all tables ({said}): run `manage.py migrate`, or correct DATABASE_URL."
    if isinstance(error, ProgrammingError):
        raise error  # a mistake in the code, which deserves its traceback
    if state:
        return f"{where} did not finish the work: {said}; --traceback shows where."
    return f"{where} cannot be reached: {said}; start it, or correct DATABASE_URL."


def _exit(code: int, sentence: str) -> NoReturn:
    print(" ".join(sentence.split()), file=sys.stderr)
    sys.exit(code)
