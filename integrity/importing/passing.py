"""One pass over the feeds, inside the transaction of an import: stage all, then compare and write each."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Q

from integrity.enforcement.declared import our_triggers
from integrity.exceptions import Refused, UsageError
from integrity.importing.declarations import Feed, Import
from integrity.importing.gates import Gates
from integrity.importing.matching import INSERT, UPDATE, VANISH, Diff, Survey
from integrity.importing.rejects import Rejects
from integrity.importing.renames import match_renamed
from integrity.importing.reports import FeedReport, ImportReport
from integrity.importing.snapshot import Snapshots
from integrity.importing.sources import Given, UnreadableFile
from integrity.importing.staging import Staged
from integrity.importing.unclear import set_aside
from integrity.importing.validation import validate
from integrity.importing.writing import Writer
from integrity.journal import note_columns
from integrity.models import Run
from integrity.observer import Observer
from integrity.registry import registry
from integrity.safety import enter
from integrity.schema import triggers
from integrity.statement import Statement, compose, name, run

_MANY = 1_000
_WORK_MEM = "64MB"


class TooManyVanished(Refused):
    """More rows have gone from the feed than may; everything was rolled back."""


class Passing:
    """The steps between the lock and the commit."""

    def __init__(self, wanted: Import, run: Run, report: ImportReport, rejects: Rejects, observer: Observer) -> None:
        self.wanted, self.run, self.report, self.rejects, self.observer = wanted, run, report, rejects, observer
        self.connection = connections[DEFAULT_DB_ALIAS]
        self.gates = Gates(wanted, self.connection)
        self.snapshots = Snapshots(run, self.connection)
        self.writes = False
        self.changed: set[str] = set()
        """The tables of which rows were updated."""

    def perform(self, sources: Mapping[str, Given], only: str | None, batch_size: int) -> None:
        """Do all of it. Raises Refused for whatever must not be; DatabaseError."""
        # A dry run keeps nobody from importing, and is kept by nobody.
        own = f" {self.run.pk}" if self.run.dry_run else ""
        enter(self.run, [feed.label + own for feed in self.wanted.feeds], self.connection)
        self._make_room()
        self._check_now()
        self.observer.reaches("locked")
        staged = [Staged(feed, sources[feed.name], self.connection, self.rejects) for feed in self.wanted.feeds]
        for one in staged:
            self._fill(one, only)
            self._of(one.feed).checked = one.count + one.unreadable
        self._refuse_unknown_part(staged, only)
        self.observer.reaches("staged")
        for one in staged:
            validate(one)
        self.observer.reaches("validated")
        for one in staged:
            self._import(one, only, batch_size)
        self.observer.reaches("written")
        if self.writes:
            self._check_now()
            self._tell_planner()
            self.report.gates = self.gates.check()
            for feed in self.wanted.feeds:
                self.snapshots.check(feed)
                self.snapshots.store(feed, self._of(feed), others_changed=self.changed - {feed.table})
        self.observer.reaches("checked")

    def _make_room(self) -> None:
        """Whole tables are joined and grouped: what does not fit into memory goes to the disk and back."""
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('work_mem', %s, true) WHERE pg_size_bytes(current_setting('work_mem'))"
                " < pg_size_bytes(%s)",
                [_WORK_MEM, _WORK_MEM],
            )
            # Of temporary tables the planner needs little; to sample more of them takes longer than it saves.
            cursor.execute("SET LOCAL default_statistics_target = 10")

    def _fill(self, staged: Staged, only: str | None) -> None:
        try:
            staged.fill(only)
        except UnreadableFile as error:
            self.report.unreadable = staged.feed.name
            self._of(staged.feed).error = str(error)
            raise

    def _check_now(self) -> None:
        """What a deferred constraint would refuse at COMMIT is refused where the row is written."""
        with self.connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")

    def _tell_planner(self) -> None:
        """After many new rows the statistics of a table are of another one, and looks at it take far too long."""
        run(self.connection, Statement("SET LOCAL default_statistics_target TO DEFAULT"))
        for feed in self.wanted.feeds:
            if self._of(feed).inserted > max(_MANY, self.snapshots.taken[feed.table].rows // 10):
                run(self.connection, compose("ANALYZE {table}", table=name(feed.table)))

    def _import(self, staged: Staged, only: str | None, batch_size: int) -> None:
        feed, report = staged.feed, self._of(staged.feed)
        diff = Diff(staged, only)
        diff.compare()
        survey = diff.survey()
        if survey.writes:
            diff.tell_planner()
            touched = set_aside(diff, survey)
            touched |= bool(survey.numbered) and match_renamed(diff)
            survey = diff.survey() if touched else survey
        report.notes += diff.notes
        self.observer.reaches("compared")
        if not self._vanish(diff, survey.vanishes, report):
            survey.vanishes = 0
        if not survey.writes:
            return
        changed = diff.changed() if survey.updates else {}
        self._before_writing()
        self._refuse_triggers(diff, survey, list(changed))
        note_columns(self.run, feed.model, set(feed.allow_triggers), self.connection)
        Writer(diff, self.run, report, self.observer, changed).write(batch_size, survey)
        if report.updated:
            self.changed.add(feed.table)

    def _before_writing(self) -> None:
        """Once, before the first row of any feed is written."""
        if self.writes:
            return
        self.writes = True
        self.gates.look_before()
        for feed in self.wanted.feeds:
            self.snapshots.take(feed)
        self.observer.reaches("snapshotted")

    def _vanish(self, diff: Diff, gone: int, report: FeedReport) -> bool:
        """Whether the rows that are not in the feed are gone. Raises TooManyVanished."""
        if not gone:
            return False
        if diff.only is not None and diff.feed.part is None:
            return False
        if diff.staged.unknown:
            report.notes.append(
                f"{gone} rows of {diff.feed.table} are not in the feed and were left as they are: a rejected row has no"
                " readable key, and may be one of them."
            )
            return False
        present = Q(**{f"{field}": held for field, held in diff.feed.vanished.items()})
        there = diff.target_rows().exclude(present).count()
        if not diff.feed.limit.allows(gone, there):
            raise TooManyVanished(
                f"{gone} of {there} rows of {diff.feed.table} are not in the feed {diff.staged.file}, and"
                f" {diff.feed.limit} may vanish at once. Everything was rolled back. Is the file complete? If it is,"
                f" raise may_vanish of the feed {diff.feed.label}."
            )
        return True

    def _refuse_triggers(self, diff: Diff, survey: Survey, changed: list[str]) -> None:
        """What a trigger of somebody else writes would be neither journaled nor undone."""
        spared = {*diff.feed.allow_triggers, *our_triggers(registry)}
        for operation, done, sets in (
            (INSERT, "insert", diff.sets),
            (UPDATE, "update", changed),
            (VANISH, "update", list(diff.gone)),
        ):
            if not survey.of(operation):
                continue
            foreign = [t for t in triggers(diff.feed.table, done, sets, self.connection) if t not in spared]
            if foreign:
                raise Refused(
                    f"The {done} of {diff.feed.table} would fire the trigger {', '.join(foreign)}, whose own writes"
                    " could not be journaled or undone. Nothing was written. If it writes nothing that matters, declare"
                    f" it on the feed: allow_triggers={foreign!r}."
                )

    def _refuse_unknown_part(self, staged: list[Staged], only: str | None) -> None:
        parted = [one for one in staged if one.feed.part is not None]
        if only is None or any(one.count for one in parted):
            return
        raise UsageError(f"No row of {', '.join(one.file for one in parted)} belongs to {only!r}.")

    def _of(self, feed: Feed) -> FeedReport:
        return next(report for report in self.report.feeds if report.rule == feed.label)
