"""Writing down what runs find: results, and violations with the time they were first and last seen."""

from __future__ import annotations

import datetime
import getpass
import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.models import F, Q
from django.utils import timezone

from integrity import events, statuses
from integrity.alerts.deciding import note
from integrity.conf import conf
from integrity.exceptions import LostRun
from integrity.keys import Key, as_json
from integrity.models import Result, Run, Violation
from integrity.reports import Finding, RuleReport, added
from integrity.rules.base import Rule
from integrity.statement import compose, fetch, name, value

_REPORTED = [
    *("database", "strategy", "status", "checked", "violations", "truncated", "changes", "outcomes", "skipped"),
    *("changed", "unnoticed", "seconds", "error"),
]


def default_actor() -> str:
    """The user of the operating system, where nobody else is known."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


_put_off: ContextVar[int] = ContextVar("integrity_put_off", default=0)


@contextmanager
def beginning(queued: Run) -> Iterator[None]:
    """Within it the verb that a run was put off for opens that run, and not a new one."""
    token = _put_off.set(queued.pk)
    try:
        yield
    finally:
        _put_off.reset(token)


def open_run(verb: str, *, database: str, actor: str | None, **fields: Any) -> Run:
    """A new run of this process, or the one that was put off."""
    now = timezone.now()
    ours = {
        "database": database,
        "actor": actor or default_actor(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started_at": now,
        "heartbeat_at": now,
        **fields,
    }
    with transaction.atomic():
        queued = _queued(_put_off.get(), verb)
        if queued is None:
            created = Run.objects.create(verb=verb, **ours)
            events.opened(created)
            return created
        ours["options"] = {**queued.options, **ours.get("options", {})}
        queued.status = statuses.move(queued.status, statuses.RUNNING)
        for field, held in ours.items():
            setattr(queued, field, held)
        queued.save()
        events.opened(queued)
        return queued


def _queued(number: int, verb: str) -> Run | None:
    """The run that was put off, held."""
    if not number:
        return None
    return Run.objects.select_for_update().filter(pk=number, verb=verb, status=statuses.QUEUED).first()


def close_run(run: Run, status: str, error: str = "") -> None:
    """The end of a run, whose status is the worst of its results. Raises LostRun."""
    statuses.move(run.status, status)
    with transaction.atomic():
        hold(run)
        end_run(run, status, error)


def end_run(run: Run, status: str, error: str = "") -> None:
    """The same for a run whose row the caller has locked, whoever works on it."""
    run.status, run.error = statuses.move(run.status, status), error
    run.finished_at = run.heartbeat_at = timezone.now()
    run.save(update_fields=["status", "error", "finished_at", "heartbeat_at"])
    # Whoever finds the run closed finds its message in the outbox.
    note(run)
    events.closed(run)


def hold(run: Run) -> None:
    """Lock a run until the transaction ends. Raises LostRun when another process has taken it over.

    A process that was declared dead and is not either waits here and finds the new token, or whoever takes the run
    over waits for its transaction.
    """
    ours = Run.objects.select_for_update().filter(pk=run.pk, token=run.token, status=statuses.RUNNING)
    options = ours.values_list("options", flat=True).first()
    if options is None:
        raise LostRun(f"Run {run.pk} was taken over by another process, which goes on with it.")
    # Not those in memory: what a batch notes there may have been rolled back with it.
    run.options = options


def beat(run: Run) -> None:
    """The run is alive. Now, not when its batch began: whoever waited for its lock must not take it for dead."""
    Run.objects.filter(pk=run.pk).update(heartbeat_at=timezone.now())


def plan(run: Run, rule: str, keys: int) -> None:
    """How many keys are to be repaired; what was counted before the first stands."""
    Result.objects.filter(run=run, rule=rule, planned=None).update(planned=keys)


def require_ours(run: Run) -> None:
    """Raise LostRun when another process has taken a run over, before more is begun for it."""
    with transaction.atomic():
        hold(run)


def save_result(run: Run, report: RuleReport) -> None:
    """The result of one rule as it stands in its report. Raises LostRun."""
    with transaction.atomic():
        hold(run)
        result = Result(
            run=run,
            rule=report.rule,
            database=run.database,
            strategy=report.strategy,
            status=report.status,
            checked=report.checked,
            violations=report.violations,
            truncated=report.truncated,
            changes=report.changes,
            outcomes=report.outcomes or None,
            skipped=report.skipped,
            changed=report.changed,
            unnoticed=report.unnoticed,
            seconds=report.seconds,
            error=report.error,
        )
        # One statement, whether the run has opened it or not; who may write stays as it was opened.
        Result.objects.bulk_create(
            [result], update_conflicts=True, unique_fields=["run", "rule"], update_fields=_REPORTED
        )
    events.found(run, report)


def accepted_keys(rule: Rule, database: str) -> tuple[Key, ...]:
    """Keys of exceptions that somebody accepted and that have not expired."""
    kept = Violation.objects.filter(
        Q(accepted_until=None) | Q(accepted_until__gt=timezone.now()),
        rule=rule.label,
        database=database,
        status=Violation.Status.ACCEPTED,
    )
    return tuple(rule.key_from_json(key) for key in kept.order_by("id").values_list("key", flat=True))


def accepted_and_expired(rule: Rule, database: str) -> tuple[tuple[Key, ...], tuple[Key, ...]]:
    """The same, and the keys of those that have expired."""
    kept = Violation.objects.filter(rule=rule.label, database=database, status=Violation.Status.ACCEPTED).order_by("id")
    now = timezone.now()
    sides: tuple[list[Key], list[Key]] = ([], [])
    for key, until in kept.values_list("key", "accepted_until"):
        sides[until is not None and until <= now].append(rule.key_from_json(key))
    return tuple(sides[0]), tuple(sides[1])


def remember(rule: Rule, run: Run, found: Sequence[Finding], *, looked_at: Q, truncated: bool) -> tuple[int, int]:
    """Store what was found, the lowest keys first, and resolve what was looked at and is gone.

    looked_at: which stored violations the run could have found again. Returns how many are new and how many resolved.
    """
    now = timezone.now()
    ours = Violation.objects.filter(rule=rule.label, database=run.database)
    stored = found[: conf().STORED_VIOLATIONS]
    new = _store(rule, run, stored, now) if stored else 0
    gone = ours.filter(looked_at, status__in=[Violation.Status.OPEN, Violation.Status.ACCEPTED], last_seen__lt=now)
    gone = gone.exclude(_still_accepted(now))
    if truncated:
        # Beyond the stored ones nobody can say what is gone: those are dropped, never called resolved.
        gone.delete()
        resolved = 0
    else:
        resolved = gone.update(status=Violation.Status.RESOLVED, resolved_at=now)
    return new, resolved


_STORE = """
    WITH found AS (
        SELECT * FROM jsonb_to_recordset({found}::jsonb) AS f (key jsonb, actual jsonb, expected jsonb, evidence jsonb)
    ), known AS (
        SELECT key FROM {table} WHERE rule = {rule} AND database = {database} AND status = {open}
    ), stored AS (
        INSERT INTO {table} AS v (rule, database, key, status, actual, expected, evidence, first_seen, last_seen,
            run_id, accepted_by, accepted_because)
        SELECT {rule}, {database}, key, {open}, actual, expected, evidence, {now}, {now}, {run}, '', '' FROM found
        ON CONFLICT (rule, database, key) DO UPDATE SET status = excluded.status, actual = excluded.actual,
            expected = excluded.expected, evidence = excluded.evidence, last_seen = excluded.last_seen,
            resolved_at = NULL, run_id = excluded.run_id
    )
    SELECT count(*) AS new FROM found WHERE NOT EXISTS (SELECT FROM known WHERE known.key = found.key)
