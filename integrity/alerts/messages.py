"""Messages in words: what has changed, since when, how many of how many, why it matters, and what to type next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from integrity.alerts.conditions import GOOD, ORDER
from integrity.conf import conf
from integrity.models import Run

Event = Mapping[str, Any]
TEST = "test"
LATE = timedelta(minutes=10)
SLACK_EVENTS, SLACK_ERROR = 20, 300
"""So many are told at length there, and so much of an error; a message has room for 40,000 characters."""

# One, several.
WORDS = {
    "starts_failing": ("starts failing", "start failing"),
    "grows": ("grows past its limit", "grow past their limits"),
    "not_checked": ("could not be checked", "could not be checked"),
    "unnoticed": ("was changed unnoticed", "were changed unnoticed"),
    "not_imported": ("could not be imported", "could not be imported"),
    "missed": ("missed its scheduled look", "missed their scheduled looks"),
    "overdue": ("is overdue for a full look", "are overdue for a full look"),
    "recovers": ("recovers", "recover"),
    "healed": ("was healed", "were healed"),
    "checked_again": ("is checked again", "are checked again"),
    "noted_again": ("is noted in full again", "are noted in full again"),
    "imported_again": ("is imported again", "are imported again"),
    "on_time_again": ("is looked at on time again", "are looked at on time again"),
    "swept_again": ("was looked at in full again", "were looked at in full again"),
    TEST: ("works", "work"),
}


@dataclass(frozen=True)
class Message:
    """An alert as one channel tells it, the worst event first. ``alert`` is None for a test."""

    uid: str
    alert: int | None
    at: datetime
    events: list[dict[str, Any]]
    run: Run | None = None

    @classmethod
    def of(cls, uid: str, alert: int | None, at: datetime, events: list[dict[str, Any]], run: Run | None) -> Message:
        order = [*ORDER, TEST]
        return cls(uid, alert, at, sorted(events, key=lambda event: order.index(event["event"])), run)

    @property
    def url(self) -> str:
        """Its page in the administration; empty where nobody has said where that is served."""
        if not conf().URL or self.alert is None:
            return ""
        try:
            return conf().URL.rstrip("/") + reverse("admin:integrity_alert_change", args=[self.alert])
        except NoReverseMatch:
            return ""


def subject(message: Message) -> str:
    """One line: the event, or how many of each."""
    if len(message.events) == 1:
        (event,) = message.events
        return f"{name(event)} {WORDS[event['event']][0]}{_share(event)}"
    counts = Counter(event["event"] for event in message.events)
    return "; ".join(f"{count} {WORDS[event][count > 1]}" for event, count in counts.items())


def headline(event: Event) -> str:
    """One event in one sentence, with its numbers."""
    return f"{name(event)} {WORDS[event['event']][0]}{_more(event)}"


def details(event: Event) -> list[str]:
    """What stands below the headline, a line each."""
    bad = event["event"] not in GOOD
    owner = f", owner {event['owner']}" if event["owner"] else ""
    told = [
        f"Because: {event['because']}" if bad and event["because"] else "",
        _history(event),
        f"Severity: {event['severity']}{owner}" if bad else "",
        f"Look: {event['command']}" if bad and event["command"] else "",
        f"To take it back: {event['command']}" if event["event"] == "healed" else "",
    ]
    return [line for line in told if line]


def text(message: Message) -> str:
    """The whole message, for a mail."""
    parts = ["\n".join([headline(event), *(f"  {line}" for line in details(event))]) for event in message.events]
    return "\n\n".join([*parts, "\n".join(_foot(message))]) + "\n"


def as_slack(message: Message) -> str:
    """The same, in the markup of Slack."""
    parts = []
    for event in message.events[:SLACK_EVENTS]:
        bad = event["event"] not in GOOD and event["event"] != TEST
        title = f"{WORDS[event['event']][0]}{_more(event)}"
        if len(title) > SLACK_ERROR:
            title = f"{title[:SLACK_ERROR]}..."
        lines = [f"{':red_circle:' if bad else ':large_green_circle:'} *{_plain(name(event))}* {_plain(title)}"]
        parts.append("\n".join([*lines, *(f">{_plain(line)}" for line in details(event))]))
    more = len(message.events) - SLACK_EVENTS
    foot = [_plain(line) for line in _foot(message, link=False)]
    foot += [f"<{message.url}|Alert {message.alert}>"] if message.url else []
    return "\n".join([*parts, *([f"... and {more} more"] if more > 0 else []), *foot])


def as_object(message: Message) -> dict[str, Any]:
    """The same for a program."""
    return {
        "id": message.uid,
        "alert": message.alert,
        "at": message.at.isoformat(),
        "run": message.run.pk if message.run else None,
        "verb": message.run.verb if message.run else None,
        "summary": subject(message),
        "url": message.url or None,
        "events": [{**event, "summary": headline(event)} for event in message.events],
    }


def test_events() -> list[dict[str, Any]]:
    """What a message holds that only tries a channel."""
    empty = dict.fromkeys(("violations", "checked", "alert_above", "since", "failing_since", "last_held", "error"))
    told = {"rule": "integrity.test", "database": "default", "event": TEST, "severity": "info", "tags": []}
    return [{**told, **empty, "owner": "", "because": "", "grown": False, "retired": False, "command": ""}]


def name(event: Event) -> str:
    """The rule, and the database where that is not the default one."""
    return event["rule"] if event["database"] == "default" else f"{event['rule']} in {event['database']}"


def _share(event: Event) -> str:
    """``: 3 of 500``, for what fails."""
    if event["event"] not in ("starts_failing", "grows") or event["violations"] is None:
        return ""
    of = "" if event["checked"] is None else f" of {event['checked']:,}"
    return f": {event['violations']:,}{of}"


def _more(event: Event) -> str:
    """The rest of the sentence."""
    kind = event["event"]
    if kind in ("starts_failing", "grows"):
        limit = f", and its limit is {event['alert_above']}" if event["grown"] else ""
        return f"{_share(event)} {_breaks(event)} it{limit}."
    if kind == "recovers":
        if event["retired"]:
            return ": its table is gone, as it was declared to be."
        return f": none of {event['checked']:,} breaks it." if event["checked"] is not None else ": nothing breaks it."
    if kind == "healed":
        return f": {_violations(event)} repaired automatically."
    if kind == "checked_again":
        return f": {_still(event)}."
    if kind == TEST:
        return ": this message is only a test of the way to you."
    return f": {event['error'].rstrip('.')}." if event["error"] else "."


def _violations(event: Event) -> str:
    number = event["violations"]
    return "1 violation was" if number == 1 else f"{number:,} violations were" if number else "violations were"


def _breaks(event: Event) -> str:
    return "breaks" if event["violations"] == 1 else "break"


def _still(event: Event) -> str:
    if not event["failing_since"]:
        return "it holds"
    of = "" if event["checked"] is None else f" of {event['checked']:,}"
    return f"{event['violations']:,}{of} {_breaks(event)} it, as since {_time(event['failing_since'])}"


def _history(event: Event) -> str:
    kind = event["event"]
    if kind == "starts_failing":
        return f"Last found right: {_time(event['last_held'])}" if event["last_held"] else "Never found right before"
    if kind == "healed":
        return ""
    if kind in GOOD:
        ended = {"recovers": "It had failed", "checked_again": "It was not checked"}.get(kind, "That was so")
        return f"{ended} since {_time(event['since'])}"
    if kind != TEST and event["failing_since"]:
        return f"It fails since {_time(event['failing_since'])}"
    return ""


def _foot(message: Message, *, link: bool = True) -> list[str]:
    run = message.run
    by = f" by run {run.pk} ({run.verb}, {run.actor} on {run.host})" if run else ""
    lines = [f"Found{by} on {_time(message.at.isoformat())}."] if message.alert else []
    if message.alert and timezone.now() - message.at > LATE:
        lines.append("This message is late: it could not be delivered before.")
    if link and message.url:
        lines.append(message.url)
    return [*lines, "What is wrong now: manage.py integrity alerts"]


def _time(iso: str) -> str:
    at = parse_datetime(iso)
    assert at is not None
    return f"{timezone.localtime(at):%Y-%m-%d %H:%M %Z}"


def _plain(words: str) -> str:
    """Words that mean nothing else in the markup."""
    return words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
