"""Whether there is something to tell: decided, remembered and put into the outbox in the transaction of the caller."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django.utils import timezone

from integrity import statuses
from integrity.alerts.channels import channels
from integrity.alerts.conditions import BEGINS, ENDS, EVENTS, Condition, Turn, events, turns
from integrity.alerts.models import Alert, AlertDelivery, AlertState
from integrity.alerts.seen import Sight, sights
from integrity.alerts.subjects import PAST
from integrity.conf import conf
from integrity.models import Result, Run

HEALED = EVENTS[Condition.HEALING, ENDS]


def note(run: Run) -> Alert | None:
    """Note what a run that ends has seen; called in the transaction that closes it. The message, if there is one."""
    return tell(sights(run), database=run.database, run=run)


def tell(found: Iterable[Sight], *, database: str = DEFAULT_DB_ALIAS, run: Run | None = None) -> Alert | None:
    """Note what was seen, and write one message about all that has changed by it."""
    # Always in one order: two runs that end at a time wait for each other, and never both.
    seen = sorted((sight for sight in found if sight.seen), key=lambda sight: sight.subject.label)
    if not seen:
        return None
    now = timezone.now()
    states = _held([sight.subject.label for sight in seen], database)
    told: list[dict[str, Any]] = []
    for sight in seen:
        label = sight.subject.label
        mine = {what: state for (rule, what), state in states.items() if rule == label}
        changed = [t for t in turns(sight.seen, mine) if _moves(t, sight, database, now, run, mine)]
        told += [
            _healed(sight, database, mine, run) if event == HEALED else _event(event, sight, database, mine)
            for event in events(changed)
            if event != HEALED or _is_worth_a_word(sight, mine, run)
        ]
    return _write(told, run, now) if told else None


def _held(labels: Sequence[str], database: str) -> dict[tuple[str, Condition], AlertState]:
    """The conditions that hold, locked: whoever else closes a run of these rules waits, and then finds our answer."""
    states = AlertState.objects.select_for_update().filter(rule__in=labels, database=database)
    return {(state.rule, Condition(state.what)): state for state in states.order_by("rule", "what")}


def _moves(
    turn: Turn, sight: Sight, database: str, now: datetime, run: Run | None, mine: dict[Condition, AlertState]
) -> bool:
    """Remember a turn. False when another run has just noted the same."""
    what, begins = turn
    if begins == BEGINS:
        defaults = {"since": now, "run": run}
        state, made = AlertState.objects.get_or_create(
            rule=sight.subject.label, database=database, what=what, defaults=defaults
        )
        mine[what] = state
        return made
    mine[what].delete()
    return True


def _is_worth_a_word(sight: Sight, mine: dict[Condition, AlertState], run: Run | None) -> bool:
    """Only a repair heals; and what has a limit is told of when that was passed."""
    if run is None or run.verb != Run.Verb.REPAIR:
        return False
    found = _found(sight, mine)
    return sight.subject.alert_above is None or (
        found is not None and sight.subject.measure(found.violations or 0, found.checked) == PAST
    )


def _healed(sight: Sight, database: str, mine: dict[Condition, AlertState], run: Run | None) -> dict[str, Any]:
    """Nothing is left to be done about it: a notice."""
    found = _found(sight, mine)
    return _event(HEALED, sight, database, mine) | {
        "severity": "info",
        "violations": found.violations if found else None,
        "checked": found.checked if found else None,
        "command": f"manage.py integrity undo {run.pk}" if run else "",
    }


def _found(sight: Sight, mine: dict[Condition, AlertState]) -> Result | None:
    """What the look had found after which the repair began."""
    return Result.objects.filter(run=mine[Condition.HEALING].run_id, rule=sight.subject.label).first()


def _event(event: str, sight: Sight, database: str, mine: dict[Condition, AlertState]) -> dict[str, Any]:
    """One change as messages and the API have it."""
    subject = sight.subject
    since = {what: state.since for what, state in mine.items()}
    return {
        "rule": subject.label,
        "database": database,
        "event": event,
        "severity": subject.severity,
        "tags": list(subject.tags),
        "owner": subject.owner,
        "because": subject.because,
        "violations": sight.violations,
        "checked": sight.of,
        "alert_above": subject.alert_above,
        "grown": Condition.GROWN in since and event in ("starts_failing", "grows"),
        "since": _iso(_since(event, since)),
        "failing_since": _iso(since.get(Condition.FAILS)),
        "last_held": _iso(_last_held(subject.label, database)) if event == "starts_failing" else None,
        "retired": sight.retired,
        "error": sight.error or None,
        "command": _command(sight, database),
    }


def _since(event: str, since: dict[Condition, datetime]) -> datetime | None:
    what = next(what for (what, _), name in EVENTS.items() if name == event)
    return since.get(what)


def _last_held(label: str, database: str) -> datetime | None:
    """When a look at everything found nothing for the last time."""
    looks = Result.objects.filter(
        rule=label, database=database, status=statuses.CLEAN, run__verb=Run.Verb.ANALYZE, run__keys__isnull=True
    )
    return looks.order_by("-id").values_list("run__started_at", flat=True).first()


def _command(sight: Sight, database: str) -> str:
    if not sight.subject.command:
        return ""
    where = "" if database == DEFAULT_DB_ALIAS else f" --database {database}"
    return f"manage.py integrity {sight.subject.command}{where}"


def _write(told: list[dict[str, Any]], run: Run | None, now: datetime) -> Alert:
    alert = Alert.objects.create(at=now, run=run, events=told)
    wanted = {
        channel.name: [position for position, event in enumerate(told) if channel.wants(event)]
        for channel in channels()
    }
    AlertDelivery.objects.bulk_create(
        AlertDelivery(alert=alert, channel=name, told=positions, next_attempt_at=now, give_up_at=give_up_at(now))
        for name, positions in wanted.items()
        if positions
    )
    return alert


def give_up_at(now: datetime) -> datetime:
    """Until when a message that is due now is tried to be delivered."""
    return now + timedelta(hours=conf().ALERT_RETRY_HOURS)


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
