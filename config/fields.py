"""Parts that the schemas of every app are made of."""

from ninja import Field, Schema

from integrity.api.fields import INT8, Id, Text, whole, with_offset

__all__ = ["INT8", "Id", "PageIn", "Text", "whole", "with_offset"]


class PageIn(Schema):
    """Which part of a list."""

    limit: int = Field(50, ge=1, le=200, description="Entries of a page.")
    offset: int = Field(0, ge=0, le=10_000_000, description="Entries to pass over.")

    def next_after(self, found: int) -> int | None:
        """Where the next page begins, when so many rows were found with one asked for beyond this page."""
        return self.offset + self.limit if found > self.limit else None
