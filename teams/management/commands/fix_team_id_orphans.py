"""Points what leads nowhere at the team that it meant, where evidence leads to exactly one."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from integrity.management.base import EngineCommand, add_brake, add_format, add_writing
from integrity.reports import Report
from teams.orphans import STRATEGIES, fix_orphans


class Command(EngineCommand):
    """A door to `teams.orphans`."""

    help = "Relink polls, messages, practice times and matches whose team is gone, in one run that can be undone."
    verb = "repair"
    epilog = (
        "Example: manage.py fix_team_id_orphans --dry-run\n"
        "Exit codes: 0 nothing is left, 1 orphans are left or changes planned, 2 usage error, 3 not finished."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--strategy",
            default=STRATEGIES[0],
            metavar="NAME",
            help=f"One of {', '.join(STRATEGIES)} (default: %(default)s). Nothing that a member wrote is deleted.",
        )
        add_brake(parser)
        add_writing(parser)
        add_format(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        self.require_yes_to_open_brake(options)

        def fix(*, dry_run: bool) -> Report:
            return self.perform(
                lambda watch: fix_orphans(
                    options["strategy"],
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
