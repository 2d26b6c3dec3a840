"""manage.py consolidate_core_stats --phase PHASE: a door to the consolidation of the two tables of core stats."""

from typing import Any

from django.core.management.base import CommandParser

from integrity.management.base import EngineCommand
from integrity.management.consolidating import add_phases, carry_out
from integrity.observer import Observer
from integrity.reports import Report
from stats.consolidation import WINNERS


class Command(EngineCommand):
    """One phase."""

    verb = "consolidate"
    help = "Make one table of the two that hold core stats, in phases that can be verified and taken back."
    epilog = (
        "Example: manage.py consolidate_core_stats --phase copy --prefer newest --dry-run\n"
        "Exit codes: 0 clean, 1 differences or planned changes, 2 usage error, 3 not checked or not finished."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add_phases(parser)
        parser.add_argument(
            "--prefer",
            choices=WINNERS,
            default="newest",
            help="Whose values win where both tables have a row and the rows differ (default: newest).",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        from stats.legacy.models import LegacyCoreStat
        from stats.phases import perform

        def phase(watch: Observer, dry_run: bool) -> Report:
            return perform(
                options["phase"],
                prefer=options["prefer"],
                dry_run=dry_run,
                reason=options["reason"],
                sample=options["limit"],
                observer=watch,
            )

        carry_out(self, phase, options, table=LegacyCoreStat._meta.db_table)
