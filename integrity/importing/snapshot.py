"""What an import finds before it writes: how many rows refer to its targets, and which key each target has.

Keys are added to a table that the app declares and never taken from it, so that nothing of an earlier import is copied
or lost, and a reference can be led back when somebody else has deleted what it refers to.
"""

from __future__ import annotations

from typing import Any

from integrity.exceptions import Refused
from integrity.importing.declarations import Feed
from integrity.importing.reports import FeedReport
from integrity.journal import CHANGES
from integrity.keys import pk_columns
from integrity.models import Run, Snapshot
from integrity.references import Referring, referring
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
            counted = compose(
                "SELECT count(*) AS rows, {dangling} AS dangling FROM {table} AS c WHERE {referred}",
                dangling=_dangling(feed, reference) if reference.soft else Statement("0"),
                table=name(reference.table),
                referred=_referred(reference),
            )
            counts = fetch(self.connection, counted)[0]
            found.append({"table": reference.table, "columns": list(reference.columns), **counts})
        return found

    def check(self, feed: Feed) -> None:
        """After the last write: nothing leads nowhere that did not before. Raises NotPreserved."""
        before = {(one["table"], *one["columns"]): one["dangling"] for one in self.taken[feed.table].references}
        for reference in referring(feed.model, self.connection):
            if not reference.soft:
                # A foreign key keeps what it refers to.
                continue
            now = fetch(self.connection, compose("SELECT {n} AS n", n=_dangling(feed, reference)))[0]["n"]
            more = now - before[reference.table, *reference.columns]
            if more > 0:
                raise NotPreserved(
                    f"{more} rows of {reference.table} would refer to rows of {feed.table} that are gone. Everything"
                    " was rolled back."
                )

    def store(self, feed: Feed, report: FeedReport, *, others_changed: set[str]) -> None:
        """Keep the snapshot, and the keys as the import leaves them.

        others_changed: the tables besides the feed's of which rows were updated: a key may lead through them.
        """
        taken = self.taken[feed.table]
        keyed = self._has_other_keys(feed, report)
        taken.rows_after = taken.rows + report.inserted
        if keyed:
            taken.rows_after, taken.digest = self._digest(feed)
        if feed.kept is not None and (keyed or others_changed):
            rows = feed.kept.rows(feed.model)
            # One pass over all of them is quicker than finding many by their journal.
            whole = others_changed or report.written > max(_FEW, taken.rows_after // 10)
            feed.kept.keep(rows if whole else self._written(feed, rows), self.connection)
        taken.save()

    def _has_other_keys(self, feed: Feed, report: FeedReport) -> bool:
        """Whether any row has been given a key, its primary one or that by which it is known."""
        paths = [*feed.key, *(path.split("__")[0] for path in (feed.kept.key.values() if feed.kept else ()))]
        return bool(report.inserted or report.renamed or set(paths) & set(report.fields))

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


def _referred(reference: Referring) -> Statement:
    return joined(" AND ", (compose("c.{c} IS NOT NULL", c=name(c)) for c in reference.columns))


def _dangling(feed: Feed, reference: Referring) -> Statement:
    """A count of the rows that refer to no row of the feed's table."""
    return compose(
        "(SELECT count(*) FROM {table} AS c WHERE {referred} AND NOT EXISTS (SELECT FROM {target} AS t WHERE {on}))",
        table=name(reference.table),
        referred=_referred(reference),
        target=name(feed.table),
        on=reference.on,
    )
