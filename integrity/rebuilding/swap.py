"""Two tables change places: statements for one short transaction, and what is needed to take it back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from psycopg import sql

from integrity.enforcement.unique_index import unique_index_name
from integrity.rebuilding.build import once
from integrity.rebuilding.carry import Carrier
from integrity.rebuilding.names import Pieces, aside
from integrity.rules.unique import Unique
from integrity.statement import Part, Statement, compose, fetch, name

Renamed = list[tuple[str, str, str]]
"""Kind (INDEX, SEQUENCE, STATISTICS), name on the old table before, name there after."""


def parents(oid: int, connection: Any) -> list[str]:
    """The tables that a table refers to, which are locked before it."""
    rows = fetch(
        connection,
        Statement(
            "SELECT DISTINCT confrelid::regclass::text AS t FROM pg_constraint WHERE conrelid = %s::oid"
            " AND contype = 'f' ORDER BY 1",
            (oid,),
        ),
    )
    return [row["t"] for row in rows]


def locks(first: Iterable[Part], refers_to: Sequence[str], last: Part) -> Iterator[Statement]:
    """Locks in the order in which they hold up the fewest: what nobody uses, then what is only not to be written."""
    for table in first:
        yield compose("LOCK TABLE ONLY {t} IN ACCESS EXCLUSIVE MODE", t=table)
    for text in refers_to:
        yield Statement(f"LOCK TABLE ONLY {text.replace('%', '%%')} IN SHARE ROW EXCLUSIVE MODE")
    yield compose("LOCK TABLE ONLY {t} IN ACCESS EXCLUSIVE MODE", t=last)


class Swap:
    """The clean table takes the place of the live one, which becomes the backup."""

    def __init__(self, rule: Unique, pieces: Pieces, carrier: Carrier, backup: str, connection: Any) -> None:
        self.rule, self.pieces, self.carrier, self.backup = rule, pieces, carrier, backup
        self.connection = connection
        self.renamed: Renamed = []

    def statements(self) -> Iterator[Statement]:
        """In order; some are made from what the earlier ones did."""
        old = self.pieces.named(self.backup)
        yield from self._rename_old()
        yield compose("ALTER TABLE {live} RENAME TO {backup}", live=self.pieces.live, backup=name(self.backup))
        for key in self.carrier.foreign_keys():
            # Or deleting what a row of the backup refers to would be refused, or would delete from it.
            yield compose("ALTER TABLE {t} DROP CONSTRAINT {c}", t=old, c=name(key["conname"]))
        yield compose("ALTER TABLE {clean} RENAME TO {live}", clean=self.pieces.clean, live=name(self.pieces.table))
        yield compose(
            "COMMENT ON TABLE {live} IS {text}",
            live=self.pieces.live,
            text=sql.Literal(self.carrier.table["comment"]),
        )
        yield from self._rename_new()
        for key in self.carrier.foreign_keys():
            yield from self.carrier.add_foreign_key(key, self.pieces.live)
        yield from self.carrier.add_triggers()

    def _rename_old(self) -> Iterator[Statement]:
        """Names that are unique in the schema are made free; those of constraints go with their indexes."""
        indexes = fetch(
            self.connection,
            Statement(
                "SELECT relname FROM pg_index JOIN pg_class AS i ON i.oid = indexrelid WHERE indrelid = %s::oid",
                (self.pieces.oid,),
            ),
        )
        named = [("INDEX", row["relname"]) for row in indexes]
        named += [("STATISTICS", row["stxname"]) for row in self.carrier.statistics]
        named += [("SEQUENCE", row["relname"]) for row in self.carrier.sequences if row["deptype"] == "i"]
        for kind, local in named:
            self.renamed.append((kind, local, aside(local, self.pieces.run)))
            yield self._rename(*self.renamed[-1])

    def _rename_new(self) -> Iterator[Statement]:
        for position, index in enumerate(self.carrier.indexes):
            yield self._rename("INDEX", self.carrier.temporary(position), index["relname"])
        yield self._rename("INDEX", once(self.pieces), unique_index_name(self.rule))
        for position, statistics in enumerate(self.carrier.statistics):
            yield self._rename("STATISTICS", self.carrier.temporary(position, "s"), statistics["stxname"])
        for sequence in self.carrier.sequences:
            yield from self._sequence(sequence)

    def _sequence(self, sequence: dict[str, Any]) -> Iterator[Statement]:
        if sequence["deptype"] == "a":
            yield compose(
                "ALTER SEQUENCE {s} OWNED BY {column}",
                s=self.pieces.named(sequence["relname"]),
                column=name(self.pieces.schema, self.pieces.table, sequence["attname"]),
            )
            return
        own = self.carrier.own_sequence(sequence, self.pieces.live)
        yield self._rename("SEQUENCE", own, sequence["relname"])
        yield continued(
            self.pieces.named(sequence["relname"]),
            self.pieces.named(aside(sequence["relname"], self.pieces.run)),
        )

    def _rename(self, kind: str, local: str, to: str) -> Statement:
        return rename(self.pieces, kind, local, to)


def rename(pieces: Pieces, kind: str, local: str, to: str) -> Statement:
    """Another name for something in the schema of the table."""
    return compose(f"ALTER {kind} {{what}} RENAME TO {{to}}", what=pieces.named(local), to=name(to))


def continued(sequence: sql.Identifier, other: sql.Identifier) -> Statement:
    """A sequence goes on where another one has come to. Whoever still drew from that one held its table."""
    return compose(
        "SELECT setval({s}::regclass, last_value, is_called) FROM {other}",
        s=sql.Literal(sequence.as_string(None)),
        other=other,
    )
