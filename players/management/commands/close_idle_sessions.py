"""Closes rides that nobody rides any more. For cron, every minute."""

from __future__ import annotations

import json
from argparse import ArgumentTypeError
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandParser

from integrity.management.base import EngineCommand
from players.sessions import IDLE, Closed, close_idle_sessions

MOST_MINUTES = 60 * 24 * 365


class Command(EngineCommand):
    """A door to `players.sessions.close_idle_sessions`."""

    help = "Close sessions without recent activity and write what is in flight into history."
    verb = "close_idle_sessions"
    epilog = (
        "Example: * * * * * manage.py close_idle_sessions --idle-minutes 10\n"
        "Exit codes: 0 done, 2 usage or configuration error, 3 not finished; run it again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--idle-minutes",
            type=minutes,
            default=IDLE // timedelta(minutes=1),
            metavar="N",
            help="How long nothing was reported (default: %(default)s).",
        )
        parser.add_argument("--dry-run", action="store_true", help="Say what would be closed, and write nothing.")
        parser.add_argument(
            "--format", choices=("table", "json"), default="table", help="A sentence, or one JSON object."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        closed = close_idle_sessions(timedelta(minutes=options["idle_minutes"]), dry_run=options["dry_run"])
        if options["format"] == "json":
            self.stdout.write(json.dumps(_as_json(closed, dry_run=options["dry_run"])))
        else:
            self.stdout.write(_sentence(closed, dry_run=options["dry_run"]))


def minutes(text: str) -> int:
    """A whole number of minutes from 1 on, for argparse."""
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text[:20]) <= MOST_MINUTES:
        raise ArgumentTypeError(f"{text!r} is not a whole number of minutes from 1 to {MOST_MINUTES}")
    return int(text)


def _as_json(closed: Closed, *, dry_run: bool) -> dict[str, Any]:
    return {
        "verb": Command.verb,
        "status": "done",
        "dry_run": dry_run,
        "closed": closed.sessions,
        "km": f"{closed.km:.5f}",
        "busy": closed.busy,
        "forgotten": closed.forgotten,
    }


def _sentence(closed: Closed, *, dry_run: bool) -> str:
    verb = "Would close" if dry_run else "Closed"
    busy = f" {closed.busy} more are busy and wait for the next run." if closed.busy else ""
    return f"{verb} {closed.sessions} idle sessions with {closed.km:.5f} km in flight.{busy}"
