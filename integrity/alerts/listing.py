"""What is wrong now, the messages that were made, and those that nobody got: plain data for every door."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from integrity.alerts.conditions import Condition
from integrity.alerts.messages import headline
from integrity.alerts.models import Alert, AlertDelivery, AlertState
from integrity.alerts.subjects import subjects


def states() -> list[AlertState]:
    """The conditions that hold now, of what is declared."""
    known = subjects()
    held = AlertState.objects.exclude(what__in=[Condition.AWAITED, Condition.HEALING])
    return [state for state in held if state.rule in known]


def alerts() -> QuerySet[Alert]:
    """The messages, the latest first, with their deliveries."""
    return Alert.objects.select_related("run").prefetch_related("deliveries")


def given_up() -> int:
    """How many deliveries wait for a person."""
    return len(stuck())


def stuck() -> list[int]:
    """The alert of each of them, the oldest first."""
    failed = AlertDelivery.objects.filter(status=AlertDelivery.Status.FAILED)
    return list(failed.order_by("id").values_list("alert", flat=True))


def state_object(state: AlertState) -> dict[str, Any]:
    """A condition as JSON has it."""
    return {
        "rule": state.rule,
        "database": state.database,
        "what": state.what,
        "since": state.since.isoformat(),
        "run": state.run_id,
    }


def alert_object(alert: Alert) -> dict[str, Any]:
    """A message as JSON has it, with the fate of each delivery."""
    return {
        "alert": alert.pk,
        "at": alert.at.isoformat(),
        "run": alert.run_id,
        "events": [{**event, "summary": headline(event)} for event in alert.events],
        "deliveries": [delivery_object(delivery) for delivery in alert.deliveries.all()],
    }


def delivery_object(delivery: AlertDelivery) -> dict[str, Any]:
    """A delivery as JSON has it."""
    waiting = delivery.status == AlertDelivery.Status.WAITING
    return {
        "id": str(delivery.uid),
        "channel": delivery.channel,
        "status": delivery.status,
        "attempts": delivery.attempts,
        "next_attempt_at": delivery.next_attempt_at.isoformat() if waiting else None,
        "sent_at": delivery.sent_at.isoformat() if delivery.sent_at else None,
        "error": delivery.last_error or None,
    }
