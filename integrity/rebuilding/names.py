"""The tables that a rebuild works with, and what its own pieces are called while it lasts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from integrity.exceptions import Refused
from integrity.models import Run
from integrity.schema import columns as columns_of_table
from integrity.statement import Statement, fetch, name

EVENTS = ("insert", "update", "delete", "truncate")


@dataclass(frozen=True)
class Pieces:
    """A table and what is made beside it. Whoever takes a run over has names of its own, so that two never mix."""

    schema: str
    table: str
    oid: int
    run: int
    token: str

    @classmethod
    def of(cls, table: str, run: Run, connection: Any) -> Pieces:
        """Raises Refused when the search path leads to no such table."""
        found = fetch(
            connection,
            Statement(
                "SELECT n.nspname, c.oid FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace"
                " WHERE c.oid = to_regclass(quote_ident(%s))",
                (table,),
            ),
        )
        if not found:
            raise Refused(f"There is no table {table}. Is it the right database and search_path?")
        return cls(found[0]["nspname"], table, found[0]["oid"], run.pk, run.token.hex[:12])

    @property
    def base(self) -> str:
        return f"integrity_{self.token}"

    @property
    def live(self) -> sql.Identifier:
        return self.named(self.table)

    @property
    def clean(self) -> sql.Identifier:
        return self.named(f"{self.base}_clean")

    @property
    def notes(self) -> sql.Identifier:
        return self.named(f"{self.base}_notes")

    @property
    def function(self) -> sql.Identifier:
        return self.named(f"{self.base}_note")

    @property
    def triggers(self) -> tuple[str, ...]:
        return tuple(f"{self.base}_{event}" for event in EVENTS)

    @property
    def mark(self) -> str:
        """The comment by which the next run knows what a dead one has left."""
        return f"{mark(self.schema, self.table)}{self.run}"

    def named(self, local: str) -> sql.Identifier:
        """Something in the schema of the table."""
        return name(self.schema, local)

    def held(self, connection: Any) -> list[str]:
        """The columns that hold a value of their own: generated ones are left out."""
        return [column.name for column in columns_of_table(self.table, connection) if not column.generated]


def mark(schema: str, table: str) -> str:
    """What the comments of all pieces of rebuilds of a table begin with."""
    return f'integrity: rebuild of "{schema}"."{table}" by run '


def aside(local: str, run: int) -> str:
    """What something of the old table is called beside the new one, in at most 63 characters."""
    suffix = f"_run_{run}"
    kept = local if len(local.encode()) + len(suffix) <= 63 else _cut(local, 56 - len(suffix))
    return f"{kept}{suffix}"


def _cut(local: str, length: int) -> str:
    short = local.encode()[:length].decode(errors="ignore")
    return f"{short}_{hashlib.sha256(local.encode()).hexdigest()[:6]}"
