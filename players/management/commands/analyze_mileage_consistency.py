"""Compares every player's master distance with history and open session, then every group; repairs where asked to."""

from __future__ import annotations

from argparse import ArgumentTypeError
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import CommandParser

from integrity.exceptions import UsageError
from integrity.management.base import EngineCommand, add_brake, add_format, add_writing
from integrity.reports import Report
from players.mileage import STRATEGIES, Selection, analyze_mileage, fix_mileage

NEEDS_FIX = ("strategy", "oldest_first", "dry_run", "yes", "max_affected", "reason")


class Command(EngineCommand):
    """A door to `players.mileage`."""

    help = "Find players whose distance is not history plus open session, and groups that are not their players."
    verb = "analyze"
    epilog = (
        "Example: manage.py analyze_mileage_consistency --fix --strategy recalculate_from_player --dry-run\n"
        "Exit codes: 0 clean, 1 mismatches or planned changes, 2 usage error, 3 not checked or not finished."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--player-id", type=int, metavar="N", help="Only this player and the groups above.")
        parser.add_argument(
            "--threshold",
            type=kilometres,
            default=Decimal("0.001"),
            metavar="KM",
            help="List and repair only differences above this (default: 0.001). All of them count.",
        )
        parser.add_argument("--fix", action="store_true", help="Repair; alone it means the first strategy.")
        parser.add_argument("--strategy", metavar="NAME", help=f"One of {', '.join(STRATEGIES)}. Needs --fix.")
        parser.add_argument(
            "--oldest-first", action="store_true", help="Remove the oldest surplus rows, not the newest."
        )
        add_brake(parser)
        add_writing(parser)
        add_format(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        selection = Selection(options["player_id"], options["threshold"])
        if not options["fix"]:
            self._refuse_without_fix(options)
            report = self.perform(
                lambda watch: analyze_mileage(selection, limit=options["limit"], observer=watch), options
            )
            self.finish(report, options)
            return
        self.verb = "repair"
        self.require_yes_to_open_brake(options)

        def fix(*, dry_run: bool) -> Report:
            return self.perform(
                lambda watch: fix_mileage(
                    selection,
                    STRATEGIES[0] if options["strategy"] is None else options["strategy"],
                    oldest_first=options["oldest_first"],
                    limit=options["limit"],
                    dry_run=dry_run,
                    max_affected=options["max_affected"],
                    reason=options["reason"],
                    observer=watch,
                ),
                options,
            )

        if options["dry_run"] or self.consent(lambda: fix(dry_run=True), options):
            self.finish(fix(dry_run=options["dry_run"]), options)

    def print_tables(self, report: Report, options: dict[str, Any]) -> None:
        from integrity.rendering.report import print_report
        from players.rendering import mismatches

        advice = "To see a repair: manage.py analyze_mileage_consistency --fix --dry-run"
        print_report(self.console(options), report, findings=mismatches, next_step=advice)

    @staticmethod
    def _refuse_without_fix(options: dict[str, Any]) -> None:
        given = [name for name in NEEDS_FIX if options[name]]
        if given:
            flags = ", ".join("--" + name.replace("_", "-") for name in given)
            raise UsageError(f"{flags} says how to repair: add --fix, or leave it out to look only.")


def kilometres(text: str) -> Decimal:
    """A distance from 0 on, for argparse."""
    try:
        km = Decimal(text)
    except InvalidOperation:
        km = Decimal("NaN")
    if not km.is_finite() or km < 0:
        raise ArgumentTypeError(f"{text!r} is not a distance in km from 0 on")
    return km
