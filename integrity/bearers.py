"""The rows that bear the keys of a repair, found once for many batches.

A table without an index on the key would be searched from end to end by every statement of every batch. A row that
comes to a key later is not among them: it makes a violation of its own, for the next repair.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from integrity.keys import Key
from integrity.rules.base import Rule
from integrity.scope import Scope
from integrity.statement import compose, fetch, names, value

MOST = 1_000_000
"""Primary keys that are held in memory; keys with more rows make few batches, which may search."""


class Bearers:
    """The primary keys of the rows of each key; empty where it does not pay or is too much."""

    def __init__(self, found: dict[Key, list[Any]] | None = None) -> None:
        self.found = found or {}

    @classmethod
    def of(cls, rule: Rule, keys: Sequence[Key], connection: Any) -> Bearers:
        """Look the rows of the keys up, in one statement."""
        rows = rule.bearers(Scope.of(keys), connection.alias)
        if rows is None:
            return cls()
        labels = names(f"key__{field.name}" for field in rule.key_fields)
        found = fetch(
            connection,
            compose(
                "SELECT {keys}, array_agg(pk) AS pks"
                " FROM (SELECT * FROM ({rows}) AS r LIMIT {most}) AS r GROUP BY {keys}",
                keys=labels,
                rows=rows,
                most=value(MOST + 1),
            ),
        )
        if sum(len(row["pks"]) for row in found) > MOST:
            return cls()
        return cls({tuple(list(row.values())[:-1]): row["pks"] for row in found})

    def scope(self, keys: Iterable[Key]) -> Scope:
        """The scope of these keys, with their rows where all are known."""
        keys = tuple(keys)
        if not self.found or any(key not in self.found for key in keys):
            return Scope.of(keys)
        return Scope(keys=keys, among=tuple(pk for key in keys for pk in self.found[key]))
