"""enforce: guard, clean, validate. The guard lets no violation in; once none is left, that is proven and recorded."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, transaction
from django.utils import timezone

from integrity import records, statuses
from integrity.conf import conf
from integrity.enforcement.check import add_statement, drop_statement, validate_statement
from integrity.enforcement.states import ENFORCED, GUARDED, MISSING, state, version
from integrity.enforcement.triggers import triggers_of
from integrity.exceptions import EngineError, Refused, UsageError, sentence
from integrity.look import look
from integrity.models import Enforcement, Run
from integrity.reports import Report, RuleReport
from integrity.restore import is_passing
from integrity.rules.always import Always
from integrity.rules.base import Rule
from integrity.rules.derived import Derived
from integrity.scope import Scope
from integrity.statement import Statement, fetch


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
    repaired. Raises UsageError for a rule that is not declared with ``enforce=True``.
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
    opened = records.open_run(
        Run.Verb.ENFORCE,
        database=DEFAULT_DB_ALIAS,
        actor=actor,
        reason=reason,
        dry_run=dry_run,
        options={"remove": remove},
    )
    report = Report(opened.pk, opened.verb, dry_run=dry_run)
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
        self.report = RuleReport(rule.label)

    def perform(self, *, remove: bool) -> RuleReport:
        started = time.perf_counter()
        try:
            self._remove() if remove else self._enforce()
        except (DatabaseError, EngineError) as error:
            self.report.status = statuses.REFUSED if isinstance(error, Refused) else statuses.FAILED
            self.report.error = sentence(error)
        self.report.enforcement = state(self.rule)
        self.report.sample = self.report.sample[: self.sample]
        self.report.seconds = round(time.perf_counter() - started, 3)
        return self.report

    def _enforce(self) -> None:
        before = state(self.rule)
        if before not in (GUARDED, ENFORCED):
            if isinstance(self.rule, Always) and not self.accept_dirty:
                self._refuse_dirty()
            self._refuse_partitions()
            self._forget_proof()
            self._carry_out(self._guard())
        look(self.rule, Scope(), DEFAULT_DB_ALIAS, self.report)
        if self.report.violations:
            self._forget_proof()
        if not self.report.violations and not self.dry_run:
            self._prove(before)
        if self.dry_run and self.report.changes:
            self.report.status = statuses.VIOLATED

    def _refuse_dirty(self) -> None:
        look(self.rule, Scope(), DEFAULT_DB_ALIAS, self.report)
        if self.report.violations:
            raise Refused(
                f"{self.report.violations} rows break {self.rule.label}, and a CHECK refuses any update of such rows,"
                " of other columns too, until it is repaired. Repair them first, or guard the table all the same: --yes"
            )

    def _refuse_partitions(self) -> None:
        """Whoever writes to a partition or a child table by its own name fires no trigger of the table above."""
        if isinstance(self.rule, Always):
            return
        tables = sorted({model._meta.db_table for model, _ in triggers_of(self._derived)})
        found = fetch(
            self.connection,
            Statement(
                "SELECT t FROM unnest(%s::text[]) AS t JOIN pg_class AS c ON c.oid = to_regclass(quote_ident(t))"
                " WHERE c.relkind <> 'r' OR c.relispartition"
                " OR EXISTS (SELECT FROM pg_inherits AS i WHERE c.oid IN (i.inhparent, i.inhrelid))",
                (tables,),
            ),
        )
        if found:
            raise Refused(
                f"{', '.join(row['t'] for row in found)} is partitioned, inherits or is inherited from: a write to one"
                " of its tables by name would pass the triggers of the others. Leave enforce= out and repair by cron."
            )

    def _forget_proof(self) -> None:
        """What was proven held for triggers that stayed in force, and for the time until something was found."""
        if not self.dry_run:
            Enforcement.objects.filter(rule=self.rule.label, database=DEFAULT_DB_ALIAS).delete()

    def _guard(self) -> list[Statement]:
        if isinstance(self.rule, Always):
            table = self.rule.model._meta.db_table
            return [drop_statement(self.rule), add_statement(self.rule, table, DEFAULT_DB_ALIAS)]
        return [_verbatim(sql) for sql in _install(self._derived)]

    def _prove(self, before: str) -> None:
        if isinstance(self.rule, Always):
            if before != ENFORCED:
                self._carry_out([validate_statement(self.rule)])
            return
        Enforcement.objects.update_or_create(
            rule=self.rule.label,
            database=DEFAULT_DB_ALIAS,
            defaults={"version": version(self._derived), "validated_at": timezone.now(), "run": self.run},
        )

    def _remove(self) -> None:
        if isinstance(self.rule, Always):
            statements = [drop_statement(self.rule)] if state(self.rule) != MISSING else []
        else:
            statements = [_verbatim(sql) for sql in _uninstall(self._derived, self.connection)]
        self._carry_out(statements)
        self._forget_proof()
        self.report.status = statuses.VIOLATED if self.dry_run and self.report.changes else statuses.CLEAN

    @property
    def _derived(self) -> Derived:
        assert isinstance(self.rule, Derived)
        return self.rule

    def _carry_out(self, statements: Sequence[Statement]) -> None:
        """All or none of the statements, again while somebody holds the table; writers wait no longer than we do."""
        for attempt in range(conf().LOCK_RETRIES):
            try:
                self._transaction(statements)
                break
            except DatabaseError as error:
                if not is_passing(error):
                    raise
                if attempt == conf().LOCK_RETRIES - 1:
                    raise NotEnforced(
                        f"Somebody holds a table of {self.rule.label}: in {conf().LOCK_RETRIES} attempts it was not"
                        f" free within {conf().LOCK_TIMEOUT_MS} ms. Nothing was changed. Try again when the long"
                        " transaction has ended (pg_stat_activity tells which)."
                    ) from error
                time.sleep(0.1 * 2**attempt)
        self.report.changes += len(statements)

    def _transaction(self, statements: Sequence[Statement]) -> None:
        # Half of the triggers of a rule would keep half of its changes true.
        with transaction.atomic():
            with self.connection.cursor() as cursor:
                cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{conf().LOCK_TIMEOUT_MS}ms"])
                for statement in statements:
                    cursor.execute(statement.text, statement.params)
            if self.dry_run:
                transaction.set_rollback(True)


# Triggers


def _verbatim(text: str) -> Statement:
    return Statement(text.replace("%", "%%"))


def _install(rule: Derived) -> list[str]:
    return [trigger.compile(model).install_sql for model, trigger in triggers_of(rule)]


def _uninstall(rule: Derived, connection: Any) -> list[str]:
    """For what is there: some of the triggers may have gone, and a function without its trigger goes too."""
    compiled = [trigger.compile(model) for model, trigger in triggers_of(rule)]
    there = fetch(
        connection,
        Statement(
            "SELECT n FROM unnest(%s::text[]) AS n WHERE EXISTS (SELECT FROM pg_trigger WHERE tgname = n)"
            " OR EXISTS (SELECT FROM pg_proc WHERE proname = n)",
            ([trigger.sql.pgid for trigger in compiled],),
        ),
    )
    found = {row["n"] for row in there}
    return [trigger.uninstall_sql for trigger in compiled if trigger.sql.pgid in found]
