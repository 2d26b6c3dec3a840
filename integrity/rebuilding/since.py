"""What people did to a rebuilt table since it was swapped in, and doing it to the old table that comes back."""

from __future__ import annotations

from typing import Any

from integrity.keys import pk_columns
from integrity.rebuilding.choose import KEPT, choose
from integrity.rebuilding.names import Pieces
from integrity.rebuilding.notes import TOUCHED, outside, take
from integrity.repairs.base import DELETE, INSERT, UPDATE
from integrity.reports import Conflict, PlannedChange
from integrity.rules.unique import Unique
from integrity.schema import columns
from integrity.statement import Part, Statement, compose, fetch, joined, name, names, run

STAYED, DIFFERING = "integrity_stayed", "integrity_differing"


class Since:
    """Compares the live table with the rows that stayed, which the backup holds as they were then.

    Which rows stayed is found again as it was found the first time: the backup has not changed since.
    """

    def __init__(self, rule: Unique, pieces: Pieces, backup: str, connection: Any) -> None:
        self.rule, self.pieces, self.backup, self.connection = rule, pieces, backup, connection
        self.pks = pk_columns(rule.model)
        held = names(pieces.held(connection))
        same = (compose("t.{pk} = b.{pk}", pk=name(pk)) for pk in self.pks)
        self.parts: dict[str, Part] = {
            "live": pieces.live,
            "backup": pieces.named(backup),
            "pks": names(self.pks),
            "t_pk": names(self.pks, of="t"),
            "b_pk": names(self.pks, of="b"),
            "same": joined(" AND ", same),
            "held": held,
        }
        self.carried: list[PlannedChange] = []
        self.conflicts: list[Conflict] = []
        self.counts = {INSERT: 0, UPDATE: 0, DELETE: 0}

    def compare(self) -> None:
        """Note the primary keys of all rows that differ; they are looked at again when they are carried over."""
        held = [(column.name, column.type) for column in columns(self.pieces.table, self.connection)]
        choose(self.rule, self.pieces.named(self.backup), held, self.connection.alias, self.connection)
        self._run(f"DROP TABLE IF EXISTS pg_temp.{STAYED}, pg_temp.{DIFFERING}")
        self._run(f"CREATE TEMP TABLE {STAYED} AS SELECT {{pks}} FROM pg_temp.{KEPT}")
        if self.rule.where is not None:
            self.parts["outside"] = outside(self.rule, self.pieces.named(self.backup), "b", self.connection.alias)
            self._run(f"INSERT INTO {STAYED} ({{pks}}) SELECT {{b_pk}} FROM {{backup}} AS b WHERE {{outside}}")
        self._run(f"ANALYZE pg_temp.{STAYED}")
        first = name("t", self.pks[0]), name("s", self.pks[0])
        self.parts["t_first"], self.parts["s_first"] = first
        self._run(
            f"CREATE TEMP TABLE {DIFFERING} AS"
            f" SELECT {{pks}} FROM {{live}} AS t FULL JOIN {STAYED} AS s USING ({{pks}})"
            " LEFT JOIN {backup} AS b USING ({pks})"
            " WHERE {t_first} IS NULL OR {s_first} IS NULL OR NOT t.* *= b.*"
        )

    def add_noted(self) -> None:
        """Also look at the rows that were written since they were compared. Raises Moved after a TRUNCATE."""
        if take(self.pieces, self.pks, self.connection):
            self._run(f"INSERT INTO {DIFFERING} SELECT {{pks}} FROM {TOUCHED}")

    def carry_over(self, limit: int) -> None:
        """Write to the old table what was written to the new one; the first rows of it are told."""
        self._run(f"ANALYZE pg_temp.{DIFFERING}")
        stayed = f"({{b_pk}}) IN (SELECT {{pks}} FROM {STAYED}) AND ({{b_pk}}) IN (SELECT {{pks}} FROM {DIFFERING})"
        self._tell(
            DELETE,
            self._fetch(
                f"DELETE FROM {{backup}} AS b WHERE {stayed}"
                " AND NOT EXISTS (SELECT FROM {live} AS t WHERE {same}) RETURNING {b_pk}"
            ),
            limit,
        )
        self._run("DROP TABLE IF EXISTS pg_temp.integrity_changed")
        self._run(
            f"CREATE TEMP TABLE integrity_changed ON COMMIT DROP AS SELECT {{b_pk}} FROM {{backup}} AS b"
            f" JOIN {{live}} AS t ON {{same}} WHERE {stayed} AND NOT t.* *= b.*"
        )
        changed = "IN (SELECT {pks} FROM integrity_changed)"
        self._run(f"DELETE FROM {{backup}} AS b WHERE ({{b_pk}}) {changed}")
        into = "INSERT INTO {backup} ({held}) OVERRIDING SYSTEM VALUE SELECT {held} FROM {live} AS t WHERE"
        self._tell(UPDATE, self._fetch(f"{into} ({{t_pk}}) {changed} RETURNING {{pks}}"), limit)
        new = (
            f"({{t_pk}}) IN (SELECT {{pks}} FROM {DIFFERING})"
            f" AND ({{t_pk}}) NOT IN (SELECT {{pks}} FROM {STAYED} WHERE ({{pks}}) IS NOT NULL)"
        )
        wanted = self._fetch(f"SELECT {{t_pk}} FROM {{live}} AS t WHERE {new}")
        written = self._fetch(f"{into} {new} ON CONFLICT DO NOTHING RETURNING {{pks}}")
        self._tell(INSERT, written, limit)
        there = {tuple(row.values()) for row in written}
        for row in wanted:
            if tuple(row.values()) not in there:
                why = "a row of the old table says the same or has this key; it stays as it was there"
                self.conflicts.append(Conflict(self.pieces.table, row, why))

    def forget(self) -> None:
        """The temporary tables outlive a transaction."""
        self._run(f"DROP TABLE IF EXISTS pg_temp.{STAYED}, pg_temp.{DIFFERING}, pg_temp.{KEPT}")

    def _tell(self, operation: str, rows: list[dict[str, Any]], limit: int) -> None:
        self.counts[operation] = len(rows)
        for row in rows[: max(0, limit - len(self.carried))]:
            why = {"since the swap": {INSERT: "inserted", UPDATE: "changed", DELETE: "deleted"}[operation]}
            self.carried.append(PlannedChange(self.pieces.table, operation, row, (), {}, {}, why))

    def _run(self, template: str) -> None:
        run(self.connection, compose(template, **self.parts))

    def _fetch(self, template: str) -> list[dict[str, Any]]:
        return fetch(self.connection, compose(template, **self.parts))


def in_words(counts: dict[str, int]) -> str:
    """What was carried over, for a sentence."""
    return f"{counts[INSERT]} inserted, {counts[UPDATE]} changed and {counts[DELETE]} deleted"


def trigger_states(oid: int, connection: Any) -> list[tuple[str, str]]:
    """Names and states of the triggers of people."""
    rows = fetch(
        connection,
        Statement(
            "SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = %s::oid AND NOT tgisinternal ORDER BY 1", (oid,)
        ),
    )
    return [(row["tgname"], row["tgenabled"]) for row in rows]
