"""What looks have found and automatic repairs have not put right: told when these have ended, however that was."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction

from integrity import leases, statuses
from integrity.alerts.conditions import Condition
from integrity.alerts.deciding import tell
from integrity.alerts.models import AlertState
from integrity.alerts.seen import sights
from integrity.models import Run
from integrity.rules.base import Rule

PATIENCE = timedelta(minutes=10)
"""A repair that has not ended by then, and that nobody is at work on, has died."""


def tell_unhealed(rule: Rule) -> None:
    """The automatic repair of a rule has ended, was refused or did not begin."""
    _tell(AlertState.objects.filter(what=Condition.HEALING, rule=rule.label))


def tell_left(now: datetime) -> None:
    """The same for rules whose repair died before anybody could tell."""
    left = AlertState.objects.filter(what=Condition.HEALING, since__lt=now - PATIENCE).select_related("run")
    _tell(state for state in left if not _is_alive(state.run))


def _is_alive(look: Run | None) -> bool:
    """Whether the run that the look is part of, or the repair after it, is at work."""
    if look is None or look.of_id is None:
        return False
    around = Run.objects.filter(pk=look.of_id) | Run.objects.filter(of=look.of_id)
    return any(not leases.is_dead(run) for run in around.filter(status=statuses.RUNNING))


def _tell(states: Iterable[AlertState]) -> None:
    for state in states:
        if state.run is None:
            # Somebody has removed the record of the look.
            state.delete()
            continue
        found = [sight for sight in sights(state.run, ended=True) if sight.subject.label == state.rule]
        with transaction.atomic():
            tell(found, database=state.database, run=state.run)
