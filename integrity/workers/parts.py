"""The parts of a run that workers share: taking one, proving that it is ours, leaving it, ending it.

A row lock decides who takes a part, and each batch holds that row: nothing takes effect twice, whatever the queue does.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from integrity import leases, statuses
from integrity.conf import conf
from integrity.exceptions import LostRun, Paused
from integrity.keys import Key
from integrity.models import Part, Run
from integrity.registry import registry
from integrity.repairing.holding import Holding
from integrity.reports import added
from integrity.scope import Scope
from integrity.statement import Statement, fetch
from integrity.workers import queue

KEYS, WHOLE, END = "keys", "whole", "end"
OPEN = (statuses.WAITING, statuses.RUNNING)
_AGAIN_AFTER = (1, 5, 20, 60)
"""Seconds until a part is tried again that has failed once, twice, ..."""


def take(number: int) -> Part | None:
    """Make a part ours; None where it is over, somebody is at work on it, its run is held, or others come first."""
    with transaction.atomic():
        part = _locked(number)
        if part is None or part.run.status != statuses.RUNNING:
            return None
        if part.status == statuses.RUNNING and not leases.is_dead(part):
            return None
        if part.kind == END and open_parts(part.run_id).exists():
            return None
        if part.kind != END and part.run.asked:
            return None
        if part.attempts >= conf().PART_ATTEMPTS:
            _end(part, statuses.FAILED, error=part.error or f"{part.attempts} workers died of it.")
            return None
        now = timezone.now()
        if part.status == statuses.WAITING:
            part.status = statuses.move_part(part.status, statuses.RUNNING)
        part.attempts, part.token, part.error = part.attempts + 1, uuid.uuid4(), ""
        part.host, part.pid, part.begun_at, part.heartbeat_at = socket.gethostname(), os.getpid(), now, now
        part.save()
        return part


def open_parts(run: int) -> Any:
    """Those of a run that are not over, the one that concludes it left out."""
    return Part.objects.filter(run=run, status__in=OPEN).exclude(kind=END)


def end_of(run: int) -> int | None:
    """The number of the part that concludes a run, where nothing else is left to do."""
    if open_parts(run).exists():
        return None
    return Part.objects.filter(run=run, kind=END, status__in=OPEN).values_list("pk", flat=True).first()


def scope_of(part: Part) -> Scope:
    """The keys of a part."""
    return Scope(after=_key(part, part.after), upto=_key(part, part.upto))


def _key(part: Part, stored: dict[str, Any] | None) -> Key | None:
    return None if stored is None else registry.get(part.rule).key_from_json(stored)


def leave(part: Part, error: str = "") -> None:
    """Let another worker take it: the run was paused, or, with an error, it is tried again in a while.

    Whoever resumes the run meanwhile waits for the row of the run here, or has done it already; one of us asks for a
    worker.
    """
    with transaction.atomic():
        run = Run.objects.select_for_update(no_key=True).get(pk=part.run_id)
        held = _ours(part)
        if run.asked == Run.Asked.CANCEL or run.status != statuses.RUNNING:
            _end(held, statuses.CANCELLED, error=error)
            return
        if error and held.attempts >= conf().PART_ATTEMPTS:
            _end(held, statuses.FAILED, error=error)
            return
        held.status = statuses.move_part(held.status, statuses.WAITING)
        held.attempts -= 0 if error else 1
        held.error, held.waits_for = error, ""
        held.save()
        if not run.asked:
            again = _AGAIN_AFTER[min(held.attempts, len(_AGAIN_AFTER)) - 1] if error else 0
            call_for([held.pk], seconds=again)


def call_for(parts: Sequence[int], *, seconds: int = 0) -> int:
    """Ask for a worker for each of these parts. How many of them nobody had been asked for."""
    calls = [{"part": part} for part in parts]
    return queue.put("work_on", calls, [f"integrity part {part}" for part in parts], seconds=seconds)


def call_for_rest(run: int) -> int:
    """Ask for workers for all that waits, or for the end where nothing does."""
    end = end_of(run)
    waiting = open_parts(run).filter(status=statuses.WAITING).values_list("pk", flat=True)
    return call_for([end] if end is not None else list(waiting))


def finish(part: Part, status: str = statuses.DONE, **told: Any) -> None:
    """It is over, with what there is to tell of it; called in the transaction that records the rest. Raises LostRun."""
    _end(_ours(part), status, **told)


def give_up(part: Part, error: str) -> None:
    """It cannot be done; the others go on."""
    with transaction.atomic():
        finish(part, statuses.FAILED, error=error)


def stop(part: Part, error: str) -> None:
    """It must not go on, and neither must the others: what one would have broken they would break too."""
    with transaction.atomic():
        run = Run.objects.select_for_update(no_key=True).get(pk=part.run_id)
        finish(part, statuses.FAILED, error=error)
        if run.status == statuses.RUNNING and run.asked != Run.Asked.CANCEL:
            run.asked, run.asked_by = Run.Asked.CANCEL, f"part {part.number}"
            run.save(update_fields=["asked", "asked_by"])
        cancel_waiting(run.pk)


def cancel_waiting(run: int) -> None:
    """Nobody begins what has not been begun; the caller holds the row of the run."""
    Part.objects.filter(run=run, status=statuses.WAITING).exclude(kind=END).update(
        status=statuses.CANCELLED, ended_at=timezone.now()
    )


def _locked(number: int) -> Part | None:
    held = Part.objects.select_for_update(skip_locked=True, of=("self",)).select_related("run")
    return held.filter(pk=number, status__in=OPEN).first()


def _ours(part: Part) -> Part:
    held = (
        Part.objects.select_for_update(of=("self",))
        .filter(pk=part.pk, token=part.token, status=statuses.RUNNING)
        .first()
    )
    if held is None:
        raise LostRun(f"Part {part.number} of run {part.run_id} was taken over by another worker.")
    return held


def _end(part: Part, status: str, **told: Any) -> None:
    part.status, part.ended_at, part.waits_for = statuses.move_part(part.status, status), timezone.now(), ""
    for field, value in told.items():
        setattr(part, field, value)
    part.save()


class PartHolding(Holding):
    """A part of a run, held by one worker while others hold other parts."""

    def __init__(self, part: Part, run: Run) -> None:
        super().__init__(run)
        self.part = part

    def prove(self, rules: Sequence[str], connection: Any) -> None:
        _ours(self.part)
        # Not those in memory: what a batch notes there may have been rolled back with it.
        self.run.options = Run.objects.values_list("options", flat=True).get(pk=self.run.pk)
        # Shared among the parts; a run that one process holds keeps all of them out.
        locks = ", ".join("pg_advisory_xact_lock_shared(hashtextextended(%s, 0))" for _ in rules)
        fetch(connection, Statement(f"SELECT {locks}", tuple(sorted(rules))))

    def count(self, rule: str, keys: int, changes: int, outcomes: Mapping[str, int]) -> None:
        mine = Part.objects.filter(pk=self.part.pk)
        counted: dict[str, Any] = {"changes": F("changes") + changes, "done": F("done") + keys}
        if outcomes:
            counted["outcomes"] = added(mine.values_list("outcomes", flat=True).get(), outcomes)
        mine.update(heartbeat_at=timezone.now(), **counted)

    def wait(self, why: str, waited: dict[str, float]) -> None:
        Part.objects.filter(pk=self.part.pk).update(waits_for=why, waited=waited)

    def pause(self) -> None:
        raise Paused(f"Run {self.run.pk} is paused by {self.run.asked_by}.")

    @property
    def waited(self) -> dict[str, float]:
        return dict(self.part.waited)
