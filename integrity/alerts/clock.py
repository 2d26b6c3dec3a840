"""What no run can tell, because there was none: looks that were missed, and what has gone from the declarations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.utils import timezone

from integrity.alerts.conditions import Condition, Seen
from integrity.alerts.deciding import tell
from integrity.alerts.models import Alert, AlertState
from integrity.alerts.seen import Sight
from integrity.alerts.subjects import Subject, subjects
from integrity.alerts.unhealed import tell_left
from integrity.conf import conf
from integrity.looks import NEVER, Looks, last_looks
from integrity.registry import registry
from integrity.rules.base import Rule
from integrity.schedules.overdue import LOOK, SWEEP, Overdue, overdue
from integrity.schedules.schedule import schedule_of

_SEEN = {LOOK: (Seen.MISSED, Seen.ON_TIME), SWEEP: (Seen.OVERDUE, Seen.SWEPT)}


def look_at_clock(now: datetime | None = None) -> Alert | None:
    """Note which looks are missing and which have come since; forget what nobody declares. The message, if any."""
    now = now or timezone.now()
    declared = subjects()
    allowed = timedelta(hours=conf().ALERT_SWEEP_HOURS)
    rules = [rule for rule in registry if schedule_of(rule) is not None or allowed]
    looks = last_looks(rules)
    late = [*overdue(now, rules=rules, looks=looks), *_beyond(allowed, rules, looks, now)]
    tell_left(now)
    # A message about a rule, and the memory that it was sent, are there both or not at all.
    with transaction.atomic():
        AlertState.objects.exclude(rule__in=declared, database__in=list(connections)).delete()
        held = AlertState.objects.filter(what__in=[Condition.AWAITED, Condition.NOT_CHECKED], database=DEFAULT_DB_ALIAS)
        since = {(state.rule, state.what): state.since for state in held}
        return tell(_sight(declared[rule.label], [o for o in late if o.rule is rule], since, now) for rule in rules)


def _sight(subject: Subject, late: list[Overdue], since: dict[tuple[str, str], datetime], now: datetime) -> Sight:
    missing = {found.what: found for found in late}
    if missing and (subject.label, Condition.NOT_CHECKED) in since:
        # Looks come, and have no answer: people know, and need not hear it twice.
        return Sight(subject, [])
    seen = [ended for what, (_, ended) in _SEEN.items() if what not in missing]
    for what, found in missing.items():
        # A rule that was declared a moment ago cannot have been looked at.
        waits_since = since.get((subject.label, Condition.AWAITED), now)
        is_new = found.last is None and now - waits_since <= found.period
        seen.append(Seen.AWAITED if is_new else _SEEN[what][0])
    if all(found.last for found in late):
        seen.append(Seen.BEGUN)
    why = "; ".join(found.why for found in late)
    return Sight(subject, seen, error=why)


def _beyond(allowed: timedelta, rules: Iterable[Rule], looks: dict[str, Looks], now: datetime) -> Iterator[Overdue]:
    """Rules without a schedule that were not looked at as a whole for longer than the setting allows."""
    for rule in rules if allowed else ():
        sweep = looks.get(rule.label, NEVER).sweep
        if schedule_of(rule) is None and (sweep is None or now - sweep.at > allowed):
            yield Overdue(rule, sweep.at if sweep else None, allowed, SWEEP)
