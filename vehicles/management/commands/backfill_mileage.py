"""Makes the mileage of vehicles what their logs say, where they are older than the rule or were written past it."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from integrity.management.base import EngineCommand, add_brake, add_format, add_writing
from integrity.registry import registry
from integrity.repair import repair
from integrity.reports import Report
from vehicles.finding import find_vehicle
from vehicles.management.shared import add_vehicle, refusals

RULE = "vehicles.current_mileage"


class Command(EngineCommand):
    """A door to the repair of the rule."""

    help = "Recompute the current mileage of all vehicles in one run that can be undone."
    verb = "repair"
    epilog = (
        "Example: manage.py backfill_mileage --max-affected 100% --yes --reason 'first time'\n"
        "Exit codes: 0 done, 1 violations left or changes planned, 2 usage error, 3 not finished."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add_vehicle(parser)
        add_brake(parser)
        add_writing(parser)
        add_format(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        self.require_yes_to_open_brake(options)
        with refusals():
            keys = None if options["vehicle"] is None else [(find_vehicle(options["vehicle"]).pk,)]

        def run(*, dry_run: bool) -> Report:
            return self.perform(
                lambda watch: repair(
                    [(registry.get(RULE), "recompute")],
                    keys=keys,
                    dry_run=dry_run,
                    max_affected=options["max_affected"],
                    reason=options["reason"],
                    sample=options["limit"],
                    observer=watch,
                ),
                options,
            )

        if options["dry_run"] or self.consent(lambda: run(dry_run=True), options):
            self.finish(run(dry_run=options["dry_run"]), options)
