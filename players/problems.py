"""Which status each exception has, and what is said of it."""

from typing import Any

from django.db import DataError, InterfaceError, OperationalError

from config.problems import problem
from players.exceptions import (
    Invalid,
    Malformed,
    NoKey,
    PlayersError,
    Reused,
    TooLarge,
    TooMany,
    Unknown,
    WrongKey,
    WrongMediaType,
)

# Exception to status is this table. What is not here is a mistake of ours and answers 500.
STATUSES: dict[type[Exception], int] = {
    Malformed: 400,
    NoKey: 401,
    WrongKey: 403,
    Unknown: 404,
    Reused: 409,
    TooLarge: 413,
    WrongMediaType: 415,
    Invalid: 422,
    DataError: 422,
    TooMany: 429,
    OperationalError: 503,
    InterfaceError: 503,
}
RETRY_AFTER = 5
"""Seconds after which it is worth to try a database again that could not answer."""


def explain(error: Exception) -> tuple[dict[str, Any], dict[str, str]]:
    """The body and the headers for an exception of the table."""
    status = next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)
    if isinstance(error, PlayersError):
        fields = [(error.field, str(error))] if error.field else []
        headers = {"Retry-After": str(error.seconds)} if isinstance(error, TooMany) else {}
        return problem(status, str(error), fields), headers
    if isinstance(error, DataError):
        # What passed every check of ours and has no room in its column: a total beyond ten digits.
        return problem(status, "The database cannot hold this value."), {}
    return problem(status, "The database cannot answer now: try again."), {"Retry-After": str(RETRY_AFTER)}
