"""What an error looks like in every part of the API, and what the document says of it."""

from http import HTTPStatus
from typing import Any

from ninja import Field, Schema


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
