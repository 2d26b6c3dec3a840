"""The provider's own number of a row: where it is unique, and what stands for none."""

from __future__ import annotations

from typing import Any

from django.db.models import UniqueConstraint

from integrity.importing.declarations import Feed
from integrity.statement import Statement, compose, joined, name


class Number:
    """The external id of a feed, as its column is declared."""

    def __init__(self, feed: Feed) -> None:
        part = feed.by_field[feed.external_id]
        self.feed, self.field, self.column = feed, part.field, part.column

    @property
    def _constraint(self) -> UniqueConstraint | None:
        opts = self.feed.model._meta
        alike = [c for c in opts.constraints if isinstance(c, UniqueConstraint) and self.field.name in c.fields]
        return min(alike, key=lambda constraint: len(constraint.fields), default=None)

    @property
    def within(self) -> list[str]:
        """The columns within which a number is one row's, such as the league; those that the feed brings."""
        fields = self._constraint.fields if self._constraint is not None and not self.field.unique else ()
        return [self.feed.by_field[f].column for f in fields if f != self.field.name and f in self.feed.by_field]

    @property
    def is_unique(self) -> bool:
        """Whether the database refuses a number twice."""
        return self.field.unique or self._constraint is not None

    @property
    def none(self) -> Statement | None:
        """What stands for no number, and may stand in many rows."""
        if self.field.null:
            return Statement("NULL")
        conditional = self._constraint is not None and self._constraint.condition is not None
        return Statement("''") if conditional and self.field.empty_strings_allowed else None

    def given(self, column: Any) -> Statement:
        """There is a number."""
        if self.field.empty_strings_allowed:
            return compose("NULLIF({c}, '') IS NOT NULL", c=column)
        return compose("{c} IS NOT NULL", c=column)

    def same(self, alias: str, prefix: str, other: str, other_prefix: str) -> Statement:
        """Two rows have one number, of the same league or whatever it is unique within."""
        return joined(
            " AND ",
            (
                compose("{a}.{c} = {b}.{o}", a=name(alias), c=name(prefix + c), b=name(other), o=name(other_prefix + c))
                for c in (self.column, *self.within)
            ),
        )
