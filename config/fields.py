"""Parts that the schemas of every app are made of."""

from typing import Annotated

from ninja import Field, Schema
from pydantic import AfterValidator

INT8 = 2**63 - 1


def _storable(text: str) -> str:
    """Text that PostgreSQL can hold: without NUL and without half of a surrogate pair."""
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("Use text without NUL and without single surrogates.")
    return text


Text = Annotated[str, AfterValidator(_storable)]
Id = Annotated[int, Field(ge=1, le=INT8)]


class PageIn(Schema):
    """Which part of a list."""

    limit: int = Field(50, ge=1, le=200, description="Entries of a page.")
    offset: int = Field(0, ge=0, le=10_000_000, description="Entries to pass over.")

    def next_after(self, found: int) -> int | None:
        """Where the next page begins, when so many rows were found with one asked for beyond this page."""
        return self.offset + self.limit if found > self.limit else None
