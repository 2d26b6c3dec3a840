"""One run at a time works on a rule: taking it, keeping it alive, taking it over from a dead process."""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, Self

from django.db import DEFAULT_DB_ALIAS, DatabaseError, OperationalError, connections, transaction
from django.db import IntegrityError as Taken
from django.db.models import QuerySet
from django.utils import timezone
from psycopg.errors import LockNotAvailable

from integrity import records, statuses
from integrity.conf import conf
from integrity.exceptions import RunInProgress
from integrity.models import Part, Result, Run

LAST_BATCH_MS = 5_000
"""How long the open transaction of a run that is not heard of is waited for."""


def take(
    rules: Sequence[tuple[str, str]], verb: str, *, actor: str | None, exclusive: bool = True, **fields: Any
) -> tuple[Run, bool]:
    """Open a run that alone may write for some rules, or go on with that of a dead process.

    rules: (label, strategy) of each. exclusive: False for a dry run, which writes nothing. Returns the run and whether
    it was taken over. Raises RunInProgress naming the run, its actor, host and age.
    """
    # Two processes may try at once: the unique index lets one of them in.
    try:
        with transaction.atomic():
            run = records.open_run(verb, database=DEFAULT_DB_ALIAS, actor=actor, **fields)
            # In one order, or two that want the same rules would wait for each other.
            for label, strategy in sorted(rules):
                Result.objects.create(run=run, rule=label, database=run.database, strategy=strategy, writes=exclusive)
        return run, False
    except Taken:
        return _resume_or_refuse(rules, verb, actor=actor, **fields)


def _resume_or_refuse(rules: Sequence[tuple[str, str]], verb: str, **fields: Any) -> tuple[Run, bool]:
    labels = [label for label, _ in rules]
    held = Result.objects.filter(rule__in=labels, database=DEFAULT_DB_ALIAS, writes=True, status=statuses.RUNNING)
    open_runs = Run.objects.filter(status=statuses.RUNNING, pk__in=held.values("run")).order_by("pk")
    _refuse_living(open_runs, labels)
    with transaction.atomic():
        # A batch keeps the row of its run locked; whoever has waited here sees its newest heartbeat.
        holders = _locked(open_runs)
        _refuse_living(holders, labels)
        if len(holders) == 1 and _same_work(holders[0], rules, verb, fields):
            return _take_over(holders[0]), True
        for run in holders:
            abandon(run)
    return take(rules, verb, **fields)


def refuse_held(labels: Sequence[str]) -> None:
    """Raise RunInProgress where a living run writes for one of these."""
    held = Result.objects.filter(rule__in=labels, database=DEFAULT_DB_ALIAS, writes=True, status=statuses.RUNNING)
    _refuse_living(Run.objects.filter(status=statuses.RUNNING, pk__in=held.values("run")).order_by("pk"), labels)


def _refuse_living(runs: Iterable[Run], labels: Sequence[str]) -> None:
    for run in runs:
        if run.shared:
            raise RunInProgress(
                f"Run {run.pk} ({run.verb} by {run.actor}) is shared by worker processes and has been working on"
                f" {', '.join(labels)} for {_age(run)}. See: manage.py integrity runs {run.pk}; to end it: manage.py"
                f" integrity cancel {run.pk}"
            )
        if not is_dead(run):
            raise RunInProgress(
                f"{_named(run)} has been working on {', '.join(labels)} for {_age(run)}. Wait for it, or end that"
                f" process; a run that was not heard of for {conf().HEARTBEAT_SECONDS:g} s is taken over."
            )


def _locked(runs: QuerySet[Run]) -> list[Run]:
    """The runs, held. Raises RunInProgress for one that is not heard of and yet has its transaction open."""
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        # The server needs a moment to see that a client is dead; one that merely stands still may do so for ever.
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{LAST_BATCH_MS}ms"])
    try:
        with transaction.atomic():
            return list(runs.all().select_for_update())
    except OperationalError as error:
        if not isinstance(error.__cause__, LockNotAvailable):
            raise
        raise RunInProgress(
            f"{_named(runs[0])} was not heard of, but its transaction is still open in the database. Wait for it, or"
            " end that process or its backend (pg_terminate_backend); then the run is taken over."
        ) from None


def _named(run: Run) -> str:
    return f"Run {run.pk} ({run.verb} by {run.actor} on {run.host}, process {run.pid})"


def _same_work(run: Run, rules: Sequence[tuple[str, str]], verb: str, fields: dict[str, Any]) -> bool:
    held = sorted(run.results.values_list("rule", "strategy"))
    same = all(getattr(run, part) == fields[part] for part in ("keys", "dry_run", "of") if part in fields)
    return run.verb == verb and held == sorted(rules) and same


def _take_over(run: Run) -> Run:
    run.token, run.pid, run.host = uuid.uuid4(), os.getpid(), socket.gethostname()
    run.heartbeat_at = timezone.now()
    run.save(update_fields=["token", "pid", "host", "heartbeat_at"])
    return run


def abandon(run: Run) -> None:
    """Close the run of a dead process that nobody goes on with; what it committed stays and is journaled."""
    message = "Its process died; what it had committed is journaled and can be undone."
    run.results.filter(status=statuses.RUNNING).update(status=statuses.FAILED, error=message)
    records.close_run(run, statuses.FAILED, message)


def is_dead(run: Run | Part) -> bool:
    """Not heard of for long, or its process is gone from this machine; a number in use again only delays that.

    A run that workers share has no process whose end would be its own: it waits for the next of them.
    """
    if isinstance(run, Run) and run.shared:
        return False
    assert run.heartbeat_at is not None
    if run.host == socket.gethostname() and not _process_exists(run.pid):
        return True
    return timezone.now() - run.heartbeat_at > timedelta(seconds=conf().HEARTBEAT_SECONDS)


def _process_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _age(run: Run) -> str:
    seconds = int((timezone.now() - run.started_at).total_seconds())
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"


class Heartbeat:
    """Tells on a connection of its own that a run, or a part of one, lives, also while one long statement runs."""

    def __init__(self, held: Run | Part) -> None:
        self.held = held
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat of {held}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=5)

    def _beat(self) -> None:
        held = type(self.held)._base_manager
        mine = held.filter(pk=self.held.pk, token=self.held.token, status=statuses.RUNNING)
        try:
            while not self._stop.wait(conf().HEARTBEAT_SECONDS / 4):
                try:
                    mine.update(heartbeat_at=timezone.now())
                except DatabaseError:
                    # One beat is lost; the next has a new connection.
                    connections.close_all()
        finally:
            connections.close_all()
