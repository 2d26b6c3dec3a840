"""What an error looks like in the API, and which status each exception has."""

from http import HTTPStatus
from typing import Any

from django.db import DataError, InterfaceError, OperationalError
from ninja import Field, Schema

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


class FieldError(Schema):
    """What is wrong with one part of a request."""

    field: str = Field(description="The parameter, header or member of the body, as it is called in this document.")
    message: str


class Problem(Schema):
    """An error, in the form of RFC 9457."""

    type: str = Field(description="`about:blank`: the status says of what kind the problem is.")
    title: str
    status: int
    detail: str = Field(description="What is wrong, and the way out.")
    errors: list[FieldError] = Field(description="By field; empty when no single field is wrong.")


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


def problem(status: int, detail: str, errors: list[tuple[str, str]] | None = None) -> dict[str, Any]:
    """The body of an error; `errors` are pairs of field and message."""
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "errors": [{"field": field, "message": message} for field, message in errors or []],
    }


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
