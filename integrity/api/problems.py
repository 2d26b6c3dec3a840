"""What an error looks like, what the document says of it, and which status the engine's refusals have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from django.db import DatabaseError, DataError, InterfaceError
from django.http import HttpRequest, HttpResponse
from ninja import Field, NinjaAPI, Schema
from ninja.errors import HttpError

from integrity.exceptions import EngineError, Refused, RunInProgress, UnknownName, UsageError, WrongKey


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


_SECONDS = {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}
WAIT: dict[str, Any] = {"responses": {status: {"headers": {"Retry-After": _SECONDS}} for status in (429, 503)}}
"""For `openapi_extra`: an answer that asks to wait says for how long."""
RETRY_AFTER = 5
"""Seconds after which it is worth to try a database again that could not answer."""


def refusals(*statuses: int) -> dict[int, Any]:
    """For `response`: these statuses, and those that any request may get, answer with a Problem."""
    return dict.fromkeys(sorted({*statuses, 422, 429, 503}), Problem)


def problem(status: int, detail: str, errors: list[tuple[str, str]] | None = None) -> dict[str, Any]:
    """The body of an error; `errors` are pairs of field and message."""
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "errors": [{"field": field, "message": message} for field, message in errors or []],
    }


class Refusal(HttpError):
    """A request that is refused; an API that knows no problems answers it as any HttpError.

    field: the parameter, header or member that it is about, empty for none. wait: seconds, for Retry-After.
    """

    def __init__(self, status: int, message: str, field: str = "", wait: int = 0) -> None:
        super().__init__(status, message)
        self.field, self.wait = field, wait

    @classmethod
    def of(cls, error: Exception, field: str = "") -> Refusal:
        """What the engine, or the database, refuses, as the status that says so."""
        if isinstance(error, DataError):
            return cls(422, "The database cannot hold this value.", field)
        if isinstance(error, DatabaseError | InterfaceError):
            return cls(503, "The database cannot answer now: try again.", wait=RETRY_AFTER)
        status = next((status for kind, status in STATUSES.items() if isinstance(error, kind)), 503)
        return cls(status, str(error), field, wait=RETRY_AFTER if status == 503 else 0)


@contextmanager
def about(field: str) -> Iterator[None]:
    """What is refused within it is wrong with this member of the body or parameter: 422, also for an unknown name."""
    try:
        yield
    except UsageError as error:
        raise Refusal(422, str(error), field) from error


STATUSES: dict[type[EngineError], int] = {
    UnknownName: 404,
    WrongKey: 403,
    UsageError: 422,
    RunInProgress: 409,
    Refused: 409,
}
"""In this order; what else the engine cannot do answers 503."""


def answer_problems(api: NinjaAPI) -> None:
    """Let an API answer the engine's refusals as problems."""

    def answer(request: HttpRequest, error: Refusal) -> HttpResponse:
        fields = [(error.field, error.message)] if error.field else []
        response = api.create_response(
            request, problem(error.status_code, error.message, fields), status=error.status_code
        )
        if error.wait:
            response["Retry-After"] = str(error.wait)
        return response

    api.exception_handler(Refusal)(answer)
