"""import: rows of a feed become rows of a model, all of them or none, and whatever refers to one still does.

1 validate the files and the constraints of the database, 2 keep what refers to the targets, 3 write what differs, 4
mark what has gone from the feed, 5 look at every rule again, 6 report. One transaction: killed at any step, the
database is as before or the import is complete.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, router, transaction

from integrity import events, leases, records, statuses
from integrity.exceptions import EngineError, LostRun, Refused, UsageError, sentence
from integrity.importing.declarations import Import
from integrity.importing.passing import Passing
from integrity.importing.protection import VALID, constraints, refuse_switched_off
from integrity.importing.rejects import NotWritten, Rejects
from integrity.importing.reports import FeedReport, ImportReport
from integrity.importing.restoring import duplicates, restore_constraint
from integrity.importing.sources import Given, find
from integrity.models import RejectedRow, Run
from integrity.observer import Observer
from integrity.schedules.healing import heal_after
from integrity.schema import require_declared

logger = logging.getLogger(__name__)

STEPS = ("begun", "locked", "staged", "validated", "snapshotted", "compared", "batch", "written", "checked", "recorded")
"""What an Observer is told of; ``committed`` follows when the transaction has ended."""


def run_import(
    wanted: Import,
    given: Path | Mapping[str, Given],
    *,
    only: str | None = None,
    dry_run: bool = False,
    batch_size: int | None = None,
    error_budget: int | None = None,
    rejects: Path | None = None,
    actor: str | None = None,
    reason: str = "",
    sample: int = 20,
    observer: Observer | None = None,
) -> ImportReport:
    """Import feeds, as one run that can be undone.

    given: a folder, a file where the import has one feed, or for each feed a file or an iterable of mappings. only: the
    part of each feed that declares one. dry_run: the same path, rolled back. rejects: the file for rejected rows, JSON
    lines, ``{run}`` in its name is the number of the run; none is written where no row is rejected.

    Raises UsageError, RunInProgress naming the run that holds the feed, and LostRun; what else goes wrong is in the
    report, and nothing was written then.
    """
    sources = _sources(wanted, given)
    wanted = wanted.given(sources)
    _refuse_usage(wanted, only, batch_size, error_budget)
    run, resumed = leases.take(
        [(feed.label, "") for feed in wanted.feeds],
        Run.Verb.IMPORT,
        exclusive=not dry_run,
        actor=actor,
        reason=reason,
        dry_run=dry_run,
        keys=None,
        options={
            "import": wanted.label,
            "only": only,
            "files": {name: str(source) if isinstance(source, Path) else "" for name, source in sources.items()},
            "columns": {},
            "triggers": [],
        },
    )
    budget = wanted.error_budget if error_budget is None else error_budget
    work = _Work(wanted, run, Rejects(budget), observer or Observer(), sample)
    work.report.resumed = resumed
    with leases.Heartbeat(run):
        work.perform(sources, only, batch_size or wanted.batch_size, rejects, actor)
    work.heal()
    return work.report


def _sources(wanted: Import, given: Path | Mapping[str, Given]) -> dict[str, Given]:
    if isinstance(given, Path):
        if given.is_file() and len(wanted.feeds) > 1:
            names = ", ".join(f"{feed.file}.json" for feed in wanted.feeds)
            raise UsageError(f"{wanted.label} reads a folder with {names}; {given} is a file.")
        found = {feed.name: find(given, feed.file, required=feed.required) for feed in wanted.feeds}
        sources: dict[str, Given] = {name: path for name, path in found.items() if path is not None}
    else:
        for name in given:
            wanted.feed(name)
        sources = {feed.name: given[feed.name] for feed in wanted.feeds if feed.name in given}
    missing = [feed.name for feed in wanted.feeds if feed.required and feed.name not in sources]
    if missing or not sources:
        raise UsageError(f"{wanted.label} was given nothing for its feeds {', '.join(missing)}.")
    return sources


def _refuse_usage(wanted: Import, only: str | None, batch_size: int | None, error_budget: int | None) -> None:
    if only is not None and not wanted.has_parts:
        raise UsageError(f"No feed of {wanted.label} declares a part, so that {only!r} means nothing. Leave it out.")
    if batch_size is not None and batch_size < 1:
        raise UsageError(f"A batch has at least 1 row, not {batch_size}.")
    if error_budget is not None and error_budget < 0:
        raise UsageError(f"The error budget is at least 0 rows, not {error_budget}.")
    for feed in wanted.feeds:
        if router.db_for_write(feed.model) != DEFAULT_DB_ALIAS:
            raise UsageError(f"{feed.model._meta.label} does not live in {DEFAULT_DB_ALIAS!r}, where the journal is.")


class _Work:
    """One import at work."""

    def __init__(self, wanted: Import, run: Run, rejects: Rejects, observer: Observer, sample: int) -> None:
        self.wanted, self.run, self.rejects, self.observer, self.sample = wanted, run, rejects, observer, sample
        self.connection = connections[DEFAULT_DB_ALIAS]
        self.report = ImportReport(run.pk, run.verb, dry_run=run.dry_run, name=wanted.label)
        self.report.rules = [FeedReport(feed.label) for feed in wanted.feeds]

    def perform(
        self, sources: dict[str, Given], only: str | None, batch_size: int, rejects: Path | None, actor: str | None
    ) -> None:
        """Do it and say what happened; raises LostRun alone."""
        started = time.perf_counter()
        try:
            self.observer.reaches("begun")
            refuse_switched_off(self.connection)
            require_declared({feed.model for feed in self.wanted.feeds}, self.connection)
            self._protect(actor)
            # Nothing of an import may be there without the rest of it.
            with transaction.atomic(durable=True):
                passing = Passing(self.wanted, self.run, self.report, self.rejects, self.observer)
                passing.perform(sources, only, batch_size)
                self._conclude(rejects, started)
                if self.run.dry_run:
                    transaction.set_rollback(True)
                else:
                    self._record()
                self.observer.reaches("recorded")
            self.observer.reaches("committed")
            if self.run.dry_run:
                self._record()
        except LostRun:
            raise
        except (DatabaseError, EngineError) as error:
            self._fail(error, sentence(error), rejects)
        except Exception as error:
            # An iterator of the app may raise anything; the run must not stay open for it.
            logger.exception("%s could not be imported", self.wanted.label, extra=events.failed(self.run))
            self._fail(error, f"{type(error).__name__}: {sentence(error)}", rejects)

    def heal(self) -> None:
        """What the import has led to, where a rule declares its repair automatic; the import itself is complete."""
        if self.run.dry_run or not self.report.changes:
            return
        try:
            models = {feed.model for feed in self.wanted.feeds}
            self.report.look, self.report.healed = heal_after(models, self.run, observer=self.observer)
        except (DatabaseError, EngineError) as error:
            self._replace_broken()
            self.report.rules[0].notes.append(f"What it has led to could not be looked at: {sentence(error)}")
        self.report.rules[0].notes += [f"{one.rule.label}: {one.told}" for one in self.report.healed]

    def _protect(self, actor: str | None) -> None:
        """Constraints that are missing are made, in runs of their own, before anything is imported."""
        notes = self.report.rules[0].notes
        for lacking in constraints(self.wanted.feeds, self.connection):
            if lacking.state == VALID:
                continue
            if not self.run.dry_run:
                notes += restore_constraint(lacking, self.connection, actor=actor, observer=Observer())
            elif lacking.kind == "unique constraint" and duplicates(lacking, self.connection):
                raise Refused(
                    f"{lacking} is {lacking.state}, and {duplicates(lacking, self.connection)} keys occur more than"
                    " once. The import would merge them first; a dry run writes nothing and stops here."
                )
            else:
                notes.append(f"{lacking} is {lacking.state}; the import would make it first.")

    def _conclude(self, rejects: Path | None, started: float) -> None:
        for feed in self.report.feeds:
            feed.rejected = feed.skipped = self.rejects.count(feed.rule)
            feed.unchanged = (feed.checked or 0) - feed.inserted - feed.updated - feed.rejected
            feed.changes = feed.written
            feed.status = statuses.PARTIAL if feed.rejected else statuses.CLEAN
            if self.run.dry_run and feed.changes and not feed.rejected:
                feed.status = statuses.VIOLATED
            feed.seconds = round(time.perf_counter() - started, 3)
        self._tell_rejects(rejects)

    def _tell_rejects(self, rejects: Path | None) -> None:
        self.report.rejects = self.rejects.found[: self.sample]
        if rejects is not None and self.rejects.found:
            path = rejects.with_name(rejects.name.replace("{run}", str(self.run.pk)))
            self.rejects.write(path)
            self.report.rejects_file = str(path)

    def _record(self) -> None:
        """Together with what was imported: whoever finds the run closed finds all of it."""
        with transaction.atomic():
            self._note()
            self.rejects.store(self.run)
            for feed in self.report.feeds:
                feed.outcomes = {name: count for name, count in feed.numbers().items() if count}
                records.save_result(self.run, feed)
            records.close_run(
                self.run, self.report.status, "; ".join(feed.error for feed in self.report.feeds if feed.error)
            )

    def _note(self) -> None:
        """Keep with the run what its results have no column for."""
        records.hold(self.run)
        self.run.options["changed"] = {feed.rule: feed.fields for feed in self.report.feeds if feed.fields}
        self.run.options["gates"] = self.report.gates
        self.run.save(update_fields=["options"])

    def _replace_broken(self) -> None:
        """A connection that broke is opened anew by whoever asks next; not one in a test's own transaction."""
        if not self.connection.in_atomic_block:
            self.connection.close_if_unusable_or_obsolete()

    def _fail(self, error: Exception, told: str, rejects: Path | None) -> None:
        """Nothing of it was kept; why is written down."""
        self._replace_broken()
        self.run.refresh_from_db()
        if self.run.status != statuses.RUNNING:
            # The connection was lost after the commit: it is complete, and said to be so.
            return
        for feed in self.report.feeds:
            feed.inserted = feed.updated = feed.unchanged = feed.deactivated = feed.renamed = feed.changes = 0
            feed.rejected = feed.skipped = self.rejects.count(feed.rule)
            feed.fields = {}
            feed.status = statuses.REFUSED if isinstance(error, Refused | UsageError) else statuses.FAILED
        self.report.error = told
        if not self.report.unreadable:
            self.report.rules[0].error = told
        if not isinstance(error, NotWritten):
            try:
                self._tell_rejects(rejects)
            except NotWritten as unwritten:
                self.report.rules[0].notes.append(str(unwritten))
        self.report.rejects = self.rejects.found[: self.sample]
        RejectedRow.objects.filter(run=self.run).delete()
        self._record()
