"""alerts: what is wrong now, which messages were made of it, and how they fared; and the sending of them."""

from __future__ import annotations

from typing import Any

from integrity.management.base import EngineCommand, add_format, positive
from integrity.management.verbs.base import Verb


def _arguments(parser: Any) -> None:
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--send", action="store_true", help="Look which schedules were missed, then send what is due; for cron."
    )
    group.add_argument("--test", metavar="CHANNEL", help="Send a test through a channel of INTEGRITY_ALERTS.")
    group.add_argument("--retry", type=positive, metavar="ALERT", help="Send what of an alert has not arrived, now.")
    add_format(parser)


def _perform(command: EngineCommand, options: dict[str, Any]) -> None:
    from integrity.alerts.clock import look_at_clock
    from integrity.alerts.sending import send_again, send_due, send_test

    if options["test"]:
        send_test(options["test"])
        _say(command, options, {"channel": options["test"], "sent": 1}, f"{options['test']} took the test message.")
        return
    if options["retry"]:
        send_again(options["retry"])
    if options["send"]:
        look_at_clock()
    if options["retry"] or options["send"]:
        done = send_due()
        told = f"{done.sent} sent, {done.failed} not delivered"
        told += f", of which {done.given_up} given up." if done.given_up else "."
        if done.failed:
            told += " What went wrong: manage.py integrity alerts"
        _say(command, options, vars(done), told, failed=bool(done.failed))
        return
    _list(command, options)


def _list(command: EngineCommand, options: dict[str, Any]) -> None:
    from integrity.alerts.listing import alerts, states, stuck
    from integrity.rendering.alerts import alerts_as_csv, alerts_as_json, print_alerts

    now, latest, failed = states(), list(alerts()[: options["limit"]]), stuck()
    if options["format"] == "json":
        command.stdout.write(alerts_as_json(now, latest, failed))
    elif options["format"] == "csv":
        command.stdout.write(alerts_as_csv(latest))
    else:
        print_alerts(command.console(options), now, latest, failed)
    if failed:
        raise SystemExit(3)


def _say(
    command: EngineCommand, options: dict[str, Any], facts: dict[str, Any], told: str, *, failed: bool = False
) -> None:
    from integrity.rendering.alerts import done_as_csv, done_as_json

    if options["format"] == "json":
        command.stdout.write(done_as_json(facts, told if failed else ""))
    elif options["format"] == "csv":
        command.stdout.write(done_as_csv(facts))
    else:
        command.stdout.write(told)
    if failed:
        raise SystemExit(3)


VERB = Verb(
    "alerts",
    "List what is wrong now and the messages about it; send those that are due.",
    "manage.py integrity alerts --send",
    _arguments,
    _perform,
)
