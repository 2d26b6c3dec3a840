"""enforce: guard, clean, validate. The guard lets no violation in; once none is left, that is proven and recorded."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress

from django.db import DEFAULT_DB_ALIAS, DatabaseError, IntegrityError, connections, transaction
from django.utils import timezone

from integrity import leases, records, statuses
from integrity.conf import conf
from integrity.enforcement.base import ENFORCED, GUARDED, RETIRED, Step
from integrity.enforcement.states import found
from integrity.enforcement.ways import enforcement_of
from integrity.exceptions import EngineError, LostRun, Refused, UsageError, sentence
from integrity.locking import lock_together
from integrity.look import look
from integrity.models import Enforcement, Run
from integrity.reports import Report, RuleReport
from integrity.rules.base import Rule
from integrity.scope import Scope
from integrity.statement import Statement, run
from integrity.undoing.restore import is_passing

PATIENCE = 25
"""How many times longer a step waits behind which nobody queues: an index that is built beside writers."""


class NotEnforced(EngineError):
    """The database could not be given or rid of what keeps a rule true; nothing of it was done."""


def enforce(
    rules: Iterable[Rule],
    *,
    remove: bool = False,
    dry_run: bool = False,
    accept_dirty: bool = False,
    actor: str | None = None,
    reason: str = "",
    sample: int = 20,
) -> Report:
    """Install what keeps rules true and, where no violation is left, prove it; or take it away.

    accept_dirty: guard a table with a CHECK although rows break it, which then cannot be updated before they are
    repaired. Raises UsageError for a rule that is not declared with ``enforce=True``, and RunInProgress.
    """
    chosen = list(rules)
    if not chosen:
        raise UsageError(
            "None of these rules is declared to be enforced. Add enforce=True to one, then makemigrations."
        )
    for rule in chosen:
        if not rule.enforce:
            raise UsageError(
                f"{rule.label} is not declared to be enforced. Add enforce=True to it, then makemigrations."
            )
    # Two at a time would each take for failed what the other is building.
    opened, resumed = leases.take(
        [(rule.label, "remove" if remove else "") for rule in chosen],
        Run.Verb.ENFORCE,
        exclusive=not dry_run,
        actor=actor,
        keys=None,
        reason=reason,
        dry_run=dry_run,
        options={"remove": remove},
    )
    report = Report(opened.pk, opened.verb, dry_run=dry_run, resumed=resumed)
    with leases.Heartbeat(opened):
        for rule in chosen:
            work = _Work(rule, opened, dry_run=dry_run, accept_dirty=accept_dirty, sample=sample)
            report.rules.append(work.perform(remove=remove))
            records.save_result(opened, report.rules[-1])
    records.close_run(opened, report.status)
    return report


class _Work:
    """Enforcement of one rule."""

    def __init__(self, rule: Rule, opened: Run, *, dry_run: bool, accept_dirty: bool, sample: int) -> None:
        self.rule, self.run, self.dry_run = rule, opened, dry_run
        self.accept_dirty, self.sample = accept_dirty, sample
        self.connection = connections[DEFAULT_DB_ALIAS]
        self.way = enforcement_of(rule)
        self.report = RuleReport(rule.label)

    def perform(self, *, remove: bool) -> RuleReport:
        started = time.perf_counter()
        try:
            self._remove() if remove else self._enforce()
        except LostRun:
            raise
        except (DatabaseError, EngineError) as error:
            if not self.connection.in_atomic_block:
                self.connection.close_if_unusable_or_obsolete()
            self.report.status = statuses.REFUSED if isinstance(error, Refused) else statuses.FAILED
            self.report.error = sentence(error)
        installed = found(self.rule)
        self.report.enforcement = installed.state
        self.report.notes += [f"{self.rule.label} is {installed.state}: {installed.why}."] if installed.why else []
        self.report.sample = self.report.sample[: self.sample]
        self.report.seconds = round(time.perf_counter() - started, 3)
        return self.report

    def _enforce(self) -> None:
        before = found(self.rule).state
        if before == RETIRED:
            self.report.status = statuses.RETIRED
            return
        if before not in (GUARDED, ENFORCED):
            self.way.refuse(DEFAULT_DB_ALIAS)
            if self.way.dirty == "refuse" or (self.way.dirty == "ask" and not self.accept_dirty):
                self._refuse_dirty()
            self._forget_proof()
            self._carry_out(self.way.guard(DEFAULT_DB_ALIAS))
        self._look()
        if self.report.violations:
            self._forget_proof()
        if not self.report.violations and not self.dry_run:
            self._prove(before)
        if self.dry_run and self.report.changes:
            self.report.status = statuses.VIOLATED

    def _look(self) -> None:
        # Only what is refused while a violation exists was looked at before; then none has got in since.
        if self.way.dirty != "refuse" or self.report.checked is None:
            look(self.rule, Scope(), DEFAULT_DB_ALIAS, self.report)

    def _refuse_dirty(self) -> None:
        look(self.rule, Scope(), DEFAULT_DB_ALIAS, self.report)
        if self.report.violations:
            raise Refused(self.way.refusal(self.report.violations))

    def _forget_proof(self) -> None:
        """What was proven held for triggers that stayed in force, and for the time until something was found."""
        if not self.dry_run:
            Enforcement.objects.filter(rule=self.rule.label, database=DEFAULT_DB_ALIAS).delete()

    def _prove(self, before: str) -> None:
        if before != ENFORCED:
            self._carry_out(self.way.validate(DEFAULT_DB_ALIAS))
        if self.way.recorded:
            Enforcement.objects.update_or_create(
                rule=self.rule.label,
                database=DEFAULT_DB_ALIAS,
                defaults={"version": self.way.version(), "validated_at": timezone.now(), "run": self.run},
            )

    def _remove(self) -> None:
        self._carry_out(self.way.remove(DEFAULT_DB_ALIAS))
        self._forget_proof()
        self.report.status = statuses.VIOLATED if self.dry_run and self.report.changes else statuses.CLEAN

    def _carry_out(self, steps: Sequence[Step]) -> None:
        for step in steps:
            self._attempt(step)
            self.report.changes += len(step.statements)

    def _attempt(self, step: Step) -> None:
        """One step, again while somebody holds the table; writers wait no longer than we do."""
        for attempt in range(conf().LOCK_RETRIES):
            try:
                return self._alone(step, again=attempt > 0) if step.alone else self._transaction(step)
            except IntegrityError as error:
                # Written after the look, before the statement that would have refused it.
                self._refuse_dirty()
                raise NotEnforced(sentence(error)) from error
            except DatabaseError as error:
                if not is_passing(error):
                    raise
                if attempt == conf().LOCK_RETRIES - 1:
                    raise NotEnforced(self._held(step)) from error
                time.sleep(0.1 * 2**attempt)
        return None

    def _held(self, step: Step) -> str:
        return (
            f"Somebody holds a table of {self.rule.label}: in {conf().LOCK_RETRIES} attempts it was not"
            f" free within {conf().LOCK_TIMEOUT_MS * (PATIENCE if step.alone else 1)} ms."
            f"{'' if step.alone else ' Nothing was changed.'} Try again when the long"
            " transaction has ended (pg_stat_activity tells which)."
        )

    def _transaction(self, step: Step) -> None:
        # Half of the triggers of a rule would keep half of its changes true.
        with transaction.atomic():
            with self.connection.cursor() as cursor:
                cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{conf().LOCK_TIMEOUT_MS}ms"])
                if step.tables:
                    lock_together(step.tables, self.connection)
                for statement in step.statements:
                    cursor.execute(statement.text, statement.params)
            if self.dry_run:
                transaction.set_rollback(True)

    def _alone(self, step: Step, *, again: bool) -> None:
        """A step that no transaction can take back: not carried out in a dry run, and cleared away where it fails."""
        if self.dry_run:
            return
        if self.connection.in_atomic_block:
            raise Refused(
                f"What keeps {self.rule.label} true is built beside writers, which no transaction can: call enforce()"
                " outside of atomic()."
            )
        if again:
            self._clear_away()
        try:
            self._patiently(step.statements[0])
        except DatabaseError as error:
            if not is_passing(error):
                # What stays all the same is found in the catalog the next time.
                with suppress(DatabaseError):
                    self._clear_away()
            raise

    def _clear_away(self) -> None:
        for rest in self.way.left_over(DEFAULT_DB_ALIAS):
            self._patiently(rest.statements[0])

    def _patiently(self, statement: Statement) -> None:
        limit = f"{conf().LOCK_TIMEOUT_MS * PATIENCE}ms"
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, false)", [limit])
            try:
                run(self.connection, statement)
            finally:
                cursor.execute("RESET lock_timeout")
