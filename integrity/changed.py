"""Looking at a tracked rule: at what has changed since, or at everything, which proves that nothing went unnoticed.

Either is one transaction, from the taking of the notes to the record of what was found: killed or rolled back it leaves
the notes, and nobody looks at the same time, so that no answer overtakes a newer one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import DEFAULT_DB_ALIAS, OperationalError, connections, transaction
from django.db.models import Count, Q, QuerySet
from django.utils import timezone
from psycopg.errors import LockNotAvailable

from integrity import notes, records, statuses
from integrity.conf import conf
from integrity.enforcement.base import GUARDED
from integrity.enforcement.noted import Noted
from integrity.exceptions import NotChecked
from integrity.keys import Key
from integrity.look import look
from integrity.models import Run, Sweep, Violation
from integrity.observer import Observer
from integrity.reports import RuleReport
from integrity.rules.base import Rule
from integrity.schema import missing_tables
from integrity.scope import Scope

PATIENCE_MS = 10_000
"""How long another look at the same rule is waited for."""
TOLD = 10


class Tracked:
    """One look at one tracked rule."""

    def __init__(self, rule: Rule, run: Run, report: RuleReport, observer: Observer) -> None:
        self.rule, self.run, self.report, self.observer = rule, run, report, observer
        self.connection = connections[DEFAULT_DB_ALIAS]

    def perform(self, *, changed: bool, record: Callable[[], None]) -> None:
        """Look, and commit together with what ``record`` writes.

        changed: only at what has changed since the last look at everything. Raises NotChecked where nobody can tell.
        """
        with transaction.atomic():
            self.sweep = self._alone()
            way = Noted(self.rule)
            state = way.found(DEFAULT_DB_ALIAS).state
            if state != GUARDED and missing_tables(self.rule, DEFAULT_DB_ALIAS):
                # Told as by any other look.
                look(self.rule, Scope(), DEFAULT_DB_ALIAS, self.report)
                return record()
            self.accepted, self.expired = records.accepted_and_expired(self.rule, self.run.database)
            self.report.accepted = len(self.accepted)
            self.triggers = way.installed(self.connection) if state == GUARDED else ""
            self.is_base = self.sweep.triggers == self.triggers != ""
            if changed and not self.is_base:
                raise NotChecked(self._why_not(state))
            taken = notes.take(self.rule, self.connection)
            self.observer.reaches("taken")
            keys = self._changed_keys(taken)
            if changed and keys is not None and not self.sweep.truncated:
                self._look_at(keys)
            else:
                self._look_at_everything(keys)
            self.observer.reaches("looked")
            record()
            self.observer.reaches("recorded")
        self.observer.reaches("committed")
        return None

    def _alone(self) -> Sweep:
        """The record of the last look at everything, held until this one has ended."""
        with self.connection.cursor() as cursor:
            # Each statement must see what was committed before it.
            cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{PATIENCE_MS}ms"])
        ours = Sweep.objects.select_for_update().filter(rule=self.rule.label)
        try:
            found = ours.first()
            if found is None:
                Sweep.objects.bulk_create([Sweep(rule=self.rule.label)], ignore_conflicts=True)
                found = ours.get()
            return found
        except OperationalError as error:
            if not isinstance(error.__cause__, LockNotAvailable):
                raise
            raise NotChecked(f"Another run is looking at {self.rule.label}. Wait until it has ended.") from error

    def _why_not(self, state: str) -> str:
        way_out = f"manage.py integrity analyze {self.rule.label}"
        if state != GUARDED:
            return (
                f"What changes is not noted: its triggers are {state}."
                f" Run: manage.py makemigrations, migrate, then {way_out}"
            )
        return (
            "It was not looked at as a whole since its triggers were installed or switched on, so that what has changed"
            f" since is not known. Run: {way_out}"
        )

    def _changed_keys(self, from_notes: notes.Noted) -> set[Key] | None:
        """The keys that may break the rule now and did not then, or the other way round; None for all."""
        found = notes.resolved(self.rule, from_notes, self.connection)
        return None if found is None else found.union(self.expired)

    def _open(self) -> QuerySet[Violation]:
        return Violation.objects.filter(rule=self.rule.label, database=self.run.database, status=Violation.Status.OPEN)

    # What has changed

    def _look_at(self, keys: set[Key]) -> None:
        ordered = tuple(sorted(keys, key=str))
        look(self.rule, Scope(keys=ordered, without=self.accepted), DEFAULT_DB_ALIAS, self.report)
        self.report.changed = len(ordered)
        known, found = self._known()
        if known or self.report.sample:
            self._remember(Q(key__in=[self.rule.key_as_json(key) for key in ordered]))
            _, found = self._known()
        # Of all others it is known what they were, and that nothing has changed since.
        self.report.violations = found
        self.report.status = statuses.VIOLATED if self.report.violations else statuses.CLEAN
        if self.report.violations > conf().STORED_VIOLATIONS:
            Sweep.objects.filter(pk=self.sweep.pk).update(truncated=True)
        self.report.notes.append(
            f"{self.rule.label}: {_keys_told(len(ordered))} may have changed and"
            f" {'was' if len(ordered) == 1 else 'were'} looked at; for all others stands what run {self.sweep.run_id}"
            f" found on {timezone.localtime(self.sweep.at):%Y-%m-%d %H:%M}, and later runs."
        )

    def _known(self) -> tuple[int, int]:
        """How many violations are stored, whatever became of them, and how many of them are open."""
        ours = Violation.objects.filter(rule=self.rule.label, database=self.run.database)
        counted = ours.aggregate(known=Count("id"), found=Count("id", filter=Q(status=Violation.Status.OPEN)))
        return counted["known"], counted["found"]

    # Everything

    def _look_at_everything(self, keys: set[Key] | None) -> None:
        before = {_hashable(key) for key in self._open().values_list("key", flat=True)}
        look(self.rule, Scope(without=self.accepted), DEFAULT_DB_ALIAS, self.report)
        after = {_hashable(self.rule.key_as_json(found.key)) for found in self.report.sample}
        if self.is_base and keys is not None and not (self.sweep.truncated or self.report.truncated):
            self._compare(before ^ after, keys)
        self._remember(Q())
        Sweep.objects.filter(pk=self.sweep.pk).update(
            run=self.run, at=timezone.now(), triggers=self.triggers, truncated=self.report.truncated
        )

    def _compare(self, otherwise: set[Any], keys: set[Key]) -> None:
        """What was found otherwise than it stood in the records has been noted, or went unnoticed."""
        otherwise -= {_hashable(self.rule.key_as_json(key)) for key in keys}
        if otherwise:
            # What was committed after the notes were taken is seen by the look, and noted for the next one.
            later = self._changed_keys(notes.untaken(self.rule, self.connection))
            if later is None:
                return
            otherwise -= {_hashable(self.rule.key_as_json(key)) for key in later}
        self.report.unnoticed = len(otherwise)
        if not otherwise:
            return
        some = ", ".join(" ".join(map(str, part)) for key in sorted(otherwise)[:TOLD] for part in key)
        self.report.error = (
            f"{_keys_told(len(otherwise))} changed without being noted ({some}"
            f"{', ...' if len(otherwise) > TOLD else ''}), written past the triggers, as with"
            " session_replication_role = replica. Earlier answers of --changed were wrong; this one is recorded."
        )

    def _remember(self, looked_at: Q) -> None:
        self.report.new, self.report.resolved = records.remember(
            self.rule, self.run, self.report.sample, looked_at=looked_at, truncated=self.report.truncated
        )
        if self.report.unnoticed:
            self.report.status = statuses.PARTIAL


def _keys_told(number: int) -> str:
    return "1 key" if number == 1 else f"{number:,} keys"


def _hashable(key: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((part, str(value)) for part, value in key.items()))