"""


def _store(rule: Rule, run: Run, found: Sequence[Finding], now: datetime.datetime) -> int:
    """Keep findings as open violations, all in one statement. How many were not open already."""
    rows = [
        {"key": rule.key_as_json(f.key), "actual": f.actual, "expected": f.expected, "evidence": f.evidence}
        for f in found
    ]
    try:
        text = json.dumps(rows, default=as_json, allow_nan=False)
    except (TypeError, ValueError):
        # A number or a key that JSON does not have.
        text = json.dumps(as_json(rows))
    stored = compose(
        _STORE,
        found=value(text),
        table=name(Violation._meta.db_table),
        rule=value(rule.label),
        database=value(run.database),
        open=value(Violation.Status.OPEN),
        now=value(now),
        run=value(run.pk),
    )
    return int(fetch(connections[DEFAULT_DB_ALIAS], stored)[0]["new"])


def _still_accepted(now: Any) -> Q:
    unexpired = Q(accepted_until=None) | Q(accepted_until__gt=now)
    return Q(status=Violation.Status.ACCEPTED) & unexpired


def open_keys(rule: Rule, database: str) -> list[Key]:
    """The keys of the violations that are stored as open."""
    opened = Violation.objects.filter(rule=rule.label, database=database, status=Violation.Status.OPEN)
    return [rule.key_from_json(key) for key in opened.values_list("key", flat=True)]


def resolve(rule: Rule, run: Run, keys: Sequence[Key]) -> int:
    """Mark stored violations of these keys as resolved by a repair."""
    found = Violation.objects.filter(rule=rule.label, database=run.database, status=Violation.Status.OPEN)
    # A repair without an analysis before it has none, and comparing thousands of keys with nothing takes long.
    if not found.exists():
        return 0
    found = found.filter(key__in=[rule.key_as_json(key) for key in keys])
    return found.update(status=Violation.Status.RESOLVED, resolved_at=timezone.now())


def progress(run: Run, rule: str, changes: int, outcomes: Mapping[str, int] | None = None, *, keys: int = 0) -> None:
    """A batch is done; called in its transaction."""
    counted: dict[str, Any] = {"changes": F("changes") + changes, "done": F("done") + keys}
    if outcomes:
        # Nobody else writes them: the row of the run is held.
        counted["outcomes"] = added(so_far(run, rule)[1], outcomes)
    Result.objects.filter(run=run, rule=rule).update(**counted)
    beat(run)


def so_far(run: Run, rule: str) -> tuple[int, dict[str, int]]:
    """How many rows a run which is gone on with has written already, and what became of them."""
    changes, outcomes = Result.objects.filter(run=run, rule=rule).values_list("changes", "outcomes").first() or (0, {})
    return changes, outcomes or {}
