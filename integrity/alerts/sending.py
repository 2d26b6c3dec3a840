"""Sending what waits in the outbox: at least once, by any number of senders, the oldest first, for as long as it takes.

A delivery is taken, sent and marked in three steps. A sender that dies after the second has told nobody that it was
sent, and it is sent again: its id is the same, so that the receiver can tell.
"""

from __future__ import annotations

import logging
import random
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction
from django.db.models import F, Min, Q
from django.utils import timezone

from integrity.alerts.bounds import within
from integrity.alerts.channels import channel
from integrity.alerts.channels.base import NotDelivered
from integrity.alerts.deciding import give_up_at
from integrity.alerts.messages import Message, test_events
from integrity.alerts.models import Alert, AlertDelivery
from integrity.exceptions import UnknownName, UsageError, sentence
from integrity.observer import Observer

logger = logging.getLogger(__name__)

ATTEMPT_SECONDS = 15.0
"""One attempt, from the name of the host to the end of the answer."""
TAKEN = timedelta(seconds=60)
"""A sender that has not marked what it took for so long is dead."""
FIRST_PAUSE, LONGEST_PAUSE = 30.0, 3600.0
DEAD_AFTER = 2
"""Failures in a row, after which a channel is left alone until the next round."""
_S = AlertDelivery.Status


@dataclass
class Sent:
    """What one round has done."""

    sent: int = 0
    failed: int = 0
    """Tried in vain; most of them are tried again."""
    given_up: int = 0


def send_due(*, seconds: float = 60.0, observer: Observer | None = None) -> Sent:
    """Send what is due through each channel. No attempt begins later than ``seconds`` from now."""
    until, done = time.monotonic() + seconds, Sent()
    for name in _due_channels():
        in_a_row = 0
        for delivery in _taken(name):
            in_a_row = 0 if _attempt(delivery, done, observer or Observer()) else in_a_row + 1
            if in_a_row == DEAD_AFTER or time.monotonic() >= until:
                break
        if time.monotonic() >= until:
            break
    return done


def send_test(name: str) -> None:
    """Try a channel; nothing is recorded. Raises UnknownName and NotDelivered."""
    message = Message.of(str(uuid.uuid4()), None, timezone.now(), test_events(), None)
    _send(name, message)


def send_again(number: int) -> int:
    """Make what of an alert has not arrived due at once, also what was given up; how many deliveries that are.

    Raises UnknownName, and UsageError where everything has arrived.
    """
    if not Alert.objects.filter(pk=number).exists():
        latest = Alert.objects.values_list("pk", flat=True)[:5]
        raise UnknownName("alert", str(number), [str(pk) for pk in latest])
    now = timezone.now()
    left = AlertDelivery.objects.filter(alert=number, status__in=[_S.WAITING, _S.FAILED])
    made = left.update(status=_S.WAITING, next_attempt_at=now, give_up_at=give_up_at(now))
    if not made:
        raise UsageError(f"Alert {number} has arrived everywhere it was to be sent; nothing is left to send.")
    return made


def _due_channels() -> list[str]:
    """Channels for which something is due, the one that has waited longest first."""
    waiting = AlertDelivery.objects.filter(status=_S.WAITING, next_attempt_at__lte=timezone.now())
    return list(waiting.values("channel").annotate(first=Min("id")).order_by("first").values_list("channel", flat=True))


def _taken(name: str) -> Iterator[AlertDelivery]:
    """What waits for a channel, the oldest first and due or not: what comes later should not overtake it."""
    after = 0
    while True:
        now = timezone.now()
        free = Q(taken_until=None) | Q(taken_until__lt=now)
        waiting = AlertDelivery.objects.filter(free, channel=name, status=_S.WAITING, pk__gt=after).order_by("pk")
        # Of two senders one skips what the other holds here, and finds it taken afterwards.
        with transaction.atomic():
            found = waiting.select_for_update(skip_locked=True, of=("self",)).first()
            if found is None:
                return
            AlertDelivery.objects.filter(pk=found.pk).update(taken_until=now + TAKEN, attempts=F("attempts") + 1)
        found.attempts += 1
        after = found.pk
        yield found


def _attempt(delivery: AlertDelivery, done: Sent, observer: Observer) -> bool:
    """Send one that was taken, and mark it. Whether it arrived."""
    observer.reaches("taken")
    try:
        _send(delivery.channel, _message(delivery))
    except UnknownName:
        why = f"INTEGRITY_ALERTS has no channel {delivery.channel!r} any more"
        _mark_failed(delivery, NotDelivered(why, for_good=True), done)
    except NotDelivered as failure:
        _mark_failed(delivery, failure, done)
    else:
        observer.reaches("sent")
        _mark(delivery, status=_S.SENT, sent_at=timezone.now(), last_error="")
        done.sent += 1
        return True
    return False


def _send(name: str, message: Message) -> None:
    to = channel(name)
    try:
        within(ATTEMPT_SECONDS, lambda bound: to.send(message, bound))
    except NotDelivered:
        raise
    except TimeoutError as error:
        raise NotDelivered(f"{to.where} did not take it: {sentence(error)}") from error
    except Exception as error:
        # A backend of the project's own may raise anything; the other channels still get theirs.
        logger.debug("%s could not be sent to", name, exc_info=True)
        raise NotDelivered(f"{type(error).__name__}: {sentence(error)}") from error


def _message(delivery: AlertDelivery) -> Message:
    alert = Alert.objects.select_related("run").get(pk=delivery.alert_id)
    told = [alert.events[position] for position in delivery.told]
    return Message.of(str(delivery.uid), alert.pk, alert.at, told, alert.run)


def _mark_failed(delivery: AlertDelivery, failure: NotDelivered, done: Sent) -> None:
    now = timezone.now()
    pause = min(max(_pause(delivery.attempts), failure.after), LONGEST_PAUSE)
    again = now + timedelta(seconds=pause)
    over = failure.for_good or again > delivery.give_up_at
    _mark(delivery, status=_S.FAILED if over else _S.WAITING, next_attempt_at=again, last_error=str(failure))
    done.failed += 1
    done.given_up += over
    how = "given up" if over else f"again in {pause:.0f} s"
    logger.warning("alert %s to %s: %s (%s)", delivery.alert_id, delivery.channel, failure, how)


def _mark(delivery: AlertDelivery, **fields: object) -> None:
    ours = AlertDelivery.objects.filter(pk=delivery.pk, status=_S.WAITING)
    ours.update(taken_until=None, **fields)


def _pause(attempts: int) -> float:
    """Twice as long each time, and never all at once: those who failed together do not come back together."""
    longest = min(FIRST_PAUSE * 2.0 ** min(attempts - 1, 20), LONGEST_PAUSE)
    return longest * random.uniform(0.7, 1.0)  # noqa: S311  (nobody guards anything by it)
