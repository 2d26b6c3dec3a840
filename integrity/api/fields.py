"""Parts that schemas are made of: strict, bounded by what PostgreSQL holds, and told in the document."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from django.utils.dateparse import parse_datetime
from ninja import Field, Schema
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

INT8 = 2**63 - 1
LONGEST_REASON = 500
MOST_KEYS = 1_000
"""Keys in one request; more are for the command, or for whole rules."""


def _storable(text: str) -> str:
    """Text that PostgreSQL can hold: without NUL and without half of a surrogate pair."""
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("Use text without NUL and without single surrogates.")
    return text


def whole(value: Any) -> Any:
    """50000.0 is the integer 50000, as JSON has it; what is no integer is refused next."""
    try:
        return int(value) if isinstance(value, float | Decimal) and value == value.__floor__() else value
    except (ValueError, OverflowError, InvalidOperation):
        return value


def with_offset(value: Any, example: str) -> datetime:
    """The time that a text says, which must say its offset as well. Raises ValueError, which shows the example."""
    try:
        found = parse_datetime(value) if isinstance(value, str) else None
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise ValueError(f"Give a time with its offset, such as {example}.")
    return found


def _moment(value: Any) -> datetime:
    found = with_offset(value, "2030-01-31T12:00:00Z")
    if not 1970 <= found.year < 9999:
        raise ValueError("Give a time from 1970 on and before 9999.")
    return found


Text = Annotated[str, AfterValidator(_storable)]
Id = Annotated[int, Field(ge=1, le=INT8)]
Whole = Annotated[int, BeforeValidator(whole)]
Moment = Annotated[
    datetime,
    BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2030-01-31T12:00:00Z"]}),
]
Label = Annotated[Text, Field(min_length=1, max_length=200)]
Reason = Annotated[Text, Field(min_length=1, max_length=LONGEST_REASON)]
KeyPart = Annotated[int, Field(ge=-INT8 - 1, le=INT8), BeforeValidator(whole)] | Annotated[Text, Field(max_length=200)]
Key = KeyPart | Annotated[dict[Label, KeyPart], Field(min_length=1, max_length=32)]
"""``17``, ``"order=3,line=2"``, or as reports have it ``{"order": 3, "line": 2}``."""
Keys = Annotated[list[Key], Field(min_length=1, max_length=MOST_KEYS)]


class Body(Schema):
    """What is sent: each member of its own type, and no other member."""

    model_config = ConfigDict(strict=True, extra="forbid")


class Told(BaseModel):
    """What is answered: the object that the command prints, to which members may be added."""

    model_config = ConfigDict(extra="allow")
