"""Makes practice_times what it was before a backup was restored in a loop: one row of each time and place."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from integrity.exceptions import UsageError
from integrity.management.base import EngineCommand, add_brake, add_format, add_writing
from integrity.registry import registry
from integrity.repair import repair
from integrity.reports import Report
from teams.models import PracticeTime

RULE = "teams.practice_time_is_one"
REBUILD, IN_PLACE = STRATEGIES = ("rebuild", "keep_one")
TABLE = PracticeTime._meta.db_table


class Command(EngineCommand):
    """A door to the repairs of the rule."""

    help = "Keep the first of all practice times that are the same, in a clean table that takes the place of this one."
    verb = "repair"
    epilog = (
        "Example: manage.py fix_practice_times_corruption --dry-run\n"
        "then:    manage.py fix_practice_times_corruption --max-affected 100% --yes --reason 'backup loop'\n"
        "Exit codes: 0 clean, 1 changes planned or repetitions left, 2 usage error, 3 not finished."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--strategy",
            default=REBUILD,
            metavar="NAME",
            help="rebuild: a clean table beside the old one, which stays as a backup (default); "
            "keep_one: delete in place, where few rows are too many.",
        )
        add_brake(parser)
        add_writing(parser)
        add_format(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        strategy = options["strategy"]
        if strategy not in STRATEGIES:
            raise UsageError(f"--strategy {strategy!r} is unknown. Known: {', '.join(STRATEGIES)}.")
        self.asks_for_name = strategy == REBUILD
        if strategy == REBUILD:
            self.require_yes("A whole table is rebuilt", options)
        self.require_yes_to_open_brake(options)

        def fix(*, dry_run: bool) -> Report:
            return self.perform(
                lambda watch: repair(
                    [(registry.get(RULE), strategy)],
                    dry_run=dry_run,
                    max_affected=options["max_affected"],
                    reason=options["reason"],
                    sample=options["limit"],
                    observer=watch,
                ),
                options,
            )

        if options["dry_run"] or self.consent(lambda: fix(dry_run=True), options):
            self.finish(fix(dry_run=options["dry_run"]), options)

    def _agrees(self, question: str) -> bool:
        """A whole table is not replaced by a single letter."""
        if not self.asks_for_name:
            return super()._agrees(question)
        try:
            return input(f"Type {TABLE} to replace it, anything else to leave it: ").strip() == TABLE
        except (EOFError, KeyboardInterrupt):
            self.stdout.write("")
            return False
