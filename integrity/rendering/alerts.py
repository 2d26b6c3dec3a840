"""The list of what is wrong now, and of the messages about it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from django.utils import timezone
from rich.console import Console

from integrity.alerts.listing import alert_object, state_object
from integrity.alerts.messages import headline
from integrity.alerts.models import Alert, AlertDelivery, AlertState
from integrity.rendering.machine import lines, list_object
from integrity.rendering.terminal import fitting, table


def alerts_as_json(states: Iterable[AlertState], alerts: Iterable[Alert], given_up: Sequence[int]) -> str:
    """Everything as one object."""
    error = _stuck(given_up) if given_up else ""
    now, messages = [state_object(state) for state in states], [alert_object(alert) for alert in alerts]
    return json.dumps(list_object("alerts", [], error=error, now=now, alerts=messages), ensure_ascii=False)


def alerts_as_csv(alerts: Iterable[Alert]) -> str:
    """A line for each event and each of its deliveries; one with an empty channel where it goes nowhere."""
    header = ["alert", "at", "run", "rule", "database", "event", "channel", "status", "attempts", "error"]
    rows = []
    for alert in alerts:
        for position, event in enumerate(alert.events):
            told = [d for d in alert.deliveries.all() if position in d.told]
            ways = [[d.channel, d.status, d.attempts, d.last_error] for d in told] or [["", "", "", ""]]
            what = [alert.pk, alert.at.isoformat(), alert.run_id, event["rule"], event["database"], event["event"]]
            rows += [[*what, *way] for way in ways]
    return lines(header, rows)


def done_as_json(facts: dict[str, Any], error: str) -> str:
    """What was sent, as one object."""
    return json.dumps(list_object("alerts", [], error=error, **facts), ensure_ascii=False)


def done_as_csv(facts: dict[str, Any]) -> str:
    """What was sent, on one line."""
    return lines(list(facts), [list(facts.values())])


def print_alerts(out: Console, states: Sequence[AlertState], alerts: Sequence[Alert], given_up: Sequence[int]) -> None:
    """What is wrong now, then the messages with their deliveries."""
    if states:
        rows = [[_subject(state), state.what, _time(state.since), state.run_id or "-"] for state in states]
        out.print(table(["rule", "now", "since", "run"], rows, right=["run"]))
    else:
        out.print("Nothing is known to be wrong now.")
    if not alerts:
        return
    out.print("\nThe last messages:")
    columns: dict[str, list[Any]] = {
        "alert": [alert.pk for alert in alerts],
        "at": [_time(alert.at) for alert in alerts],
        "what": [[headline(event) for event in alert.events] for alert in alerts],
        "deliveries": [[_fate(d) for d in alert.deliveries.all()] or "to nobody" for alert in alerts],
    }
    out.print(fitting(out, columns, right=["alert"], least=["at"]))
    if given_up:
        out.print(f"\n{_stuck(given_up)}", soft_wrap=True, markup=False)


def _subject(state: AlertState) -> str:
    return state.rule if state.database == "default" else f"{state.rule} in {state.database}"


def _fate(delivery: AlertDelivery) -> str:
    if delivery.status == AlertDelivery.Status.SENT:
        return f"{delivery.channel}: sent"
    error = f": {delivery.last_error}" if delivery.last_error else ""
    attempts = f", {delivery.attempts} attempts" if delivery.attempts > 1 else ""
    return f"{delivery.channel}: {delivery.status}{attempts}{error}"


def _stuck(given_up: Sequence[int]) -> str:
    what = "1 delivery was" if len(given_up) == 1 else f"{len(given_up):,} deliveries were"
    return f"{what} given up. When the reason is gone: manage.py integrity alerts --retry {given_up[0]}"


def _time(at: Any) -> str:
    return timezone.localtime(at).strftime("%Y-%m-%d %H:%M")
