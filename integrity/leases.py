"""One run at a time works on a rule: taking it, keeping it alive, taking it over from a dead process."""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Self

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db import IntegrityError as Taken
from django.utils import timezone

from integrity import records, statuses
from integrity.conf import conf
from integrity.exceptions import RunInProgress
from integrity.models import Result, Run


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
            for label, strategy in rules:
                Result.objects.create(run=run, rule=label, database=run.database, strategy=strategy, writes=exclusive)
        return run, False
    except Taken:
        return _resume_or_refuse(rules, verb, actor=actor, **fields)


def _resume_or_refuse(rules: Sequence[tuple[str, str]], verb: str, **fields: Any) -> tuple[Run, bool]:
    labels = [label for label, _ in rules]
    with transaction.atomic():
        # The holder's batch keeps its row locked; whoever waits here sees its newest heartbeat.
        holders = list(
            Run.objects.select_for_update().filter(
                status=statuses.RUNNING,
                results__rule__in=labels,
                results__database=DEFAULT_DB_ALIAS,
                results__writes=True,
                results__status=statuses.RUNNING,
            )
        )
        for run in holders:
            if not is_dead(run):
                raise RunInProgress(
                    f"Run {run.pk} ({run.verb} by {run.actor} on {run.host}, process {run.pid}) has been working on"
                    f" {', '.join(labels)} for {_age(run)}. Wait for it, or end that process;"
                    " a run that was not heard of"
                    f" for {conf().HEARTBEAT_SECONDS:g} s is taken over."
                )
        if len(holders) == 1 and _same_work(holders[0], rules, verb, fields):
            return _take_over(holders[0]), True
        for run in holders:
            abandon(run)
    return take(rules, verb, **fields)


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


def is_dead(run: Run) -> bool:
    """Not heard of for long, or its process is gone from this machine; a number in use again only delays that."""
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
    """Tells on a connection of its own that a run lives, also while one long statement runs."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat of run {run.pk}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=5)

    def _beat(self) -> None:
        try:
            while not self._stop.wait(conf().HEARTBEAT_SECONDS / 4):
                mine = Run.objects.filter(pk=self.run.pk, token=self.run.token, status=statuses.RUNNING)
                mine.update(heartbeat_at=timezone.now())
        finally:
            connections.close_all()
