"""Writes to whom a service reminder concerns, once when it is soon and once when it is due."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import CommandParser

from integrity.management.base import EngineCommand, add_format
from vehicles.reminders import Notices, Status, send_reminders

COLUMNS = ["what", "reminder", "vehicle", "title", "state", "to", "why"]


class Command(EngineCommand):
    """A door to `vehicles.reminders`."""

    help = "Send the service reminders that have become soon or due and have not been sent yet."
    verb = "send_service_reminders"
    epilog = (
        "Example: manage.py send_service_reminders --dry-run --format json\n"
        "Exit codes: 0 done, 1 there is something to send (--dry-run), 2 usage error, 3 a mail could not be sent."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Say what would be sent; exit 1 if there is any.")
        add_format(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        notices = send_reminders(dry_run=options["dry_run"])
        rows = _rows(notices, sent="would send" if options["dry_run"] else "sent")
        if options["format"] == "json":
            self.stdout.write(json.dumps(_as_object(notices, dry_run=options["dry_run"]), ensure_ascii=False))
        elif options["format"] == "csv":
            from integrity.rendering.machine import lines

            self.stdout.write(lines(COLUMNS, rows))
        else:
            self._print(rows[: options["limit"]], len(rows), options)
        if code := _exit_code(notices, dry_run=options["dry_run"]):
            raise SystemExit(code)

    def _print(self, rows: list[list[Any]], found: int, options: dict[str, Any]) -> None:
        from integrity.rendering.terminal import table

        out = self.console(options)
        if not rows:
            out.print("Nothing to send.")
            return
        out.print(table(COLUMNS, rows, right=["reminder"]))
        if found > len(rows):
            out.print(f"... and {found - len(rows):,} more (--limit shows more of them)")


def _status(notices: Notices, *, dry_run: bool) -> str:
    if notices.failed:
        return "partial" if notices.sent else "failed"
    return "violated" if dry_run and notices.sent else "clean"


def _exit_code(notices: Notices, *, dry_run: bool) -> int:
    from integrity.statuses import EXIT_CODES

    return EXIT_CODES[_status(notices, dry_run=dry_run)]


def _rows(notices: Notices, sent: str) -> list[list[Any]]:
    return [
        *(_row(sent, status) for status in notices.sent),
        *(_row("nobody to write to", status) for status in notices.without_address),
        *(_row("failed", status, why) for status, why in notices.failed),
    ]


def _row(what: str, status: Status, why: str = "") -> list[Any]:
    reminder = status.reminder
    return [
        what,
        reminder.pk,
        str(status.vehicle),
        reminder.title,
        status.state.value,
        reminder.email or "-",
        why or "-",
    ]


def _as_object(notices: Notices, *, dry_run: bool) -> dict[str, Any]:
    return {
        "run": None,
        "verb": Command.verb,
        "status": _status(notices, dry_run=dry_run),
        "dry_run": dry_run,
        "sent": [_notice(status) for status in notices.sent],
        "without_address": [_notice(status) for status in notices.without_address],
        "failed": [_notice(status) | {"error": why} for status, why in notices.failed],
    }


def _notice(status: Status) -> dict[str, Any]:
    reminder = status.reminder
    return {
        "reminder": reminder.pk,
        "vehicle": status.vehicle.pk,
        "title": reminder.title,
        "state": status.state.value,
        "to": reminder.email or None,
    }
