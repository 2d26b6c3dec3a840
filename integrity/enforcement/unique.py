"""A Unique rule as a unique index, built beside writers; one that the model declares already serves as well."""

from __future__ import annotations

from typing import ClassVar, Literal

from django.db import connections

from integrity.enforcement.base import (
    ENFORCED,
    MISSING,
    OUTDATED,
    Enforcement,
    Found,
    Step,
    declare_constraint,
    taken_back,
)
from integrity.enforcement.triggered import related_tables
from integrity.enforcement.unique_constraint import declared_constraint, says_the_same
from integrity.enforcement.unique_index import unique_index_name, unique_index_statement
from integrity.exceptions import Refused
from integrity.rules.unique import Unique
from integrity.schema import UniqueKey, unique_keys
from integrity.statement import compose, name, run


class UniqueIndex(Enforcement):
    """Refuses a second row of a key. There is no guard: it cannot be built while a key occurs twice."""

    dirty: ClassVar[Literal["guard", "ask", "refuse"]] = "refuse"
    rule: Unique

    def found(self, using: str) -> Found:
        ours, keeping = self._installed(using)
        if keeping is not None:
            return Found(ENFORCED, "" if keeping == ours else f"by {keeping.name}")
        if ours is None:
            return Found(MISSING)
        if not ours.valid:
            return Found(MISSING, f"a build of {ours.name} failed or was killed and left it invalid")
        return Found(OUTDATED)

    def guard(self, using: str) -> list[Step]:
        create = unique_index_statement(self.rule, using, concurrently=True)
        return [*self.left_over(using), Step((create,), alone=True)]

    def left_over(self, using: str) -> list[Step]:
        ours, _ = self._installed(using)
        if ours is None:
            return []
        drop = compose("DROP INDEX CONCURRENTLY IF EXISTS {index}", index=name(ours.schema, ours.name))
        return [Step((drop,), alone=True)]

    def remove(self, using: str) -> list[Step]:
        ours, keeping = self._installed(using)
        if keeping is not None and keeping != ours:
            raise Refused(
                f"{self.rule.label} is kept true by {keeping.name}, which is not of its making. Take that out of the"
                f" constraints of {self.rule.model._meta.label} and run makemigrations and migrate."
            )
        return self.left_over(using)

    def refuse(self, using: str) -> None:
        table = self.rule.model._meta.db_table
        if related_tables({table}, using):
            raise Refused(
                f"{table} is partitioned, inherits or is inherited from: no index spans all of its tables."
                " Leave enforce= out and repair by cron."
            )

    def refusal(self, violations: int) -> str:
        keys = "1 key occurs" if violations == 1 else f"{violations:,} keys occur"
        table = self.rule.model._meta.db_table
        return f"{keys} more than once in {table}: no unique index can be built over that. {self.way_out()}"

    def declare(self) -> None:
        if not says_the_same(self.rule):
            declare_constraint(self.rule, declared_constraint(self.rule))

    def _installed(self, using: str) -> tuple[UniqueKey | None, UniqueKey | None]:
        """The rule's own index, and the one that keeps it true; its own where several do."""
        there = unique_keys(self.rule.model._meta.db_table, connections[using])
        wanted = _as_catalog_writes(self.rule, using)
        ours = next((key for key in there if key.name == unique_index_name(self.rule)), None)
        keeping = [key for key in there if key.implies(wanted)]
        return ours, ours if ours in keeping else next(iter(keeping), None)


def _as_catalog_writes(rule: Unique, using: str) -> UniqueKey:
    """The declared index as PostgreSQL prints it, read off an empty copy of the table that is taken back."""
    connection = connections[using]
    with taken_back(using):
        table = name(rule.model._meta.db_table)
        run(connection, compose("CREATE TEMP TABLE integrity_index (LIKE {table})", table=table))
        run(connection, unique_index_statement(rule, using, table="integrity_index"))
        (wanted,) = unique_keys("integrity_index", connection)
    return wanted
