"""What an import finds before it writes: how many rows refer to its targets, and which key each target has.

Keys are added to a table that the app declares and never taken from it, so that nothing of an earlier import is copied
or lost, and a reference can be led back when somebody else has deleted what it refers to.
"""

from __future__ import annotations

from typing import Any

from integrity.exceptions import Refused
from integrity.importing.declarations import Feed
from integrity.journal import CHANGES
from integrity.keys import pk_columns
from integrity.models import Run, Snapshot
from integrity.references import referring
from integrity.statement import Statement, compose, fetch, joined, name, names, value

_FEW = 1_000


class NotPreserved(Refused):
    """What refers to a target, or a target's identity, is not as it was; everything was rolled back."""


class Snapshots:
    """The snapshots of one import: one for each table that it writes."""

    def __init__(self, run_: Run, connection: Any) -> None:
        self.run, self.connection = run_, connection
        self.taken: dict[str, Snapshot] = {}

    def take(self, feed: Feed) -> None:
        """Count what refers to the feed's table, and bring the kept keys up to date. Raises NotPreserved."""
        if feed.table in self.taken:
            return
        last = Snapshot.objects.filter(table=feed.table).order_by("-id").first()
        rows, digest = self._digest(feed)
        keys = None
        if feed.kept is not None:
            # Those of the last time are complete: whatever was written then was kept with it.
            known = last is not None and last.digest == digest and last.keys is not None
            keys = rows if known else self._bring_up_to_date(feed, rows)
        self.taken[feed.table] = Snapshot(
            run=self.run, table=feed.table, rows=rows, keys=keys, digest=digest, references=self.references(feed)
        )

    def _bring_up_to_date(self, feed: Feed, rows: int) -> int:
        """Keep the keys of all rows, and count them again as they stand in the table."""
        assert feed.kept is not None
        present = feed.kept.rows(feed.model)
        feed.kept.keep(present, self.connection)
        kept = int(fetch(self.connection, feed.kept.known(present))[0]["n"])
        if kept != rows:
            raise NotPreserved(f"{rows - kept} of {rows} keys of {feed.table} could not be kept. Nothing was written.")
        return kept

    def references(self, feed: Feed) -> list[dict[str, Any]]:
        """For each table that refers to the feed's: how many rows do, and how many lead nowhere."""
        found = []
        for reference in referring(feed.model, self.connection):
            referred = joined(" AND ", (compose("c.{c} IS NOT NULL", c=name(c)) for c in reference.columns))
            counted = compose(
                "SELECT count(*) AS rows, {dangling} AS dangling FROM {table} AS c WHERE {referred}",
                dangling=compose(
                    "(SELECT count(*) FROM {table} AS c WHERE {referred}"
                    " AND NOT EXISTS (SELECT FROM {target} AS t WHERE {on}))",
                    target=name(feed.table),
                    on=reference.on,
                    table=name(reference.table),
                    referred=referred,
                )
                # A foreign key keeps what it refers to.
                if reference.soft
                else Statement("0"),
                table=name(reference.table),
                referred=referred,
            )
            counts = fetch(self.connection, counted)[0]
            found.append({"table": reference.table, "columns": list(reference.columns), **counts})
        return found

    def check(self, feed: Feed) -> None:
        """After the last write: nothing refers to less than before. Raises NotPreserved."""
        taken = self.taken[feed.table]
        for before, now in zip(taken.references, self.references(feed), strict=True):
            if now["dangling"] > before["dangling"]:
                raise NotPreserved(
                    f"{now['dangling'] - before['dangling']} rows of {now['table']} would refer to rows of"
                    f" {feed.table} that are gone. Everything was rolled back."
                )

    def store(self, feed: Feed, *, written: int, parents_renamed: bool) -> None:
        """Keep the snapshot, and the keys as the import leaves them."""
        taken = self.taken[feed.table]
        taken.rows_after, taken.digest = self._digest(feed)
        if feed.kept is not None:
            rows = feed.kept.rows(feed.model)
            # One pass over all of them is quicker than finding many by their journal.
            whole = parents_renamed or written > max(_FEW, taken.rows_after // 10)
            feed.kept.keep(rows if whole else self._written(feed, rows), self.connection)
        taken.save()

    def _written(self, feed: Feed, rows: Statement) -> Statement:
        """Of these rows those that the import has written."""
        assert feed.kept is not None
        return compose(
            "SELECT r.* FROM ({rows}) AS r WHERE r.{row}::text IN (SELECT c.key->>{pk} FROM {changes} AS c"
            " WHERE c.run_id = {run} AND c.table = {label})",
            rows=rows,
            row=name(feed.kept.columns[0]),
            pk=value(pk_columns(feed.model)[0]),
            changes=name(CHANGES),
            run=value(self.run.pk),
            label=value(feed.table),
        )

    def _digest(self, feed: Feed) -> tuple[int, str]:
        """The number of rows, and a hash of their primary and natural keys."""
        columns = [*pk_columns(feed.model), *(part.column for part in feed.key_parts)]
        hashed = compose(
            "SELECT count(*) AS n, COALESCE(sum(hashtextextended(ROW({columns})::text, 0)), 0)::text AS digest"
            " FROM {table} AS t",
            columns=names(columns, of="t"),
            table=name(feed.table),
        )
        found = fetch(self.connection, hashed)[0]
        return found["n"], f"{found['n']}:{found['digest']}"
