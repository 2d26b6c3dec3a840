"""Who does it, and why, for the lines that the database writes into the audit."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

from vehicles.triggers import ACTOR, REASON


@contextmanager
def signed(by: str, reason: str = "") -> Iterator[None]:
    """Sign what is written inside, which must be within a transaction: a rollback takes the signature back as well."""
    _sign(by, reason)
    yield
    _sign("", "")


def _sign(by: str, reason: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config(%s, %s, true), set_config(%s, %s, true)", [ACTOR, by, REASON, reason])
